"""What it costs to predict a field of pictures that are being written, by the labels of many others.

    python benchmarks/predicting.py [--labelled 10000]

Through the daemon's own committer, on the embedded engine, with vectors generated around real ones, one in ten of them
of each label. Sides: `nothing` is predicted; a field is, and the neighbours come `by the engine` (as in the first
moments of a daemon, or where more are labelled than are kept in memory) or `from memory`. Of each, a picture at a time
and 32 together: processor milliseconds a picture, and for how many milliseconds the lock is held under which all
sources write. JSON on standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import generated
from benchmarks.measure import median, progress, rounded
from ingest.events.pending import PendingPath
from ingest.events.stability import completed
from ingest.index.predictions import Predictions
from ingest.index.retrying import Retrier
from ingest.pipeline.commit import Committer, Work
from ingest.pipeline.verdict import facts
from ingest.source.files import FileState, Key
from ingest.source.watched_source import WatchedSource
from recq.index.candidates import Candidate
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.schema import Item
from recq.learn.calibration import Calibration
from recq.models.heads import Classifier, Linear
from recq.settings import DEFAULT_IGNORE, Settings

FIELD = "tenth"
TOGETHER = (1, 32)
ROUNDS = 30


class Timed:
    """A lock that knows for how long it was held, in seconds."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._since: list[float] = []
        self.held = 0.0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._since.append(time.perf_counter())

    def __exit__(self, *_: object) -> None:
        began = self._since.pop()
        if not self._since:
            self.held += time.perf_counter() - began
        self._lock.release()


class Writer:
    """A committer of new pictures beside those that are labelled."""

    def __init__(self, catalog: Catalog, settings: Settings, root: Path) -> None:
        self._root = root
        self._numbers = np.random.default_rng(2)
        self._real = generated.real_vectors()
        self._written = 0
        retrier = Retrier(threading.Event(), give_up_after=1, waiting=lambda _: None, recovered=lambda: None)
        self.predictions = Predictions(catalog, settings, retrier)
        self.lock = Timed()
        vars(self.predictions)["writing"] = self.lock
        watched = WatchedSource(
            "new", root, table_path=None, types=catalog.fields.types, say=lambda *_: None, ignore=DEFAULT_IGNORE
        )
        self._committer = Committer(catalog, retrier, {"new": watched}, catalog.ledger, predictions=self.predictions)

    def measured(self, together: int) -> dict[str, float]:
        """Processor milliseconds a picture, and milliseconds for which the lock is held for all of them."""
        processor, held = [], []
        for _ in range(ROUNDS):
            works = [self._work() for _ in range(together)]
            self.lock.held, began = 0.0, time.process_time()
            assert len(self._committer.write(works).done) == together
            processor.append((time.process_time() - began) * 1e3 / together)
            held.append(self.lock.held * 1e3)
        return {"cpu_ms": round(median(processor), 2), "lock_ms": round(median(held), 2)}

    def _work(self) -> Work:
        self._written += 1
        path = self._root / f"{self._written}.jpg"
        path.write_bytes(b"%d" % self._written)
        state = FileState.of(path.stat())
        key = Key("new", path.name)
        vector = self._real[self._written % len(self._real)] + 0.01 * self._numbers.standard_normal(
            self._real.shape[1], dtype=np.float32
        )
        file = replace(facts(key, state), sha256=f"f{self._written:063x}")
        entry = PendingPath(key, completed(state, 0.0), fresh=True)
        return Work(entry, Item(file), vector / np.linalg.norm(vector), state, carried=False)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelled", type=int, default=10_000, help="items that have a label")
    labelled = parser.parse_args().labelled
    found: dict[str, Any] = {"labelled": labelled}
    with (
        tempfile.TemporaryDirectory() as folder,
        generated.folder(labelled, Path(folder)) as settings,
        own_folder(settings) as owned,
    ):
        catalog = Catalog.open(owned.client, settings.catalog)
        root = Path(folder) / "new"
        root.mkdir()
        writer = Writer(catalog, settings, root)
        found["nothing"] = _all(writer)
        catalog.candidates.write(_candidate(catalog))
        catalog.predicting.choose({FIELD: FIELD})
        writer.predictions.reload()
        found["by the engine"] = _all(writer)
        began = time.process_time()
        writer.predictions.refresh("new", _left)
        found["reading the labelled, cpu s"] = rounded(time.process_time() - began)
        found["from memory"] = _all(writer)
    print(json.dumps(found, indent=1))


def _left(items: Iterator[Item]) -> None:
    assert not list(items), "no picture is read again"


def _all(writer: Writer) -> dict[str, Any]:
    progress("  writing ...")
    return {str(together): writer.measured(together) for together in TOGETHER}


def _candidate(catalog: Catalog) -> Candidate:
    """Some classifier of the field: what it says costs the same as a good one."""
    dim, numbers = catalog.space.dim, np.random.default_rng(3)
    classes = tuple(f"{FIELD[0]}{number}" for number in range(generated.FIELDS[FIELD]))
    classifier = Classifier(
        classes, numbers.standard_normal((len(classes), dim)).astype(np.float32), np.zeros(len(classes), np.float32)
    )
    levels, ones = np.linspace(0, 1, 101, dtype=np.float32), np.ones(len(classes), np.float32)
    calibration = Calibration(ones, 0 * ones, 0.1, levels, levels).to_json()
    head = Linear(np.eye(dim, dtype=np.float32)[:, :64])
    return Candidate(FIELD, FIELD, head, classifier, catalog.space.fingerprint, "2026", calibration=calibration)


if __name__ == "__main__":
    main()

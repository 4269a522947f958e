"""From the close of a dropped file to the first query that finds it, beside the sum of the parts of that road.

    python benchmarks/drop.py [--smoke | --short | --full] [--model OPTIONS]

A running daemon with the embedded engine. A file is written and closed, and this process asks the daemon's loopback
server every `POLL` seconds how many embedded items have that path, until it is one: the time of that answer counts.

idle      one drop after another, each after the one before was found and the daemon has rested
backlog   the same while the daemon works off the pictures that it found when it started

The parts, measured in turns with the idle drops by the same code in this process: noticing (close of a file -> the
watch's hint), reading with hash and decoding (a decoding process), inference (the Embedder, one picture), a waited
upsert of one item (an embedded catalog) and one query (the same that looks for the drop). In turns with them comes a
drop that nobody asks for, until the daemon's event: what the queries add to the others.
"""

from __future__ import annotations

import random
import shlex
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks import generated, pictures
from benchmarks.engines import Daemon, daemon
from benchmarks.measure import Ratio, Report, Section, median, parser_of, percentile, progress, ratio
from ingest.events.hints import Hints, Mark
from ingest.events.watch import Watch
from ingest.source.watched_source import WatchedSource
from recq.images import Limits
from recq.images.workers import Decoded, DecodePool
from recq.index.catalog import Catalog
from recq.index.connect import connect, own_folder
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.models import Embedder, open_embedder
from recq.settings import Settings
from recq.space import EmbeddingSpace

POLL = 0.004
"""Seconds between two queries while the daemon is idle: each takes it a millisecond or two."""

POLL_BUSY = 0.02
UNASKED = "drop to event, nobody asking"
"""From the close of a file to the daemon's event that it is stored: the queries of the other drops are part of what
these take, each some milliseconds of the two cores that the network runs on."""

LEFT = 10
"""Pictures of a backlog that have to wait still when its last drop is made."""

FOUND_WITHIN = 60.0
REST = 0.15
"""Seconds between an idle drop and the next, and as much again at random: drops keep no step with the daemon."""

IDLE_P50, IDLE_P99, BUSY_P99 = 1.5, 4.0, 2.0


@dataclass(frozen=True)
class Amount:
    """Drops of each kind, and pictures of the backlog."""

    drops: int
    backlog: int


AMOUNTS = {"smoke": Amount(4, 300), "short": Amount(50, 2_500), "full": Amount(500, 20_000)}


def main() -> None:
    """Measure and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--model", default="", metavar="OPTIONS", help="options of `recq-ingest run` that choose one")
    asked = parser.parse_args()
    report, amount = Report(asked), AMOUNTS[asked.size]
    report.section("idle", partial(idle, amount, asked.model))
    report.section("backlog", partial(backlog, amount, asked.model))


def idle(amount: Amount, model: str) -> Section:
    """Drops into an idle daemon, in turns with each part of the road."""
    samples: dict[str, list[float]] = {"drop": []}
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder, ExitStack() as stack:
        root, data = Path(folder) / "root", Path(folder) / "data"
        root.mkdir()
        for number in range(8):
            (root / f"before-{number}.jpg").write_bytes(pictures.another(10_000 + number))
        running = stack.enter_context(daemon([str(root), *shlex.split(model)], data))
        running.wait_until(lambda seen: sum(each["event"] == "indexed" for each in seen) >= 8)
        catalog = stack.enter_context(_catalog(data))
        parts = stack.enter_context(_parts(Path(folder) / "parts", catalog))
        parts["query"] = lambda: _timed(lambda: _finds(catalog, "before-0.jpg"))
        for number in range(amount.drops + 2):
            time.sleep(REST * (1 + random.random()))
            measured = {"drop": _drop(root, catalog, number, POLL)}
            measured |= {name: part() for name, part in parts.items()}
            measured[UNASKED] = _unasked(root, running, 20_000 + number)
            if number >= 2:  # the first ones warm up
                for name, took in measured.items():
                    samples.setdefault(name, []).append(1000 * took)
            if number % 50 == 2:
                progress(f"    drop {number - 1} of {amount.drops}: {1000 * measured['drop']:.0f} ms")
    on_road = [name for name in samples if name not in ("drop", UNASKED)]
    road = [sum(each) for each in zip(*(samples[name] for name in on_road), strict=True)]
    total = sum(median(samples[name]) for name in on_road)
    stored = [each - asking for each, asking in zip(road, samples["query"], strict=True)]
    samples["the parts of a road together"] = road
    ratios = [
        ratio("p50 of drops / p50 of the sum", samples["drop"], road, at_most=IDLE_P50),
        ratio("p99 of drops / p50 of the sum", samples["drop"], road, share=99, below_share=50, at_most=IDLE_P99),
        ratio(f"p50 of {UNASKED} / p50 of the sum without the query", samples[UNASKED], stored),
    ]
    figures = {
        "drop, p50, ms": percentile(samples["drop"], 50),
        "drop, p99, ms": percentile(samples["drop"], 99),
        "sum of the parts' medians, ms": total,
    }
    notes = [f"{amount.drops} drops, one after another; the daemon is asked every {1000 * POLL:g} ms"]
    return Section(
        "An idle daemon: drop to first answer, and the parts of the road", "ms", samples, ratios, figures, notes
    )


def backlog(amount: Amount, model: str) -> Section:
    """Drops while a backlog is worked off."""
    waiting = pictures.some_of("clothing", amount.backlog)
    found: list[float] = []
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder:
        data, root = Path(folder) / "data", Path(folder) / "drop"
        root.mkdir()
        arguments = [str(root), str(waiting), *shlex.split(model)]
        with daemon(arguments, data) as running, _catalog(data) as catalog:
            for number in range(amount.drops):
                done = running.settled()
                if done - len(found) >= amount.backlog - LEFT:
                    raise SystemExit(f"{number} drops, and the backlog of {amount.backlog:,} is nearly done: too small")
                found.append(1000 * _drop(root, catalog, 50_000 + number, POLL_BUSY))
                if number % 50 == 0:
                    progress(f"    drop {number + 1} of {amount.drops}, {done:,} done: {found[-1]:.0f} ms")
                time.sleep(0.05 * random.random())
            left = amount.backlog + len(found) - running.settled()
    seconds = np.asarray(found) / 1000
    p99 = percentile(list(seconds), 99)
    ratios = [Ratio(f"p99 / {BUSY_P99:g} s", p99 / BUSY_P99, p99 / BUSY_P99, p99 / BUSY_P99, at_most=1.0)]
    figures = {"drop, p50, ms": percentile(found, 50), "drop, p99, ms": percentile(found, 99), "left at the end": left}
    notes = [f"{len(found)} drops while {amount.backlog:,} pictures were worked off"]
    return Section("Under a backlog: drop to first answer", "ms", {"drop": found}, ratios, figures, notes)


def _drop(root: Path, catalog: Catalog, number: int, poll: float) -> float:
    """Seconds from the close of a new file to the answer that finds it. Raises SystemExit after a minute."""
    name = f"drop-{number}.jpg"
    content = pictures.another(number)
    with (root / name).open("wb") as file:
        file.write(content)
    began = time.perf_counter()
    while time.perf_counter() - began < FOUND_WITHIN:
        if _finds(catalog, name):
            return time.perf_counter() - began
        time.sleep(poll)
    raise SystemExit(f"{name} was not found within {FOUND_WITHIN:g} s")


def _unasked(root: Path, running: Daemon, number: int) -> float:
    """Seconds from the close of a new file to the moment at which the daemon reports that it is indexed."""
    name = f"drop-{number}.jpg"
    content = pictures.another(number)
    with (root / name).open("wb") as file:
        file.write(content)
    began = time.time()
    event = running.wait_until(
        lambda seen: next((each for each in seen if each["event"] == "indexed" and each["path"] == name), None),
        FOUND_WITHIN,
    )
    return datetime.fromisoformat(event["timestamp"]).timestamp() - began


def _finds(catalog: Catalog, name: str) -> bool:
    return catalog.items.count([f"file.path={name}"]) == 1


@contextmanager
def _catalog(data: Path) -> Iterator[Catalog]:
    """The catalog of a running daemon."""
    with connect(Settings(data_dir=data)) as client:
        yield Catalog.open(client, "images")


# ---- the parts -------------------------------------------------------------------------------------------------------


@contextmanager
def _parts(where: Path, catalog: Catalog) -> Iterator[dict[str, Callable[[], float]]]:
    """Each part by its name: one call takes one picture that way, and gives the seconds."""
    space, settings = catalog.space, Settings.load()
    with ExitStack() as stack:
        noticing = stack.enter_context(_noticing(where / "watched"))
        pool = stack.enter_context(
            DecodePool(
                workers=settings.worker_count,
                timeout=settings.decode_timeout,
                memory=settings.decode_memory,
                limits=Limits.from_settings(settings),
            )
        )
        embedder = stack.enter_context(open_embedder(space, settings))
        owned = stack.enter_context(own_folder(Settings(data_dir=_made(where / "data"))))
        written = Catalog.create(owned.client, "images", space)
        numbers = iter(range(1_000_000))
        state = _State(where, pool, embedder, written, space)
        yield {
            "noticing": noticing,
            "reading, hash, decoding": lambda: state.decode(next(numbers)),
            "inference": state.infer,
            "waited upsert": lambda: state.upsert(next(numbers)),
        }


@dataclass
class _State:
    where: Path
    pool: DecodePool
    embedder: Embedder
    catalog: Catalog
    space: EmbeddingSpace
    pixels: np.ndarray | None = None
    vector: np.ndarray | None = None

    def decode(self, number: int) -> float:
        path = self.where / "decoded.jpg"
        path.write_bytes(pictures.another(number))
        began = time.perf_counter()
        read = self.pool.submit_unknown(str(path), self.space.input, lambda _: False).result()
        took = time.perf_counter() - began
        assert isinstance(read, Decoded)
        self.pixels = np.array(read.pixels)
        return took

    def infer(self) -> float:
        assert self.pixels is not None
        began = time.perf_counter()
        self.vector = self.embedder.submit(self.pixels).result()
        return time.perf_counter() - began

    def upsert(self, number: int) -> float:
        facts = replace(generated.item(number).file, path=f"drop-{number}.jpg", source="parts")
        entry = ItemVector(Item(FileFacts(**vars(facts))), self.vector)
        return _timed(lambda: self.catalog.writes.upsert([entry]))


@contextmanager
def _noticing(root: Path) -> Iterator[Callable[[], float]]:
    """Seconds from the close of a file to the hint that the watch gives of it."""
    root.mkdir(parents=True)
    noticed = threading.Event()
    hints = Hints(noticed.set)
    watched = WatchedSource("parts", root, table_path=None, types=dict, say=lambda *_: None)
    watch = Watch(watched, hints, mode="native", poll_interval=1.0, say=lambda *_: None)
    watch.start()
    numbers = iter(range(1_000_000))

    def once() -> float:
        name = f"{next(numbers)}.jpg"
        with (root / name).open("wb") as file:
            file.write(b"\xff\xd8")
        began = time.perf_counter()
        while not any(key.path == name and mark is Mark.CLOSED for key, mark in hints.drain().marks.items()):
            noticed.wait(5)
            noticed.clear()
        return time.perf_counter() - began

    try:
        yield once
    finally:
        watch.stop()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

"""The table of docs/quality.md: how well each embedding ranks the packs, through the daemon and `recq evaluate`.

    python benchmarks/quality.py [--data FOLDER] [--pack NAME]... [--only NAME]... [--index FOLDER]

Every embedding is made by `recq-ingest run --once`, as a user would, in a catalog of its own for each pack; with
--index they stay, and only what is missing is made. Speed is images by processor second of inference alone, in those of
the default model; wall time would tell more of what else the machine does. Bold: no other is at least as good in mean
mAP, speed and bytes, and better in one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recq.errors import TargetNotFound
from recq.images import Limits, open_picture, to_input
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.models import ModelOptions, describe_space, open_embedder
from recq.settings import Settings
from recq.space import EmbeddingSpace

BAR = 70.0
"""P@5 in per cent that the default model has to reach on the clothing photographs."""


@dataclass(frozen=True)
class Embedding:
    """A row: the options of `recq-ingest run` that make it."""

    name: str
    options: tuple[str, ...]

    def catalog(self, pack: str) -> str:
        """Its catalog of a pack."""
        return f"{pack}.{self.name.replace(' ', '-')}"

    def settings(self) -> Settings:
        """What the options say."""
        said = zip(self.options[::2], self.options[1::2], strict=True)
        return Settings.load(**{key[2:]: value for key, value in said})


PIXELS = Embedding("pixels", ("--model", "pixels:32"))
REFERENCE = Embedding("fine", ())
FLOATS = ("--precision", "f32")
BEFORE = (*FLOATS, "--pooling", "gem")
EMBEDDINGS = (
    PIXELS,
    Embedding("mobilenet as taught", ("--model", "mobilenet_v2", *FLOATS, "--resize", "stretch", "--pooling", "mean")),
    Embedding("mobilenet", ("--model", "mobilenet_v2", *BEFORE)),
    Embedding("lite2 260", ("--size", "260", *BEFORE)),  # the default before int8
    Embedding("lite2 260 centre", ("--size", "260", *FLOATS)),
    Embedding("lite2 320", BEFORE),
    Embedding("lite2 320 centre", FLOATS),
    Embedding("fast", ("--preset", "fast")),
    REFERENCE,
    Embedding("finest", ("--preset", "finest")),
)
COLUMNS = (
    ("clothing", "category"),
    ("furniture", "category"),
    ("luma_products", "category"),
    ("luma_products", "sku"),
    ("movie_posters", "genres"),
)


@dataclass(frozen=True)
class Row:
    """What was measured of an embedding: `scores` are the answers of `recq evaluate` in the order of the columns.

    `time` is in times of the reference's.
    """

    embedding: Embedding
    time: float
    bytes: int
    scores: tuple[dict[str, Any], ...]

    @property
    def mean(self) -> float:
        """mAP over all columns."""
        return statistics.fmean(score["map"] for score in self.scores)

    def beats(self, other: Row) -> bool:
        """At least as good in every respect, and better in one; a tenth of the reference's time more is as fast."""
        own, its = ((-row.mean, round(row.time, 1), row.bytes) for row in (self, other))
        return own != its and all(a <= b for a, b in zip(own, its, strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--pack", action="append", help="default: all")
    parser.add_argument("--index", type=Path, help="keep the catalogs here")
    parser.add_argument("--only", action="append", help="embeddings by name; default: all")
    arguments = parser.parse_args()
    embeddings = [each for each in EMBEDDINGS if not arguments.only or each.name in {REFERENCE.name, *arguments.only}]
    columns = [column for column in COLUMNS if not arguments.pack or column[0] in arguments.pack]
    with ExitStack() as stack:
        index = arguments.index or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recq-quality-")))
        for pack in dict.fromkeys(pack for pack, _ in columns):
            for embedding in embeddings:
                fill(embedding, pack, arguments.data, index)
        seconds = speeds(arguments.data / columns[0][0])
        rows = [
            Row(
                embedding,
                seconds[embedding] / seconds[REFERENCE],
                4 * space_of(embedding).dim,
                tuple(evaluate(embedding.catalog(pack), label, index) for pack, label in columns),
            )
            for embedding in embeddings
        ]
    print(table(rows, columns))
    (reference,) = [row for row in rows if row.embedding == REFERENCE]
    if columns[0] == COLUMNS[0] and 100 * reference.scores[0]["precision"]["5"] < BAR:
        raise SystemExit(f"the default model's P@5 is below {BAR:.0f} %")


def table(rows: Sequence[Row], columns: Sequence[tuple[str, str]]) -> str:
    """As docs/quality.md has it: mAP with its interval's half width, P@5, in per cent."""
    heads = " | ".join(f"{pack} by {label}" for pack, label in columns)
    lines = [f"| embedding | options | {heads} | speed | bytes |", f"|---|---|{'---|' * len(columns)}---|---|"]
    for row in rows:
        best = not any(other.beats(row) for other in rows)
        options = f"`{' '.join(row.embedding.options)}`"
        cells = []
        for score in row.scores:
            low, high = score["interval"]["map"]
            cells.append(f"{100 * score['map']:.1f} ± {50 * (high - low):.1f}, {100 * score['precision']['5']:.1f}")
        speed = f"{1 / row.time:.2f}" if row.time else ""
        name = f"**{row.embedding.name}**" if best else row.embedding.name
        lines.append(f"| {name} | {options} | {' | '.join(cells)} | {speed} | {row.bytes:,} |")
    return "\n".join(lines)


def space_of(embedding: Embedding) -> EmbeddingSpace:
    """The space of its vectors."""
    settings = embedding.settings()
    return describe_space(ModelOptions.from_settings(settings), settings)


def fill(embedding: Embedding, pack: str, data: Path, index: Path) -> None:
    """The catalog of a pack, with the metadata of its labels.csv, unless it is there."""
    catalog, folder = embedding.catalog(pack), data / pack
    with own_folder(Settings.load(data_dir=index)) as owned:
        try:
            Catalog.open(owned.client, catalog)
        except TargetNotFound:
            pass
        else:
            return
    command = ["-m", "ingest.cli", "run", str(folder), "--once", "--metadata", str(folder / "labels.csv")]
    command += ["--data-dir", str(index), "--catalog", catalog, *embedding.options]
    print(" ".join(command), file=sys.stderr, flush=True)
    subprocess.run([sys.executable, *command], check=True, stderr=subprocess.DEVNULL)


def evaluate(catalog: str, label: str, index: Path) -> dict[str, Any]:
    """What `recq evaluate` answers."""
    command = ["-m", "query.cli", "evaluate", "--label", label, "-k", "5", "--format", "json"]
    command += ["--data-dir", str(index), "--catalog", catalog]
    done = subprocess.run([sys.executable, *command], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def speeds(pack: Path, pictures: int = 24, rounds: int = 5) -> dict[Embedding, float]:
    """Processor seconds a picture, the median; 0 for raw pixels. All embeddings take turns at every picture."""
    limits = Limits.from_settings(Settings.load())
    rgb = [open_picture(path, limits).rgb for path in sorted(pack.rglob("*.jpg"))[:pictures]]
    with ExitStack() as stack:
        made = {}
        for embedding in EMBEDDINGS:
            if embedding != PIXELS:
                space = space_of(embedding)
                inputs = np.stack([to_input(each, space.input) for each in rgb])
                made[embedding] = stack.enter_context(open_embedder(space, embedding.settings())), inputs
        seconds: dict[Embedding, list[float]] = {embedding: [] for embedding in made}
        for lap in range((rounds + 1) * pictures):
            for embedding, (embedder, inputs) in made.items():
                place = lap % pictures
                started = time.process_time()
                embedder.submit(inputs[place]).result()
                if lap >= pictures:
                    seconds[embedding].append(time.process_time() - started)
    return {PIXELS: 0.0} | {embedding: statistics.median(laps) for embedding, laps in seconds.items()}


if __name__ == "__main__":
    main()

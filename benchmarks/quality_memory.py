"""Peak memory and time of `recq evaluate` over many items: random vectors around 1,000 centres, which are the labels.

    python benchmarks/quality_memory.py [--smoke | --short | --full] [--sizes N ...] [--dim 1280] [--sample 500]

This process holds the index and serves it on loopback, as a daemon does; what is measured is the process that asks.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.measure import Report, Section, parser_of
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.edge import LoopbackServer
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.settings import Settings
from recq.space import EmbeddingSpace

SIZES = {"smoke": (1_000,), "short": (10_000,), "full": (100_000,)}
CENTRES = 1_000
PAGE = 500

ASKING = """
import sys
from query.cli.main import PROG, app
from recq.cli_errors import run
code = run(app, PROG, sys.argv[1:])
status = open("/proc/self/status").read().split()
print(status[status.index("VmHWM:") + 1], file=sys.stderr)
sys.exit(code)
"""
"""`recq`, which says its own peak at the end: `getrusage` of a child counts the parent that it was forked from."""


def main() -> None:
    """Measure and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", help="other numbers of items")
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--sample", type=int, default=500)
    asked = parser.parse_args()
    report = Report(asked)
    for items in asked.sizes or SIZES[asked.size]:
        report.section(f"{items:,}", partial(measure, items, asked.dim, asked.sample))


def measure(items: int, dim: int, sample: int) -> Section:
    """Fill and ask."""
    with tempfile.TemporaryDirectory(prefix="recq-quality-memory-") as folder:
        settings = Settings.load(data_dir=folder)
        with own_folder(settings) as owned, LoopbackServer(Path(folder), owned.engine):
            space = EmbeddingSpace(
                model="random", weights="", layer="", pooling="mean", size=1, resize="pad",
                preprocessing="", precision="f32", dim=dim,
            )  # fmt: skip
            fill(Catalog.create(owned.client, "images", space), items)
            command = [sys.executable, "-c", ASKING, "evaluate", "--label", "group", "--format", "json"]
            command += ["--sample", str(sample), "--data-dir", folder]
            started = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True)
            seconds = time.perf_counter() - started
    peak = int(done.stderr.split()[-1]) / 1024
    found = json.loads(done.stdout)
    figures = {
        "recq evaluate, s": seconds,
        "peak, MB": peak * 2**20 / 1e6,
        "the vectors alone, MB": items * dim * 4 / 1e6,
        "mAP, %": 100 * found["map"],
    }
    title = f"recq evaluate over {found['items']:,} items of {dim} numbers"
    return Section(title, "s", figures=figures, notes=[f"{found['queries']:,} queries"], items=items)


def fill(catalog: Catalog, count: int) -> None:
    """`count` items."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(CENTRES, catalog.space.dim)).astype(np.float32)
    for start in range(0, count, PAGE):
        groups = random.integers(0, CENTRES, min(PAGE, count - start))
        vectors = centres[groups] + 6 * random.normal(size=(len(groups), catalog.space.dim)).astype(np.float32)
        catalog.writes.upsert(
            [
                ItemVector(Item(FileFacts("random", f"{start + n:07d}.jpg", 1, 1), {"group": f"g{group}"}), vector)
                for n, (group, vector) in enumerate(zip(groups.tolist(), vectors, strict=True))
            ]
        )
        print(f"\r{start + len(groups):,}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


if __name__ == "__main__":
    main()

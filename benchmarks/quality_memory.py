"""Peak memory and time of `recq evaluate` over many items: random vectors around 1,000 centres, which are the labels.

    python benchmarks/quality_memory.py [--items 100000] [--dim 1280] [--sample 500]

This process holds the index and serves it on loopback, as a daemon does; what is measured is the process that asks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.edge import LoopbackServer
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.settings import Settings
from recq.space import EmbeddingSpace

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
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--sample", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recq-quality-memory-") as folder:
        settings = Settings.load(data_dir=folder)
        with own_folder(settings) as owned, LoopbackServer(Path(folder), owned.engine):
            space = EmbeddingSpace(
                model="random", weights="", layer="", pooling="mean", size=1, resize="pad",
                preprocessing="", precision="f32", dim=arguments.dim,
            )  # fmt: skip
            fill(Catalog.create(owned.client, "images", space), arguments.items)
            command = [sys.executable, "-c", ASKING, "evaluate", "--label", "group", "--format", "json"]
            command += ["--sample", str(arguments.sample), "--data-dir", folder]
            started = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True)
            seconds = time.perf_counter() - started
    peak = int(done.stderr.split()[-1]) / 1024
    found = json.loads(done.stdout)
    vectors = arguments.items * arguments.dim * 4 / 2**20
    print(
        f"{found['items']:,} items x {arguments.dim}, {found['queries']:,} queries: mAP {100 * found['map']:.1f} %, "
        f"{seconds:.0f} s, peak {peak:.0f} MiB (the vectors alone: {vectors:.0f} MiB)"
    )


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

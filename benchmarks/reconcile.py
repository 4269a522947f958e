"""The comparison of a large folder with the index: seconds and peak memory, by the number of files.

Empty picture files and an index that knows them all, on a real server so that the process measured is the comparison's
alone. Nothing differs, so no byte is read; then a hundred files are changed, added and removed.

    python benchmarks/reconcile.py [--smoke | --short | --full] [--sizes N ...]
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from qdrant_client import QdrantClient

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import Report, Section, parser_of
from ingest.source.watched_source import WatchedSource
from recq.index.catalog import Catalog
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.space import EmbeddingSpace
from tests.ingest.running import environment
from tests.qdrant_server import QdrantServer

SPACE = EmbeddingSpace(
    model="mobilenet_v2", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=4,
)  # fmt: skip
SIZES = {"smoke": (300,), "short": (10_000,), "full": (10_000, 100_000, 1_000_000)}
CHANGED = 100
IN_FOLDER = 1000
BATCH = 1000


def fill(root: Path, catalog: Catalog, files: int) -> None:
    """So many empty picture files in folders of a thousand, and their items in the index."""
    name = catalog.sources.register(root)
    watched = WatchedSource(name, root, table_path=None, types=catalog.fields.types, say=lambda *_: None)
    vector = np.ones(4, np.float32)
    batch: list[ItemVector] = []
    for number in range(files):
        path = f"f{number // IN_FOLDER}/{number}.jpg"
        if number % IN_FOLDER == 0:
            (root / path).parent.mkdir()
        (root / path).touch()
        status = (root / path).stat()
        described = watched.describe(path)
        facts = FileFacts(
            name, path, status.st_size, status.st_mtime_ns, sha256=f"{number:064x}", metadata_digest=described.digest
        )
        batch.append(ItemVector(Item(facts, described.metadata), vector))
        if len(batch) == BATCH:
            catalog.writes.upsert(batch)
            batch.clear()
    catalog.writes.upsert(batch)


def dry_run(root: Path, url: str) -> tuple[float, int, str]:
    """Seconds, peak resident bytes and the last line of a comparison in a process of its own."""
    script = (
        "import resource, sys; from ingest.cli.main import app\n"
        "try: app(sys.argv[1:], standalone_mode=False)\n"
        "finally: print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script, "reconcile", "--dry-run", "--url", url, "--data-dir", str(root.parent / "data")],
        env=environment(), capture_output=True, text=True, check=False, cwd=root.parent,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    peak = re.search(r"^peak (\d+)$", done.stderr, re.MULTILINE)
    if done.returncode or peak is None:
        sys.exit(done.stderr)
    told = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("peak")]
    return seconds, int(peak[1]) * 1024, told[-1]


def measure(files: int) -> Section:
    """The comparison of equal folder and index, and of those that differ in 300 files."""
    figures: dict[str, float] = {}
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "shop"
        root.mkdir()
        with QdrantServer(Path(folder) / "server") as server:
            client = QdrantClient(url=server.url, check_compatibility=False, timeout=120)
            fill(root, Catalog.create(client, "images", SPACE), files)
            for label in ("equal", "changed"):
                if label == "changed":
                    for number in range(CHANGED):
                        os.utime(root / f"f0/{number}.jpg", ns=(1, 1))
                        (root / f"f0/{number + CHANGED}.jpg").unlink()
                        (root / f"f0/new{number}.jpg").write_bytes(b"x")
                seconds, peak, told = dry_run(root, server.url)
                figures |= {f"{label}, s": seconds, f"{label}, peak, MB": peak / 1e6}
                notes.append(f"{label}: {told}")
    return Section(f"{files:,} files compared", "s", figures=figures, notes=notes, items=files)


def main() -> None:
    """Measure and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", help="other numbers of files")
    asked = parser.parse_args()
    report = Report(asked)
    for files in asked.sizes or SIZES[asked.size]:
        report.section(f"{files:,}", partial(measure, files))


if __name__ == "__main__":
    main()

"""The daemon's start: from exec to watching, and what unchanged files cost it.

    python benchmarks/daemon_start.py [--smoke | --short | --full] [--sizes N ...]

watching   from exec to the event `watching`, of a catalog that exists; beside it the sum of the bare imports (the
           libraries that the daemon needs, in a process of their own) and the bare compilation of its network
unchanged  folders of small pictures that are indexed already (with raw pixels for a network: the comparison asks none):
           the time of the comparison of folder and index (event `reconciled`), beside a bare walk by `os.scandir` with
           a `stat` of each file and a bare scroll of the index by the client, each the least that a comparison needs.
           How many files are opened meanwhile is counted by inotify; a file that nobody opened was not read.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from watchdog.events import FileOpenedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from benchmarks import pictures
from benchmarks.engines import daemon
from benchmarks.measure import PROGRAMS, Ratio, Report, Section, in_turns, parser_of, progress, ran, ratio
from recq.index.connect import own_folder
from recq.settings import Settings

IMPORTS = (
    "qdrant_client", "qdrant_edge", "openvino", "numpy", "httpx", "pydantic_settings", "typer", "structlog", "rich",
    "watchdog.observers", "uvicorn", "starlette.applications", "psutil", "filelock", "tenacity", "pathspec",
)  # fmt: skip
"""What the daemon imports of others: its own modules are its own cost."""

COMPILE = """
import json, sys, time
import openvino
began = time.perf_counter()
core = openvino.Core()
core.compile_model(core.read_model(sys.argv[1]), "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"})
print(time.perf_counter() - began)
"""

RAW = "--model pixels:8"
WATCHING_BAR, UNCHANGED_BAR = 1.3, 2.0
PAGE = 1000


@dataclass(frozen=True)
class Amount:
    """Numbers of unchanged files, and rounds."""

    files: tuple[int, ...]
    rounds: int


AMOUNTS = {"smoke": Amount((200,), 1), "short": Amount((1_000, 5_000), 5), "full": Amount((1_000, 10_000, 100_000), 5)}


def main() -> None:
    """Measure and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", help="other numbers of unchanged files")
    asked = parser.parse_args()
    report, amount = Report(asked), AMOUNTS[asked.size]
    report.section("watching", partial(watching, amount.rounds))
    for files in asked.sizes or amount.files:
        report.section(f"unchanged, {files:,}", partial(unchanged, files, amount.rounds))


# ---- exec to watching ------------------------------------------------------------------------------------------------


def watching(rounds: int) -> Section:
    """Both sides in turns."""
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder:
        root, data = Path(folder) / "root", Path(folder) / "data"
        root.mkdir()
        for path in pictures.pack("clothing")[:8]:
            shutil.copy(path, root)
        ran([str(PROGRAMS / "recq-ingest"), "run", str(root), "--once", "--data-dir", str(data)])
        sides: dict[str, Callable[[], float]] = {
            "daemon, exec to watching": partial(_watches, root, data),
            "bare imports": lambda: ran([sys.executable, "-c", "import " + ", ".join(IMPORTS)]).seconds,
            "bare compilation": partial(_compiles, _network(data)),
        }
        took = in_turns(sides, rounds)
    both = [sum(each) for each in zip(took["bare imports"], took["bare compilation"], strict=True)]
    took["imports and compilation together"] = both
    ratios = [ratio("daemon / imports and compilation", took["daemon, exec to watching"], both, at_most=WATCHING_BAR)]
    return Section("From exec to watching", "s", took, ratios, notes=[f"{rounds} rounds, 8 pictures, all indexed"])


def _watches(root: Path, data: Path) -> float:
    with daemon([str(root)], data) as running:
        moment = running.wait_for("watching")["timestamp"]
    from datetime import datetime

    return datetime.fromisoformat(moment).timestamp() - running.started


def _compiles(network: Path) -> float:
    return float(ran([sys.executable, "-c", COMPILE, str(network)]).output)


def _network(data: Path) -> Path:
    """The file of the catalog's network."""
    import recq
    from recq.models.zoo import network_of

    with recq.open("images", data_dir=data) as catalog:
        ir = network_of(catalog.space, Settings(data_dir=data)).ir
    assert ir is not None
    return ir


# ---- unchanged files -------------------------------------------------------------------------------------------------


def unchanged(files: int, rounds: int) -> Section:
    """The comparison and the least that it needs, in turns."""
    root = pictures.small(files)
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder:
        data = Path(folder) / "data"
        progress(f"    indexing {files:,} files")
        command = [str(PROGRAMS / "recq-ingest"), "run", str(root), "--once", "--data-dir", str(data)]
        ran([*command, *RAW.split(), "--log-format", "json"])
        opened = _Opened()
        sides = {
            "comparison": partial(_compared, root, data, opened, files),
            "bare walk": partial(_walked, root, files),
            "bare scroll": partial(_scrolled, data, files),
        }
        took = in_turns(sides, rounds)
    least = [sum(each) for each in zip(took["bare walk"], took["bare scroll"], strict=True)]
    took["walk and scroll together"] = least
    ratios = [
        ratio("comparison / (walk + scroll)", took["comparison"], least, at_most=UNCHANGED_BAR),
        Ratio("files opened by the comparisons", opened.files, opened.files, opened.files, at_most=0),
    ]
    notes = [f"{rounds} rounds; each comparison by a daemon of its own, started on an index that knows all files"]
    return Section(f"{files:,} unchanged files", "s", took, ratios, notes=notes, items=files)


def _compared(root: Path, data: Path, opened: _Opened, files: int) -> float:
    with opened.counted(root), daemon([str(root)], data) as running:
        event = running.wait_for("reconciled")
    if event["items"] != files or event["changes"]:
        raise SystemExit(f"{files} unchanged files were expected, the daemon found {event}")
    return float(event["seconds"])


@dataclass(eq=False)
class _Opened(FileSystemEventHandler):
    """Counts the files that anybody opens below a folder."""

    files: int = 0

    def on_opened(self, event: FileSystemEvent) -> None:
        """One of them."""
        if not event.is_directory:
            self.files += 1

    @contextmanager
    def counted(self, root: Path) -> Iterator[None]:
        observer = Observer()
        observer.schedule(self, str(root), recursive=True, event_filter=[FileOpenedEvent])
        observer.start()
        try:
            yield
        finally:
            observer.stop()
            observer.join()


def _walked(root: Path, files: int) -> float:
    """Seconds of the barest walk that knows size and times of every file."""
    began = time.perf_counter()
    found, folders = 0, [str(root)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)
                    found += 1
    took = time.perf_counter() - began
    assert found == files, f"{found} of {files}"
    return took


def _scrolled(data: Path, files: int) -> float:
    """Seconds of the barest scroll through every point with what is known of its file."""
    with own_folder(Settings(data_dir=data, lock_wait=30)) as owned:
        collection = owned.client.get_aliases().aliases[0].collection_name
        began, found, offset = time.perf_counter(), 0, None
        while True:
            points, offset = owned.client.scroll(collection, limit=PAGE, offset=offset, with_payload=["file"])
            found += len(points)
            if offset is None:
                break
        took = time.perf_counter() - began
    assert found == files, f"{found} of {files}"
    return took


if __name__ == "__main__":
    main()

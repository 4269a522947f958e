"""Memory, disk and open files of the daemon by the number of images.

    python benchmarks/footprint.py [--smoke | --short | --full] [--sizes N ...] [--model OPTIONS]

One folder of small pictures (64 pixels, a file and bytes of its own each, with a table: title, price, category) grows
to each size, and the daemon with the default network, its vectors and its payload indexes takes what is new. So the
index is that of real photographs; only decoding is cheaper than theirs. Measured of the daemon's own process, when
everything is indexed and after a restart (the comparison done): anonymous memory (RssAnon, also the most that it had at
any time, which the bar is for), mapped files (RssFile)
apart, since the system takes those back whenever it likes, shared memory, open descriptors; its decoding processes
apart; the bytes of the data folder; and the seconds that the new pictures took.
"""

from __future__ import annotations

import csv
import os
import shlex
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil

from benchmarks import pictures
from benchmarks.engines import Daemon, daemon
from benchmarks.measure import Ratio, Report, Section, parser_of, progress

SIZES = {"smoke": (40,), "short": (2_000, 10_000), "full": (10_000, 100_000, 300_000)}
MOST_MB = 450.0
AT_MOST_AT = 100_000
"""The bar holds up to so many images."""

LONGEST = 6 * 3600.0
"""Seconds for the pictures of one size, and for the comparison before them, which ends when the last of them begin."""

EVERY = 0.2  # seconds between two looks at the memory
EACH = "new pictures, ms each"
TABLE = ("file", "title", "price", "category")


def main() -> None:
    """Measure and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", help="other numbers of images, in ascending order")
    parser.add_argument("--model", default="", metavar="OPTIONS", help="options of `recq-ingest run` that choose one")
    asked = parser.parse_args()
    sizes = sorted(asked.sizes or SIZES[asked.size])
    report = Report(asked)
    if all(f"{size:,}" in {each["name"] for each in report.sections()} for size in sizes):
        progress("  measured already (--again measures anew)")
        return
    everything = pictures.small(sizes[-1])
    with tempfile.TemporaryDirectory(prefix="recq-bench-", dir=pictures.DATA) as folder:
        root, data = Path(folder) / "root", Path(folder) / "data"
        root.mkdir()
        before = 0
        for size in sizes:
            _grow(root, everything, before, size)
            if not report.section(f"{size:,}", partial(measure, root, data, before, size, asked.model)):
                raise SystemExit("--only leaves out a size that the next ones need")
            before = size


def measure(root: Path, data: Path, before: int, size: int, model: str) -> Section:
    """The daemon takes what is new since `before`; then it is started again."""
    arguments = [str(root), *(shlex.split(model) if not before else [])]
    began = time.perf_counter()
    with daemon(arguments, data, within=LONGEST) as running, _most(running) as most:
        running.wait_until(partial(_all_done, size - before), within=LONGEST)
        seconds = time.perf_counter() - began
        _rest(running)
        if problems := [each for each in running.events() if each["event"] == "problem"]:
            raise SystemExit(f"the table of the pictures is not read as it should be: {problems[0]['detail']}")
        figures = {f"{name}, everything indexed": value for name, value in _memory(running).items()}
    with daemon([str(root)], data) as running, _most(running, most):
        _rest(running)
        figures |= {f"{name}, restarted": value for name, value in _memory(running).items()}
    disk = sum(path.stat().st_blocks * 512 for path in data.rglob("*") if path.is_file())
    figures |= {"index on disk, MB": disk / 1e6, "index on disk, KB an image": disk / 1e3 / size}
    figures[EACH] = 1000 * seconds / (size - before)
    figures[f"RssAnon at its most (looked at every {EVERY:g} s), MB"] = worst = most[0]
    bar = MOST_MB if size <= AT_MOST_AT else None
    ratios = [Ratio("RssAnon of the daemon at its most, MB", worst, worst, worst, at_most=bar)]
    title = f"The daemon and its index at {size:,} images"
    return Section(title, "MB", {}, ratios, figures, [f"{size - before:,} new pictures"], items=size)


def _grow(root: Path, everything: Path, before: int, size: int) -> None:
    """The first `size` pictures, by hard links, and the table of all of them."""
    progress(f"    growing the folder to {size:,} pictures")
    for number in range(before, size):
        path = Path(f"f{number // 1000:03d}") / f"{number:06d}.jpg"
        (root / path.parent).mkdir(exist_ok=True)
        try:
            os.link(everything / path, root / path)
        except OSError:
            shutil.copy(everything / path, root / path)
    with (root / "metadata.new").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(TABLE)
        for number in range(size):
            name = f"f{number // 1000:03d}/{number:06d}.jpg"
            rows.writerow([name, f"a thing of kind {number % 10}, number {number % 5000}", number % 997, number % 25])
    (root / "metadata.new").replace(root / "metadata.csv")


def _all_done(new: int, seen: list[dict[str, object]]) -> bool:
    return sum(each["event"] in ("indexed", "reused", "failed") for each in seen) >= new


def _rest(running: Daemon) -> None:
    """Until the daemon uses no processor any more: indexes made, space compacted, journals flushed."""
    process = psutil.Process(running.process.pid)
    quiet = 0
    for _ in range(600):
        if (quiet := quiet + 1 if process.cpu_percent(0.5) < 3 else 0) >= 4:
            return


@contextmanager
def _most(running: Daemon, most: list[float] | None = None) -> Iterator[list[float]]:
    """The most anonymous memory that a daemon had until now, in MB, in a list of one that goes on with it."""
    most = [0.0] if most is None else most
    over = threading.Event()

    def look() -> None:
        while not over.wait(EVERY):
            with suppress(OSError, KeyError):  # it has ended
                most[0] = max(most[0], _status(running.process.pid)["RssAnon"])

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def _memory(running: Daemon) -> dict[str, float]:
    process = psutil.Process(running.process.pid)
    children = process.children(recursive=True)
    own = _status(process.pid)
    return {
        "RssAnon, MB": own["RssAnon"],
        "mapped files (RssFile), MB": own["RssFile"],
        "shared memory, MB": own["RssShmem"],
        "RssAnon of its other processes, MB": sum(_status(child.pid)["RssAnon"] for child in children),
        "open descriptors": process.num_fds(),
    }


def _status(pid: int) -> dict[str, float]:
    """The kinds of resident memory of a process, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines()
    return {
        name: int(value.split()[0]) * 1024 / 1e6
        for name, _, value in (line.partition(":") for line in lines)
        if name.startswith("Rss")
    }


if __name__ == "__main__":
    main()

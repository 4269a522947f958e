"""How long an answer takes while a daemon runs, and how soon a dropped photo is found.

    python benchmarks/latency.py [--url http://127.0.0.1:6333] [--rounds 7]

Answer: the whole process `recq similar` of an indexed target, in turns with `python -c "import qdrant_client"`, which
is the floor that any client of the index stands on; benchmarks/start.py has it without a daemon. Drop: the daemon
idle, one photo copied in, and this process polling the index until the photo is there; the clock starts when the copy
has ended.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from recq.errors import RecqError
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.settings import Settings

PROGRAMS = Path(sys.executable).parent
SAMPLES = Path(__file__).parents[1] / "samples"
TARGET = "running-shoe_runx.jpg"
LATE = "tent.jpg"
"""Dropped last, again and again under new names."""

CATALOG = f"recq-latency-{os.getpid()}"
IMPORT = [sys.executable, "-c", "import qdrant_client"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="measure on this server (RECQ_API_KEY is used) instead of the embedded engine")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    engine = arguments.url or "embedded"
    with tempfile.TemporaryDirectory(prefix="recq-latency-") as folder:
        drop, data = Path(folder) / "drop", Path(folder) / "data"
        drop.mkdir()
        for photo in SAMPLES.glob("*.jpg"):
            shutil.copy(photo, drop)
        where = [
            "--data-dir",
            str(data),
            "--catalog",
            CATALOG,
            *(["--url", arguments.url] if arguments.url else []),
        ]
        similar = [str(PROGRAMS / "recq"), "similar", TARGET, *where]
        subprocess.run([str(PROGRAMS / "recq-ingest"), "run", str(drop), "--once", *where], check=True)
        print(f"engine: {engine}")
        with daemon([str(PROGRAMS / "recq-ingest"), "run", str(drop), *where], data):
            compare("recq similar, daemon running", similar, arguments.rounds)
            settings = Settings.load(data_dir=data, catalog=CATALOG, url=arguments.url)
            seconds = [drop_one(settings, drop, number) for number in range(arguments.rounds)]
        print(f"{'dropped photo searchable':30} median {statistics.median(seconds):.3f} s, worst {max(seconds):.3f} s")


def compare(name: str, command: list[str], rounds: int) -> None:
    """The two in turns; the ratio of the medians."""
    floor, answer = [], []
    for _ in range(rounds):
        floor.append(timed(lambda: subprocess.run(IMPORT, check=True)))
        answer.append(timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)))
    low, high = statistics.median(floor), statistics.median(answer)
    print(f"{name:30} median {high:.3f} s, import qdrant_client {low:.3f} s: {high / low:.2f} times")


def timed(action: Callable[[], object]) -> float:
    """Seconds that the action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


@contextmanager
def daemon(command: list[str], data: Path) -> Iterator[None]:
    """The daemon, from its readiness to its end."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while not (data / "serve.json").exists():
            if process.poll() is not None:
                raise SystemExit(f"the daemon ended with exit code {process.returncode}")
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def drop_one(settings: Settings, drop: Path, number: int) -> float:
    """Seconds from the end of the copy until a reader of the index finds the photo by its vector."""
    name = f"late-{os.getpid()}-{number}.jpg"
    with connect(settings) as client:
        catalog = Catalog.open(client, settings.catalog)
        content = (SAMPLES / LATE).read_bytes() + b"\0" * (number + 1)  # other bytes: no vector can be carried over
        (drop / name).write_bytes(content)
        start = time.perf_counter()
        while time.perf_counter() - start < 30:
            try:
                found = catalog.lookups.find_path(name)
                if found and catalog.items.vectors([found[0].id]):
                    return time.perf_counter() - start
            except RecqError as error:
                print(error, file=sys.stderr)
            time.sleep(0.01)
    raise SystemExit(f"{name} was not found within 30 s")


if __name__ == "__main__":
    main()

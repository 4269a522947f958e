"""The soak run: one daemon takes in tens of thousands of pictures, wave after wave, and must not grow.

    python -m tests.reliability.soak --images 50000          # `make soak`: the packs under new names and bytes
    python -m tests.reliability.soak --images 5000 --fast    # small pictures, the smaller network

After each wave the daemon settles, and is measured: anonymous memory (RssAnon), mapped files (RssFile) and shared
memory (RssShmem) of itself and of its decoding processes, file descriptors, threads, the size of the data folder. At
the end stands the slope of RssAnon over images (least squares, after a warm-up). Exit code 1: a bar is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest

from recq.operate.status import ask_daemon
from recq.settings import Settings
from tests.eventually import eventually
from tests.ingest.pictures import jpeg
from tests.ingest.running import NETWORK, Daemon, Place
from tests.packs import pack
from tests.qdrant_server import QdrantServer

BYTES_PER_IMAGE = 1024.0
"""The bar: anonymous memory that an image may leave behind in the daemon."""

WARM_UP = 5_000
"""Images after which memory has to be flat."""

_PACKS = ("clothing", "demo_catalog", "furniture", "luma_products", "movie_posters")
_SMALL = 200  # different small pictures
_STILL = 600.0  # seconds for a wave to be indexed: far more than any takes


@dataclass(frozen=True)
class Memory:
    """Of one process or several, in bytes."""

    anon: int
    file: int
    shmem: int


@dataclass(frozen=True)
class Sample:
    """The daemon at rest after so many images; `seconds` since the start, `folder` bytes of the data folder."""

    images: int
    seconds: float
    items: int
    daemon: Memory
    children: Memory
    fds: int
    threads: int
    processes: int
    folder: int


@dataclass(frozen=True)
class Soak:
    """What to do: `images` in waves of `wave`; older ones are removed, or replaced, so that `keep` stay (0: all)."""

    images: int
    wave: int
    keep: int = 0
    replace: bool = False
    fast: bool = True
    rescan: float = 30.0
    warm_up: int = WARM_UP


@dataclass
class Outcome:
    """The samples, and what they mean."""

    samples: list[Sample]
    warm_up: int
    missed: list[str] = field(default_factory=list)

    @property
    def steady(self) -> list[Sample]:
        """The samples after the warm-up."""
        return [sample for sample in self.samples if sample.images >= self.warm_up]

    @property
    def slope(self) -> float:
        """Bytes of the daemon's anonymous memory for each image."""
        steady = self.steady
        return float(np.polyfit([each.images for each in steady], [each.daemon.anon for each in steady], 1)[0])

    def judge(self) -> None:
        """Fill `missed`."""
        if len(self.steady) < 3:
            self.missed.append(f"fewer than 3 samples after the first {self.warm_up:,} images: nothing can be said")
            return
        if self.slope >= BYTES_PER_IMAGE:
            self.missed.append(f"anonymous memory grows by {self.slope:,.0f} bytes per image")
        for name in ("fds", "threads", "processes"):
            early, late = (_usual(getattr(each, name) for each in part) for part in _halves(self.steady))
            if late > early + _SLACK.get(name, 0):
                self.missed.append(f"{name} went from {early} to {late}")


_SLACK = {"threads": 2}
"""Workers whose thread begins with their first job, which may come late: of a flush, a measurement, a removal."""


def _halves(samples: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    middle = (len(samples) + 1) // 2
    return samples[:middle], samples[middle:]


def _usual(values: Iterable[int]) -> int:
    """The median: a connection or a replaced process may be open in the moment of a look."""
    return int(np.median(list(values)))


def soak(place: Place, plan: Soak) -> Iterator[Sample]:
    """Run a daemon through the plan; a sample after each wave. `place` is new."""
    place.settings["RECQ_RESCAN"] = str(plan.rescan)
    settings = Settings(data_dir=place.data, url=place.options[1] if place.options else None)
    arguments = [] if plan.fast else ["--model", "efficientnet_lite2"]
    images = _images(plan.fast)
    waves: list[list[Path]] = []
    done = 0
    began = time.monotonic()
    with place.daemon(*arguments) as daemon:
        daemon.ready()
        written = _Written(daemon)
        while done < plan.images:
            count = min(plan.wave, plan.images - done)
            over = bool(plan.keep) and sum(map(len, waves)) >= plan.keep
            oldest = waves.pop(0) if over else []
            reused = oldest if plan.replace else []
            for file in oldest[len(reused) :]:
                file.unlink()
            new = [place.root / f"{done // 1000:03}" / f"{done + number}.jpg" for number in range(count - len(reused))]
            files = [*reused, *new][:count]
            for number, (file, data) in enumerate(zip(files, images, strict=False)):
                file.parent.mkdir(exist_ok=True)
                # What follows a JPEG's end is no part of the picture, but of the bytes that are hashed.
                file.write_bytes(data + f"{done + number:016}".encode())
            waves.append(files)
            done += count
            held = sum(map(len, waves))
            _settled(settings, written, done, held)
            yield _sample(daemon, place, done, held, time.monotonic() - began)


class _Written:
    """How many images the daemon has said to have written, read from its growing log a piece at a time."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._count = 0

    def count(self) -> int:
        """All so far."""
        assert self._daemon.process.poll() is None, "the daemon has ended"
        with self._daemon.log.open("rb") as log:
            log.seek(self._daemon.offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._daemon.offset += len(line)
                event = json.loads(line)["event"] if line.startswith(b"{") else None
                assert event != "failed", line
                self._count += event in ("indexed", "reused")
        return self._count


def _settled(settings: Settings, written: _Written, done: int, held: int) -> None:
    """Wait until everything is written and the daemon is at rest."""
    eventually(lambda: written.count() == done, within=_STILL, every=0.25)

    def at_rest() -> bool:
        status = ask_daemon(settings)
        if status is None or status.state != "idle":
            return False
        (source,) = status.sources
        return (source.indexed, source.pending) == (held, 0)

    eventually(at_rest, within=_STILL, every=0.25)


def _images(fast: bool) -> Iterator[bytes]:
    """Pictures without end: the packs', or small ones."""
    if fast:
        return itertools.cycle([jpeg(seed) for seed in range(_SMALL)])
    files = [file for name in _PACKS for file in sorted(pack(name).rglob("*.jpg"))]
    return (file.read_bytes() for file in itertools.cycle(files))


def _sample(daemon: Daemon, place: Place, images: int, items: int, seconds: float) -> Sample:
    process = psutil.Process(daemon.process.pid)
    children = daemon.children()
    return Sample(
        images=images,
        seconds=round(seconds, 1),
        items=items,
        daemon=_memory([process.pid]),
        children=_memory(child.pid for child in children),
        fds=process.num_fds(),
        threads=process.num_threads(),
        processes=1 + len(children),
        folder=sum(file.stat().st_blocks * 512 for file in place.data.rglob("*") if file.is_file()),
    )


def _memory(pids: Iterable[int]) -> Memory:
    sums = {"RssAnon:": 0, "RssFile:": 0, "RssShmem:": 0}
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                name, _, value = line.partition("\t")
                if name in sums:
                    sums[name] += int(value.split()[0]) * 1024
    return Memory(*sums.values())


# -- the command -----------------------------------------------------------------------------------------------------

_HEAD = (
    f"{'images':>8}{'s':>8}{'/s':>6}{'anon':>8}{'file':>8}{'shmem':>7}{'children':>10}{'fds':>6}{'thr':>5}{'disk':>8}"
)


def _row(sample: Sample, before: Sample | None) -> str:
    images, seconds = (before.images, before.seconds) if before else (0, 0.0)
    rate = (sample.images - images) / max(sample.seconds - seconds, 0.1)
    mb = 2**20
    return (
        f"{sample.images:>8,}{sample.seconds:>8,.0f}{rate:>6.0f}{sample.daemon.anon / mb:>8.1f}"
        f"{sample.daemon.file / mb:>8.1f}{sample.daemon.shmem / mb:>7.1f}{sample.children.anon / mb:>10.1f}"
        f"{sample.fds:>6}{sample.threads:>5}{sample.folder / mb:>8.1f}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=50_000, metavar="N")
    parser.add_argument("--wave", type=int, default=500, metavar="N", help="pictures dropped at a time")
    parser.add_argument("--keep", type=int, default=0, metavar="N", help="remove the oldest above N (0: keep all)")
    parser.add_argument("--replace", action="store_true", help="with --keep: overwrite the oldest in place instead")
    parser.add_argument("--fast", action="store_true", help="small pictures and the smaller network")
    parser.add_argument("--server", action="store_true", help="with a Qdrant server: the daemon without the engine")
    parser.add_argument("--rescan", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--figures", type=Path, metavar="FILE", help="append the samples as JSON lines")
    chosen = parser.parse_args(arguments)
    warm_up = min(WARM_UP, chosen.images // 3)
    plan = Soak(
        chosen.images, chosen.wave, chosen.keep, chosen.replace, chosen.fast, rescan=chosen.rescan, warm_up=warm_up
    )
    outcome = Outcome([], warm_up)
    try:
        with tempfile.TemporaryDirectory(prefix="recq-soak-") as folder, ExitStack() as stack:
            place = Place(Path(folder) / "shop", Path(folder) / "data", from_nothing=True, model=NETWORK)
            if chosen.server:
                server = stack.enter_context(QdrantServer(Path(folder) / "server"))
                place.options = ("--url", server.url)
            print(_HEAD + "   (MB; children: RssAnon of the decoding processes)", flush=True)
            for sample in soak(place, plan):
                print(_row(sample, outcome.samples[-1] if outcome.samples else None), flush=True)
                outcome.samples.append(sample)
                _note(chosen.figures, {"name": "soak", **asdict(sample)})
    except pytest.skip.Exception as absent:
        print(f"soak: {absent}", file=sys.stderr)
        return 2
    outcome.judge()
    if len(outcome.steady) >= 3:
        print(
            f"RssAnon: {outcome.slope:,.0f} bytes per image after the first {warm_up:,} (bar: {BYTES_PER_IMAGE:,.0f})"
        )
        _note(chosen.figures, {"name": "soak slope", "bytes_per_image": round(outcome.slope, 1), "after": warm_up})
    for missed in outcome.missed:
        print(f"missed: {missed}")
    return int(bool(outcome.missed))


def _note(file: Path | None, figures: dict[str, object]) -> None:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    sys.exit(main())

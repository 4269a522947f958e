"""One side of `benchmarks/road.py`, in an interpreter of its own: a daemon, or the network alone.

    python _road_side.py daemon ARGUMENTS ...          recq-ingest as it is
    python _road_side.py paced RATE ARGUMENTS ...      the same with a network that takes its time and no processor
    python _road_side.py inference FILE ...            CPU milliseconds of the network for one of these pictures
    python _road_side.py stages FILE ...               CPU milliseconds of each stage of decoding one of them
    python _road_side.py ... --threads OUT             CPU seconds of each kind of thread, again and again, as JSON
    python _road_side.py ... --functions OUT           the same of each function: more than it takes without a profiler

It imports recq from wherever the interpreter has it, so that one copy of this file measures any checkout.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

_EVERY = 0.1  # seconds between two looks at the threads
_WARM_UP = 16  # pictures that are not counted
_FUNCTIONS = 600  # of a profile


class Paced:
    """A network that gives one of 256 vectors `rate` times a second: it waits as a real one does, and computes nothing.

    Four requests at a time, as the OpenVINO runtime has with two cores.
    """

    name, device = "paced", "CPU"
    batch, concurrency = 1, 4

    def __init__(self, dim: int, rate: float) -> None:
        self._rest = self.concurrency / rate
        rows = np.random.default_rng(0).random((256, 1, dim), np.float32)
        self._rows = cycle(rows)

    def infer(self, _: Any) -> Any:
        """float32 (1, dim)."""
        time.sleep(self._rest)
        return next(self._rows)

    def close(self) -> None:
        """There is nothing to give back."""


def daemon(arguments: Sequence[str]) -> None:
    """`recq-ingest ARGUMENTS`."""
    from ingest.cli.main import main

    sys.argv = ["recq-ingest", *arguments]
    main()


def pace(rate: float) -> None:
    """From here on the daemon's network only waits."""
    from ingest.service import running
    from recq.models.embedder import Embedder

    def opened(space: Any, _settings: Any, **_: Any) -> Embedder:
        return Embedder(space, Paced(space.dim, rate))

    assert "open_embedder" in vars(running), "else the real network would be measured"
    vars(running)["open_embedder"] = opened


def inference(files: Sequence[str]) -> float:
    """CPU milliseconds of the network for one picture, through recq's own Embedder; decoding is not counted."""
    from recq.images import Limits
    from recq.images.reading import open_picture
    from recq.images.resize import to_input
    from recq.models import ModelOptions, describe_space, open_embedder
    from recq.settings import Settings

    settings = Settings.load()
    limits = Limits.from_settings(settings)
    space = describe_space(ModelOptions.from_settings(settings), settings)
    pictures = [open_picture(Path(each), limits, reduce_to=space.size).rgb for each in files]
    inputs = [to_input(rgb, space.input) for rgb in pictures]
    with open_embedder(space, settings) as embedder:
        for future in [embedder.submit(pixels) for pixels in inputs[:_WARM_UP]]:
            future.result()
        before = time.process_time()
        for future in [embedder.submit(pixels) for pixels in inputs]:
            future.result()
        return 1000 * (time.process_time() - before) / len(inputs)


def stages(files: Sequence[str]) -> dict[str, float]:
    """CPU milliseconds of each stage that a decoding process has, for one picture, one stage after another."""
    from recq.images import Limits
    from recq.images.decode import decode
    from recq.images.exif import read_exif
    from recq.images.reading import read_content
    from recq.images.resize import to_input
    from recq.models import ModelOptions, describe_space
    from recq.settings import Settings

    settings = Settings.load()
    limits = Limits.from_settings(settings)
    spec = describe_space(ModelOptions.from_settings(settings), settings).input
    moments: dict[str, float] = defaultdict(float)
    for file in files:
        before = time.process_time()
        content = read_content(file, limits)
        moments["read"] += (read := time.process_time()) - before
        _ = content.sha256
        moments["hash"] += (hashed := time.process_time()) - read
        picture = decode(content.data, limits, reduce_to=spec.size)
        moments["decode"] += (decoded := time.process_time()) - hashed
        read_exif(content.data)
        moments["exif"] += (exif := time.process_time()) - decoded
        to_input(picture.rgb, spec)
        moments["resize"] += time.process_time() - exif
    return {name: 1000 * seconds / len(files) for name, seconds in moments.items()}


@contextmanager
def threads_noted(out: Path) -> Iterator[None]:
    """Write to `out` what each kind of thread has taken, looked at again and again: moments and CPU seconds."""
    seen: list[tuple[float, dict[str, float]]] = []

    def look() -> None:
        while True:
            seen.append((time.time(), _summed(_of_threads())))
            out.write_text(json.dumps(seen))
            time.sleep(_EVERY)

    threading.Thread(target=look, name="watcher", daemon=True).start()
    yield


@contextmanager
def functions_noted(out: Path) -> Iterator[None]:
    """Write to `out` the functions of each kind of thread that the most time is spent in meanwhile."""
    profiles: list[tuple[str, cProfile.Profile]] = []
    original = threading.Thread.run

    def run(self: threading.Thread) -> None:
        profile = cProfile.Profile(time.thread_time)
        profiles.append((_kind(self.name), profile))
        profile.runcall(original, self)

    threading.Thread.run = run  # type: ignore[method-assign]
    main = cProfile.Profile(time.thread_time)
    profiles.append(("MainThread", main))
    main.enable()
    try:
        yield
    finally:
        main.disable()
        kinds = dict.fromkeys(name for name, _ in profiles)
        found = {kind: _functions([each for name, each in profiles if name == kind]) for kind in kinds}
        out.write_text(json.dumps(found))


def _kind(name: str) -> str:
    """The job of a thread: its name without what tells it from others of the same job."""
    return name.split(" ")[0].rstrip("0123456789-_")


def _of_threads() -> dict[str, float]:
    """CPU seconds of each thread of this process."""
    named = {each.native_id: _kind(each.name) for each in threading.enumerate()}
    spent = {}
    for task in Path("/proc/self/task").iterdir():
        name = named.get(int(task.name), "native")
        spent[f"{task.name} {name}"] = _on_processor(task / "schedstat")
    return spent


def _on_processor(schedstat: Path) -> float:
    try:
        return int(schedstat.read_text().split()[0]) / 1e9
    except OSError:
        return 0.0


def _summed(threads: dict[str, float]) -> dict[str, float]:
    by_kind: dict[str, float] = defaultdict(float)
    for name, seconds in threads.items():
        by_kind[name.split(" ")[1]] += seconds
    return dict(by_kind)


def _functions(profiles: Sequence[cProfile.Profile]) -> list[dict[str, Any]]:
    """The functions of some threads that the most time was spent in, by themselves and with what they called."""
    found: dict[tuple[str, int, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for profile in profiles:
        profile.create_stats()
        if not getattr(profile, "stats", None):
            continue
        for where, (_, calls, own, total, _callers) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
            for place, value in enumerate((calls, own, total)):
                found[where][place] += value
    most = sorted(found.items(), key=lambda item: -item[1][2])[:_FUNCTIONS]
    return [
        {"function": f"{Path(file).name}:{line}({name})", "calls": calls, "own": own, "total": total}
        for (file, line, name), (calls, own, total) in most
    ]


def run(arguments: list[str]) -> None:
    """What the command line asks for."""
    kind, *rest = arguments
    if kind == "inference":
        print(inference(rest))
    elif kind == "stages":
        print(json.dumps(stages(rest)))
    else:
        if kind == "paced":
            pace(float(rest.pop(0)))
        daemon(rest)


_NOTED = {"--threads": threads_noted, "--functions": functions_noted}


def main(given: list[str]) -> None:
    """Run what is asked for, noted where that is asked for."""
    for option, noted in _NOTED.items():
        if option in given:
            at = given.index(option)
            with noted(Path(given[at + 1])):
                run(given[:at] + given[at + 2 :])
            return
    run(given)


if __name__ == "__main__":
    main(sys.argv[1:])

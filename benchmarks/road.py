"""The road's own cost: CPU milliseconds of the daemon for an image, less what the network itself takes.

    python benchmarks/road.py [--pack FOLDER] [--images 600] [--rounds 3] [--beside CHECKOUT] [--profile] [--json]

Measured is processor time (user and system) of all processes of `recq-ingest run --once`, the daemon and those that it
started, from the picture number 100 to the last one that it reports as indexed: neither start nor end is in it. Two
ways, since the network is most of it:

- **with the network** (`--model`, or what the environment sets): the daemon, less the same network over the same
  pictures through recq's own Embedder;
- **without** it: the same daemon with a network that only waits (`--pace` images a second), so that nothing is taken
  off and nothing is lost in the network's own spread. What the Embedder does beside it is counted here.

Other checkouts can be measured beside this one, in the same environment: the runs take turns, so that a busy machine
slows all alike. `--profile` adds where the time goes: by thread and by function, whose figures are
larger than they are without a profiler; and the stages of a decoding process one by one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parents[1]
SIDE = Path(__file__).with_name("_road_side.py")
DEFAULT_PACK = HERE.parent / "shared" / "data" / "clothing"
FIRST = 100
"""Pictures of a run that are not measured: start and warming up."""

SHOWN = 0.01
"""CPU milliseconds an image from which on a function is listed."""

PACE = 140.0
"""Images a second of the network that only waits: what the default network makes of two quiet cores. With fewer each
stage sleeps and wakes more often, which counts as well."""

INFERRED = 200
"""Pictures whose time in the network is measured: it is the same for all of one space."""


@dataclass
class Side:
    """A checkout and what was measured of it, a value a round: CPU ms an image, but for `rate` (images a second)."""

    name: str
    root: Path
    daemon: list[float] = field(default_factory=list)
    inference: list[float] = field(default_factory=list)
    without: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    decoding: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)

    def environment(self, given: dict[str, str]) -> dict[str, str]:
        """That of a run: recq is imported from this side's checkout, whatever is installed."""
        return given | {"PYTHONPATH": str(self.root)}

    @property
    def road(self) -> list[float]:
        """The daemon less the network, a value a round."""
        return [daemon - network for daemon, network in zip(self.daemon, self.inference, strict=True)]

    def medians(self) -> dict[str, float]:
        """The median of everything measured."""
        measured = {
            "daemon": self.daemon,
            "inference": self.inference,
            "road": self.road,
            "road_without_network": self.without,
            "of_it_the_daemon_itself": self.own,
            "of_it_decoding_processes": self.decoding,
            "daemon_for_one_of_decoding": [own / other for own, other in zip(self.own, self.decoding, strict=True)],
            "images_per_second": self.rate,
        }
        return {name: round(statistics.median(values), 3) for name, values in measured.items() if values}


@dataclass(frozen=True)
class Moment:
    """When a daemon had indexed so many pictures, and the CPU seconds taken until then: its own, its children's."""

    at: float
    own: float
    children: float

    @property
    def cpu(self) -> float:
        """Of all together."""
        return self.own + self.children


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, default=DEFAULT_PACK)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", help="as --model of recq-ingest; more by RECQ_... in the environment")
    parser.add_argument("--pace", type=float, default=PACE, help="images a second of the network that only waits")
    parser.add_argument("--only-without", action="store_true", help="leave the real network out")
    parser.add_argument("--beside", type=Path, action="append", default=[], help="another checkout to measure as well")
    parser.add_argument("--profile", action="store_true", help="and where the time goes, of the checkout named last")
    parser.add_argument("--json", action="store_true", help="one object on standard output")
    arguments = parser.parse_args()
    sides = [Side(path.name, path.resolve()) for path in arguments.beside] + [Side("this", HERE)]
    with tempfile.TemporaryDirectory(prefix="recq-road-") as folder:
        many = Path(folder) / "many"
        files = copied(arguments.pack, many, arguments.images)
        inferred = [str(many / each) for each in files[:: max(1, len(files) // INFERRED)]]
        environment = surroundings(arguments.model)
        for number in range(1, arguments.rounds + 1):
            for side in sides:
                one_round(side, many, len(files), inferred, environment, arguments.pace, arguments.only_without)
                said = ", ".join(f"{name} {value:g}" for name, value in side.medians().items())
                print(f"round {number}, {side.name}: {said} (medians so far)", file=sys.stderr, flush=True)
        found = {
            "images": len(files),
            "rounds": arguments.rounds,
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
            "unit": "CPU milliseconds an image",
            "sides": {side.name: side.medians() for side in sides},
        }
        if arguments.profile:
            found["profile"] = {
                side.name: profile(side, many, len(files), inferred, environment, arguments.pace) for side in sides
            }
    print(json.dumps(found, indent=2) if arguments.json else as_text(found))


def copied(pack: Path, target: Path, most: int) -> list[Path]:
    """So many pictures of a pack, evenly taken, in a folder of their own; their paths in it."""
    files = sorted(path.relative_to(pack) for path in pack.rglob("*.jpg"))
    taken = [files[number * len(files) // most] for number in range(most)] if most < len(files) else files
    for each in taken:
        (target / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pack / each, target / each)
    return taken


def surroundings(model: str | None) -> dict[str, str]:
    """The environment of every run: no settings of a file, those of the environment, and the model asked for."""
    more = {"RECQ_MODEL": model} if model else {}
    return {**os.environ, "RECQ_CONFIG": os.devnull, **more}


def one_round(
    side: Side,
    pictures: Path,
    count: int,
    inferred: Sequence[str],
    environment: dict[str, str],
    pace: float,
    only_without: bool,
) -> None:
    """Measure everything of one side once."""
    first, last = ingested(side, pictures, count, environment, ["paced", f"{pace:g}"])
    side.without.append(1000 * (last.cpu - first.cpu) / (count - FIRST))
    side.own.append(1000 * (last.own - first.own) / (count - FIRST))
    side.decoding.append(1000 * (last.children - first.children) / (count - FIRST))
    if only_without:
        return
    first, last = ingested(side, pictures, count, environment, ["daemon"])
    side.daemon.append(1000 * (last.cpu - first.cpu) / (count - FIRST))
    side.rate.append((count - FIRST) / (last.at - first.at))
    alone = [sys.executable, "-P", str(SIDE), "inference", *inferred]
    side.inference.append(
        float(subprocess.run(alone, env=side.environment(environment), check=True, stdout=subprocess.PIPE).stdout)
    )


def ingested(
    side: Side, folder: Path, count: int, environment: dict[str, str], how: Sequence[str]
) -> tuple[Moment, Moment]:
    """When a daemon that indexes a folder once had done FIRST and all of its `count` pictures."""
    with tempfile.TemporaryDirectory(prefix="recq-road-data-") as data:
        command = [sys.executable, "-P", str(SIDE), *how, "run", str(folder), "--once", "--data-dir", data]
        process = subprocess.Popen(
            command,
            env=side.environment(environment),
            cwd=data,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        done = 0
        moments: list[Moment] = []
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            done += " event=indexed " in line or " event=reused " in line
            if done in (FIRST, count) and len(moments) < (1 if done == FIRST else 2):
                moments.append(moment(process.pid))
        if process.wait() or len(moments) < 2:
            sys.exit("".join(said[-20:]))
    return moments[0], moments[1]


def moment(pid: int) -> Moment:
    """What a process and its children have taken until now, those that have ended included."""
    daemon = psutil.Process(pid)
    own = daemon.cpu_times()
    children = own.children_user + own.children_system
    for child in daemon.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            children += times.user + times.system
    return Moment(time.time(), own.user + own.system, children)


def profile(
    side: Side, many: Path, count: int, inferred: Sequence[str], environment: dict[str, str], pace: float
) -> dict[str, object]:
    """Where the processor goes, without the network: CPU ms an image by thread, function and stage of decoding."""
    how = ["paced", f"{pace:g}"]
    with tempfile.TemporaryDirectory(prefix="recq-road-profile-") as folder:
        out = Path(folder) / "noted.json"
        first, last = ingested(side, many, count, environment, [*how, "--threads", str(out)])
        seen = json.loads(out.read_text())
        ingested(side, many, count, environment, [*how, "--functions", str(out)])
        found = json.loads(out.read_text())
    alone = [sys.executable, "-P", str(SIDE), "stages", *inferred]
    stages = json.loads(
        subprocess.run(alone, env=side.environment(environment), check=True, stdout=subprocess.PIPE).stdout
    )
    before, after = (last_before(seen, each_moment) for each_moment in (first, last))
    each = 1000 / (count - FIRST)
    threads = {name: (seconds - before.get(name, 0.0)) * each for name, seconds in after.items()}
    threads["decoding processes"] = (last.children - first.children) * each
    functions: dict[str, list[str]] = defaultdict(list)
    for thread, calls in found.items():
        for call in calls:
            own, total = (1000 * call[name] / count for name in ("own", "total"))
            if total >= SHOWN:
                functions[thread].append(f"{total:8.3f} {own:8.3f} {call['calls'] / count:7.2f}  {call['function']}")
    return {
        "threads": {name: round(value, 3) for name, value in threads.items()},
        "stages_of_decoding": {name: round(value, 3) for name, value in stages.items()},
        "functions": functions,
    }


def last_before(seen: Sequence[tuple[float, dict[str, float]]], moment: Moment) -> dict[str, float]:
    """What was seen of the threads last until that moment: what a daemon does after its last picture is not counted."""
    return max((each for each in seen if each[0] <= moment.at), key=lambda each: each[0])[1]


def as_text(found: dict[str, object]) -> str:
    """The same to read."""
    return json.dumps(found, indent=2)


if __name__ == "__main__":
    main()

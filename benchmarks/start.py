"""How long one call of a command line takes, as ratios to what it cannot do without.

    python benchmarks/start.py [--smoke | --short | --full] [--rounds 9]

Whole processes, in turns, so that a busy machine slows all alike: each round runs every command once, beginning with
another one. Counted is processor time (user and system, of all threads), since other work on the machine changes it
least, and the time on the clock beside it. A floor is a process as well:

    import      python -c "import qdrant_client"
    network     what `import openvino` and compiling the default network take in a process, in all of its threads
    typer       `--help` of a Typer app with two commands
    typer tab   the names of the commands of the same app, as a shell asks for them after Tab

The rows "by service" are of a second index, whose daemon answers over HTTP: their ratios are those of the time on the
clock, since a part of the work is done in another process.

Bars are those of ratios of medians. The index is embedded, holds the samples, and no daemon runs but that one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.request import Request, urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import PROGRAMS, Ratio, Report, Section, environment, median, parser_of, ratio
from recq.announced import announced
from recq.settings import Settings

ROUNDS = {"smoke": 1, "short": 9, "full": 15}
SAMPLES = Path(__file__).parents[1] / "samples"
INDEXED = "running-shoe_runx.jpg"
ANSWERS_WITHIN = 120.0  # seconds for the daemon's start
UNSEEN = "tent.jpg"
"""A sample that stays out of the index."""

IMPORT = ("-c", "import qdrant_client")
NETWORK = (
    "-c",
    """
import resource, time
from recq.models.options import ModelOptions
from recq.models.zoo import find_network
from recq.settings import Settings

def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

network = find_network(ModelOptions(), Settings()).ir
processor, clock = cpu(), time.perf_counter()
import openvino
compiled = openvino.Core().compile_model(network, "CPU")
print(cpu() - processor, time.perf_counter() - clock)
""",
)
TWO_COMMANDS = '''
from typing import Annotated
import typer
app = typer.Typer()
@app.command()
def one(name: Annotated[str, typer.Option(help="A name.")] = "x") -> None:
    """The one command."""
@app.command()
def other(count: Annotated[int, typer.Argument(help="How many.")] = 1) -> None:
    """The other command."""
app()
'''


@dataclass(frozen=True)
class Spent:
    """Seconds of one run: of the processor, and on the clock."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Measured:
    """One command line, and what is done before each run of it."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None


def main() -> None:
    """Measure and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, help="runs of each command; 9 unless said")
    asked = parser.parse_args()
    report = Report(asked)
    report.section("commands", partial(section, asked.rounds or ROUNDS[asked.size]))


def section(rounds: int) -> Section:
    """All commands in turns: processor seconds as sides, the clock's medians as figures."""
    with tempfile.TemporaryDirectory(prefix="recq-start-") as folder:
        here = commands(Path(folder))
        with daemon(Path(folder)) as by_service:
            found = measured(here | by_service, rounds)
    cpu = {name: [each.cpu for each in spent] for name, spent in found.items()}
    wall = {name: [each.wall for each in spent] for name, spent in found.items()}
    clock = {f"{name}, on the clock, s": median(spent) for name, spent in wall.items()}
    notes = [f"{rounds} rounds"]
    return Section("One call of a command line", "processor s", cpu, ratios_of(cpu, wall), clock, notes)


def commands(folder: Path) -> dict[str, Measured]:
    """What is measured, with an index in `folder` that is made here."""
    drop, data, cache = folder / "drop", folder / "data", folder / "cache"
    drop.mkdir()
    for photo in SAMPLES.glob("*.jpg"):
        if photo.name != UNSEEN:
            shutil.copy(photo, drop)
    here = {"RECQ_DATA_DIR": str(data), "RECQ_CACHE_DIR": str(cache)}
    recq, ingest = str(PROGRAMS / "recq"), str(PROGRAMS / "recq-ingest")
    subprocess.run([ingest, "run", str(drop), "--once"], env=environment(**here), check=True, capture_output=True)
    two = folder / "two.py"
    two.write_text(TWO_COMMANDS, "utf-8")
    tab = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    values = here | tab | {"_RECQ_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": "recq similar --filter category="}

    def forget() -> None:
        shutil.rmtree(cache / "completion", ignore_errors=True)

    return {
        "import": Measured([sys.executable, *IMPORT]),
        "network": Measured([sys.executable, *NETWORK]),
        "typer": Measured([sys.executable, str(two), "--help"]),
        "typer tab": Measured(
            [sys.executable, str(two)],
            tab | {"_TWO.PY_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": "two.py "},
        ),
        "similar, indexed": Measured([recq, "similar", INDEXED], here),
        "similar, unseen": Measured([recq, "similar", str(SAMPLES / UNSEEN)], here),
        "recq --help": Measured([recq, "--help"]),
        "recq similar --help": Measured([recq, "similar", "--help"]),
        "recq-ingest --help": Measured([ingest, "--help"]),
        "recq-ingest status": Measured([ingest, "status"], here),
        "first tab, values": Measured([recq], values, forget),
        "later tab, values": Measured([recq], values, lambda: run(Measured([recq], values))),
        "tab, commands": Measured([recq], values | {"_TYPER_COMPLETE_ARGS": "recq "}),
    }


@contextmanager
def daemon(folder: Path) -> Iterator[dict[str, Measured]]:
    """What is measured beside a daemon on the same pictures, in an index of its own."""
    data = folder / "served"
    here = {"RECQ_DATA_DIR": str(data), "RECQ_CACHE_DIR": str(folder / "cache")}
    recq, ingest = str(PROGRAMS / "recq"), str(PROGRAMS / "recq-ingest")
    command = [ingest, "run", str(folder / "drop")]
    with (folder / "daemon.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment(**here), stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + ANSWERS_WITHIN
            while not answering(data):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"no service answers: {(folder / 'daemon.log').read_text()[-1000:]}")
                time.sleep(0.1)
            yield {
                "by service, indexed": Measured([recq, "similar", INDEXED], here),
                "by service, unseen": Measured([recq, "similar", str(SAMPLES / UNSEEN)], here),
            }
        finally:
            process.terminate()
            process.wait()


def answering(data: Path) -> bool:
    """Whether the daemon's API answers for an index that holds all samples."""
    service = next(iter(announced(Settings(data_dir=data))), None)
    if service is None:
        return False
    request = Request(f"{service.url}/api/v1/status", headers={"Authorization": f"Bearer {service.own}"})
    with suppress(OSError), urlopen(request, timeout=10) as answer:
        indexed: int = sum(source["indexed"] for source in json.load(answer)["sources"])
        return indexed == len([*SAMPLES.glob("*.jpg")]) - 1
    return False


def measured(commands: Mapping[str, Measured], rounds: int) -> dict[str, list[Spent]]:
    """The runs of every command in `rounds` rounds; one more before them is not counted, since it fills caches."""
    found: dict[str, list[Spent]] = {name: [] for name in commands}
    names = list(commands)
    for number in range(rounds + 1):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            spent = run(commands[name])
            if number:
                found[name].append(spent)
    return found


def run(measured: Measured) -> Spent:
    """One run of a command, which must end well. What the floor of a network took it prints itself."""
    measured.before()
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(measured.command, env=environment(**measured.environment), stdout=output)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(measured.command)} ended with exit code {process.returncode}")
        if measured.command[1:] == list(NETWORK):
            output.seek(0)
            cpu, wall = map(float, output.read().split())
            return Spent(cpu, wall)
    return Spent(used.ru_utime + used.ru_stime, wall)


def ratios_of(cpu: Mapping[str, Sequence[float]], wall: Mapping[str, Sequence[float]]) -> list[Ratio]:
    """The ratios of processor time, by service of time on the clock, with their bars (None where there is none)."""
    allowed = [1.3 * one + other for one, other in zip(cpu["import"], cpu["network"], strict=True)]
    return [
        ratio("similar of an indexed name / import", cpu["similar, indexed"], cpu["import"], at_most=1.3),
        ratio("similar of an unseen picture / (1.3 import + network)", cpu["similar, unseen"], allowed, at_most=1.0),
        ratio("by service, indexed / import, clock", wall["by service, indexed"], wall["import"], at_most=0.45),
        ratio("by service, unseen / import, clock", wall["by service, unseen"], wall["import"], at_most=0.45),
        ratio("recq --help / typer", cpu["recq --help"], cpu["typer"], at_most=1.5),
        ratio("first tab / import", cpu["first tab, values"], cpu["import"], at_most=1.25),
        ratio("later tab / typer", cpu["later tab, values"], cpu["typer"], at_most=1.5),
        ratio("later tab / recq --help", cpu["later tab, values"], cpu["recq --help"]),
        ratio("tab for a command / typer tab", cpu["tab, commands"], cpu["typer tab"]),
        ratio("recq similar --help / typer", cpu["recq similar --help"], cpu["typer"]),
        ratio("recq-ingest --help / typer", cpu["recq-ingest --help"], cpu["typer"]),
        ratio("recq-ingest status / import", cpu["recq-ingest status"], cpu["import"]),
    ]


if __name__ == "__main__":
    main()

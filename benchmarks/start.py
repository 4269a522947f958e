"""How long one call of a command line takes, as ratios to what it cannot do without.

    python benchmarks/start.py [--rounds 9] [--json]

Whole processes, in turns, so that a busy machine slows all alike: each round runs every command once, beginning with
another one. Counted is processor time (user and system, of all threads), since other work on the machine changes it
least, and the time on the clock beside it. A floor is a process as well:

    import      python -c "import qdrant_client"
    network     what `import openvino` and compiling the default network take in a process, in all of its threads
    typer       `--help` of a Typer app with two commands
    typer tab   the names of the commands of the same app, as a shell asks for them after Tab

Bars are those of ratios of medians. The index is embedded, holds the samples, and no daemon runs.
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = Path(sys.executable).parent
SAMPLES = Path(__file__).parents[1] / "samples"
INDEXED = "running-shoe_runx.jpg"
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
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recq-start-") as folder:
        found = measured(commands(Path(folder)), arguments.rounds)
    report = results(found) | {"rounds": arguments.rounds, "load": os.getloadavg()[0], "cores": os.cpu_count()}
    if arguments.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{arguments.rounds} rounds, load {report['load']:.1f} on {report['cores']} cores; medians, seconds")
    for name, each in report["commands"].items():
        print(f"  {name:28} {each['cpu']:6.3f} of processor, {each['wall']:6.3f} on the clock")
    for name, each in report["ratios"].items():
        bar = "" if each["bar"] is None else f"   at most {each['bar']:.2f}"
        print(f"  {name:52} {each['cpu']:5.2f} of processor, {each['wall']:5.2f} on the clock{bar}")


def commands(folder: Path) -> dict[str, Measured]:
    """What is measured, with an index in `folder` that is made here."""
    drop, data, cache = folder / "drop", folder / "data", folder / "cache"
    drop.mkdir()
    for photo in SAMPLES.glob("*.jpg"):
        if photo.name != UNSEEN:
            shutil.copy(photo, drop)
    here = {"RECQ_DATA_DIR": str(data), "RECQ_CACHE_DIR": str(cache)}
    recq, ingest = str(PROGRAMS / "recq"), str(PROGRAMS / "recq-ingest")
    subprocess.run([ingest, "run", str(drop), "--once"], env=environment(here), check=True, capture_output=True)
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
        process = subprocess.Popen(measured.command, env=environment(measured.environment), stdout=output)
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


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """That of this process without settings of recq's; compiled modules are kept, as they are where it is installed."""
    left = {name: value for name, value in os.environ.items() if not name.startswith("RECQ_")}
    left.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**left, **more}


def results(found: Mapping[str, Sequence[Spent]]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Medians, and the ratios with their bars (None where there is none)."""
    cpu = {name: statistics.median(each.cpu for each in spent) for name, spent in found.items()}
    wall = {name: statistics.median(each.wall for each in spent) for name, spent in found.items()}

    def ratio(name: str, floor: Callable[[Mapping[str, float]], float], bar: float | None) -> dict[str, float | None]:
        return {"cpu": cpu[name] / floor(cpu), "wall": wall[name] / floor(wall), "bar": bar}

    def of(floor: str) -> Callable[[Mapping[str, float]], float]:
        return lambda each: each[floor]

    return {
        "commands": {name: {"cpu": cpu[name], "wall": wall[name]} for name in found},
        "ratios": {
            "similar of an indexed name / import": ratio("similar, indexed", of("import"), 1.3),
            "similar of an unseen picture / (1.3 import + network)": ratio(
                "similar, unseen", lambda each: 1.3 * each["import"] + each["network"], 1.0
            ),
            "recq --help / typer": ratio("recq --help", of("typer"), 1.5),
            "first tab / import": ratio("first tab, values", of("import"), 1.25),
            "later tab / typer": ratio("later tab, values", of("typer"), 1.5),
            "later tab / recq --help": ratio("later tab, values", of("recq --help"), None),
            "tab for a command / typer tab": ratio("tab, commands", of("typer tab"), None),
            "recq similar --help / typer": ratio("recq similar --help", of("typer"), None),
            "recq-ingest --help / typer": ratio("recq-ingest --help", of("typer"), None),
            "recq-ingest status / import": ratio("recq-ingest status", of("import"), None),
        },
    }


if __name__ == "__main__":
    main()

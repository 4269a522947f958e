"""What Ray costs: `recq-ingest backfill` with one and with two workers beside daemons that share the folder by parts.

    python benchmarks/backfill.py [--smoke | --short | --full]

On a real server, in turns, the same pictures and settings: each worker and each daemon has one decoding process and one
thread of the network. What either takes to start is not counted: it begins when the first worker, or the first daemon,
has its network. Seconds, and processor seconds of all processes but the server's. Ray is installed into an environment
of its own under build/bench-ray (pinned, once).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

from fresh_environment import fresh, install

from benchmarks import pictures
from benchmarks.measure import ROOT, Report, Section, environment, in_turns, parser_of, progress, ratio
from tests.qdrant_server import QdrantServer

ENVIRONMENT = ROOT / "build" / "bench-ray"
AMOUNTS = {"smoke": (40, 1), "short": (600, 1), "full": (3_000, 3)}
"""Pictures, and rounds."""

AT_MOST = 1.25
"""What a backfill may take of what daemons take."""

_EVERY = 0.2  # seconds between two looks at the processor time


@dataclass
class Watched:
    """A process and all its children while they run, and the processor time of all of them."""

    process: subprocess.Popen[str]
    seen: dict[tuple[int, float], float] = field(default_factory=dict)
    looks: list[tuple[float, float]] = field(default_factory=list)

    def look(self) -> None:
        """Note how much they have taken until now."""
        self._add()
        self.looks.append((time.time(), sum(self.seen.values())))

    def _add(self) -> None:
        try:
            family = [(top := psutil.Process(self.process.pid)), *top.children(recursive=True)]
        except psutil.Error:
            return
        for each in family:
            try:
                times = each.cpu_times()
                self.seen[each.pid, each.create_time()] = times.user + times.system
            except psutil.Error:
                continue

    def between(self, began: float, ended: float) -> float:
        """The processor seconds that they took between two moments."""
        inside = [spent for at, spent in self.looks if began - _EVERY <= at <= ended + _EVERY]
        return inside[-1] - inside[0]


@dataclass(frozen=True)
class Took:
    """What one run took without its start."""

    seconds: float
    processor: float


def main() -> None:
    """Measure and keep."""
    asked = parser_of(__doc__).parse_args()
    count, rounds = AMOUNTS[asked.size]
    folder = pictures.small(count) if asked.size == "smoke" else pictures.varied(count)
    report = Report(asked)
    for workers in (1, 2):
        report.section(f"{workers} workers", partial(measured, folder, count, workers, rounds))


def measured(folder: Path, count: int, workers: int, rounds: int) -> Section:
    """Both sides in turns."""
    python = with_ray()
    kept: dict[str, list[float]] = {"backfill": [], "parts": []}

    def side(name: str) -> float:
        run = partial(backfill, python) if name == "backfill" else parts
        with tempfile.TemporaryDirectory() as there, QdrantServer(Path(there) / "server") as server:
            took = run(folder, count, workers, Path(there), server.url)
        kept[name].append(took.processor)
        progress(f"    {name}: {took.seconds:.1f} s, {took.processor:.1f} s of processor")
        return took.seconds

    seconds = in_turns({name: partial(side, name) for name in kept}, rounds)
    ratios = [
        ratio("seconds, backfill / parts", seconds["backfill"], seconds["parts"], at_most=AT_MOST),
        ratio("processor seconds, backfill / parts", kept["backfill"], kept["parts"], at_most=AT_MOST),
    ]
    figures = {
        f"processor ms an image, {name}": 1e3 * sorted(spent)[len(spent) // 2] / count for name, spent in kept.items()
    }
    return Section(f"{workers} workers, {count:,} pictures", "s", seconds, ratios, figures, items=count)


def with_ray() -> Path:
    """The Python of the environment with Ray."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        progress("    installing Ray")
        python = fresh(ENVIRONMENT)
        install(python, "--require-hashes", "--compile-bytecode", "-r", ROOT / "requirements" / "ray.txt")
    return python


def backfill(python: Path, folder: Path, count: int, workers: int, there: Path, url: str) -> Took:
    """By Ray."""
    arguments = ["backfill", str(folder), "--workers", str(workers), "--json"]
    process = started(python, arguments, url, there / "data")
    watched = Watched(process)
    until_ended([watched])
    assert process.stdout is not None
    done = json.loads(process.stdout.read())
    assert done["indexed"] + done["reused"] == count, done
    began = datetime.fromisoformat(done["working_since"]).timestamp()
    return Took(done["working_seconds"], watched.between(began, began + done["working_seconds"]))


def parts(folder: Path, count: int, workers: int, there: Path, url: str) -> Took:
    """By daemons, of which the first makes the catalog; each counts from when it has started."""
    processes, logs = [], []
    for number in range(1, workers + 1):
        arguments = ["run", str(folder), "--once", "--log-format", "json"]
        arguments += ["--partition", f"{number}/{workers}"] if workers > 1 else []
        logs.append(there / f"{number}.log")
        processes.append(started(Path(sys.executable), arguments, url, there / str(number), logs[-1]))
        while number == 1 and not events(logs[0], "started"):
            time.sleep(_EVERY)
    watched = [Watched(process) for process in processes]
    until_ended(watched)
    done = [event for log in logs for name in ("indexed", "reused") for event in events(log, name)]
    assert len(done) == count, len(done)
    times = [tuple(moment(events(log, name)[0]) for name in ("started", "stopped")) for log in logs]
    processor = sum(each.between(began, ended) for each, (began, ended) in zip(watched, times, strict=True))
    return Took(max(ended - began for began, ended in times), processor)


def until_ended(watched: Sequence[Watched]) -> None:
    """Look at them until all have ended."""
    while any(each.process.poll() is None for each in watched):
        for each in watched:
            each.look()
        time.sleep(_EVERY)


def started(
    python: Path, arguments: Sequence[str], url: str, data: Path, log: Path | None = None
) -> subprocess.Popen[str]:
    """A program of recq's, with one decoding process and one thread of the network."""
    command = [str(python), "-m", "ingest.cli", *arguments, "--url", url, "--data-dir", str(data)]
    env = environment(PYTHONPATH=str(ROOT), RECQ_WORKERS="1", RECQ_THREADS="1", RECQ_API="off")
    with (log or Path("/dev/null")).open("ab") as errors:
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=errors, text=True)


def events(log: Path, name: str) -> list[Mapping[str, str]]:
    """The events of a name that a daemon has reported."""
    lines = log.read_text().splitlines() if log.exists() else []
    found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return [event for event in found if event["event"] == name]


def moment(event: Mapping[str, str]) -> float:
    """When an event was reported."""
    return datetime.fromisoformat(event["timestamp"]).timestamp()


if __name__ == "__main__":
    main()

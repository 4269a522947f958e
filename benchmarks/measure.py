"""What all benchmarks share: sides in turns, medians, ratios with bars, and the JSON of docs/performance.md.

A benchmark is sections; a section is sides that were measured in one run, in turns, so that a busy machine slows all of
them alike. `Report.section` keeps each section in build/bench/NAME.json as soon as it is measured, and skips what a run
of the same command and sources has measured already (`--again` measures everything anew). The form of the file:

    form       1
    benchmark  the script's name
    command    what makes it again
    size       smoke (tests), short (`make bench`) or full (`make bench FULL=1`)
    machine    cores, processor features, memory, versions; no names of hosts, no paths
    code       a digest of the sources: what was measured with others is not kept in build/bench
    measured   the day of the last section
    sections   a list of
        name, title, command, unit
        sides     name -> {samples, median, low, high}: all samples, and their median with its interval
        ratios    {name, value, low, high, at_least | at_most, met}; `low` and `high` are its interval
        figures   name -> number: what is no sample of a side
        items     how many there were, where the same is measured at several sizes
        notes     sentences; `not_run`: what could not be run -> why
        load      the machine's load (one minute) before and after; `seconds` that it took

Intervals are percentile bootstraps of the median (2,000 resamples, 95 %, Efron 1979); a ratio's resamples both sides.
With five samples they are little more than the range, and honest about it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

FORM = 1
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build" / "bench"
PROGRAMS = Path(sys.executable).parent
"""`recq` and `recq-ingest` of the environment that runs the benchmark."""

Size = Literal["smoke", "short", "full"]
SIZES: tuple[Size, ...] = ("smoke", "short", "full")

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16", "asimd", "i8mm")
"""Processor features that decide how fast networks are."""

PACKAGES = (
    "recq",
    "numpy",
    "openvino",
    "qdrant-client",
    "qdrant-edge-py",
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "pillow",
    "simplejpeg",
)

_RESAMPLES = 2_000
_INTERVAL = (2.5, 97.5)


_NUMBER = {"type": ["number", "null"]}
SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["form", "benchmark", "command", "size", "machine", "code", "sections"],
    "properties": {
        "form": {"const": FORM},
        "benchmark": {"type": "string"},
        "command": {"type": "string", "pattern": "^python benchmarks/"},
        "size": {"enum": list(SIZES)},
        "code": {"type": "string", "pattern": "^[0-9a-f]{12}$"},
        "measured": {"type": "string", "format": "date"},
        "machine": {
            "type": "object",
            "additionalProperties": False,
            "required": ["cores", "processor", "features", "memory_gb", "system", "python", "versions"],
            "properties": {
                "cores": {"type": "integer", "minimum": 1},
                "processor": {"type": "string"},
                "features": {"type": "array", "items": {"enum": list(FEATURES)}},
                "memory_gb": {"type": "number"},
                "system": {"type": "string"},
                "python": {"type": "string"},
                "versions": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
        "sections": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": [
                    "name", "title", "command", "unit", "sides", "ratios", "figures", "notes", "not_run", "load",
                    "seconds",
                ],
                "properties": {
                    "name": {"type": "string"},
                    "title": {"type": "string"},
                    "command": {"type": "string"},
                    "unit": {"type": "string"},
                    "items": {"type": "integer", "minimum": 1},
                    "sides": {
                        "type": "object",
                        "additionalProperties": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["samples", "median", "low", "high"],
                            "properties": {
                                "samples": {"type": "array", "items": _NUMBER, "minItems": 1},
                                "median": _NUMBER, "low": _NUMBER, "high": _NUMBER,
                            },
                        },
                    },
                    "ratios": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["name", "value", "low", "high"],
                            "properties": {
                                "name": {"type": "string"},
                                "value": _NUMBER, "low": _NUMBER, "high": _NUMBER,
                                "at_least": {"type": "number"},
                                "at_most": {"type": "number"},
                                "met": {"type": "boolean"},
                            },
                        },
                    },
                    "figures": {"type": "object", "additionalProperties": _NUMBER},
                    "notes": {"type": "array", "items": {"type": "string"}},
                    "not_run": {"type": "object", "additionalProperties": {"type": "string"}},
                    "load": {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2},
                    "seconds": {"type": "number"},
                },
            },
        },
    },
}  # fmt: skip
"""The form of a result as JSON Schema, for whoever writes one or reads one."""


# ---- what is kept ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ratio:
    """One number by another, and the bar that it has to reach."""

    name: str
    value: float
    low: float
    high: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None where there is none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        if self.at_most is not None:
            return self.value <= self.at_most
        return None

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        bars = {name: bar for name in ("at_least", "at_most") if (bar := getattr(self, name)) is not None}
        shown: dict[str, Any] = {"name": self.name, "value": rounded(self.value)}
        shown |= {"low": rounded(self.low), "high": rounded(self.high), **bars}
        return shown if self.met is None else {**shown, "met": self.met}


@dataclass(frozen=True)
class Section:
    """What was measured in one run. `sides` are all samples by the side's name, in `unit`."""

    title: str
    unit: str
    sides: Mapping[str, Sequence[float]] = field(default_factory=dict)
    ratios: Sequence[Ratio] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    not_run: Mapping[str, str] = field(default_factory=dict)
    items: int | None = None
    """How many items there were, where the same is measured at several sizes (`growth.py`)."""

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "title": self.title,
            "unit": self.unit,
            "sides": {name: summary(samples) for name, samples in self.sides.items()},
            "ratios": [ratio.to_json() for ratio in self.ratios],
            "figures": {name: rounded(figure) for name, figure in self.figures.items()},
            "notes": list(self.notes),
            "not_run": dict(self.not_run),
            **({} if self.items is None else {"items": self.items}),
        }


def summary(samples: Sequence[float]) -> dict[str, Any]:
    """All samples of a side, their median and its interval."""
    low, high = interval(samples)
    return {
        "samples": [rounded(sample) for sample in samples],
        "median": rounded(median(samples)),
        "low": rounded(low),
        "high": rounded(high),
    }


def rounded(number: float) -> float | None:
    """Five significant digits: more were never measured. None for what is no number, which JSON has not."""
    return float(f"{number:.5g}") if math.isfinite(number) else None


# ---- statistics ------------------------------------------------------------------------------------------------------


def median(samples: Sequence[float]) -> float:
    """The middle one. Raises ValueError for none."""
    if not len(samples):
        raise ValueError("nothing was measured")
    return float(np.median(samples))


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample below which `share` percent are, linear between two."""
    return float(np.percentile(samples, share))


def interval(samples: Sequence[float]) -> tuple[float, float]:
    """The bootstrap interval of the median."""
    low, high = np.percentile(_resampled(samples), _INTERVAL)
    return float(low), float(high)


def ratio(
    name: str,
    above: Sequence[float],
    below: Sequence[float],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    share: float = 50.0,
    below_share: float | None = None,
) -> Ratio:
    """The ratio of two sides' medians, or of their percentiles `share` (and `below_share`), with its interval."""
    other = share if below_share is None else below_share
    over = _resampled(above, share, seed=1) / _resampled(below, other, seed=2)
    low, high = np.percentile(over, _INTERVAL)
    value = percentile(above, share) / percentile(below, other)
    return Ratio(name, value, float(low), float(high), at_least, at_most)


def _resampled(samples: Sequence[float], share: float = 50.0, seed: int = 0) -> np.ndarray:
    """The percentile of as many resamples, float64 (_RESAMPLES,)."""
    values = np.asarray(samples, np.float64)
    picked = np.random.default_rng(seed).integers(0, len(values), (_RESAMPLES, min(len(values), 1_000)))
    made: np.ndarray = np.percentile(values[picked], share, axis=1)
    return made


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> tuple[float, float, float]:
    """The slope of log cost over log size by least squares, with its 95 % interval (Student's t).

    Of two sizes the interval is infinite. Raises ValueError for fewer, or for what has no logarithm.
    """
    if len(sizes) < 2 or min(*sizes, *costs) <= 0:
        raise ValueError(f"no exponent can be fitted to {list(costs)} at {list(sizes)}")
    x, y = np.log(np.asarray(sizes, np.float64)), np.log(np.asarray(costs, np.float64))
    spread = float(np.sum((x - x.mean()) ** 2))
    slope = float(np.sum((x - x.mean()) * (y - y.mean())) / spread)
    rest = y - y.mean() - slope * (x - x.mean())
    free = len(x) - 2
    if not free:
        return slope, -math.inf, math.inf
    margin = STUDENT.get(free, 1.96) * math.sqrt(float(np.sum(rest**2)) / free / spread)
    return slope, slope - margin, slope + margin


STUDENT = {1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228}
"""Student's t at 97.5 % by degrees of freedom."""


# ---- measuring -------------------------------------------------------------------------------------------------------


def in_turns(sides: Mapping[str, Callable[[], float]], rounds: int, say: bool = True) -> dict[str, list[float]]:
    """What each side measured in each round; every second round goes through them backwards."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            measured[name].append(sides[name]())
            if say:
                progress(f"    round {number + 1} of {rounds}: {name}: {measured[name][-1]:.4g}")
    return measured


@dataclass(frozen=True)
class Ran:
    """A command that has ended: seconds of the clock and of processors (its own and its children's)."""

    seconds: float
    cpu: float
    output: str
    errors: str


def ran(command: Sequence[str], *, env: Mapping[str, str] | None = None, given: str | None = None) -> Ran:
    """Run a command to its end. Raises SystemExit with its last words where it fails."""
    began = time.perf_counter()
    with (
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment() if env is None else env,
            cwd=ROOT,
        ) as process,
        _Reaped(process) as reaped,
    ):
        output, errors = process.communicate(given)
    seconds = time.perf_counter() - began
    if reaped.code:
        raise SystemExit(f"{shlex.join(command)} ended with {reaped.code}:\n{errors[-2000:]}")
    return Ran(seconds, reaped.cpu, output, errors)


class _Reaped:
    """Has the kernel's account of a child at its end (`wait4`): with it that of the children it waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.code, self.cpu = 0, 0.0
        self._process = process
        process.wait = self._wait  # type: ignore[method-assign]  # `communicate` waits through it

    def _wait(self, timeout: float | None = None) -> int:  # noqa: ARG002 - nobody gives one
        if self._process.returncode is None:
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = self.code = os.waitstatus_to_exitcode(status)
            self.cpu = usage.ru_utime + usage.ru_stime
        return self._process.returncode

    def __enter__(self) -> _Reaped:
        return self

    def __exit__(self, *error: object) -> None:
        return None


def environment(**more: str) -> dict[str, str]:
    """This process' environment without settings of recq; compiled modules are kept, as where recq is installed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECQ_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {"RECQ_CONFIG": os.devnull} | more


def progress(text: str) -> None:
    """A line for whoever waits."""
    print(text, file=sys.stderr, flush=True)


# ---- the report ------------------------------------------------------------------------------------------------------


class Report:
    """The JSON of one benchmark: a section is kept as soon as it is measured, and not measured twice.

    `places` are the options whose values are folders of this machine: the command that is kept has none.
    """

    def __init__(self, asked: argparse.Namespace, name: str | None = None, places: Sequence[str] = ()) -> None:
        script = Path(sys.argv[0]).stem if name is None else name
        self.size: Size = asked.size
        options = list(_without(("--json", *places), sys.argv[1:]))
        self._path = Path(asked.json) if asked.json else RESULTS / f"{script}.json"
        self._command = shlex.join(["python", f"benchmarks/{script}.py", *options])
        self._only: Sequence[str] = asked.only or ()
        self._kept: dict[str, Any] = {"sections": []}
        if not asked.again and self._path.exists():
            kept = json.loads(self._path.read_text("utf-8"))
            mine = {"form": FORM, "command": self._command, "machine": machine(), "code": code()}
            if all(kept.get(name) == value for name, value in mine.items()):
                self._kept = kept
        self._script = script

    def section(self, name: str, measure: Callable[[], Section]) -> dict[str, Any]:
        """The section `name`, as it is kept: measured now, or by an earlier run of the same command."""
        if self._only and not any(name.startswith(each) for each in self._only):
            return {}
        known = next((each for each in self._kept["sections"] if each["name"] == name), None)
        if known is not None:
            progress(f"  {name}: measured already (--again measures anew)")
            return dict(known)
        progress(f"  {name} ...")
        before, began = os.getloadavg()[0], time.perf_counter()
        measured = measure().to_json()
        seconds = time.perf_counter() - began
        load = [rounded(before), rounded(os.getloadavg()[0])]
        made = {"name": name, "command": self._command, **measured, "load": load, "seconds": rounded(seconds)}
        self._kept["sections"].append(made)
        self._write()
        for line in shown(made):
            print(f"    {line}", flush=True)
        return made

    def sections(self) -> list[dict[str, Any]]:
        """All that are kept so far."""
        return list(self._kept["sections"])

    def _write(self) -> None:
        document = {
            "form": FORM,
            "benchmark": self._script,
            "command": self._command,
            "size": self.size,
            "machine": machine(),
            "code": code(),
            "measured": datetime.now(UTC).date().isoformat(),
            "sections": self._kept["sections"],
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
        fresh.replace(self._path)


def _without(names: Sequence[str], arguments: Iterable[str]) -> Iterator[str]:
    """The arguments of a command but for `--again`, and for these options, in either form, with their values."""
    rest = iter(arguments)
    for each in rest:
        if each in names:
            next(rest, None)
        elif each != "--again" and each.partition("=")[0] not in names:
            yield each


def shown(section: Mapping[str, Any]) -> list[str]:
    """A section for people."""
    lines = [f"{section['title']} ({section['unit']}; {section['seconds']:.0f} s, load {section['load']})"]
    lines += [f"  {name}: {side['median']:g}" for name, side in section["sides"].items()]
    lines += [f"  {name}: {figure:g}" for name, figure in section["figures"].items() if figure is not None]
    lines += [f"  {ratio_text(each)}" for each in section["ratios"]]
    lines += [f"  not run: {what}: {why}" for what, why in section["not_run"].items()]
    return lines


def ratio_text(kept: Mapping[str, Any]) -> str:
    """A kept ratio in words, with its bar."""
    text = f"{kept['name']}: {kept['value']:.3g}"
    if "at_least" in kept:
        text += f" (at least {kept['at_least']:g}: {'met' if kept['met'] else 'MISSED'})"
    if "at_most" in kept:
        text += f" (at most {kept['at_most']:g}: {'met' if kept['met'] else 'MISSED'})"
    return text


def machine() -> dict[str, Any]:
    """What decides how fast this machine is, and nothing that names it."""
    said = Path("/proc/cpuinfo").read_text("utf-8") if Path("/proc/cpuinfo").exists() else ""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", said, re.MULTILINE)
    flags = set(found[1].split()) if found else set()
    model = re.search(r"^model name\s*:\s*(.*)$", said, re.MULTILINE)
    return {
        "cores": os.cpu_count() or 1,
        "processor": model[1].strip() if model else platform.machine(),
        "features": [each for each in FEATURES if each in flags],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name)) is not None},
    }


@cache
def code() -> str:
    """The first digits of the SHA-256 of all that is measured and measures: what changed is measured anew."""
    digest = hashlib.sha256()
    for folder in ("recq", "ingest", "query", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = parser.add_mutually_exclusive_group()
    for size, what in (
        ("smoke", "seconds: whether the script works; what the tests run"),
        ("short", "minutes: what `make bench` runs (the default)"),
        ("full", "hours: what `make bench FULL=1` runs"),
    ):
        sizes.add_argument(f"--{size}", dest="size", action="store_const", const=size, help=what)
    parser.set_defaults(size="short")
    parser.add_argument("--again", action="store_true", help="measure sections anew that were measured already")
    parser.add_argument("--only", action="append", metavar="SECTION", help="sections whose names begin so")
    parser.add_argument("--json", metavar="FILE", help="where to keep the result instead of build/bench")
    return parser

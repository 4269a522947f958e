"""How each cost grows with the number of items: the exponent that fits, from what the other benchmarks have measured.

    python benchmarks/growth.py [--smoke | --short | --full]

First ingest itself at several sizes (small pictures, the default network, `recq-ingest run --once`, "started" to
"stopped"); then everything that was measured at two sizes or more, of the same size of benchmark: query, unchanged
files, memory, disk; what build/bench has of each, or docs/performance.json where that is of more sizes. The exponent is
the slope of log cost over log items (least squares; the interval is Student's, infinite for two sizes): 1 is linear, 0
costs the same at every size. Nothing in ingest may be above linear; `LINEAR` leaves room for what a clock adds.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import pictures
from benchmarks.footprint import EACH
from benchmarks.ingest import recq_ingest
from benchmarks.measure import RESULTS, ROOT, Ratio, Report, Section, exponent, in_turns, parser_of

MODELS = {"smoke": "--model pixels:8", "short": "", "full": ""}
"""Options that choose the network: the smallest form is there to show that the script works."""

PUBLISHED = ROOT / "docs" / "performance.json"
SIZES = {"smoke": (20, 40), "short": (250, 750, 2_250), "full": (1_000, 3_000, 10_000, 30_000)}
LINEAR = 1.1
INGEST = ("ingest", "daemon_start", "footprint")
"""Benchmarks whose costs are those of ingest, which the bar is for."""

FLOORS = re.compile(r"\bbare |\btogether$")
"""What the ingest is measured beside: no bar is for that."""

_NUMBER = re.compile(r"(?<!\d)\d{1,3}(?:,\d{3})+(?!\d)|(?<![\d.])\d+(?![\d%.])")
_COST_UNITS = ("s", "ms", "MB")


def main() -> None:
    """Measure and keep."""
    asked = parser_of(__doc__).parse_args()
    report = Report(asked)
    rounds = {"smoke": 1, "short": 5, "full": 5}[asked.size]
    for files in SIZES[report.size]:
        report.section(f"ingest, {files:,}", partial(ingest, files, rounds, MODELS[report.size]))
    measured = {"ingest": report.sections()}
    for name in ("query", "daemon_start", "footprint"):
        measured[name] = max(_kept(name, report.size), key=_sizes, default=[])
    report.section("exponents", partial(exponents, measured))


def _kept(benchmark: str, size: str) -> Iterator[list[dict[str, Any]]]:
    """The sections of a benchmark of this size: those of build/bench, then those that were published."""
    here = RESULTS / f"{benchmark}.json"
    documents = [json.loads(here.read_text("utf-8"))] if here.exists() else []
    published = json.loads(PUBLISHED.read_text("utf-8"))["benchmarks"]
    documents += [each for each in published if each["benchmark"] == benchmark]
    return (document["sections"] for document in documents if document["size"] == size)


def _sizes(sections: list[dict[str, Any]]) -> int:
    """At how many numbers of items something was measured."""
    return len({section["items"] for section in sections if section.get("items")})


def ingest(files: int, rounds: int, model: str) -> Section:
    """Seconds from "started" to "stopped" for so many small pictures."""
    root = pictures.small(files)
    rates = in_turns({"ingest": partial(recq_ingest, root, files, model, None)}, rounds)["ingest"]
    seconds = [files / rate for rate in rates]
    return Section(f"{files:,} small pictures", "s", {"files to waited upserts": seconds}, items=files)


def exponents(measured: Mapping[str, list[dict[str, Any]]]) -> Section:
    """One exponent for each cost that was measured at two sizes or more."""
    ratios, notes = [], []
    for benchmark, sections in measured.items():
        if not sections:
            notes.append(f"{benchmark}: not measured at this size of the benchmark")
        for name, points in _series(sections).items():
            sizes = sorted(points)
            costs = [points[size] for size in sizes]
            if len(sizes) < 2 or min(costs) <= 0:
                continue
            fitted, low, high = exponent(sizes, costs)
            bar = LINEAR if benchmark in INGEST and not FLOORS.search(name) else None
            span = f"{sizes[0]:,} to {sizes[-1]:,}"
            ratios.append(Ratio(f"{benchmark}: {name} ({span})", fitted, low, high, at_most=bar))
    return Section("Fitted exponents of costs over the number of items", "exponent", ratios=ratios, notes=notes)


def _series(sections: list[dict[str, Any]]) -> dict[str, dict[int, float]]:
    """Costs by their name and the number of items."""
    series: dict[str, dict[int, float]] = defaultdict(dict)
    for section in sections:
        if section.get("items"):
            for name, cost in _costs(section):
                series[name][section["items"]] = cost
    return series


def _costs(section: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    kind = _NUMBER.sub("", section["name"], count=1).strip(" ,").replace(", ,", ",")
    prefix = f"{kind}, " if kind else ""
    if section["unit"] in _COST_UNITS:
        for side, kept in section["sides"].items():
            yield prefix + side, kept["median"]
    for name, figure in section["figures"].items():
        if name == EACH:
            yield f"{prefix}{name}, all of them", figure * section["items"]
        elif figure and re.search(r"(?:^|, | )(?:s|ms|MB|descriptors)(?:,|$)", name):
            yield prefix + name, figure


if __name__ == "__main__":
    main()

"""What very large catalogs take: measured unit costs, stated assumptions, and the arithmetic between them. Pure.

`costs_of` reads what was measured (docs/scale.json, docs/performance.json, docs/operations.md), `Assumptions` has what
nobody measured, `plan` and `limits` compute. tools/make_scale_page.py makes docs/scale.md of it.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import exponent
from benchmarks.server_size import BUILD, CPU, INT8, WHOLE, growth

WAYS = (WHOLE, INT8)
_HOUR, _DAY, _MONTH = 3600.0, 86_400.0, 730.0  # seconds, seconds, hours

Document = Mapping[str, Any]


def _assumed(default: float, unit: str, why: str) -> Any:
    return field(default=default, metadata={"unit": unit, "why": why})


@dataclass(frozen=True)
class Assumptions:
    """What nobody measured: prices, machines, pictures. `--set NAME=VALUE` replaces each."""

    cores: float = _assumed(8, "cores", "of a node of the index")
    node_memory: float = _assumed(64, "GB", "of a node of the index")
    replicas: float = _assumed(2, "copies", "of each shard, so that a node may be away")
    headroom: float = _assumed(
        1.3, "times", "the memory that is needed: for segments that are built anew, and the system"
    )
    disk_headroom: float = _assumed(
        2, "times", "the disk that is needed: a segment is written beside the one it replaces"
    )
    shard: float = _assumed(5_000_000, "vectors", "of a shard at the most")
    embedding_cores: float = _assumed(64, "cores", "that embed a backlog, in as many machines as you like")
    price_core: float = _assumed(0.04, "money an hour", "of a core, of embedding")
    price_node: float = _assumed(0.50, "money an hour", "of a node of the index")
    price_disk: float = _assumed(0.10, "money a month", "of a GB of solid-state disk")
    picture: float = _assumed(0.3, "MB", "of a picture, which is read once")
    network: float = _assumed(1_000, "Mbit/s", "at which pictures come")
    folder: float = _assumed(150, "pictures", "of a folder, each of which is a watch")
    watches: float = _assumed(1_048_576, "watches", "that a system allows at the most (fs.inotify.max_user_watches)")
    rescan: float = _assumed(300, "seconds", "between two comparisons of folder and index: the setting's default")
    patience: float = _assumed(7, "days", "that a backlog may take")

    @classmethod
    def of(cls, given: Sequence[str]) -> Assumptions:
        """With `NAME=VALUE` in place of the defaults. Raises SystemExit for an unknown name."""
        names = {each.name for each in fields(cls)}
        values = {}
        for each in given:
            name, _, value = each.partition("=")
            if name not in names:
                raise SystemExit(f"no assumption is called {name!r}: {', '.join(sorted(names))}")
            values[name] = float(value)
        return replace(cls(), **values)


@dataclass(frozen=True)
class Line:
    """A cost that is `fixed` and `each` for a vector."""

    fixed: float
    each: float


@dataclass(frozen=True)
class Power:
    """A cost that was `value` at `at` vectors and grows with their number to the power of `exponent`, whose interval is
    `low` to `high`."""

    at: int
    value: float
    exponent: float
    low: float = -math.inf
    high: float = math.inf

    def of(self, count: float) -> float:
        """At so many."""
        return float(self.value * (count / self.at) ** self.exponent)


@dataclass(frozen=True)
class Costs:
    """What was measured. Bytes of memory and disk of the index by way, milliseconds of a processor."""

    memory: Mapping[str, Line]
    disk: Mapping[str, Line]
    build: Power
    query: Mapping[str, Power]
    write: float
    quantise: float
    images: float
    """Pictures a second of one core, from files to waited writes on a server."""
    compare: float
    """Milliseconds of a file that has not changed."""
    backup: float
    backup_bytes: float
    upgrade: float
    largest: int
    """Vectors up to which was measured."""


@dataclass(frozen=True)
class Plan:
    """What so many pictures take, in the units of `Assumptions`."""

    memory: float
    disk: float
    shards: int
    nodes: int
    bound: str
    hours_embedding: float
    hours_transfer: float
    hours_graph: float
    query_ms: float
    queries: float
    once: float
    monthly: float


def plan(count: int, way: str, costs: Costs, assumed: Assumptions) -> Plan:
    """The arithmetic. `memory` and `disk` in GB of all copies, with headroom."""
    shards = max(1, math.ceil(count / assumed.shard))
    each = count / shards
    copies = assumed.replicas
    memory = copies * (costs.memory[way].each * count) * assumed.headroom / 1e9
    disk = copies * (costs.disk[way].each * count) * assumed.disk_headroom / 1e9
    by_memory = math.ceil(memory / assumed.node_memory)
    nodes = max(by_memory, math.ceil(copies))
    build = costs.build.of(each) * shards * copies
    query = costs.query[way].of(each) * shards
    embedding = count / (costs.images * assumed.embedding_cores)
    return Plan(
        memory=memory,
        disk=disk,
        shards=shards,
        nodes=nodes,
        bound="memory" if by_memory >= copies else "copies",
        hours_embedding=embedding / _HOUR,
        hours_transfer=count * assumed.picture * 8 / assumed.network / _HOUR,
        hours_graph=build / 1000 / (nodes * assumed.cores) / _HOUR,
        query_ms=query,
        queries=nodes * assumed.cores * 1000 / query,
        once=embedding / _HOUR * assumed.embedding_cores * assumed.price_core,
        monthly=nodes * assumed.price_node * _MONTH + disk * assumed.price_disk,
    )


@dataclass(frozen=True)
class Limit:
    """What breaks at how many pictures, and what then."""

    at: float
    what: str
    then: str


def limits(costs: Costs, assumed: Assumptions) -> list[Limit]:
    """What breaks, the first first."""
    node = assumed.node_memory * 1e9 / assumed.headroom
    found = [
        Limit(
            assumed.rescan * 1000 / costs.compare,
            f"one daemon compares folder and index for longer than `rescan` ({assumed.rescan:g} s), and never rests",
            "`run --partition`: several daemons, each with a part; a larger `rescan`; events still come at once",
        ),
        Limit(
            node / costs.memory[WHOLE].each,
            f"whole vectors fill the memory of one node ({assumed.node_memory:g} GB)",
            "`recq-ingest quantise`, then more nodes",
        ),
        Limit(
            node / costs.memory[INT8].each,
            "int8 fills it as well",
            "more nodes (`RECQ_SHARDS`), or fewer bits where their recall was measured",
        ),
        Limit(
            assumed.watches * assumed.folder,
            "watches: one system allows no more folders",
            "polling, or several machines",
        ),
        Limit(
            costs.images * assumed.cores * assumed.patience * _DAY,
            f"a backlog takes one machine of {assumed.cores:g} cores more than {assumed.patience:g} days",
            "`recq-ingest backfill --ray` over more machines, or `run --partition` on each",
        ),
        Limit(
            _DAY * 1000 / costs.backup,
            "a first backup takes more than a day",
            "it goes on where it stopped, and a later one reads what has changed; snapshots of the server besides",
        ),
        Limit(
            8 * _HOUR * 1000 / costs.upgrade,
            "an upgrade of the index' schema takes more than eight hours of a daemon's start",
            "questions are answered meanwhile; plan it",
        ),
    ]
    return sorted(found, key=lambda each: each.at)


def costs_of(simulation: Document, performance: Document, operations: str) -> Costs:
    """The unit costs. Raises KeyError or StopIteration where one was not measured."""
    sized = [each for each in simulation["sections"] if each.get("items")]
    fitted = growth(sized).figures
    last = max(sized, key=lambda each: int(each["items"]))
    ingest = _section(performance, "ingest", "clothing")
    compared = _largest(performance, "daemon_start", "unchanged, ")
    seconds, megabytes = (float(each) for each in _row(operations, "the first backup"))
    items = int(re.search(r"embedded index of ([\d,]+) items", operations)[1].replace(",", ""))  # type: ignore[index]
    own, mapped = "bytes a vector: own memory, started", "bytes a vector: mapped files in memory, started"
    return Costs(
        memory={way: _lines(fitted, [f"{way}: {own}", f"{way}: {mapped}"]) for way in WAYS},
        disk={way: _lines(fitted, [f"{way}: bytes a vector: disk"]) for way in WAYS},
        build=_power(sized, BUILD, times_count=True),
        query={way: _power(sized, f"{way}: {CPU}") for way in WAYS},
        write=last["figures"]["writes: server's processor, ms a vector"],
        quantise=last["figures"][f"{INT8}: switched on, processor ms a vector"],
        images=ingest["sides"]["recq, default, server"]["median"] / performance_cores(performance),
        compare=1000 * compared["sides"]["comparison"]["median"] / compared["items"],
        backup=1000 * seconds / items,
        backup_bytes=1e6 * megabytes / items,
        upgrade=float(re.search(r"about (\d+) ms an item", operations)[1]),  # type: ignore[index]
        largest=int(last["items"]),
    )


def performance_cores(performance: Document) -> int:
    """Of the machine that ingest was measured on."""
    return int(next(each for each in performance["benchmarks"] if each["benchmark"] == "ingest")["machine"]["cores"])


def _section(document: Document, benchmark: str, name: str) -> Document:
    return next(each for each in _sections(document, benchmark) if each["name"] == name)


def _largest(document: Document, benchmark: str, kind: str) -> Document:
    """The section of most items among those whose names begin so: which sizes were measured is the run's choice."""
    return max((each for each in _sections(document, benchmark) if each["name"].startswith(kind)), key=_items)


def _sections(document: Document, benchmark: str) -> list[Document]:
    found: list[Document] = next(each for each in document["benchmarks"] if each["benchmark"] == benchmark)["sections"]
    return found


def _items(section: Document) -> int:
    return int(section["items"])


def _row(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip().split()[0].replace(",", "") for cell in line.strip("|").split("|")[1:]]


def _lines(fitted: Mapping[str, float], names: Sequence[str]) -> Line:
    fixed = sum(fitted[name.replace("bytes a vector", "bytes that do not grow")] for name in names)
    return Line(fixed, sum(fitted[f"{name}, each further one"] for name in names))


def _power(sized: Sequence[Document], name: str, *, times_count: bool = False) -> Power:
    """From the largest size on, with the exponent of all of them."""
    sizes = sorted(int(each["items"]) for each in sized)
    by_size = {int(each["items"]): float(each["figures"][name]) for each in sized}
    costs = [by_size[size] * (size if times_count else 1) for size in sizes]
    return Power(sizes[-1], costs[-1], *exponent(sizes, costs))

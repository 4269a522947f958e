"""Makes docs/scale.md, the plan for very large catalogs, of what was measured and of stated assumptions.

    python tools/make_scale_page.py                          # the page, of docs/scale.json and docs/performance.json
    python tools/make_scale_page.py --take                   # docs/scale.json first, of build/bench/server_size.json
    python tools/make_scale_page.py --print --set cores=16   # the page with other assumptions, on standard output

No number of the page is typed in: each is measured (its command stands beside it), arithmetic with measured numbers
(tools/scale_plan.py), or an assumption that `--set` replaces. The tests compare the page with what
`page` makes of the files.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scale_plan import WAYS, Assumptions, Costs, costs_of, limits, performance_cores, plan

from benchmarks.server_size import INT8, WHOLE, growth
from benchmarks.server_size import SIZES as SERVER_SIZES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SIMULATION, PERFORMANCE = DOCS / "scale.json", DOCS / "performance.json"
OPERATIONS = DOCS / "operations.md"
PAGE = DOCS / "scale.md"
RESULT = ROOT / "build" / "bench" / "server_size.json"

SIZES = (1_000_000, 10_000_000, 100_000_000)

Document = Mapping[str, Any]


def page(simulation: Document, performance: Document, operations: str, assumed: Assumptions) -> str:
    """The page, Markdown."""
    costs = costs_of(simulation, performance, operations)
    largest, million = f"{costs.largest:,}", 1_000_000
    factor = SIZES[-1] / costs.largest
    first = limits(costs, assumed)[0]
    planned = {way: plan(SIZES[-1], way, costs, assumed) for way in WAYS}
    parts = [
        "# A hundred million pictures: the plan, and what it rests on",
        "<!-- Made by tools/make_scale_page.py of docs/scale.json and docs/performance.json: do not edit. -->",
        _text(
            f"recq was tried with up to {largest} vectors on a server for this page, on one machine of "
            f"{simulation['machine']['cores']} cores. What follows for more is **arithmetic**: each table says what is "
            "measured, what is computed from that, and what is assumed. Nobody has run 10^8 pictures with recq."
        ),
        _text(
            f"In short: {_count(SIZES[-1])} pictures need {_gb(planned[WHOLE].memory)} of memory with whole vectors "
            f"and {_gb(planned[INT8].memory)} with int8 ({assumed.replicas:g} copies, headroom included), so "
            f"{planned[WHOLE].nodes} or {planned[INT8].nodes} nodes of {assumed.node_memory:g} GB; embedding takes "
            f"{planned[INT8].hours_embedding:,.0f} hours of {assumed.embedding_cores:g} cores. "
            f"What breaks first, at about {_count(first.at)}: {first.what}."
        ),
        "## The simulation",
        _text(
            "Vectors of real pictures (all packs of the tests' data, embedded by recq) are multiplied by a generator: "
            "mixtures of a real vector and its neighbours, with noise of the same shape, so that the distances to the "
            "nearest, fifth and tenth neighbour are those of real ones (`benchmarks/filters.py`). recq writes them as "
            "items with nine fields into a real server (Qdrant 1.17.0), whose memory, disk, processor time, recall and "
            "answers are measured; then `recq-ingest quantise` is done, and all of it is measured again."
        ),
        f"```sh\n{simulation['command']}\n```",
        _text(_machine(simulation) + _left_out(simulation)),
        *_simulated(simulation),
        "## Unit costs",
        _table(["what", "value", "rests on"], _unit_costs(costs)),
        "## The plan",
        _text(
            "Computed of the unit costs and assumptions on this page. Memory and disk are of all copies, headroom "
            "included. Graph and questions are of shards of "
            f"{_count(min(SIZES[-1], assumed.shard))} vectors at the most, "
            f"{min(assumed.shard, SIZES[-1]) / costs.largest:,.0f} times as many as were measured: there the exponents "
            "of the simulation are continued. Memory is what a server loads when it starts; what questions read of the "
            "originals on disk comes on top, and a system takes it away where it needs room."
        ),
        _table(["", *(f"{_count(size)}, {way}" for size in SIZES for way in WAYS)], _planned(costs, assumed)),
        _text(
            "*Questions a second* are those of all nodes if nothing else bounds them, one question after another on "
            "each core; every question asks every shard."
        ),
        "## What breaks first",
        _table(
            ["at about", "what", "then"],
            [[_count(each.at), each.what, each.then] for each in limits(costs, assumed)],
        ),
        _text(
            f"Beyond these: the embedded engine compares all vectors, and is meant for 100,000 pictures. "
            f"`recq duplicates`, `recq evaluate` by labels and `recq-ingest train` read every vector they compare, "
            f"{_gb(SIZES[-1] * 4 * 1280 / 1e9)} of {_count(SIZES[-1])}: give them filters. The page's gallery and the "
            "changes are read in the order of an index, a page at a time."
        ),
        _text(
            "A backlog of that size is indexed once by `recq-ingest backfill --ray` (one walk of the folder, any "
            "number of machines) or by parts (`run --partition 2/5`: each daemon walks the whole folder and reads its "
            "part of the index); both are the daemon's own road. What Ray adds is in "
            "[ingest.md](ingest.md#a-backfill-with-ray). Not measured: more than two cores, more than one machine, "
            "where the server's writes limit first."
        ),
        "## Assumptions",
        _text(
            "Money is in whatever currency the prices are. Each can be replaced, and the page is printed with yours:"
        ),
        "```sh\npython tools/make_scale_page.py --print --set node_memory=128 --set price_node=0.9\n```",
        _table(
            ["name", "value", "of what"],
            [
                [f"`{each.name}`", f"{getattr(assumed, each.name):,.10g} {each.metadata['unit']}", each.metadata["why"]]
                for each in fields(assumed)
            ],
        ),
        "## Measured, computed, unknown",
        _bullets(
            [
                f"**Measured**: everything up to {largest} vectors, on one node; the speed of ingest, on "
                f"{performance_cores(performance)} cores; three nodes with small catalogs (docs/operations.md).",
                f"**Computed**: everything beyond {largest}: {factor:,.0f} times as many are planned for. Bytes grow "
                "in a straight line with what is stored, so these are the safest; a graph's time and a question's are "
                "continued by an exponent that was fitted to few sizes.",
                "**Unknown**: recall of graphs of millions of vectors (`recq evaluate --index` measures it where they "
                "are), rescoring from disks that are not in memory, a network between the nodes, and how well "
                f"{_count(million)} or more real pictures resemble generated ones.",
            ]
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _simulated(simulation: Document) -> Iterator[str]:
    sized = [each for each in simulation["sections"] if each.get("items")]
    names = [name for name in sized[0]["figures"] if name not in ("",)]
    heads = ["measured", *(f"{each['items']:,}" for each in sized)]
    yield _table(heads, [[name, *(_number(each["figures"].get(name)) for each in sized)] for name in names])
    section = growth(sized)
    yield _text(
        "How these grow: the exponent of each processor time over the number of vectors (1 is linear, 0 costs the same "
        "at every size), and what each further vector takes by a straight line. Where the interval is wide, too few "
        "sizes were measured to tell."
    )
    yield _table(
        ["cost", "exponent", "interval"],
        [[each.name, _number(each.value), f"{_number(each.low)} to {_number(each.high)}"] for each in section.ratios],
    )
    yield _table(
        ["bytes", "each further vector"],
        [
            [name.removesuffix(", each further one"), f"{value:,.0f}"]
            for name, value in section.figures.items()
            if name.endswith("each further one")
        ],
    )
    notes = [note for each in sized[:1] for note in each["notes"]]
    loads = [load for each in sized for load in each["load"]]
    yield _text(
        f"{'. '.join(_upper(note) for note in notes)}. The machine was busy with other work (load {min(loads):.0f} to "
        f"{max(loads):.0f}), so seconds are several times those of a quiet one; bytes and recall are as there, and "
        "processor times nearly."
    )


def _unit_costs(costs: Costs) -> list[list[str]]:
    here, ingest = "measured, `benchmarks/server_size.py`", "measured, `benchmarks/ingest.py`"
    rows = [
        [f"memory of each further vector, {way}", f"{costs.memory[way].each:,.0f} bytes", f"{here} (straight line)"]
        for way in WAYS
    ]
    rows += [
        [f"disk of each further vector, {way}", f"{costs.disk[way].each:,.0f} bytes", f"{here} (straight line)"]
        for way in WAYS
    ]
    build = costs.build.value / costs.build.at
    rows += [
        ["graph of a vector, processor", f"{build:.2f} ms at {costs.build.at:,}", here],
        [
            "its exponent over all vectors",
            f"{costs.build.exponent:.2f} ({costs.build.low:.2f} to {costs.build.high:.2f})",
            "fitted to these",
        ],
    ]
    rows += [
        [
            f"question, server's processor, {way}",
            f"{each.value:.1f} ms at {each.at:,}, exponent {each.exponent:.2f}",
            here,
        ]
        for way, each in costs.query.items()
    ]
    return [
        *rows,
        ["writing a vector, server's processor", f"{costs.write:.2f} ms", here],
        ["quantising a vector, server's processor", f"{costs.quantise:.2f} ms", here],
        ["pictures a second of one core, file to index", f"{costs.images:.0f}", ingest],
        ["comparing a file that has not changed", f"{costs.compare:.2f} ms", "measured, `benchmarks/daemon_start.py`"],
        [
            "first backup of an item",
            f"{costs.backup:.1f} ms, {costs.backup_bytes / 1000:.1f} KB",
            "measured, `benchmarks/backup.py`",
        ],
        ["upgrade of the schema, an item", f"{costs.upgrade:.0f} ms", "measured, docs/operations.md"],
    ]


def _planned(costs: Costs, assumed: Assumptions) -> list[list[str]]:
    plans = [plan(size, way, costs, assumed) for size in SIZES for way in WAYS]
    rows: Mapping[str, list[str]] = {
        "memory": [_gb(each.memory) for each in plans],
        "disk": [_gb(each.disk) for each in plans],
        "shards": [str(each.shards) for each in plans],
        f"nodes of {assumed.node_memory:g} GB (bound by)": [f"{each.nodes} ({each.bound})" for each in plans],
        f"hours of embedding, {assumed.embedding_cores:g} cores": [f"{each.hours_embedding:,.1f}" for each in plans],
        f"hours of reading the pictures at {assumed.network:g} Mbit/s": [
            f"{each.hours_transfer:,.1f}" for each in plans
        ],
        "hours of building graphs, all nodes": [f"{each.hours_graph:,.1f}" for each in plans],
        "a question, processor of all shards, ms": [f"{each.query_ms:,.1f}" for each in plans],
        "questions a second": [f"{each.queries:,.0f}" for each in plans],
        "money once, embedding": [f"{each.once:,.0f}" for each in plans],
        "money a month, nodes and disk": [f"{each.monthly:,.0f}" for each in plans],
    }
    return [[name, *cells] for name, cells in rows.items()]


def _machine(simulation: Document) -> str:
    machine = simulation["machine"]
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gb']} GB, {machine['system']}, Python "
        f"{machine['python']}, recq {machine['versions']['recq']}, "
        f"qdrant-client {machine['versions']['qdrant-client']}."
    )


def _left_out(simulation: Document) -> str:
    """Which sizes of that command are still to be measured."""
    there = {section.get("items") for section in simulation["sections"]}
    left = [f"{size:,}" for size in SERVER_SIZES[simulation["size"]] if size not in there]
    return f" Of the sizes of this command {' and '.join(left)} was not run for this page." if left else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, *rows)]
    return "\n".join([lines[0].replace("|  |", "| |"), f"|{'---|' * len(heads)}", *lines[1:]])


def _text(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _bullets(items: Sequence[str]) -> str:
    return "\n".join(
        textwrap.fill(f"- {each}", 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for each in items
    )


def _count(number: float) -> str:
    for unit, name in ((1e9, " 10^9"), (1e6, " million")):
        if number >= unit:
            return f"{number / unit:,.3g}{name}"
    return f"{float(f'{number:.2g}'):,.0f}"


def _gb(size: float) -> str:
    return f"{size / 1000:,.1f} TB" if size >= 1000 else f"{size:,.0f} GB" if size >= 10 else f"{size:,.1f} GB"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def taken(result: Document) -> dict[str, Any]:
    """What docs/scale.json keeps of a result of benchmarks/server_size.py."""
    sections = [section for section in result["sections"] if section.get("items")]
    sections.sort(key=lambda section: int(section["items"]))
    return {**result, "sections": sections}


def _read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def main() -> None:
    """Write the page, or print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--take", action="store_true", help="take the result of build/bench first")
    parser.add_argument("--print", dest="shown", action="store_true", help="print the page and write nothing")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another assumption")
    asked = parser.parse_args()
    if asked.set and not asked.shown:
        raise SystemExit("--set is for --print: the page has the assumptions of this file")
    if asked.take:
        SIMULATION.write_text(json.dumps(taken(_read(RESULT)), indent=1, ensure_ascii=False) + "\n", "utf-8")
    made = page(_read(SIMULATION), _read(PERFORMANCE), OPERATIONS.read_text("utf-8"), Assumptions.of(asked.set))
    if asked.shown:
        print(made, end="")
    else:
        PAGE.write_text(made, "utf-8")


if __name__ == "__main__":
    main()

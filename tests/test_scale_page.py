"""docs/scale.md: the arithmetic of the plan, and that the page is what the tool makes of what was measured."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from make_scale_page import OPERATIONS, PAGE, PERFORMANCE, SIMULATION, page
from scale_plan import Assumptions, Costs, Line, Power, costs_of, limits, plan

from benchmarks.server_size import INT8, WHOLE, growth

ROOT = Path(__file__).resolve().parent.parent
EXACT = Assumptions(
    cores=10, node_memory=10, replicas=2, headroom=1.0, disk_headroom=2.0, shard=1_000_000, embedding_cores=5,
    price_core=0.1, price_node=1.0, price_disk=0.5, picture=1.0, network=800.0, folder=100, watches=1_000,
    rescan=300, patience=1,
)  # fmt: skip
COSTS = Costs(
    memory={WHOLE: Line(1e9, 5_000.0), INT8: Line(1e9, 1_250.0)},
    disk={WHOLE: Line(0.0, 10_000.0), INT8: Line(0.0, 11_250.0)},
    build=Power(100_000, 200_000.0, 1.0),
    query={WHOLE: Power(100_000, 2.0, 0.0), INT8: Power(100_000, 1.0, 0.5)},
    write=0.5, quantise=1.0, images=20.0, compare=0.1, backup=2.0, backup_bytes=7_000.0, upgrade=1.0, largest=100_000,
)  # fmt: skip


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def test_the_arithmetic_of_a_plan() -> None:
    """Four million vectors, two copies of each, so that every figure can be worked out by hand."""
    whole = plan(4_000_000, WHOLE, COSTS, EXACT)
    assert (whole.shards, whole.nodes, whole.bound) == (4, 4, "memory")
    assert whole.memory == pytest.approx(40.0)
    assert whole.disk == pytest.approx(160.0)
    assert whole.hours_embedding == pytest.approx(4_000_000 / 100 / 3600)
    assert whole.hours_transfer == pytest.approx(4_000_000 / 100 / 3600), "a hundred pictures of a megabyte a second"
    assert whole.hours_graph == pytest.approx(8_000_000 * 0.002 / 40 / 3600)
    assert whole.query_ms == pytest.approx(8.0)
    assert whole.queries == pytest.approx(5_000.0)
    assert whole.once == pytest.approx(whole.hours_embedding * 5 * 0.1)
    assert whole.monthly == pytest.approx(4 * 730 + 80)
    small = plan(4_000_000, INT8, COSTS, EXACT)
    assert small.memory == pytest.approx(10.0)
    assert (small.nodes, small.bound) == (2, "copies")
    assert small.query_ms == pytest.approx(4 * 10**0.5), "ten times as many in a shard as were measured"


def test_what_breaks_comes_in_its_order_and_moves_with_its_cost() -> None:
    found = limits(COSTS, EXACT)
    assert [each.at for each in found] == sorted(each.at for each in found)
    at = {each.what.partition(":")[0].split(" (")[0]: each.at for each in found}
    assert at["whole vectors fill the memory of one node"] == pytest.approx(2_000_000)
    assert at["int8 fills it as well"] == pytest.approx(8_000_000)
    assert at["watches"] == 100_000
    larger = {each.what: each.at for each in limits(COSTS, replace(EXACT, node_memory=20))}
    assert larger["whole vectors fill the memory of one node (20 GB)"] == pytest.approx(4_000_000)


def test_a_straight_line_is_found_through_what_a_server_takes_anyway() -> None:
    name = "whole: bytes a vector: disk"
    sections = [{"items": n, "figures": {name: (7_000_000 + 5_000 * n) / n}} for n in (10_000, 50_000, 100_000)]
    figures = growth(sections).figures
    assert figures[f"{name}, each further one"] == pytest.approx(5_000)
    assert figures["whole: bytes that do not grow: disk"] == pytest.approx(7_000_000)


def test_the_page_is_what_the_tool_makes_of_what_was_measured() -> None:
    made = page(read(SIMULATION), read(PERFORMANCE), OPERATIONS.read_text("utf-8"), Assumptions())
    assert PAGE.read_text("utf-8") == made, "make page"


def test_its_numbers_are_those_of_the_measurement() -> None:
    """Nothing is typed in: twice the bytes are twice the memory, and half the speed twice the hours."""
    simulation, performance, operations = read(SIMULATION), read(PERFORMANCE), OPERATIONS.read_text("utf-8")
    before = plan(10**8, INT8, costs_of(simulation, performance, operations), Assumptions())
    doubled = copy.deepcopy(simulation)
    for section in doubled["sections"]:
        for name in section["figures"]:
            section["figures"][name] *= 2 if "bytes" in name else 1
    slower = copy.deepcopy(performance)
    for benchmark in slower["benchmarks"]:
        for section in benchmark["sections"]:
            if benchmark["benchmark"] == "ingest":
                section["sides"]["recq, default, server"]["median"] /= 2
    after = plan(10**8, INT8, costs_of(doubled, slower, operations), Assumptions())
    assert after.memory == pytest.approx(2 * before.memory)
    assert after.hours_embedding == pytest.approx(2 * before.hours_embedding)


def test_the_commands_of_the_page_are_run() -> None:
    """With other assumptions; the simulation itself is run in its smallest form by tests/test_benchmarks.py."""
    simulate, other = re.findall(r"^```sh\npython (.*)\n```$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert re.fullmatch(r"benchmarks/server_size\.py --(short|full)", simulate)
    done = subprocess.run([sys.executable, *other.split()], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| `node_memory` | 128 GB |" in done.stdout
    assert done.stdout != PAGE.read_text("utf-8")


def test_an_assumption_that_there_is_not_is_refused() -> None:
    with pytest.raises(SystemExit, match="no assumption is called 'nodes'"):
        Assumptions.of(["nodes=3"])

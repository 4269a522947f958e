"""The benchmarks work: scripts in their smallest form, their JSON, and gross regressions as far as ratios tell them.

Of the start of commands tests/query/cli/test_start_up.py tells.

The bars of docs/performance.md are for quiet machines. Those here are several times wider, and only of ratios between
sides that took turns, so that they hold on a machine that is busy with other tests.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import make_performance_page
import numpy as np
import pytest
from make_performance_page import PAGE, SUMMARY, page, taken

from benchmarks import imagenet, measure
from benchmarks.growth import exponents
from benchmarks.int8 import front
from benchmarks.leave_one_out import differences, each_query, leave_one_out
from benchmarks.measure import SCHEMA, Ratio, Report, Section, exponent, in_turns, ratio, summary
from recq.models.imagenet import class_names

ROOT = Path(__file__).resolve().parents[1]


def asked(tmp_path: Path, **options: Any) -> argparse.Namespace:
    given = {"size": "smoke", "again": False, "only": None, "json": str(tmp_path / "made.json")}
    return argparse.Namespace(**{**given, **options})


# -- the harness -------------------------------------------------------------------------------------------------------


def test_sides_take_turns_and_every_second_round_goes_backwards() -> None:
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return float(len(order))

    measured = in_turns({name: lambda name=name: side(name) for name in "abc"}, 2, say=False)  # type: ignore[misc]
    assert order == [*"abccba"]
    assert measured == {"a": [1.0, 6.0], "b": [2.0, 5.0], "c": [3.0, 4.0]}


def test_a_ratio_is_that_of_the_medians_and_lies_in_its_interval() -> None:
    found = ratio("x", [10.0, 11.0, 30.0, 9.0, 10.5], [5.0, 5.2, 4.8, 5.1, 50.0], at_most=2.5)
    assert found.value == pytest.approx(10.5 / 5.1)
    assert found.low <= found.value <= found.high
    assert found.met
    assert Ratio("y", 0.89, 0.8, 0.9, at_least=0.9).met is False
    assert Ratio("z", 1.0, 1.0, 1.0).met is None
    tails = ratio("p99", [*[1.0] * 99, 100.0], [2.0] * 5, share=99, below_share=50)
    assert tails.value == pytest.approx(np.percentile([*[1.0] * 99, 100.0], 99) / 2)


@pytest.mark.parametrize("slope", [0.0, 1.0, 1.5])
def test_an_exponent_is_found_again_and_its_interval_holds_it(slope: float) -> None:
    sizes = [1e3, 1e4, 1e5, 3e5]
    noise = np.exp(np.random.default_rng(0).normal(0, 0.02, 4))
    fitted, low, high = exponent(sizes, [7 * size**slope * each for size, each in zip(sizes, noise, strict=True)])
    assert low <= slope <= high
    assert fitted == pytest.approx(slope, abs=0.05)
    assert exponent(sizes[:2], [1.0, 10.0])[1:] == (-math.inf, math.inf)
    with pytest.raises(ValueError, match="no exponent"):
        exponent([1, 2], [0, 1])


def test_a_cost_that_grows_faster_than_linear_misses_its_bar() -> None:
    def sections(power: float) -> list[dict[str, Any]]:
        return [
            {"name": f"ingest, {n:,}", "unit": "s", "items": n, "sides": {"x": summary([n**power])}, "figures": {}}
            for n in (100, 1_000, 10_000)
        ]

    bars = {power: exponents({"ingest": sections(power)}).ratios[0].met for power in (1.0, 1.3)}
    assert bars == {1.0: True, 1.3: False}


def test_what_was_measured_is_not_measured_again_unless_asked(tmp_path: Path) -> None:
    times: list[int] = []

    def once() -> Section:
        times.append(1)
        return Section("A title", "s", {"side": [1.0, 2.0]}, [Ratio("r", 1, -math.inf, math.inf, at_most=2)])

    for options in ({}, {}, {"again": True}):
        Report(asked(tmp_path, **options), "made").section("one", once)
    assert len(times) == 2
    kept = json.loads((tmp_path / "made.json").read_text())
    jsonschema.validate(kept, SCHEMA, jsonschema.Draft202012Validator)
    assert [section["name"] for section in kept["sections"]] == ["one"]


def test_a_difference_of_two_rankings_is_paired() -> None:
    """Queries that both find equally hard say nothing: only those that differ widen the interval."""
    labels = ["a"] * 20 + ["b"] * 20
    noise = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    vectors = noise / np.linalg.norm(noise, axis=1, keepdims=True)
    scores = each_query(vectors, labels, [1, 5])
    assert scores.shape == (40, 3)
    assert leave_one_out(vectors, labels, [1, 5]) == pytest.approx(scores.mean(axis=0))
    assert [astuple(each) for each in differences(scores, scores)] == [(0, 0, 0)] * 3
    lifted = differences(scores + 2.0, scores)[0]
    assert (lifted.value, lifted.low, lifted.high) == pytest.approx((2, 2, 2))
    others = scores.copy()
    others[:4, 1] = 100 - others[:4, 1]
    _, first, five = differences(scores, others)
    assert first.low < first.value < first.high
    assert first.low <= 0 <= first.high
    assert astuple(five) == (0, 0, 0)


def test_the_front_is_what_nothing_else_beats_in_cost_and_gain() -> None:
    assert front([(1.0, 5.0), (2.0, 5.0), (0.5, 4.0), (0.5, 4.0), (3.0, 9.0), (0.6, 3.9)]) == [0, 2, 3, 4]


def test_a_command_that_fails_ends_the_benchmark_with_its_last_words() -> None:
    with pytest.raises(SystemExit, match="ended with 3:\nalas"):
        measure.ran([sys.executable, "-c", "import sys; print('alas', file=sys.stderr); sys.exit(3)"])
    done = measure.ran([sys.executable, "-c", "print(sum(range(3_000_000)))"])
    assert done.output == "4499998500000\n"
    assert 0 < done.cpu < 60


# -- the scripts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "bounds"),
    [
        (  # beside recq's own parts, and beside a script that has none of them
            "ingest",
            ["--no-keras", "--no-server"],
            {"recq, default / (d)": (0.2, None), "recq, default / (e)": (0.3, None)},
        ),
        pytest.param("drop", [], {"p50 of drops / p50 of the sum": (None, 6.0)}, marks=pytest.mark.long),
        (
            "query",
            ["--no-server"],
            {"recq / client, p50": (None, 3.5), "recq / client, processor of this process": (None, 8.0)},
        ),
        pytest.param(
            "daemon_start",
            [],
            {"daemon / imports and compilation": (None, 3.0), "files opened by the comparisons": (None, 0.0)},
            marks=pytest.mark.long,
        ),
        pytest.param("footprint", [], {"RssAnon of the daemon at its most, MB": (None, 450.0)}, marks=pytest.mark.long),
        pytest.param("growth", [], {}, marks=pytest.mark.long),
        pytest.param(
            "filters",
            ["--way", "today"],
            {"one value, 5 %: recall@10, recq": (0.99, None)},
            marks=[pytest.mark.long, pytest.mark.server, pytest.mark.packs],
        ),
        pytest.param("amx", [], {}, marks=pytest.mark.long),
        pytest.param(
            "page", ["--no-server", "--no-browser"], {"first screen, ms, p50": (None, 5_000.0)}, marks=pytest.mark.long
        ),
        pytest.param(
            "backup",
            [],
            {"bytes, nothing changed / first": (None, 0.02), "items, written / changed": (1.0, 1.0)},
            marks=pytest.mark.long,
        ),
        pytest.param("service", ["--no-server"], {"HTTP / library, p50": (None, 6.0)}, marks=pytest.mark.long),
        pytest.param("server_size", [], {}, marks=[pytest.mark.long, pytest.mark.server]),
        pytest.param("site", [], {"equal lists of ten / targets": (1.0, None)}, marks=pytest.mark.long),
        pytest.param(
            "consumers", [], {"failed questions": (None, 0.0), "wrong answers": (None, 0.0)}, marks=pytest.mark.long
        ),
        pytest.param(
            "switch",
            [],
            {"failed questions": (None, 0.0), "mixed answers": (None, 0.0), "items lost": (None, 0.0)},
            marks=[pytest.mark.long, pytest.mark.timeout(900)],
        ),
    ],
)
def test_a_benchmark_in_its_smallest_form(
    name: str, options: list[str], bounds: dict[str, tuple[float | None, float | None]], tmp_path: Path
) -> None:
    result = tmp_path / f"{name}.json"
    command = [sys.executable, f"benchmarks/{name}.py", "--smoke", "--json", str(result), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    kept = json.loads(result.read_text())
    jsonschema.validate(kept, SCHEMA, jsonschema.Draft202012Validator)
    assert str(ROOT) not in result.read_text()
    ratios = [each for section in kept["sections"] for each in section["ratios"]]
    for wanted, (least, most) in bounds.items():
        found = [each["value"] for each in ratios if each["name"] == wanted]
        assert found, (wanted, ratios)
        assert all(least is None or value >= least for value in found), (wanted, found)
        assert all(most is None or value <= most for value in found), (wanted, found)
    assert "##" in page(taken(tmp_path, {"benchmarks": []}))


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_is_what_the_tool_makes_of_the_summary() -> None:
    kept = json.loads(SUMMARY.read_text("utf-8"))
    assert PAGE.read_text("utf-8") == page(kept), "make page"
    for plot in make_performance_page.plots_of(kept):
        assert (PAGE.parent / plot).read_text("utf-8").startswith("<?xml"), plot


@pytest.mark.parametrize(
    ("size", "verdict", "missed"), [("short", "**missed**", (1, 1)), ("smoke", "not judged", (0, 0))]
)
def test_a_missed_bar_is_shown_as_missed_with_the_command(
    size: str, verdict: str, missed: tuple[int, int], tmp_path: Path
) -> None:
    """But for the smallest form, which shows that a script works and no more."""
    section = Section("A title", "s", {"side": [1.0] * 5}, [Ratio("too slow", 3, 3, 3, at_most=2)])
    Report(asked(tmp_path, size=size), "made").section("one", lambda: section)
    text = page(taken(tmp_path, {"benchmarks": []}))
    assert "{} bars were measured, {} of them missed".format(*missed) in text
    assert f"| made: one | too slow | 3 | at most 2 | {verdict} |" in text
    assert "```sh\npython benchmarks/made.py" in text


def measured(tmp_path: Path, code: str, values: dict[str, float], *, only: str = "", size: str = "short") -> Path:
    """A folder with the result of one run of a benchmark, of these sections."""
    report = Report(asked(tmp_path, size=size, again=True), "made")
    for name, value in values.items():
        found = [Ratio("too slow", value, value, value, at_most=2)]
        report.section(name, partial(Section, "A title", "s", {"side": [1.0] * 5}, found))
    kept = json.loads((tmp_path / "made.json").read_text("utf-8"))
    command = f"python benchmarks/made.py --{size}{only and f' --only{only}'}"
    sections = [{**section, "command": command} for section in kept["sections"]]
    whole = {**kept, "code": code, "command": command, "sections": sections}
    (tmp_path / "made.json").write_text(json.dumps(whole), "utf-8")
    return tmp_path


@pytest.mark.parametrize("only", [" two", "=two"])
def test_a_section_measured_alone_takes_its_place_and_names_its_own_sources(only: str, tmp_path: Path) -> None:
    whole = taken(measured(tmp_path, "0" * 12, {"one": 1, "two": 3, "three": 1}), {"benchmarks": []})
    both = taken(measured(tmp_path, "1" * 12, {"two": 1}, only=only), whole)
    (kept,) = both["benchmarks"]
    assert kept["command"] == "python benchmarks/made.py --short"
    assert [(each["name"], each.get("code")) for each in kept["sections"]] == [
        ("one", None), ("two", "1" * 12), ("three", None)
    ]  # fmt: skip
    text = page(both)
    assert "3 bars were measured, 0 of them missed" in text
    assert "with 2 states of them" in text
    assert f"```sh\npython benchmarks/made.py --short --only{only}\n```" in text
    again = taken(measured(tmp_path, "2" * 12, {"one": 1, "two": 1, "three": 1}), both)
    assert page(again).count("Sources ") == 1
    assert "Measured alone" not in page(again)


def test_a_section_of_another_size_does_not_stand_beside_the_others(tmp_path: Path) -> None:
    whole = taken(measured(tmp_path, "0" * 12, {"one": 1, "two": 3}), {"benchmarks": []})
    (kept,) = taken(measured(tmp_path, "1" * 12, {"two": 1}, only=" two", size="full"), whole)["benchmarks"]
    assert [each["name"] for each in kept["sections"]] == ["two"]
    assert kept["size"] == "full"


# -- names of photographs ----------------------------------------------------------------------------------------------


def test_every_name_that_would_be_right_is_one_that_is_given() -> None:
    right = [name for pack in imagenet.RIGHT.values() for names in pack.values() for name in names]
    assert len(right) > 50
    assert set(right) <= set(class_names())
    files, found = imagenet.labelled("samples")
    assert found is not None
    assert len(files) == len(found) == 54
    assert found[[file.stem for file in files].index("camera_instant")] == {"Polaroid camera"}


def test_what_is_sure_begins_where_nine_of_ten_are_right() -> None:
    first = np.linspace(0.99, 0.01, 99).astype(np.float32)
    right = np.arange(99) < 40
    flags = imagenet.Forecasts(first, right, right, right)
    least = imagenet.least_sure(flags)
    shown = first >= least
    assert (shown.sum(), right[shown].sum()) == (44, 40), "one more would be 40 of 45"
    assert imagenet.least_sure(imagenet.Forecasts(first, ~right, right, right)) == 2.0
    assert flags.report(least)["sure_and_right"] == pytest.approx(40 / 44, abs=1e-4)

"""Problems that are kept: bounded, and nothing left unlisted."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq.index.problems import MOST_KEPT, Problem, ProblemKind, bounded, line_ranges


def row(line: int) -> Problem:
    return Problem(ProblemKind.ROW, f"metadata.csv:{line}: 'x' names no file", path="metadata.csv", line=line)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], ""),
        ([3], "3"),
        ([5, 3, 4, 9], "3-5, 9"),
        ([*range(1, 4), *range(10, 20)], "1-3, 10-19"),
    ],
)
def test_lines_are_told_as_ranges(lines: list[int], told: str) -> None:
    assert line_ranges(lines) == told


@given(st.sets(st.integers(1, 200_000), max_size=3_000))
def test_ranges_cover_every_line_and_count_it_and_stay_short(lines: set[int]) -> None:
    told = line_ranges(lines)
    assert len(told) < 450  # of a detail's 500
    found = re.findall(r"(\d+)(?:-(\d+))?(?: \((\d+) of them\))?", told)
    ranges = [
        (int(first), int(last or first), int(count or int(last or first) - int(first) + 1))
        for first, last, count in found
    ]
    assert sum(count for *_, count in ranges) == len(lines)
    for first, last, count in ranges:
        assert len([line for line in lines if first <= line <= last]) == count


def test_more_than_a_thousand_rows_leave_none_unlisted() -> None:
    kept = bounded([row(line) for line in range(2, 5_002)])
    assert [problem.line for problem in kept[:-1]] == [*range(2, MOST_KEPT + 2)]
    assert kept[-1].count == 5_000 - MOST_KEPT
    assert kept[-1].detail == "metadata.csv: 4,000 more like this, in the lines 1002-5001"
    assert Problem.from_json(kept[-1].to_json()) == kept[-1]
    assert bounded([row(2)]) == [row(2)]
    assert bounded([]) == []

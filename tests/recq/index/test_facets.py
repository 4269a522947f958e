"""Ranges with round bounds: they cover everything, once, there are few of them, and none has most items."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recq.index.facets import (
    CROWDED,
    MAX_BINS,
    MAX_ROWS,
    Bin,
    date_periods,
    float_bins,
    histogram,
    integer_bins,
    nameable_below,
    number_bins,
)

MOST = 2**63 - 1
finite = st.floats(allow_nan=False, allow_infinity=False)
integers = st.one_of(st.integers(-(2**63), MOST), st.integers(-50, 50), st.integers(10**12, 10**12 + 100))


def rows_of(values: Sequence[float], *, integer: bool) -> list[tuple[Bin, int]]:
    """What the facets of those values are, the index being a list."""

    def extremes(span: Bin) -> tuple[float, float] | None:
        inside = [value for value in values if span.holds(value)]
        return (min(inside), max(inside)) if inside else None

    return histogram(
        min(values),
        max(values),
        integer=integer,
        count=lambda span: sum(map(span.holds, values)),
        extremes=extremes,
    )


@example(0.0, 1e-5, [])
@example(-1.7976931348623157e308, 1.7976931348623157e308, [0.5])
@example(5e-324, 1.5e-323, [])
@example(1e15, 1e15 + 1, [0.3])
@given(finite, finite, st.lists(st.floats(0, 1), max_size=20))
def test_every_number_lies_in_exactly_one_range(a: float, b: float, inside: list[float]) -> None:
    low, high = min(a, b), max(a, b)
    bins = float_bins(low, high)
    assert len(bins) <= MAX_BINS + 1
    for value in [low, high, *(min(high, max(low, low + t * (high - low))) for t in inside if high - low < 1e308)]:
        assert len([each for each in bins if each.holds(value)]) == 1, (value, bins)


@example(10**12, 10**12 + 13, [])
@example(1234567890123, 1234567890223, [50])
@example(-(2**63), MOST, [2**62])
@example(MOST - 5000, MOST, [])
@given(integers, integers, st.lists(integers, max_size=20))
def test_every_integer_lies_in_exactly_one_range(a: int, b: int, inside: list[int]) -> None:
    low, high = min(a, b), max(a, b)
    bins = integer_bins(low, high)
    assert len(bins) <= MAX_BINS + 1
    for value in [low, high, *(value for value in inside if low <= value <= high)]:
        assert len([each for each in bins if each.holds(value)]) == 1, (value, bins)


@given(integers, integers)
def test_the_ends_of_integers_are_such_as_a_filter_can_name(a: int, b: int) -> None:
    bins = integer_bins(min(a, b), max(a, b))
    for each in bins:
        if each.low != each.high:
            assert each.low == -(2**63) or nameable_below(int(each.low)) == each.low
            assert each.high == MOST or nameable_below(int(each.high) + 1) == each.high + 1


@given(st.lists(finite, min_size=1, max_size=60))
def test_every_float_is_counted_once(values: list[float]) -> None:
    rows = rows_of(values, integer=False)
    assert sum(items for _, items in rows) == len(values)
    assert len(rows) <= MAX_ROWS


@given(st.lists(integers, min_size=1, max_size=60))
def test_every_integer_is_counted_once(values: list[int]) -> None:
    rows = rows_of(values, integer=True)
    assert sum(items for _, items in rows) == len(values)
    assert len(rows) <= MAX_ROWS


@pytest.mark.parametrize(
    ("values", "integer"),
    [
        ([*(float(n) for n in range(5, 55)), 1_000_000.0], False),
        ([10 ** (n % 13) * (1 + n % 7) for n in range(200)], True),
        ([1.5**n for n in range(100)], False),
        ([-(2.0**n) for n in range(60)], False),
        ([10.0, 12.0, 1000.0, 5000.0], False),
        ([1234567890000 + n for n in range(50)] + [5], True),
    ],
    ids=["one outlier", "powers of ten", "exponential", "negative", "four items", "long integers"],
)
def test_outliers_do_not_put_all_others_into_one_range(values: list[float], integer: bool) -> None:
    rows = rows_of(values, integer=integer)
    assert max(items for _, items in rows) <= max(1, CROWDED * len(values)), rows


def test_a_value_that_most_items_have_is_a_row_of_its_own() -> None:
    rows = rows_of([0.0] * 90 + [float(n) for n in range(1, 101)], integer=False)
    assert ("0", 90) in [(span.label, items) for span, items in rows]


def test_what_is_spread_evenly_keeps_its_parts() -> None:
    values = [float(n) for n in range(14, 100)]
    assert [span.label for span, _ in rows_of(values, integer=False)] == [
        each.label for each in number_bins(14, 99, integer=False)
    ]


def test_labels_are_round() -> None:
    assert [b.label for b in number_bins(14, 99, integer=False)][:2] == ["10..20", "20..30"]
    assert [b.label for b in number_bins(0, 1, integer=False)][:3] == ["0..0.1", "0.1..0.2", "0.2..0.3"]
    assert [b.label for b in number_bins(1, 30, integer=True)][:2] == ["0..4", "5..9"]
    assert number_bins(1600000000000, 1700000000000, integer=True)[1].label == "1610000000000..1619999999999"


def test_few_integers_are_not_lumped_together() -> None:
    assert [b.label for b in number_bins(2014, 2017, integer=True)] == ["2014", "2015", "2016", "2017"]


@pytest.mark.parametrize("value", [0, -7, 10**12, MOST, -(2**63), 2**53 + 1])
def test_one_integer_is_one_row(value: int) -> None:
    assert rows_of([value] * 3, integer=True) == [(Bin(value, value), 3)]


@pytest.mark.parametrize("value", [0.0, -0.5, 1e300, 5e-324, 1234567890123.25])
def test_one_float_is_one_row(value: float) -> None:
    assert rows_of([value] * 3, integer=False) == [(Bin(value, value), 3)]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2024-02-28", "2024-03-01", ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("2023-11-05", "2024-02-01", ["2023-11", "2023-12", "2024-01", "2024-02"]),
        ("1999-01-01", "2003-01-01", ["1999", "2000", "2001", "2002", "2003"]),
        ("1927-01-01", "2003-01-01", ["1920..1929", "1930..1939", "1940..1949", "1950..1959", "1960..1969",
                                      "1970..1979", "1980..1989", "1990..1999", "2000..2009"]),
        ("9999-12-31", "9999-12-31", ["9999-12-31"]),
    ],
)  # fmt: skip
def test_periods(first: str, last: str, expected: list[str]) -> None:
    assert date_periods(datetime.fromisoformat(first), datetime.fromisoformat(last)) == expected

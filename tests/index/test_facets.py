"""Ranges with round bounds: they cover everything, once, and there are few of them."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recq.index.facets import MAX_BINS, date_periods, number_bins

finite = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)


@example(0.0, 1e-5, [])
@given(finite, finite, st.lists(st.floats(0, 1), max_size=20))
def test_every_number_lies_in_exactly_one_range(a: float, b: float, inside: list[float]) -> None:
    low, high = min(a, b), max(a, b)
    if 0 < high - low < 1e-9 * max(abs(low), abs(high)):
        return  # bounds are rounded to 12 digits
    bins = number_bins(low, high, integer=False)
    assert len(bins) <= MAX_BINS + 1
    for value in [low, high, *(min(high, low + t * (high - low)) for t in inside)]:
        holding = [b for b in bins if b.low <= value and (value < b.high or (b.closed and value == b.high))]
        assert len(holding) == 1, (value, bins)


def test_labels_are_round() -> None:
    assert [b.label for b in number_bins(14, 99, integer=False)][:2] == ["10..20", "20..30"]


def test_few_integers_are_not_lumped_together() -> None:
    assert [b.label for b in number_bins(2014, 2017, integer=True)] == ["2014", "2015", "2016", "2017"]


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

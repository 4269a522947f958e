"""The values of a field and how often each occurs; for numbers and dates, ranges with round bounds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as made_by
from datetime import datetime, timedelta

from qdrant_client import models

from recq.index.grammar import filter_for
from recq.index.schema import FieldType

MAX_BINS = 12
_TOO_NEAR = 1e-9
"""Bounds have 12 digits: numbers that differ by less than this share of them have one range."""
_MOST_YEARS = 50
_YEARS = (5, 10, 20, 50, 100, 200, 500, 1000)
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Facets:
    """`rows` are (label, items): values with the most frequent first, or ranges in order. A label is a filter value.

    `total` counts the items that have the field. `spans` are labels as they stand in a filter, where that is something
    else: a label is round, and its upper end belongs to the next range.
    """

    field: str
    type: FieldType
    rows: list[tuple[str, int]]
    total: int
    spans: Mapping[str, str] = made_by(default_factory=dict)

    @property
    def filters(self) -> list[str]:
        """For each row the filter that finds its items and no other, as it is given to `--filter`."""
        return [filter_for(self.field, self.spans.get(label, label)) for label, _ in self.rows]


@dataclass(frozen=True)
class Bin:
    """From `low` (in) to `high` (out, or in where `closed`)."""

    low: float
    high: float
    closed: bool
    label: str

    def range(self) -> models.Range:
        """As a condition."""
        return models.Range(gte=self.low, **{"lte" if self.closed else "lt": self.high})

    @property
    def span(self) -> str:
        """As the value of a filter, whose ranges have both ends in."""
        return self.label if self.closed else f"{self.low!r}..{math.nextafter(self.high, -math.inf)!r}"


def number_bins(low: float, high: float, *, integer: bool) -> list[Bin]:
    """At most `MAX_BINS` + 1 ranges with round bounds that cover [low, high]; few integers get a range each."""
    if integer and high - low < MAX_BINS:
        return [Bin(v, v, True, str(v)) for v in range(int(low), int(high) + 1)]
    if low == high:
        return [Bin(low, high, True, str(int(low)) if integer else repr(low))]
    if not integer and high - low < _TOO_NEAR * max(abs(low), abs(high)):
        return [Bin(low, high, True, f"{low!r}..{high!r}")]
    raw = (high - low) / MAX_BINS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * s for s in _STEPS if power * s >= raw * (1 - 1e-12))
    if integer:
        step = max(1.0, math.ceil(step))
    first, last = math.floor(low / step), math.ceil(high / step)
    bounds = [float(f"{n * step:.12g}") for n in range(first - 1, last + 2)]  # 0.3, not 0.30000000000000004
    while bounds[1] <= low:
        del bounds[0]
    while bounds[-2] >= high:
        del bounds[-1]
    return [_integers(a, b, b >= high) if integer else _numbers(a, b, b >= high) for a, b in itertools.pairwise(bounds)]


def _numbers(low: float, high: float, closed: bool) -> Bin:
    return Bin(low, high, closed, f"{_text(low)}..{_text(high)}")


def _integers(low: float, high: float, closed: bool) -> Bin:
    """Of integers both ends can be in."""
    last = int(high) if closed else int(high) - 1
    return Bin(low, last, True, str(last) if last == low else f"{int(low)}..{last}")


def _text(value: float) -> str:
    return f"{value:.12g}" if abs(value) < 1e15 else repr(value)


def date_periods(first: datetime, last: datetime) -> list[str]:
    """The years, months or days from `first` to `last`, as filter values: the finest of which there are few.

    Of very many years there are ranges, `1900..1949`.
    """
    days = (last.date() - first.date()).days
    if days < MAX_BINS * 2:
        return [(first.date() + timedelta(n)).isoformat() for n in range(days + 1)]
    years = range(first.year, last.year + 1)
    if len(years) <= 3:
        months = [(y, m) for y in years for m in range(1, 13)]
        months = [ym for ym in months if (first.year, first.month) <= ym <= (last.year, last.month)]
        if len(months) <= MAX_BINS * 2:
            return [f"{y:04d}-{m:02d}" for y, m in months]
    if len(years) <= _MOST_YEARS:
        return [f"{y:04d}" for y in years]
    step = next(step for step in _YEARS if len(years) <= step * MAX_BINS)
    starts = range(first.year - first.year % step, last.year + 1, step)
    return [f"{max(start, 1):04d}..{start + step - 1:04d}" for start in starts]

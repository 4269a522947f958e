"""The values of a field and how often each occurs; for numbers and dates, ranges with round bounds."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from datetime import datetime

from qdrant_client import models

from recq.index.schema import FieldType

MAX_BINS = 12
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Facets:
    """`rows` are (label, items): values with the most frequent first, or ranges in order. A label is a filter value.

    `total` counts the items that have the field.
    """

    field: str
    type: FieldType
    rows: list[tuple[str, int]]
    total: int


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


def number_bins(low: float, high: float, *, integer: bool) -> list[Bin]:
    """At most `MAX_BINS` + 1 ranges with round bounds that cover [low, high]; few integers get a range each."""
    if integer and high - low < MAX_BINS:
        return [Bin(v, v, True, str(v)) for v in range(int(low), int(high) + 1)]
    if low == high:
        return [Bin(low, high, True, _text(low))]
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
    return [Bin(a, b, b >= high, f"{_text(a)}..{_text(b)}") for a, b in itertools.pairwise(bounds)]


def _text(value: float) -> str:
    return f"{value:.12g}" if abs(value) < 1e15 else repr(value)


def date_periods(first: datetime, last: datetime) -> list[str]:
    """The years, months or days from `first` to `last`, as filter values: the finest of which there are few."""
    days = (last.date() - first.date()).days
    if days < MAX_BINS * 2:
        return sorted({datetime.fromordinal(first.toordinal() + n).strftime("%Y-%m-%d") for n in range(days + 1)})
    months = [(y, m) for y in range(first.year, last.year + 1) for m in range(1, 13)]
    months = [ym for ym in months if (first.year, first.month) <= ym <= (last.year, last.month)]
    if len(months) <= MAX_BINS * 2:
        return [f"{y:04d}-{m:02d}" for y, m in months]
    return [f"{y:04d}" for y in range(first.year, last.year + 1)]

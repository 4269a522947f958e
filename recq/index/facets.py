"""Counts the values of a field; for numbers and dates, ranges with round bounds.

A range with most of the items is divided into finer ones (`histogram`). The ranges are
counted by the same filters that are printed with them.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as made_by
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from recq.index.grammar import filter_for
from recq.index.schema import FLOAT_DIGITS, FieldType

MAX_BINS = 12
"""Parts of equal width that a span of numbers is cut into, or one more where neither end is round."""

MAX_ROWS = 20
"""Ranges of numbers in all, where some were cut again."""

CROWDED = 0.4
"""A range with a greater share of all items is divided again."""

_MOST_CUTS = 12
_FAR = 1000
_YEARS = (5, 10, 20, 50, 100, 200, 500, 1000)
_MOST_YEARS = 50
_STEPS = tuple(map(Decimal, ("1", "2", "2.5", "5", "10")))
_DIGITS = Context(prec=60)  # n * step exactly, where n has the 17 digits of a float and step its own
_INTEGERS = -(2**63), 2**63 - 1


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
        """For each row the filter that finds exactly its items, as written after `--filter`."""
        return [filter_for(self.field, self.spans.get(label, label)) for label, _ in self.rows]


@dataclass(frozen=True)
class Bin:
    """Numbers from `low` (in) to `high` (out, or in where `closed`). Of integers both are, and both ends are in."""

    low: float
    high: float
    closed: bool = True

    @property
    def label(self) -> str:
        """With round ends; one number where it has no other."""
        return _text(self.low) if self.low == self.high else f"{_text(self.low)}..{_text(self.high)}"

    @property
    def span(self) -> str:
        """As the value of a filter, whose ranges have both ends in."""
        return self.label if self.closed else f"{self.low!r}..{math.nextafter(self.high, -math.inf)!r}"

    def holds(self, value: float) -> bool:
        """Whether the number is one of them."""
        return self.low <= value and (value <= self.high if self.closed else value < self.high)


def number_bins(low: float, high: float, *, integer: bool) -> list[Bin]:
    """At most `MAX_BINS` + 1 ranges with round bounds that cover [low, high]; few integers get a range each.

    The ends of ranges of integers are such as a filter can name, whose bounds are floats: those of more than 15 digits
    are near to round.
    """
    return integer_bins(int(low), int(high)) if integer else float_bins(float(low), float(high))


def integer_bins(low: int, high: int) -> list[Bin]:
    """Of integers of 64 bits."""
    if high - low < MAX_BINS:
        return [Bin(value, value) for value in range(low, high + 1)]
    step = int(_step(Decimal(high - low) / MAX_BINS, whole=True))
    marks = [n * step for n in range(low // step, high // step + 2)]
    starts = sorted({nameable_below(mark) for mark in marks[:-1]})
    while len(starts) > 1 and starts[1] <= low:
        del starts[0]
    least, most = _INTEGERS
    ends = [*(start - 1 for start in starts[1:]), min(_nameable_above(marks[-1]) - 1, most)]
    return [Bin(max(start, least), end) for start, end in zip(starts, ends, strict=True)]


def float_bins(low: float, high: float) -> list[Bin]:
    """Of finite floats."""
    if low == high:
        return [Bin(low, high)]
    lowest, highest = Decimal(low), Decimal(high)
    step = _step(_DIGITS.divide(_DIGITS.subtract(highest, lowest), Decimal(MAX_BINS)))
    first = int(_DIGITS.divide(lowest, step).to_integral_value(ROUND_FLOOR))
    last = int(_DIGITS.divide(highest, step).to_integral_value(ROUND_CEILING))
    bounds = sorted({float(_DIGITS.multiply(Decimal(n), step)) for n in range(first, last + 1)})
    inner = [bound for bound in bounds if low < bound < high]
    start = max((bound for bound in bounds if bound <= low and math.isfinite(bound)), default=low)
    end = min((bound for bound in bounds if bound >= high and math.isfinite(bound)), default=high)
    ends = [start, *inner, end]
    return [Bin(a, b, closed=b == end) for a, b in itertools.pairwise(ends)]


def decades(low: float, high: float, *, integer: bool) -> list[Bin]:
    """Ranges between powers of ten that cover [low, high], at most `MAX_BINS`; none where parts of equal width do.

    They do where the numbers are of one size (the greatest less than `_FAR` times the least), or of both signs.
    """
    if low < 0 < high:
        return []
    near, far = sorted((abs(low), abs(high)))
    least = max(near, 1) if integer else near
    if least == 0 or far < _FAR * least:
        return []
    first, last = Decimal(least).adjusted(), Decimal(far).adjusted()
    width = -(-(last + 1 - first) // MAX_BINS)
    powers = range(first, last + width + 1, width)
    if not integer:
        ends = [min(float(f"1e{power}"), sys.float_info.max) for power in powers]
        ends = ends if low >= 0 else [-end for end in reversed(ends)]
        return [Bin(a, b, closed=b == ends[-1]) for a, b in itertools.pairwise(ends)]
    whole = [0 if near == 0 and power == first else 10**power for power in powers]
    whole = whole if low >= 0 else [-end for end in reversed(whole)]
    least, most = _INTEGERS
    return [Bin(max(a, least), min(b - 1, most)) for a, b in itertools.pairwise(whole)]


def _step(raw: Decimal, *, whole: bool = False) -> Decimal:
    """The least round number that is not less than `raw` (positive), a `whole` one where that is wanted."""
    power = Decimal(1).scaleb(raw.adjusted())
    steps = [_DIGITS.multiply(power, step) for step in _STEPS]
    return next(step for step in steps if step >= raw and not (whole and step % 1))


def nameable_below(value: int) -> int:
    """The greatest integer not above `value` whose float every engine reads from a filter as it is."""
    unit = _unit(value)
    near = value // unit * unit
    while int(float(near)) > value:
        near -= unit
    return int(float(near)) if unit > 1 else near


def _nameable_above(value: int) -> int:
    unit = _unit(value)
    near = -(-value // unit) * unit
    while int(float(near)) < value:
        near += unit
    return int(float(near)) if unit > 1 else near


def _unit(value: int) -> int:
    """Of the last digit that a float is sure to keep on its way to a server, which is not exact with more of them."""
    return int(10 ** max(0, len(str(abs(value))) - FLOAT_DIGITS))


def _text(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def cut(crowded: Bin, low: float, high: float, *, integer: bool) -> list[Bin]:
    """A range as several, which cover it: those of [low, high], and what is left at either side.

    `low` and `high` are the least and the greatest number that an item has there.
    """
    finer = decades(low, high, integer=integer) or number_bins(low, high, integer=integer)
    parts = [part for each in finer if (part := _within(each, crowded)) is not None]
    first, last = parts[0], parts[-1]
    if integer:
        if crowded.low < first.low == nameable_below(int(first.low)):
            parts.insert(0, Bin(crowded.low, first.low - 1))
        if last.high < crowded.high and last.high + 1 == nameable_below(int(last.high) + 1):
            parts.append(Bin(last.high + 1, crowded.high))
        return parts
    if crowded.low < first.low:
        parts.insert(0, Bin(crowded.low, first.low, closed=False))
    if last.high < crowded.high:
        start = math.nextafter(last.high, math.inf) if last.closed else last.high
        parts.append(Bin(start, crowded.high, crowded.closed))
    return parts


def _within(part: Bin, whole: Bin) -> Bin | None:
    """What of `part` is in `whole`."""
    low = max(part.low, whole.low)
    high, closed = min((part.high, part.closed), (whole.high, whole.closed))
    return Bin(low, high, closed) if low < high or (low == high and closed) else None


def histogram(
    low: float,
    high: float,
    *,
    integer: bool,
    count: Callable[[Bin], int],
    extremes: Callable[[Bin], tuple[float, float] | None],
) -> list[tuple[Bin, int]]:
    """Ranges of [low, high] in order, with round bounds and the number of items of each, none empty.

    Parts of equal width; where one of them has most items (prices, of which one is a million), it is cut again, so that
    few outliers do not put all others into one. `extremes` gives the least and the greatest number in a range, None
    where that cannot be known.
    """

    def counted(bins: Sequence[Bin]) -> list[tuple[Bin, int]]:
        return [(each, items) for each in bins if (items := count(each))]

    rows = counted(number_bins(low, high, integer=integer))
    total = sum(items for _, items in rows)
    whole: set[Bin] = set()
    for _ in range(_MOST_CUTS):
        crowded = [row for row in rows if row[1] > max(1, CROWDED * total) and row[0] not in whole]
        if not crowded:
            break
        place = rows.index(max(crowded, key=lambda row: row[1]))
        there = rows[place][0]
        ends = extremes(there)
        parts = counted(cut(there, *ends, integer=integer)) if ends is not None else []
        if len(parts) < 2:
            parts = parts or [rows[place]]
            whole.add(parts[0][0])
        rows[place : place + 1] = parts
    return joined(rows)


def joined(rows: Sequence[tuple[Bin, int]]) -> list[tuple[Bin, int]]:
    """At most `MAX_ROWS` rows: neighbours with few items become one, those first between which nothing lies."""
    rows = list(rows)
    while len(rows) > MAX_ROWS:
        place = min(range(len(rows) - 1), key=lambda n: (_gap(rows[n][0], rows[n + 1][0]), rows[n][1] + rows[n + 1][1]))
        (first, some), (second, more) = rows[place : place + 2]
        rows[place : place + 2] = [(Bin(first.low, second.high, second.closed), some + more)]
    return rows


def _gap(first: Bin, second: Bin) -> bool:
    """Whether there are numbers between the two."""
    following = first.high + 1 if isinstance(first.high, int) else first.high
    return second.low > following


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

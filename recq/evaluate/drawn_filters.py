"""Filters of every shape, drawn from the fields and values that items have. Pure.

    one value       category=sofa
    one of several  category=sofa,bed
    AND of two      category=sofa AND colour=red, both of one item, so that they hold for some
    AND of three    likewise
    range           price=10..50, between two values that items have
    not             category!=sofa

Values are those of a random sample of items, so that frequent ones are drawn often; a range is as wide as a share of
the sample. `spread` keeps filters of every selectivity, as far as there are any.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any

from recq.index.grammar import AnyOf, Condition, escape, escape_field
from recq.index.operators import Op, Operator
from recq.index.schema import FieldType, FieldTypes, Item, Scalar, elements, fits

BANDS = (0.002, 0.02, 0.1, 0.3)
"""Where one band of selectivity ends and the next begins, as shares of all items."""

_WIDTHS = (0.01, 0.05, 0.2, 0.5)  # of a range, as shares of the values that were drawn


class Shape(StrEnum):
    """What a filter is made of. `GIVEN` is what somebody named."""

    NONE = "no filter"
    ONE = "one value"
    SEVERAL = "one of several"
    TWO = "AND of two"
    THREE = "AND of three"
    RANGE = "range"
    NOT = "not"
    GIVEN = "as given"


@dataclass(frozen=True)
class DrawnFilter:
    """A filter, its shape, and the share of all items that it holds for, 0 to 1."""

    shape: Shape
    conditions: tuple[Condition | AnyOf, ...]
    share: float = 1.0

    @property
    def band(self) -> int:
        """The number of its band of selectivity: 0 for the most selective."""
        return sum(self.share >= end for end in BANDS)


def band_ends(band: int) -> tuple[float, float]:
    """The shares that a band begins and ends with."""
    ends = (0.0, *BANDS, 1.0)
    return ends[band], ends[band + 1]


def draw(items: Sequence[Item], types: FieldTypes, each: int, random: Random) -> list[DrawnFilter]:
    """`each` filters of every shape, or as many different ones as there are; their shares are not known yet."""
    equal = [_equals(item, types) for item in items]
    drawers: Mapping[Shape, Callable[[], tuple[Condition, ...] | None]] = {
        Shape.ONE: lambda: _together(equal, 1, random),
        Shape.SEVERAL: lambda: _several(equal, random),
        Shape.TWO: lambda: _together(equal, 2, random),
        Shape.THREE: lambda: _together(equal, 3, random),
        Shape.RANGE: lambda: _range(items, types, random),
        Shape.NOT: lambda: _negated(equal, random),
    }
    drawn: list[DrawnFilter] = []
    for shape, drawer in drawers.items():
        found: dict[str, tuple[Condition, ...]] = {}
        for _ in range(3 * each):
            conditions = drawer()
            if conditions is not None and len(found) < each:
                found.setdefault(" ".join(one.text for one in conditions), conditions)
        drawn += [DrawnFilter(shape, conditions) for conditions in found.values()]
    return drawn


def spread(filters: Sequence[DrawnFilter]) -> Iterator[tuple[Shape, int, list[DrawnFilter]]]:
    """The filters by shape and band of selectivity, the most selective first; shapes in their order."""
    place = list(Shape)
    ordered = sorted(filters, key=lambda one: (place.index(one.shape), one.band))
    for (shape, band), those in itertools.groupby(ordered, key=lambda one: (one.shape, one.band)):
        yield shape, band, list(those)


def _equals(item: Item, types: FieldTypes) -> list[Condition]:
    """A condition for each value of the item's texts and truth values."""
    return [
        _condition(field, Op.EQ, (_text(value),))
        for field, values in item.metadata.items()
        if types.get(field) in (FieldType.STRING, FieldType.BOOL)
        for value in elements(values)
        if fits(value, types[field]) and _text(value).strip()
    ]


def _together(equal: Sequence[Sequence[Condition]], count: int, random: Random) -> tuple[Condition, ...] | None:
    """So many conditions on different fields that one item has."""
    own: dict[str, list[Condition]] = {}
    for one in random.choice(equal):
        own.setdefault(one.field, []).append(one)
    if len(own) < count:
        return None
    return tuple(random.choice(own[field]) for field in random.sample(sorted(own), count))


def _several(equal: Sequence[Sequence[Condition]], random: Random) -> tuple[Condition, ...] | None:
    """Two or three values of one field."""
    first = _together(equal, 1, random)
    if first is None:
        return None
    field = first[0].field
    values = dict.fromkeys([first[0].values[0]])
    for other in random.sample(equal, min(20, len(equal))):
        values |= dict.fromkeys(one.values[0] for one in other if one.field == field)
    return (_condition(field, Op.EQ, tuple(values)[:3]),) if len(values) > 1 else None


def _negated(equal: Sequence[Sequence[Condition]], random: Random) -> tuple[Condition, ...] | None:
    first = _together(equal, 1, random)
    return None if first is None else (_condition(first[0].field, Op.NE, first[0].values),)


def _range(items: Sequence[Item], types: FieldTypes, random: Random) -> tuple[Condition, ...] | None:
    """Between two values of a number or a date."""
    having: dict[str, list[Any]] = {}
    for item in items:
        for field, value in item.metadata.items():
            if types.get(field) in (FieldType.INTEGER, FieldType.FLOAT, FieldType.DATE):
                having.setdefault(field, []).extend(each for each in elements(value) if fits(each, types[field]))
    fields = sorted(field for field, found in having.items() if found)
    if not fields:
        return None
    field = random.choice(fields)
    values = sorted(having[field])
    steps = max(1, round(random.choice(_WIDTHS) * len(values)))
    start = random.randrange(max(1, len(values) - steps))
    low, high = values[start], values[min(start + steps, len(values) - 1)]
    return (_condition(field, Op.EQ, (f"{_text(low)}..{_text(high)}",)),)


def _condition(field: str, op: Operator, values: tuple[str, ...]) -> Condition:
    return Condition(field, op, values, f"{escape_field(field)}{op}{','.join(map(escape, values))}")


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

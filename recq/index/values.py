"""Reads the values of fields: their counts (facets), the least and the greatest, an example."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

from qdrant_client import models

from recq.index.dates import moment_of
from recq.index.facets import MAX_BINS, Bin, Facets, date_periods, histogram
from recq.index.field_value import field_value
from recq.index.fields import Fields
from recq.index.filters import known_name, require_field, require_indexed
from recq.index.grammar import Condition, Where
from recq.index.items import Items
from recq.index.operators import Op
from recq.index.points import Points, item_of
from recq.index.schema import UNINDEXED_FIELDS, FieldType, Value, elements, fits, payload_key

Ordered: TypeAlias = "float | datetime"

MOST_READ = 100_000
"""The most rows that are read for suggestions."""


class Values:
    """The values of one collection's fields, of embedded items. All methods raise only errors of `recq.errors`."""

    def __init__(self, points: Points, fields: Fields, items: Items) -> None:
        self._points = points
        self._fields = fields
        self._items = items

    def facets(self, field: str, filters: Sequence[Where] = (), limit: int = 50) -> Facets:
        """The field's values with their counts, most frequent first; ranges for numbers and dates.

        Raises FilterError for unknown and for unindexed fields, IndexPending for one whose index is being made.
        """
        field_type = require_indexed(field, self._fields.types(), "facets")
        field = known_name(field, self._fields.types())
        self._fields.require_made([(field, False)])
        base = self._items.compiled([*filters, Condition(field, Op.EXISTS)])
        total = self._points.count(base)
        if field_type in (FieldType.STRING, FieldType.BOOL):
            hits = self._points.facet(payload_key(field), base, limit)
            boolean = field_type is FieldType.BOOL
            rows = [(str(hit.value).lower() if boolean else str(hit.value), hit.count) for hit in hits]
            return Facets(field, field_type, sorted(rows, key=lambda row: (-row[1], row[0])), total)
        directions = (models.Direction.ASC, models.Direction.DESC)
        low, high = (self._extreme(field, field_type, base, direction) for direction in directions)
        if low is None or high is None:
            return Facets(field, field_type, [], total)
        if field_type is FieldType.DATE:
            periods = date_periods(low, high)
            counted = [(period, self._counted(field, period, filters)) for period in periods]
            return Facets(field, field_type, [row for row in counted if row[1]][: max(limit, MAX_BINS)], total)
        bins = histogram(
            low,
            high,
            integer=field_type is FieldType.INTEGER,
            count=lambda each: self._counted(field, each.span, filters),
            extremes=lambda each: self._extremes(field, field_type, each, filters),
        )
        spans = {each.label: each.span for each, _ in bins}
        return Facets(field, field_type, [(each.label, items) for each, items in bins], total, spans)

    def extremes(self, field: str) -> tuple[Ordered, Ordered] | None:
        """The smallest and the largest value of a field of numbers or dates; None where no item has one.

        Of recq's own fields without an index at most `MOST_READ` rows are read.
        """
        smallest, largest = self._ends(field, None, None)
        return None if smallest is None or largest is None else (smallest, largest)

    def around(self, field: str, low: Ordered, high: Ordered) -> tuple[Ordered | None, Ordered | None]:
        """The largest value below `low` and the smallest above `high`."""
        above, below = self._ends(field, high, low)
        return below, above

    def _ends(self, field: str, above: Ordered | None, below: Ordered | None) -> tuple[Ordered | None, Ordered | None]:
        """The smallest value above `above` and the largest below `below`, of all where these are None."""
        field_type = require_field(field, self._fields.types())
        name = known_name(field, self._fields.types())
        sides: tuple[tuple[models.Direction, str, Any], ...] = (
            (models.Direction.ASC, "gt", above),
            (models.Direction.DESC, "lt", below),
        )
        if name in UNINDEXED_FIELDS:
            read = (field_value(item.to_payload(), name) for item in islice(self._items.rows(), MOST_READ))
            values: list[Any] = [
                moment_of(str(each)) if field_type is FieldType.DATE else each for each in read if each is not None
            ]
            smallest = min((each for each in values if above is None or each > above), default=None)
            return smallest, max((each for each in values if below is None or each < below), default=None)
        self._fields.require_made([(name, False)])
        found: list[Ordered | None] = []
        for direction, side, end in sides:
            base = self._items.compiled()
            if end is not None:
                range_ = (models.DatetimeRange if isinstance(end, datetime) else models.Range)(**{side: end})
                base = models.Filter(must=[base, models.FieldCondition(key=payload_key(name), range=range_)])
            beyond = partial(operator.lt if side == "gt" else operator.gt, end) if end is not None else lambda _: True
            found.append(self._extreme(name, field_type, base, direction, beyond))
        return found[0], found[1]

    def example(self, field: str) -> Value | None:
        """The value that some embedded item has in a field; None where none has it."""
        has = self._items.compiled([Condition(field, Op.EXISTS)])
        records = self._points.first(has, 1, payload=[payload_key(field), "file"])
        return next((field_value(each.payload or {}, field) for each in records if item_of(each) is not None), None)

    def _counted(self, field: str, value: str, filters: Sequence[Where]) -> int:
        """How many items a filter for that value finds: the counts of facets are those of the printed filters."""
        return self._items.count([*filters, Condition(field, Op.EQ, (value,))])

    def _extremes(
        self, field: str, field_type: FieldType, span: Bin, filters: Sequence[Where]
    ) -> tuple[float, float] | None:
        """The least and the greatest number of a field within a range; None where a list hides them."""
        base = self._items.compiled([*filters, Condition(field, Op.EQ, (span.span,))])
        found = [
            self._extreme(field, field_type, base, direction, span.holds)
            for direction in (models.Direction.ASC, models.Direction.DESC)
        ]
        return None if None in found else (found[0], found[1])

    def _extreme(
        self,
        field: str,
        field_type: FieldType,
        base: models.Filter,
        direction: models.Direction,
        wanted: Callable[[Any], bool] = lambda _: True,
    ) -> Any:
        """The smallest or largest indexed value of a field: a number, or a moment; None when none has its type.

        Of the values of that item only the `wanted` count.
        """
        key = payload_key(field)
        order_by = models.OrderBy(key=key, direction=direction)
        records = self._points.first(base, 1, payload=[key], order_by=order_by)
        value = field_value(records[0].payload or {}, field) if records else None
        if value is None:
            return None
        chosen: list[Any] = [element for element in elements(value) if fits(element, field_type)]
        chosen = sorted(filter(wanted, map(moment_of, chosen) if field_type is FieldType.DATE else chosen))
        return chosen[0 if direction is models.Direction.ASC else -1] if chosen else None

"""Filters of the REST API as Edge's filters. Pure; a condition that Edge would evaluate differently is refused.

Match by text needs a text index here. Without one a 1.17 server compares case-sensitive substrings and Edge lower-cased
words: the results would differ, so the condition is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from qdrant_client.http import models as rest

from recq.index.edge.bounds import ALWAYS, require_affordable
from recq.index.edge.hashed_index import NarrowFields
from recq.index.edge.problem import bad_format, edge_errors, invalid_value, unsupported, wrong_input

MAX_ID = 2**64 - 1
MAX_LOOKUPS = 10_000  # values of one filter in narrow indexes: 0.1 ms each
_QUOTED = re.compile(r'"([\w-]+)"')


@dataclass(frozen=True)
class Indexed:
    """What the conversion of a filter needs from a collection: each indexed key's type (as `plain_key`), the narrow
    fields, and the number of points.
    """

    types: Mapping[str, str] = field(default_factory=dict)
    narrow: NarrowFields = field(default_factory=NarrowFields)
    points: Callable[[], int] = lambda: 0

    def answers(self, condition: rest.FieldCondition) -> bool:
        """Whether an index in memory answers a condition, so that no payload has to be read for it."""
        if condition.values_count is not None:
            return False
        kind = self.types.get(plain_key(condition.key))
        if condition.match is not None and kind not in _MATCHED_BY.get(_kind_of(condition.match), ()):
            return False
        if condition.range is not None:
            wanted = ("datetime",) if isinstance(condition.range, rest.DatetimeRange) else ("integer", "float")
            if kind not in wanted:
                return False
        return kind is not None


_MATCHED_BY: dict[type, tuple[str, ...]] = {
    str: ("keyword", "uuid"), bool: ("bool",), int: ("integer",), rest.MatchText: ("text",),
}  # fmt: skip


def _kind_of(match: rest.Match) -> type:
    if isinstance(match, rest.MatchValue):
        return type(match.value)
    if isinstance(match, rest.MatchAny | rest.MatchExcept):
        values = match.any if isinstance(match, rest.MatchAny) else match.except_
        return type(values[0]) if values else str
    return rest.MatchText


def plain_key(key: str) -> str:
    """A payload key as the engine writes it: without the quotes around a part of letters, digits, `_` and `-`."""
    return _QUOTED.sub(r"\1", key)


def to_id(point_id: int | str | UUID) -> int | UUID:
    """A point id as Edge takes it: an unsigned 64-bit integer or a UUID. Raises Problem 400 for anything else."""
    if isinstance(point_id, UUID):
        return point_id
    if isinstance(point_id, int) and 0 <= point_id <= MAX_ID:
        return point_id
    if isinstance(point_id, str):
        try:
            return UUID(point_id)
        except ValueError:
            pass
    raise bad_format(f"value {point_id} is not a valid point ID, valid values are either an unsigned integer or a UUID")


def to_filter(filter_: rest.Filter, indexed: Indexed) -> edge.Filter:
    """`filter_` for Edge. Raises Problem 400, 422 or 501."""
    converter = _Converter(indexed, prefix="")
    with edge_errors():
        converted = converter.filter(filter_)
    if converter.unindexed > ALWAYS:
        require_affordable(converter.unindexed, indexed.points())
    return converted


def to_optional_filter(filter_: rest.Filter | None, indexed: Indexed) -> edge.Filter | None:
    """The filter of a request that need not have one."""
    return None if filter_ is None else to_filter(filter_, indexed)


def without_points(filter_: edge.Filter | None, ids: Iterable[int | UUID]) -> edge.Filter:
    """`filter_`, and none of the points `ids`."""
    return edge.Filter(must=[filter_] if filter_ is not None else None, must_not=[edge.HasIdCondition(set(ids))])


class _Converter:
    """One filter's conversion; `prefix` is the path of the nested conditions around it.

    `unindexed` counts the conditions so far that no index answers.
    """

    def __init__(self, indexed: Indexed, prefix: str) -> None:
        self.unindexed = 0
        self._looked_up = 0
        self._indexed = indexed
        self._prefix = prefix

    def filter(self, filter_: rest.Filter) -> edge.Filter:
        at_least = filter_.min_should
        return edge.Filter(
            must=self._conditions(filter_.must),
            should=self._conditions(filter_.should),
            must_not=self._conditions(filter_.must_not),
            # Without conditions every point matches on a server, and none in Edge.
            min_should=self._min_should(at_least) if at_least is not None and at_least.conditions else None,
        )

    def _min_should(self, at_least: rest.MinShould) -> edge.MinShould:
        return edge.MinShould(self._conditions(at_least.conditions) or [], at_least.min_count)

    def _conditions(self, conditions: Any) -> list[Any] | None:
        if conditions is None:
            return None
        return [self._condition(one) for one in (conditions if isinstance(conditions, list) else [conditions])]

    def _condition(self, condition: rest.Condition) -> Any:
        match condition:
            case rest.FieldCondition():
                return self._field(condition)
            case rest.IsEmptyCondition():
                self._count(condition.is_empty.key in self._indexed.types)
                return edge.IsEmptyCondition(condition.is_empty.key)
            case rest.IsNullCondition():
                return self._null(condition.is_null.key)
            case rest.HasIdCondition():
                return edge.HasIdCondition({to_id(one) for one in condition.has_id})
            case rest.HasVectorCondition():
                return edge.HasVectorCondition(condition.has_vector)
            case rest.NestedCondition():
                nested = condition.nested
                inner = _Converter(self._indexed, f"{self._prefix}{nested.key.removesuffix('[]')}[].")
                converted = inner.filter(nested.filter)
                self.unindexed += inner.unindexed + 1
                return edge.NestedCondition(nested.key, converted)
            case rest.Filter():
                return self.filter(condition)
        raise unsupported(f"the condition {type(condition).__name__}")

    def _null(self, key: str) -> Any:
        """That the value is null. With an index a list that holds a null is found as well, on a server too.

        Without one a server does not find such a list, but Edge does. A null counts as no value, the list has some.
        """
        self._count(key in self._indexed.types)
        if not self._prefix and (key in self._indexed.types or key in self._indexed.narrow.fields):
            return edge.IsNullCondition(key)
        if key.endswith("[]"):
            raise unsupported(f"`is_null` on the elements of a list, `{key}`, without an index")
        return edge.Filter(
            must=[edge.IsNullCondition(key), edge.FieldCondition(key, values_count=edge.ValuesCount(lt=1))]
        )

    def _count(self, indexed: bool) -> None:
        """An index answers nothing within a nested condition."""
        self.unindexed += bool(self._prefix) or not indexed

    def _field(self, condition: rest.FieldCondition) -> Any:
        if condition.geo_bounding_box or condition.geo_radius or condition.geo_polygon:
            raise unsupported("conditions on places")
        said = condition.model_dump(exclude_none=True, exclude={"key"})
        if not said:
            raise invalid_value("filter: At least one field condition must be specified")
        count = condition.values_count
        values_count = None if count is None else edge.ValuesCount(count.lt, count.gt, count.lte, count.gte)
        if count is not None and _zero_satisfies(count):
            raise unsupported(
                f"`values_count` on `{condition.key}` where no value at all is enough: points without the field cannot "
                "be distinguished from those with an empty list. Ask for one value or more, or use `is_empty`"
            )
        whole = edge.FieldCondition(
            condition.key,
            match=None if condition.match is None else self._match(condition.key, condition.match),
            range=None if condition.range is None else _range(condition.range),
            values_count=values_count,
            is_empty=condition.is_empty,
            is_null=condition.is_null,
        )
        hint = self._hint(condition)
        self._count(hint is not None or self._indexed.answers(condition))
        return whole if hint is None else edge.Filter(must=[hint, whole])

    def _hint(self, condition: rest.FieldCondition) -> Any:
        """What the narrow index finds; None where there is none, or where `MAX_LOOKUPS` is used up.

        Within a nested condition a key is relative, and the numbers are not stored there.
        """
        values = len(condition.match.any) if isinstance(condition.match, rest.MatchAny) else 1
        if self._prefix or self._looked_up + values > MAX_LOOKUPS:
            return None
        hint = self._indexed.narrow.condition(condition.key, condition.match)
        self._looked_up += 0 if hint is None else values
        return hint

    def _match(self, key: str, match: rest.Match) -> Any:
        if isinstance(match, rest.MatchValue):
            # Edge takes a Python bool for the integer 1 or 0, and finds nothing; NumPy's is no integer.
            value: Any = np.bool_(match.value) if isinstance(match.value, bool) else match.value
            return edge.MatchValue(value)
        if isinstance(match, rest.MatchAny):
            return edge.MatchAny(match.any)
        if isinstance(match, rest.MatchExcept):
            return edge.MatchExcept(match.except_)
        path = self._prefix + key
        if self._indexed.types.get(plain_key(path)) != "text":
            raise wrong_input(f"match by text needs a text index on `{path}`: create one, or match its whole value")
        if isinstance(match, rest.MatchText):
            return edge.MatchText(match.text)
        if isinstance(match, rest.MatchTextAny):
            return edge.MatchTextAny(match.text_any)
        return edge.MatchPhrase(match.phrase)


def _zero_satisfies(count: rest.ValuesCount) -> bool:
    above = (count.gt is None or count.gt < 0) and (count.gte is None or count.gte <= 0)
    return above and (count.lt is None or count.lt > 0) and (count.lte is None or count.lte >= 0)


def _range(bounds: rest.RangeInterface) -> Any:
    if isinstance(bounds, rest.DatetimeRange):
        return edge.RangeDateTime(_iso(bounds.gte), _iso(bounds.gt), _iso(bounds.lte), _iso(bounds.lt))
    if any(bound is not None and math.isnan(bound) for bound in (bounds.gte, bounds.gt, bounds.lte, bounds.lt)):
        raise bad_format("a bound of a range is not a number")
    return edge.RangeFloat(bounds.gte, bounds.gt, bounds.lte, bounds.lt)


def _iso(moment: date | None) -> str | None:
    return None if moment is None else moment.isoformat()

"""Filters of the REST API as Edge's filters: pure, and loud about what Edge would understand differently.

Match by text needs a text index here. Without one a 1.17 server compares case-sensitive substrings and Edge lower-cased
words: two answers to one question, so the question is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from qdrant_client.http import models as rest

from recq.index.edge.narrow import NarrowFields
from recq.index.edge.problem import bad_format, edge_errors, invalid_value, unsupported, wrong_input

MAX_ID = 2**64 - 1
_QUOTED = re.compile(r'"([\w-]+)"')


@dataclass(frozen=True)
class Indexed:
    """What a filter has to know of a collection: the keys with a text index (as `plain_key`), and the narrow fields."""

    text: frozenset[str] = frozenset()
    narrow: NarrowFields = field(default_factory=NarrowFields)


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
    with edge_errors():
        return _Converter(indexed, prefix="").filter(filter_)


def to_optional_filter(filter_: rest.Filter | None, indexed: Indexed) -> edge.Filter | None:
    """The filter of a request that need not have one."""
    return None if filter_ is None else to_filter(filter_, indexed)


def without_points(filter_: edge.Filter | None, ids: Iterable[int | UUID]) -> edge.Filter:
    """`filter_`, and none of the points `ids`."""
    return edge.Filter(must=[filter_] if filter_ is not None else None, must_not=[edge.HasIdCondition(set(ids))])


class _Converter:
    """One filter's conversion; `prefix` is the path of the nested conditions around it."""

    def __init__(self, indexed: Indexed, prefix: str) -> None:
        self._indexed = indexed
        self._prefix = prefix

    def filter(self, filter_: rest.Filter) -> edge.Filter:
        at_least = filter_.min_should
        return edge.Filter(
            must=self._conditions(filter_.must),
            should=self._conditions(filter_.should),
            must_not=self._conditions(filter_.must_not),
            min_should=None if at_least is None else self._min_should(at_least),
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
                return edge.IsEmptyCondition(condition.is_empty.key)
            case rest.IsNullCondition():
                return edge.IsNullCondition(condition.is_null.key)
            case rest.HasIdCondition():
                return edge.HasIdCondition({to_id(one) for one in condition.has_id})
            case rest.HasVectorCondition():
                return edge.HasVectorCondition(condition.has_vector)
            case rest.NestedCondition():
                nested = condition.nested
                inner = _Converter(self._indexed, f"{self._prefix}{nested.key.removesuffix('[]')}[].")
                return edge.NestedCondition(nested.key, inner.filter(nested.filter))
            case rest.Filter():
                return self.filter(condition)
        raise unsupported(f"the condition {type(condition).__name__}")

    def _field(self, condition: rest.FieldCondition) -> Any:
        if condition.geo_bounding_box or condition.geo_radius or condition.geo_polygon:
            raise unsupported("conditions on places")
        said = condition.model_dump(exclude_none=True, exclude={"key"})
        if not said:
            raise invalid_value("filter: At least one field condition must be specified")
        count = condition.values_count
        whole = edge.FieldCondition(
            condition.key,
            match=None if condition.match is None else self._match(condition.key, condition.match),
            range=None if condition.range is None else _range(condition.range),
            values_count=None if count is None else edge.ValuesCount(count.lt, count.gt, count.lte, count.gte),
            is_empty=condition.is_empty,
            is_null=condition.is_null,
        )
        # Within a nested condition a key is relative, and the numbers do not stand there.
        hint = None if self._prefix else self._indexed.narrow.condition(condition.key, condition.match)
        return whole if hint is None else edge.Filter(must=[hint, whole])

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
        if plain_key(path) not in self._indexed.text:
            raise wrong_input(f"match by text needs a text index on `{path}`: create one, or match its whole value")
        if isinstance(match, rest.MatchText):
            return edge.MatchText(match.text)
        if isinstance(match, rest.MatchTextAny):
            return edge.MatchTextAny(match.text_any)
        return edge.MatchPhrase(match.phrase)


def _range(bounds: rest.RangeInterface) -> Any:
    if isinstance(bounds, rest.DatetimeRange):
        return edge.RangeDateTime(_iso(bounds.gte), _iso(bounds.gt), _iso(bounds.lte), _iso(bounds.lt))
    if any(bound is not None and math.isnan(bound) for bound in (bounds.gte, bounds.gt, bounds.lte, bounds.lt)):
        raise bad_format("a bound of a range is not a number")
    return edge.RangeFloat(bounds.gte, bounds.gt, bounds.lte, bounds.lt)


def _iso(moment: date | None) -> str | None:
    return None if moment is None else moment.isoformat()

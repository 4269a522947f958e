"""Conditions -> Qdrant's filter, given the fields' types. Pure; `recq.index.grammar` reads them from text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta

from qdrant_client import models

from recq.errors import FilterError
from recq.index.grammar import AnyOf, Condition, Op, Where, parse_all
from recq.index.schema import (
    FILE_FIELDS,
    UNINDEXED_FIELDS,
    FieldType,
    FieldTypes,
    parse_cell,
    payload_key,
    shadow_key,
)

NO_ERROR = models.IsEmptyCondition(is_empty=models.PayloadField(key="error.reason"))
"""Holds for items that were embedded: the others never appear in an answer."""

NO_FILE = models.IsEmptyCondition(is_empty=models.PayloadField(key="file.source"))
"""Holds for points that another program wrote without a `file`: they are no items, and appear in no answer."""

_COMPARE = {Op.LT: "lt", Op.LE: "lte", Op.GT: "gt", Op.GE: "gte"}


def compile_filters(
    filters: Iterable[Where],
    types: FieldTypes,
    *,
    exclude: Sequence[str] = (),
) -> models.Filter:
    """All conditions and groups joined with AND, over items without an error, leaving out the point ids `exclude`.

    Raises FilterError for an unknown field (naming the nearest), a value that does not fit the field's type, or an
    operator that the field does not have.
    """
    must: list[models.Condition] = [NO_ERROR]
    must_not: list[models.Condition] = [NO_FILE]
    for condition in parse_all(list(filters)):
        positive, negative = _compile(condition, types)
        must += positive
        must_not += negative
    if exclude:
        must_not.append(models.HasIdCondition(has_id=list(exclude)))
    return models.Filter(must=must, must_not=must_not)


def require_field(name: str, types: FieldTypes) -> FieldType:
    """The type of a field. Raises FilterError with the known fields and the nearest one."""
    known = {**types, **FILE_FIELDS, **UNINDEXED_FIELDS}
    if name in known:
        return known[name]
    shown = sorted(types)
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    listed = f"known fields: {', '.join(shown)}" if shown else "this catalog has no metadata fields"
    raise FilterError(f"unknown field {name!r}{hint} ({listed})")


def require_indexed(name: str, types: FieldTypes, purpose: str) -> FieldType:
    """Like `require_field`, refusing recq's own fields that have no index."""
    field_type = require_field(name, types)
    if name in UNINDEXED_FIELDS:
        raise FilterError(f"field {name!r} has no index: {purpose} cannot be answered for it")
    return field_type


def _compile(condition: Condition | AnyOf, types: FieldTypes) -> tuple[list[models.Condition], list[models.Condition]]:
    """What must hold, and what must not."""
    if isinstance(condition, AnyOf):
        compiled = [_compile(each, types) for each in condition.alternatives]
        should: list[models.Condition] = [
            models.Filter(must=positive or None, must_not=negative or None) for positive, negative in compiled
        ]
        return [models.Filter(should=should)], []
    field_type = require_field(condition.field, types)
    key = payload_key(condition.field)
    match condition.op:
        case Op.EXISTS:
            return [], [models.IsEmptyCondition(is_empty=models.PayloadField(key=key))]
        case Op.MISSING:
            return [models.IsEmptyCondition(is_empty=models.PayloadField(key=key))], []
        case Op.WORDS:
            return _words(condition, types), []
        case Op.EQ:
            return [_any(_equals(condition, key, field_type))], []
        case Op.NE:
            return [], _equals(condition, key, field_type)
        case _:
            return [_compare(condition, key, field_type)], []


def _any(alternatives: list[models.Condition]) -> models.Condition:
    return alternatives[0] if len(alternatives) == 1 else models.Filter(should=alternatives)


def _words(condition: Condition, types: FieldTypes) -> list[models.Condition]:
    field_type = require_indexed(condition.field, types, "'~'")
    if field_type is not FieldType.STRING or condition.field in FILE_FIELDS:
        raise FilterError(
            f"filter {condition.text!r}: '~' searches words in text, {condition.field} has none to search"
        )
    words = condition.values[0]
    if not any(c.isalnum() for c in words):
        raise FilterError(f"filter {condition.text!r} has no word to search for")
    return [models.FieldCondition(key=shadow_key(condition.field), match=models.MatchText(text=words))]


def _equals(condition: Condition, key: str, field_type: FieldType) -> list[models.Condition]:
    """One condition for each alternative (few, since equal kinds are merged into one "any of")."""
    if field_type is FieldType.STRING:
        return [models.FieldCondition(key=key, match=_match(list(condition.values)))]
    if field_type is FieldType.BOOL:
        chosen = [_boolean(condition, value) for value in condition.values]
        return [models.FieldCondition(key=key, match=models.MatchValue(value=value)) for value in chosen]
    return [_span(condition, key, field_type, value) for value in condition.values]


def _match(values: list[str]) -> models.Match:
    return models.MatchValue(value=values[0]) if len(values) == 1 else models.MatchAny(any=values)


def _span(condition: Condition, key: str, field_type: FieldType, value: str) -> models.Condition:
    """`10..50`, `..100`, `10..` or one value, on a field that has an order."""
    low, dots, high = value.partition("..")
    if not dots:
        low = high = value
    if not low and not high:
        raise FilterError(f"filter {condition.text!r}: a range needs a bound, as in {condition.field}=10..50")
    if field_type is FieldType.DATE:
        return models.FieldCondition(
            key=key,
            range=models.DatetimeRange(
                gte=_period(condition, low)[0] if low else None, **(_until(condition, high) if high else {})
            ),
        )
    exact = parse_cell(value, FieldType.INTEGER)
    if field_type is FieldType.INTEGER and isinstance(exact, int):
        return models.FieldCondition(key=key, match=models.MatchValue(value=exact))
    return models.FieldCondition(
        key=key,
        range=models.Range(
            gte=_number(condition, low) if low else None,
            lte=_number(condition, high) if high else None,
        ),
    )


def _compare(condition: Condition, key: str, field_type: FieldType) -> models.Condition:
    value, name = condition.values[0], _COMPARE[condition.op]
    if field_type.is_number:
        return models.FieldCondition(key=key, range=models.Range(**{name: _number(condition, value)}))
    if field_type is FieldType.DATE:
        start, end = _period(condition, value)
        bound: dict[str, datetime] = {
            "lt": {"lt": start},
            "gte": {"gte": start},
            "lte": {"lt": end} if end > start else {"lte": start},
            "gt": {"gte": end} if end > start else {"gt": start},
        }[name]
        return models.FieldCondition(key=key, range=models.DatetimeRange(**bound))
    raise FilterError(
        f"filter {condition.text!r}: {condition.field} is {field_type}, '{condition.op}' needs a number or a date"
    )


def _number(condition: Condition, text: str) -> float:
    value = parse_cell(text, FieldType.FLOAT)
    if not isinstance(value, float):
        raise FilterError(f"filter {condition.text!r}: {condition.field} is a number, {text!r} is none")
    return value


def _boolean(condition: Condition, text: str) -> bool:
    value = parse_cell(text, FieldType.BOOL)
    if not isinstance(value, bool):
        raise FilterError(f"filter {condition.text!r}: {condition.field} is true or false, {text!r} is neither")
    return value


def _until(condition: Condition, text: str) -> dict[str, datetime]:
    start, end = _period(condition, text)
    return {"lt": end} if end > start else {"lte": start}


_PERIODS: tuple[tuple[str, Callable[[date], date]], ...] = (
    (r"\d{4}", lambda day: date(day.year + 1, 1, 1)),
    (r"\d{4}-\d{2}", lambda day: (day.replace(day=28) + timedelta(days=4)).replace(day=1)),
    (r"\d{4}-\d{2}-\d{2}", lambda day: day + timedelta(days=1)),
)


def _period(condition: Condition, text: str) -> tuple[datetime, datetime]:
    """Start and end (exclusive) of the year, month or day that `text` names; start = end for a moment."""
    try:
        for pattern, following in _PERIODS:
            if re.fullmatch(pattern, text):
                first = date.fromisoformat((text + "-01-01")[:10])
                return datetime.combine(first, datetime.min.time()), datetime.combine(
                    following(first), datetime.min.time()
                )
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise FilterError(
            f"filter {condition.text!r}: {condition.field} is a date, {text!r} is none "
            "(write 2026, 2026-11 or 2026-11-21)"
        ) from None
    return moment, moment

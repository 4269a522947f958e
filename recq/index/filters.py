"""Compiles conditions into Qdrant's filter, with the fields' types. Pure; `recq.index.grammar` parses the text."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self

from qdrant_client import models

from recq import paths
from recq.commands import command
from recq.errors import FilterError
from recq.index.dates import moment_of
from recq.index.grammar import AnyOf, Condition, Where, parse_all
from recq.index.operators import Asks
from recq.index.predicted import Part, name_of, part_of
from recq.index.schema import (
    FILE_FIELDS,
    FLOAT_DIGITS,
    PATH_FIELDS,
    SEARCHED_FILE_FIELDS,
    UNINDEXED_FIELDS,
    FieldType,
    FieldTypes,
    nfc,
    parse_cell,
    payload_key,
    shadow_key,
)
from recq.index.words import asked_words
from recq.spelling import nearest

NO_ERROR = models.IsEmptyCondition(is_empty=models.PayloadField(key="error.reason"))
"""Matches items that were embedded: others never appear in an answer."""

NO_FILE = models.IsEmptyCondition(is_empty=models.PayloadField(key="file.source"))
"""Matches points that another program wrote without a `file`: they are no items, and appear in no answer."""

_BEYOND = {"lt": "gte", "lte": "gt"}
_LAST = datetime.max.replace(tzinfo=UTC)


def compile_filters(
    filters: Iterable[Where],
    types: FieldTypes,
    *,
    searched: Mapping[str, bool] | None = None,
) -> models.Filter:
    """All conditions and groups joined with AND, over items without an error.

    `searched` are the fields whose words are indexed, where that is known; False: as an older recq did it. Raises
    FilterError for an unknown field (naming the nearest), a value that does not fit the field's type, or an operator
    that the field does not have.
    """
    must: list[models.Condition] = [NO_ERROR]
    must_not: list[models.Condition] = [NO_FILE]
    for condition in parse_all(list(filters)):
        positive, negative = _compile(condition, types, searched)
        must += positive
        must_not += negative
    return models.Filter(must=must, must_not=must_not)


def without_own(compiled: models.Filter) -> models.Filter | None:
    """What somebody asked for, of what `compile_filters` made: recq's own conditions hold for all but a few points, and
    a server that estimates counts takes them to hold for two thirds. None where nothing was asked for."""
    must = [each for each in _listed(compiled.must) if each != NO_ERROR]
    must_not = [each for each in _listed(compiled.must_not) if each != NO_FILE]
    return models.Filter(must=must or None, must_not=must_not or None) if must or must_not else None


def conditions_of(compiled: models.Filter) -> list[models.Condition]:
    """What `compile_filters` joined with AND."""
    return [*_listed(compiled.must), *_listed(compiled.must_not)]


def alternatives_of(compiled: models.Filter) -> list[models.Condition]:
    """Those of which one has to hold."""
    return _listed(compiled.should)


def _listed(conditions: list[models.Condition] | models.Condition | None) -> list[models.Condition]:
    """The client's models take one condition for a list of one."""
    return [] if conditions is None else conditions if isinstance(conditions, list) else [conditions]


def known_name(name: str, types: FieldTypes) -> str:
    """The field that `name` names: names of metadata are stored composed (NFC), typed ones may not be."""
    return name if name in types else nfc(name)


def require_field(name: str, types: FieldTypes) -> FieldType:
    """The type of a field. Raises FilterError with the known fields and the nearest one."""
    known = {**types, **FILE_FIELDS, **UNINDEXED_FIELDS}
    name = known_name(name, types)
    if name in known:
        return known[name]
    shown = sorted(types)
    part = part_of(name)
    near = nearest(name, known, alike=0.6) if part is None else _near_predictions(part, known)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if part is not None and not near:
        hint = f"; {command('recq-ingest', 'run', 'FOLDER', '--predict', part.field)} makes predictions"
    listed = f"known fields: {', '.join(shown)}" if shown else "this catalog has no metadata fields"
    raise FilterError(f"unknown field {name!r}{hint} ({listed})")


def _near_predictions(part: Part, known: Iterable[str]) -> list[str]:
    """The predictions of fields with a similar name."""
    fields = [each.field for name in known if (each := part_of(name)) is not None and each.member == part.member]
    return [name_of(part._replace(field=field)) for field in nearest(part.field, fields, alike=0.6)]


def require_indexed(name: str, types: FieldTypes, purpose: str) -> FieldType:
    """Like `require_field`, refusing recq's own fields that have no index."""
    field_type = require_field(name, types)
    if name in UNINDEXED_FIELDS:
        raise FilterError(f"field {name!r} has no index: {purpose} cannot be answered for it")
    return field_type


def _compile(
    condition: Condition | AnyOf, types: FieldTypes, searched: Mapping[str, bool] | None
) -> tuple[list[models.Condition], list[models.Condition]]:
    """What must hold, and what must not."""
    if isinstance(condition, AnyOf):
        compiled = [_compile(each, types, searched) for each in condition.alternatives]
        should: list[models.Condition] = [
            models.Filter(must=positive or None, must_not=negative or None) for positive, negative in compiled
        ]
        return [models.Filter(should=should)], []
    asks = condition.op.asks
    if asks is Asks.WORDS:
        require_indexed(condition.field, types, f"'{condition.op}'")
    field = _Field.known(condition.field, types, searched)
    if field.type not in condition.op.types:
        raise _misfit(condition, field.type)
    if condition.op.negated:
        return [], _ALTERNATIVES[asks](condition, field)
    return [_any(_ALTERNATIVES[asks](condition, field))], []


@dataclass(frozen=True)
class _Field:
    """What a condition has to know of its field: its name as stored, type and payload key, and what has words."""

    name: str
    type: FieldType
    key: str
    searched: Mapping[str, bool] | None

    @classmethod
    def known(cls, name: str, types: FieldTypes, searched: Mapping[str, bool] | None) -> Self:
        """Raises FilterError."""
        known = known_name(name, types)
        return cls(known, require_field(name, types), payload_key(known), searched)


def _misfit(condition: Condition, field_type: FieldType) -> FilterError:
    """The field's type has nothing that the operator asks for."""
    op, field = condition.op, condition.field
    if op.asks is Asks.WORDS:
        return FilterError(f"filter {condition.text!r}: '{op}' searches words in text, {field} has none to search")
    return FilterError(f"filter {condition.text!r}: {field} is {field_type}, '{op}' needs a number or a date")


def _empty(_condition: Condition, field: _Field) -> list[models.Condition]:
    return [models.IsEmptyCondition(is_empty=models.PayloadField(key=field.key))]


def _any(alternatives: list[models.Condition]) -> models.Condition:
    return alternatives[0] if len(alternatives) == 1 else models.Filter(should=alternatives)


def _words(condition: Condition, field: _Field) -> list[models.Condition]:
    name = field.name
    if name in FILE_FIELDS and name not in SEARCHED_FILE_FIELDS:
        raise _misfit(condition, field.type)
    words = asked_words(condition.values[0])
    if not words:
        raise FilterError(f"filter {condition.text!r} has no word to search for")
    copies = SEARCHED_FILE_FIELDS.get(name, (name,))
    if field.searched is not None:
        if not field.searched.keys() >= set(copies):
            raise FilterError(
                f"filter {condition.text!r}: the words of {name} are not indexed yet, since an older recq made "
                f"this index: the next {command('recq-ingest', 'run')} brings it up to date"
            )
        if not all(field.searched[copy] for copy in copies):
            return [_has_words(name, condition.values[0])]
    if len(copies) == 1:
        return [_has_words(copies[0], " ".join(words))]
    return [models.Filter(must=[models.Filter(should=[_has_words(copy, word) for copy in copies]) for word in words])]


def _has_words(copy: str, words: str) -> models.Condition:
    return models.FieldCondition(key=shadow_key(copy), match=models.MatchText(text=words))


def _equals(condition: Condition, field: _Field) -> list[models.Condition]:
    """One condition for each alternative (few, since equal kinds are merged into one "any of")."""
    if field.type is FieldType.STRING:
        look_alike = paths.spellings if field.name in PATH_FIELDS else _forms
        values = dict.fromkeys(form for value in condition.values for form in look_alike(value))
        return [models.FieldCondition(key=field.key, match=_match(list(values)))]
    if field.type is FieldType.BOOL:
        chosen = [_boolean(condition, value) for value in condition.values]
        return [models.FieldCondition(key=field.key, match=models.MatchValue(value=value)) for value in chosen]
    return [_span(condition, field.key, field.type, value) for value in condition.values]


def _forms(value: str) -> Sequence[str]:
    """A value, composed and decomposed: what an older recq or another program wrote may be either."""
    return [value, nfc(value), unicodedata.normalize("NFD", value)]


def _match(values: list[str]) -> models.Match:
    return models.MatchValue(value=values[0]) if len(values) == 1 else models.MatchAny(any=values)


def _span(condition: Condition, key: str, field_type: FieldType, value: str) -> models.Condition:
    """`10..50`, `..100`, `10..` or one value, on a field that has an order."""
    low, dots, high = value.partition("..")
    if not dots:
        low = high = value
    if not low and not high:
        raise FilterError(f"filter {condition.text!r}: a range needs a bound, as in {condition.field}=10..50")
    if dots and low and high and _is_backwards(condition, field_type, low, high):
        raise FilterError(
            f"filter {condition.text!r}: no value is {low} or more and {high} or less: "
            f"write {condition.field}={high}..{low}"
        )
    if field_type is FieldType.DATE:
        return models.FieldCondition(
            key=key,
            range=models.DatetimeRange(
                gte=_period(condition, low)[0] if low else None, **(_until(condition, high) if high else {})
            ),
        )
    exact = parse_cell(value, FieldType.INTEGER)
    if (
        field_type is FieldType.INTEGER and isinstance(exact, int) and abs(exact) >= _MANY_DIGITS
    ):  # a range's ends are floats
        return models.FieldCondition(key=key, match=models.MatchValue(value=exact))
    return models.FieldCondition(
        key=key,
        range=models.Range(
            **(_at_least(_number(condition, low), field_type) if low else {}),
            **(_at_most(_number(condition, high), field_type, high) if high else {}),
        ),
    )


def _is_backwards(condition: Condition, field_type: FieldType, low: str, high: str) -> bool:
    """Whether a range ends before it begins."""
    if field_type is FieldType.DATE:
        start, until = _period(condition, low)[0], _until(condition, high)
        return start >= until["lt"] if "lt" in until else start > until["lte"]
    return _number(condition, low) > _number(condition, high)


def spans_of(condition: Condition, types: FieldTypes) -> list[tuple[Any, Any]]:
    """The ranges of a field of numbers or dates that a condition holds for, from the first value to the last.

    None for an end that is open. Raises FilterError.
    """
    positive, _ = _compile(condition, types, None)
    spans: list[tuple[Any, Any]] = []
    for each in positive:
        for one in each.should or [] if isinstance(each, models.Filter) else [each]:
            if isinstance(one, models.FieldCondition) and one.range is not None:
                low, high = (
                    next((end for name in names if (end := getattr(one.range, name)) is not None), None)
                    for names in (("gte", "gt"), ("lte", "lt"))
                )
                spans.append((low, high))
            elif isinstance(one, models.FieldCondition) and isinstance(one.match, models.MatchValue):
                spans.append((one.match.value, one.match.value))
    return spans


_BEYOND_ALL = 2**63
"""The first integer that has more than 64 bits."""


_MANY_DIGITS = 10**FLOAT_DIGITS


def _at_least(number: float, field_type: FieldType) -> dict[str, float]:
    """The lower end of a range of numbers, itself in.

    A server reads numbers of 17 digits with an error in the last: where the number before has fewer, more than that is
    meant.
    """
    before = math.nextafter(number, -math.inf)
    shifted = field_type is FieldType.FLOAT and len(repr(before)) < len(repr(number))
    return {"gt": before} if shifted else {"gte": number}


def _at_most(number: float, field_type: FieldType, text: str) -> dict[str, float]:
    """The upper end, itself in; likewise less than the number that follows.

    Long integers have their neighbours, too, where a float has these and not them.
    """
    if field_type is FieldType.FLOAT:
        following = math.nextafter(number, math.inf)
        return {"lt": following} if len(repr(following)) < len(repr(number)) else {"lte": number}
    value = parse_cell(text, FieldType.INTEGER)
    if not isinstance(value, int) or abs(value) < _MANY_DIGITS:
        return {"lte": number}
    following = float(value + 1)
    shifted = int(following) == value + 1 < _BEYOND_ALL
    return {"lt": following} if shifted else {"lte": number}


def _compare(condition: Condition, field: _Field) -> list[models.Condition]:
    value, name = condition.values[0], str(condition.op.asks)
    if field.type is not FieldType.DATE:
        return [models.FieldCondition(key=field.key, range=models.Range(**{name: _number(condition, value)}))]
    start, end = _period(condition, value)[0], _until(condition, value)
    bound = {
        "lt": {"lt": start},
        "gte": {"gte": start},
        "lte": end,
        "gt": {_BEYOND[kind]: moment for kind, moment in end.items()},
    }[name]
    return [models.FieldCondition(key=field.key, range=models.DatetimeRange(**bound))]


_ALTERNATIVES: Mapping[Asks, Callable[[Condition, _Field], list[models.Condition]]] = {
    Asks.EQUAL: _equals,
    Asks.LESS: _compare,
    Asks.AT_MOST: _compare,
    Asks.MORE: _compare,
    Asks.AT_LEAST: _compare,
    Asks.WORDS: _words,
    Asks.NO_VALUE: _empty,
}
"""What each operator asks, as conditions of which one has to hold (none of them, where the operator is negated)."""


def _number(condition: Condition, text: str) -> float:
    value = parse_cell(text, FieldType.INTEGER)  # an integer, or any other number
    if isinstance(value, str):
        if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", text):
            near = float(text)
            write = f": write {near!r}" if math.isfinite(near) else ""
            raise FilterError(f"filter {condition.text!r}: {text} is more than a number of 64 bits holds{write}")
        raise FilterError(f"filter {condition.text!r}: {condition.field} is a number, {text!r} is none")
    return float(value)


def _boolean(condition: Condition, text: str) -> bool:
    value = parse_cell(text, FieldType.BOOL)
    if not isinstance(value, bool):
        raise FilterError(f"filter {condition.text!r}: {condition.field} is true or false, {text!r} is neither")
    return value


def _until(condition: Condition, text: str) -> dict[str, datetime]:
    """The bound that takes in what `text` names and all before it."""
    start, end = _period(condition, text)
    return {"lt": end} if start < end < _LAST else {"lte": end}


_PERIODS: tuple[tuple[str, Callable[[date], date]], ...] = (
    (r"[0-9]{4}", lambda day: date(day.year + 1, 1, 1)),
    (r"[0-9]{4}-[0-9]{2}", lambda day: (day.replace(day=28) + timedelta(days=4)).replace(day=1)),
    (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", lambda day: day + timedelta(days=1)),
)


def _period(condition: Condition, text: str) -> tuple[datetime, datetime]:
    """Start and end (exclusive) of the year, month or day that `text` names; start = end for a moment. All in UTC."""
    for pattern, following in _PERIODS:
        if re.fullmatch(pattern, text) and (start := moment_of((text + "-01-01")[:10])) is not None:
            try:
                day = following(start.date())
            except (ValueError, OverflowError):  # it ends with the year 9999
                return start, _LAST
            return start, datetime(day.year, day.month, day.day, tzinfo=UTC)
    moment = moment_of(text)
    if moment is None:
        raise FilterError(
            f"filter {condition.text!r}: {condition.field} is a date, {text!r} is none "
            "(write 2026, 2026-11, 2026-11-21 or 2026-11-21T12:00)"
        )
    return moment, moment

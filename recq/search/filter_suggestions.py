"""Suggestions for a filter that no item matches: values of the field or of another field, words, ranges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from recq.errors import FilterError, IndexPending
from recq.index.filters import known_name, require_field, spans_of
from recq.index.grammar import AnyOf, Condition, escape, escape_field, filter_for
from recq.index.operators import Op
from recq.index.schema import FILE_FIELDS, PATH_FIELDS, FieldType
from recq.index.words import asked_words, stored_words
from recq.spelling import nearest, nearest_paths, one_of

if TYPE_CHECKING:
    from recq.index.catalog import Catalog

MOST_VALUES = 100_000
"""The most values of a field, or paths, that a misspelt value is compared with."""

MOST_FIELDS = 64
"""The most other fields in which a value is looked up."""

_LISTED = 8  # a field with at most so many values has all of them listed where none is alike
_SOME = 3  # values that are listed of more
_LONGEST = 60  # characters of a listed value
_MUCH_ALIKE = 0.8  # such a value of the same field is suggested before the exact value of another field
_ALIKE = 0.6  # from this likeness on a value or a word is suggested: a person decides


@dataclass(frozen=True)
class Suggestion:
    """A filter that finds items, and its part that is shown: only the value where the field was right."""

    filter: str
    shown: str


@dataclass(frozen=True)
class Meant:
    """The suggestions; where there are none, `known` describes the field's range or values."""

    suggestions: tuple[Suggestion, ...] = ()
    known: str = ""


NOTHING = Meant()


def suggestions_for(catalog: Catalog, condition: Condition | AnyOf) -> Meant:
    """Suggestions for a filter, or for a group of alternatives, that no item matches.

    None while the index that they need is still being built.
    """
    if isinstance(condition, AnyOf):
        each = [suggestions_for(catalog, one) for one in condition.alternatives]
        whole = tuple(replace(s, shown=s.filter) for meant in each for s in meant.suggestions)
        return Meant(whole, "; ".join(dict.fromkeys(meant.known for meant in each if meant.known)))
    if condition.op not in (Op.EQ, Op.WORDS, Op.LT, Op.LE, Op.GT, Op.GE):
        return NOTHING
    with suppress(IndexPending, FilterError):
        field_type = require_field(condition.field, catalog.fields.types())
        if condition.op is Op.WORDS:
            return _words(catalog, condition)
        if field_type is FieldType.STRING and condition.op is Op.EQ:
            return _texts(catalog, condition)
        if field_type is FieldType.BOOL and condition.op is Op.EQ:
            rows = catalog.values.facets(condition.field).rows
            return Meant(known=_listed(condition.field, [value for value, _ in rows]))
        if field_type.is_number or field_type is FieldType.DATE:
            return _ranges(catalog, condition)
    return NOTHING


# -- texts -----------------------------------------------------------------------------------------------------------


def _texts(catalog: Catalog, condition: Condition) -> Meant:
    """Similar values of the same field, the same value of another field, words of the field."""
    values = _values(catalog, condition.field)
    if values is None:
        return NOTHING
    if condition.field in PATH_FIELDS:
        near = [each for value in condition.values for each in nearest_paths(value, values, 2)]
    else:
        near = [each for value in condition.values for each in nearest(value, values, alike=_MUCH_ALIKE)]
    found = [] if near else [text for value in condition.values for text in _elsewhere(catalog, condition.field, value)]
    if not near and not found:
        near = [each for value in condition.values for each in nearest(value, values, alike=_ALIKE)]
    meant = [Suggestion(filter_for(condition.field, each), escape(each)) for each in near]
    meant += [Suggestion(text, text) for text in found]
    return Meant(tuple(dict.fromkeys(meant))) if meant else Meant(known=_listed(condition.field, values))


def _elsewhere(catalog: Catalog, field: str, value: str) -> Iterator[str]:
    """Filters on the field's words, or on other fields, that find items with that value."""
    words = Condition(field, Op.WORDS, (value,))
    with suppress(IndexPending, FilterError):
        if catalog.items.count([words]):
            yield f"{escape_field(field)}~{escape(value)}"
            return
    types = catalog.fields.types()
    others = [name for name in (*sorted(types), "file.format", "file.source") if name != known_name(field, types)]
    texts: list[str] = []
    for name in others[:MOST_FIELDS]:
        with suppress(IndexPending, FilterError):
            if catalog.items.count([Condition(name, Op.EQ, (value,))]):
                yield filter_for(name, value)
                return
            if require_field(name, types) is FieldType.STRING:
                texts.append(name)
    for name in texts[:_LISTED]:
        with suppress(IndexPending, FilterError):
            near = nearest(value, _values(catalog, name) or (), alike=0.9)
            if near:
                yield filter_for(name, near[0])
                return


def _values(catalog: Catalog, field: str) -> list[str] | None:
    """The values of a text field, the most frequent first; None for a field whose values nobody types."""
    name = known_name(field, catalog.fields.types())
    if name in ("file.name", "file.path"):
        paths = [path for _, (_, path) in zip(range(MOST_VALUES), catalog.lookups.places(), strict=False)]
        return list(dict.fromkeys(path.rpartition("/")[2] for path in paths)) if name == "file.name" else paths
    if name == "file.sha256" or (name in FILE_FIELDS and not name.startswith("file.")):
        return None
    return [value for value, _ in catalog.values.facets(name, limit=MOST_VALUES).rows]


def _listed(field: str, values: list[str]) -> str:
    if not values:
        return f"no item has a {field}"
    if len(values) > _LISTED:
        some = one_of([_short(escape(each)) for each in values[:_SOME]], "and")
        return f"{field} has {len(values):,} values, such as {some}"
    return f"there is {one_of([_short(each) for each in sorted(map(escape, values))], 'and')}"


def _short(text: str) -> str:
    """A listed value; of a long one the beginning."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1].rstrip()}…"


# -- words -----------------------------------------------------------------------------------------------------------


def _words(catalog: Catalog, condition: Condition) -> Meant:
    """Unknown words replaced by similar known ones; where all words are known, the number of items with each."""
    field, words = condition.field, asked_words(condition.values[0])
    counts = {word: catalog.items.count([Condition(field, Op.WORDS, (word,))]) for word in dict.fromkeys(words)}
    if all(counts.values()):
        each = one_of([f"{word} ({count:,})" for word, count in counts.items()], "and")
        return Meant(known=f"no item has all of these words, {each}")
    known = {word for value in _values(catalog, field) or () for word in stored_words(value).split()}
    near = {word: nearest(word, known, alike=_ALIKE) for word, count in counts.items() if not count}
    if not all(near.values()):
        return NOTHING
    meant = " ".join(word if counts[word] else near[word][0] for word in words)
    if not catalog.items.count([Condition(field, Op.WORDS, (meant,))]):
        return NOTHING
    return Meant((Suggestion(f"{escape_field(field)}~{escape(meant)}", meant),))


# -- numbers and dates -----------------------------------------------------------------------------------------------


def _ranges(catalog: Catalog, condition: Condition) -> Meant:
    """The range of the field's values; for a gap within that range the nearest values on both sides."""
    field = condition.field
    found = catalog.values.extremes(field)
    if found is None:
        return Meant(known=f"no item has a {field}")
    least, most = found
    whole = f"{field} is from {_told(least)} to {_told(most)}" if least != most else f"every {field} is {_told(most)}"
    around: list[str] = []
    for low, high in spans_of(condition, catalog.fields.types()):
        if low is None or high is None or not (least <= low and high <= most):
            return Meant(known=whole)
        below, above = catalog.values.around(field, low, high)
        if below is None or above is None:
            return Meant(known=whole)
        around += [_told(below), _told(above)]
    if not around:
        return Meant(known=whole)
    nearby = list(dict.fromkeys(around))
    return Meant(known=f"the nearest {'is' if len(nearby) == 1 else 'are'} {one_of(nearby, 'and')}")


def _told(value: float | datetime) -> str:
    if isinstance(value, datetime):
        if (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0):
            return value.date().isoformat()
        return f"{value.replace(tzinfo=None).isoformat()}Z"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)

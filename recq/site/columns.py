"""Which fields of a catalog go out with a site, and in which form: what is left out is in no file of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recq.display.table import FIRST_FIELDS, KIND_FIELDS, TITLE_FIELDS
from recq.index.field_value import field_value
from recq.index.filters import known_name, require_field
from recq.index.schema import EXACT, FieldType, FieldTypes, elements
from recq.paths import printable

PATH = "file.path"
"""A path within its source, which an item is named by where it has no title."""

SOURCE = "file.source"


@dataclass(frozen=True)
class Column:
    """A field that goes out."""

    name: str
    type: FieldType


def columns_of(
    types: FieldTypes, sources: int, fields: Sequence[str] | None = None, without: Iterable[str] = ()
) -> tuple[Column, ...]:
    """The chosen `fields`, else all metadata, what items are called and are first, then the path and, where there are
    several, the source; none of `without`.

    Raises FilterError for an unknown field: one that was to be left out and is misspelt would go out.
    """
    if fields is None:
        first = [name for name in (*TITLE_FIELDS, *KIND_FIELDS, *FIRST_FIELDS) if name in types]
        names = [*dict.fromkeys([*first, *sorted(types)]), PATH, *([SOURCE] if sources > 1 else [])]
    else:
        names = [known_name(name, types) for name in fields]
    kept = {name: require_field(name, types) for name in names}
    for name in without:
        require_field(name, types)
        kept.pop(known_name(name, types), None)
    return tuple(Column(name, kind) for name, kind in kept.items())


def metadata_of(columns: Sequence[Column]) -> list[str]:
    """The fields among them that are read from an index besides its `file`."""
    return [each.name for each in columns if not each.name.startswith("file.")]


def values_of(payload: Mapping[str, Any], columns: Sequence[Column]) -> list[list[Any]]:
    """What an item has, as pairs of a column's number and a value: no name of a field becomes a key in the page."""
    found = ((number, field_value(payload, column.name)) for number, column in enumerate(columns))
    return [[number, _plain(value)] for number, value in found if value not in (None, [])]


def _plain(value: Any) -> Any:
    return [_scalar(each) for each in elements(value)] if isinstance(value, list) else _scalar(value)


def _scalar(value: Any) -> Any:
    """As JavaScript takes it without a loss: text printable, an integer that no float has exactly as text."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT:
        return str(value)
    return value

"""What collected tags amount to: what each item gets, the patch of each source, whether a tag can be given. Pure.

A patch says of an item what its taggings make of the values that it has now: so it is the same patch after it has taken
effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recq.errors import UsageError
from recq.evaluate.evaluate import labels_of
from recq.index.cells import FILE_COLUMN, values_cell, values_in
from recq.index.dates import moment_of
from recq.index.schema import FieldType, FieldTypes, Item, field_problem, nfc
from recq.index.taggings import How, Tagging, revised
from recq.learn.patch import LabelPatch, PatchRow, table_of
from recq.paths import printable

MOST_ITEMS = 1_000
"""Items of one tagging."""

MOST_COLLECTED = 5_000
"""Tags of items that are collected at a time: some 200 kB beside the catalog, which each consumer reads."""

ByItem = Mapping[str, Mapping[str, Sequence[Tagging]]]
"""Taggings by item and field, in their order."""


def by_item(taggings: Sequence[Tagging]) -> ByItem:
    """The taggings that change something, by what they are about."""
    found: dict[str, dict[str, list[Tagging]]] = {}
    for each in taggings:
        if each.how is How.RIGHT:
            continue
        for item in each.items:
            found.setdefault(item, {}).setdefault(each.field, []).append(each)
    return found


def settled(tagged: ByItem, taggings: Sequence[Tagging], item: str, field: str, values: tuple[str, ...]) -> bool:
    """Whether somebody has decided about an item whose field has these values."""
    right = (each for each in taggings if each.how is How.RIGHT and each.field == field and item in each.items)
    return field in tagged.get(item, {}) or any(each.values == values for each in right)


@dataclass(frozen=True)
class Collected:
    """The patches of all sources; how many items they `change` as things are now, and how many tagged ones are `gone`.

    The others have what they say already.
    """

    patches: Sequence[LabelPatch]
    changes: int
    gone: int


def collected(taggings: Sequence[Tagging], items: Mapping[str, Item], lists: frozenset[str]) -> Collected:
    """What the taggings amount to. `items` are the tagged ones that there are, by id; `lists` the fields of lists."""
    tagged = by_item(taggings)
    rows: dict[str, list[tuple[Item, PatchRow]]] = {}
    changes = 0
    for id_, fields in tagged.items():
        item = items.get(id_)
        if item is None:
            continue
        now = {name: labels_of(item, name) for name in fields}
        then = {name: revised(now[name], each) for name, each in fields.items()}
        changes += now != then
        rows.setdefault(item.file.source, []).append((item, PatchRow(item.file.path, then)))
    made = [_patch_of(source, found, lists) for source, found in sorted(rows.items())]
    return Collected(made, changes, sum(each not in items for each in tagged))


def _patch_of(source: str, rows: Sequence[tuple[Item, PatchRow]], lists: frozenset[str]) -> LabelPatch:
    named = sorted({name for _, row in rows for name in row.values})
    several = {name for _, row in rows for name, values in row.values.items() if len(values) > 1}
    writable = [row for item, row in sorted(rows, key=lambda each: each[1].path) if not item.file.encoded]
    data, left_out = table_of({name: name in lists or name in several for name in named}, writable)
    lost = [row.path for item, row in rows if item.file.encoded]  # no table has a name that is no text
    return LabelPatch(source, len(writable) - len(left_out), data, (*left_out, *lost))


# ---- a tag as it is typed --------------------------------------------------------------------------------------------


def field_of(typed: str, types: FieldTypes) -> str:
    """The field that is meant, also one that no item has yet. Raises UsageError for one that none can have."""
    name = nfc(typed.strip())
    if name in types and field_problem(name) is None:
        return name
    problem = "is what a table calls its files" if name.casefold() == FILE_COLUMN else field_problem(name)
    if problem is not None:
        raise UsageError(f"the field {printable(name)!r} {problem}" if name else "name the field that is to be tagged")
    return name


def values_of(typed: str, field: str, types: FieldTypes) -> tuple[str, ...]:
    """The values that are meant, `|` between those of a list, as in a table. Raises UsageError for what none can be."""
    values = tuple(dict.fromkeys(map(nfc, values_in(typed))))
    for each in values:
        if not each.isprintable() or values_cell([each], as_list=False) is None:
            raise UsageError(f"{printable(each)!r} is no value that a cell of a table can have")
        if not _fits(each, types.get(field)):
            raise UsageError(
                f"{printable(each)!r} is no value of {printable(field)}, which holds {_HOLDS[types[field]]}: no filter "
                "would find it"
            )
    return values


_HOLDS = {
    FieldType.BOOL: "true or false",
    FieldType.INTEGER: "integers",
    FieldType.FLOAT: "numbers",
    FieldType.DATE: "dates",
    FieldType.STRING: "text",
}


_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def _fits(text: str, kind: FieldType | None) -> bool:
    if kind is FieldType.BOOL:
        return text.lower() in ("true", "false")
    if kind is FieldType.DATE:
        return moment_of(text) is not None
    if kind is FieldType.INTEGER:
        return _INTEGER.fullmatch(text) is not None
    return kind is not FieldType.FLOAT or _NUMBER.fullmatch(text) is not None

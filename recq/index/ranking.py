"""Turns points in an engine's order into rows in recq's order: ties by path, same bytes and groups folded. Pure.

An engine is asked for the first N points with little more than their ids. Among equal ones it chooses any, in any
order, so only the rows before the last value are certain; for more, a larger N is asked for. Rows are folded only when
they are certain, so that a page depends neither on earlier requests nor on the engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from recq.index.dates import moment_of
from recq.index.field_value import field_value
from recq.index.schema import FACTS, FieldType, Scalar, Value, elements, fits, payload_key, require_facts

DEEPEST = 100_000
"""Points of a ranking that are looked at, and matching rows that are read to be put in order: a second or two."""

_GROWTH = 4

SAME = "file.sha256"
"""What items of the same bytes have in common."""

FAILED = "error.reason"
"""What only failed items have. A point with a vector has it where another program changed the payload."""


class Row(NamedTuple):
    """One point, its payload not read yet. `value` is its sort key: a score, a distance, a field's value.

    Rows of one ranking have values of one kind, all the same where only paths count. `group` is None where the item
    has no such field. `foreign`: another program wrote the point, it is no item, and `fold` skips it; until then
    it counts, since an engine that gave as many points as it was asked for has perhaps more. `payload` is there where
    it was read whole.
    """

    id: str
    place: tuple[str, str]
    value: Any = 0
    sha256: str | None = None
    group: str | None = None
    foreign: bool = False
    payload: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Grown:
    """The certain rows of a ranking, ordered; `whole`: there are no more; `cut`: more were not looked at."""

    rows: Sequence[Row]
    whole: bool
    cut: bool


class Own(NamedTuple):
    """What is left out of the answer because it belongs to the examples: their groups (`Row.group`), their bytes, and
    items that they show a region of, by id."""

    groups: frozenset[str] = frozenset()
    digests: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()

    def has(self, row: Row) -> bool:
        """Whether a row belongs to the examples."""
        return row.group in self.groups or row.sha256 in self.digests or row.id in self.ids


NOTHING_OWN = Own()
"""Leaves out no row."""


class Folded(NamedTuple):
    """A row and how many items of the same bytes it stands for, itself included."""

    row: Row
    copies: int = 1


def payload_keys(*fields: str | None) -> list[str]:
    """The part of a payload that `row_of` reads, and that of further fields."""
    return [
        *(f"file.{name}" for name in FACTS),
        SAME,
        FAILED,
        *dict.fromkeys(payload_key(field) for field in fields if field is not None),
    ]


def row_of(point: Any, value: Any, group_by: str | None, *, whole: bool = False) -> Row:
    """The row of a record or scored point that was read with `payload_keys(group_by)`, or with its `whole` payload."""
    payload = point.payload or {}
    try:
        file = require_facts(payload.get("file"))
    except (KeyError, TypeError):
        return Row(str(point.id), ("", ""), value, foreign=True)
    failed = payload.get("error")
    if isinstance(failed, Mapping) and failed.get("reason") is not None:
        return Row(str(point.id), ("", ""), value, foreign=True)
    group = None if group_by is None else group_of(field_value(payload, group_by))
    kept = payload if whole else None
    digest = file.get("sha256")
    bytes_of = digest if isinstance(digest, str) else None
    return Row(str(point.id), (file["path"], file["source"]), value, bytes_of, group, payload=kept)


def group_of(value: Value | None) -> str | None:
    """The key of a row's group: equal for equal values, such as 65 and 65.0; a list is one value."""
    if value is None or value == []:
        return None
    plain = [int(each) if isinstance(each, float) and each.is_integer() else each for each in elements(value)]
    return json.dumps(plain if isinstance(value, list) else plain[0])


def ordered(rows: Iterable[Row], *, descending: bool) -> list[Row]:
    """By value, ties by path; each point once, where it comes first."""
    by_place = sorted(rows, key=lambda row: row.place)
    by_value = sorted(by_place, key=lambda row: row.value, reverse=descending)  # stable, reversed or not
    first: dict[str, Row] = {}
    for row in by_value:
        first.setdefault(row.id, row)
    return list(first.values())


def certain(rows: Sequence[Row], *, exhausted: bool) -> Sequence[Row]:
    """The rows of the engine's first ones whose places are certain, ordered: all where the engine had no more."""
    if exhausted or not rows:
        return rows
    last = rows[-1].value
    return [row for row in rows if row.value != last]


def first_limit(need: int, deepest: int | None = None) -> int:
    """How many points to ask for first, so that `need` rows are usually certain: some may be copies, one is a tie.

    Each costs 0.1 ms where payloads are read whole: three fewer took a tenth off a question about a small index. Where
    they do not suffice, one more request does.
    """
    return min(need + need // 4 + 2, DEEPEST if deepest is None else deepest)


def grown(
    fetch: Callable[[int], Sequence[Row]],
    first: Sequence[Row],
    need: int,
    *,
    keep_duplicates: bool,
    descending: bool,
    own: Own = NOTHING_OWN,
    deepest: int | None = None,
) -> Grown:
    """Enough certain rows for `need` folded ones. `first` is what `fetch(first_limit(need, deepest))` gave.

    `fetch(limit)` gives the engine's first `limit` points, fewer only where there are no more. At `deepest`
    (`DEEPEST` where it is None) it ends.
    """
    last = DEEPEST if deepest is None else deepest
    limit, fetched = first_limit(need, deepest), first
    while True:
        exhausted = len(fetched) < limit
        rows = ordered(fetched, descending=descending)
        sure = certain(rows, exhausted=exhausted)
        if exhausted or len(fold(sure, keep_duplicates=keep_duplicates, own=own)) >= need:
            return Grown(sure, exhausted, cut=False)
        if limit >= last:
            return Grown(rows, whole=False, cut=True)
        limit = min(limit * _GROWTH, last)
        fetched = fetch(limit)


def fold(rows: Iterable[Row], *, keep_duplicates: bool, own: Own = NOTHING_OWN) -> list[Folded]:
    """The first row of each group; where there is none, the first of each file content, unless those are kept.

    Two groups never fold into one: two products may share a picture. What belongs to the examples is skipped.
    """
    first: dict[tuple[str, str], Row] = {}
    copies: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.foreign or own.has(row):
            continue
        key = _identity(row, keep_duplicates)
        kept = first.setdefault(key, row)
        same = not keep_duplicates and row.sha256 is not None and row.sha256 == kept.sha256
        copies[key] = copies.get(key, 0) + 1 if same else copies.get(key, 1)
    return [Folded(row, copies[key]) for key, row in first.items()]


def _identity(row: Row, keep_duplicates: bool) -> tuple[str, str]:
    if row.group is not None:
        return "group", row.group
    if row.sha256 is not None and not keep_duplicates:
        return "bytes", row.sha256
    return "item", row.id


def sort_value(value: Value | None, field_type: FieldType, *, descending: bool) -> Any:
    """The sort key of a field's value; None for a value that comes last.

    A list is sorted by its first element in the order. Text is sorted without case, then exactly; a date
    without a zone is UTC, as in filters.
    """
    if value is None:
        return None
    keys = [_sort_key(each, field_type) for each in elements(value) if fits(each, field_type)]
    return (max(keys) if descending else min(keys)) if keys else None


def _sort_key(scalar: Scalar, field_type: FieldType) -> Any:
    if field_type is FieldType.STRING:
        return str(scalar).casefold(), scalar
    if field_type is FieldType.DATE:
        return moment_of(str(scalar))
    return scalar

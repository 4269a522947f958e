"""Patches: tables beside `metadata.csv` that change some fields of some items, and win over everything else.

A patch is a file `metadata.NAME.csv` in the source's root (`recq.index.patch_names`). Patches come after the table,
plug-ins and sidecars, in the order of their names, and of two that say something about a field of an item the later one
holds. An empty cell says nothing, `recq.index.cells.REMOVED` takes the field away. Everything here is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ingest.source.table import MetadataTable
from recq.index.schema import FieldTypes, Metadata, Value

Patched = Mapping[str, Value | None]
"""What patches say about an item: the values of fields, None for those that they take away."""


def patched(said: Iterable[tuple[Metadata, Collection[str]]]) -> Patched:
    """What patches say about an item together: the values and the fields taken away of each, the one that wins last."""
    merged: dict[str, Value | None] = {}
    for values, removed in said:
        merged |= {**dict.fromkeys(removed, None), **values}
    return merged


@dataclass(frozen=True)
class Tables:
    """All tables of a source: `own` is `metadata.csv` or the one that was named; `patches` in their order."""

    own: MetadataTable = field(default_factory=MetadataTable)
    patches: tuple[MetadataTable, ...] = ()

    @property
    def all(self) -> tuple[MetadataTable, ...]:
        """The table, then the patches."""
        return (self.own, *self.patches)

    @cached_property
    def types(self) -> FieldTypes:
        """The type of each column that has a value in any of them: all tables agree."""
        return {name: kind for table in self.all for name, kind in table.types.items()}

    def patched(self, row_of: Callable[[MetadataTable], str | None]) -> Patched:
        """What the patches say about the item whose row in a table is `row_of(table)`."""
        rows = [(table, row) for table in self.patches if (row := row_of(table)) is not None]
        return patched((table.rows[row], table.removed.get(row, ())) for table, row in rows)

    def last_on(self, name: str, row_of: Callable[[MetadataTable], str | None]) -> tuple[MetadataTable, str] | None:
        """The patch whose word on a field of that item holds, with its row; None where no patch says anything."""
        for table in reversed(self.patches):
            row = row_of(table)
            if row is not None and (name in table.rows[row] or name in table.removed.get(row, ())):
                return table, row
        return None

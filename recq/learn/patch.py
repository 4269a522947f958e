"""Labels as a patch: a table that people look at, edit and put into the source's root.

`ingest.source.patches` reads it: a column `file`, a column for each field, nothing else. It is UTF-8 with a byte order
mark, without which spreadsheet programs take names for something else.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recq.errors import UsageError
from recq.index.cells import FILE_COLUMN, REMOVED, file_cell, values_cell
from recq.index.grammar import escape
from recq.learn.label_findings import LabelFinding, LabelFindings
from recq.output import replaced
from recq.paths import printable

_NAMED = 3  # sources that a message names


@dataclass(frozen=True)
class PatchRow:
    """A file by its path relative to the source's root, and the values that its fields should have: none takes a field
    away; of a field that is missing nothing is said."""

    path: str
    values: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class LabelPatch:
    """The patch of a source, as bytes, with `rows` rows. `left_out` are files with values that no cell can have."""

    source: str
    rows: int
    data: bytes
    left_out: tuple[str, ...]


def write_patch(found: LabelFindings, path: Path) -> LabelPatch:
    """Write the findings as a patch to `path`, whole or not at all.

    Raises UsageError where they are of several sources, where there are none, and for a path that cannot be written.
    """
    patch = patch_of(found)
    with replaced(path, "--patch") as file:
        file.write(patch.data)
    return patch


def patch_of(found: LabelFindings) -> LabelPatch:
    """The findings as a patch; several about one item become one row. Raises UsageError as `write_patch` does."""
    sources = list(dict.fromkeys(each.result.source for each in found.findings))
    if not sources:
        raise UsageError("there is nothing to write into a patch")
    if len(sources) > 1:
        named = ", ".join(map(printable, sorted(sources)[:_NAMED])) + (" and others" if len(sources) > _NAMED else "")
        raise UsageError(
            f"a patch is for one source, and these items are of {len(sources)}, {named}: "
            f"choose with --filter 'file.source={escape(sorted(sources)[0])}'"
        )
    by_item: dict[str, list[LabelFinding]] = {}
    for each in found.findings:
        by_item.setdefault(each.result.id, []).append(each)
    rows = [_row(found, each) for each in by_item.values()]
    data, left_out = table_of({found.field: found.as_lists}, rows)
    return LabelPatch(sources[0], len(rows) - len(left_out), data, left_out)


def _row(found: LabelFindings, of_item: Sequence[LabelFinding]) -> PatchRow:
    first = of_item[0]
    if first.unknown:
        return PatchRow(first.result.within, {})  # a row to be filled by hand
    removed = frozenset(label for each in of_item for label in each.removed)
    added = [label for each in of_item for label in each.added]
    return PatchRow(first.result.within, {found.field: found.rules.revised(first.values, removed, added)})


def table_of(fields: Mapping[str, bool], rows: Sequence[PatchRow]) -> tuple[bytes, tuple[str, ...]]:
    """The bytes of the table, and the paths of the rows that are left out, since no cell has their values.

    `fields` are its columns, each with whether it holds lists.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")  # so that cells with either character are quoted
    writer.writerow([FILE_COLUMN, *fields])
    left_out = []
    for row in rows:
        cells = [_cell(row.values.get(field), as_list=as_list) for field, as_list in fields.items()]
        if None in cells:
            left_out.append(row.path)
        else:
            writer.writerow([file_cell(row.path), *cells])
    return codecs.BOM_UTF8 + out.getvalue().encode(), tuple(left_out)


def _cell(values: tuple[str, ...] | None, *, as_list: bool) -> str | None:
    """What a cell says of these values; None where no cell has them."""
    if values is None:
        return ""
    return values_cell(values, as_list=as_list) if values else REMOVED

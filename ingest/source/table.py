"""Reads `metadata.csv`: typed metadata of each file. A table is read whole and then never changes.

The column `file` names the file, relative to the source's root; every other column is a field. Types belong to
columns, not to cells, and `|` separates the values of a list (`\\|` is a bar). Only a table without a column `file` is
refused: a row, a column or a cell that cannot be used is left out and listed with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ingest.source.dialect import FILE_COLUMN, Record, is_file_column, records, unreadable
from ingest.source.number_style import NumberStyle, number_style
from recq.index.problems import Problem, ProblemKind
from recq.index.schema import FieldType, FieldTypes, Metadata, Scalar, column_type, field_problem, nfc, parse_cell
from recq.paths import printable

TABLE_NAME = "metadata.csv"
"""The table that is read when it stands in a source's root."""

_BAR = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class MetadataTable:
    """The rows by `file` (text form of `recq.paths`), their lines, and the type of each column that has a value.

    `problems` are what was left out, by line. `plain` leads from the plain form of a row's `file` (slashes, no spaces
    around it, Unicode's NFC) to the row, where that is another.
    """

    types: FieldTypes = field(default_factory=dict)
    rows: Mapping[str, Metadata] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    plain: Mapping[str, str] = field(default_factory=dict)

    def row_of(self, path: str) -> str | None:
        """The `file` of the row for the file at `path`: exactly its path, else the path in another form."""
        return path if path in self.rows else self.plain.get(_plain(path))


@dataclass(frozen=True)
class _Column:
    name: str
    at: int


@dataclass(frozen=True)
class _Row:
    line: int
    cells: Sequence[str]


class _Problems:
    """What is left out of the table called `name`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: list[Problem] = []

    def add(self, kind: ProblemKind, line: int, what: str, column: str | None = None) -> None:
        detail = f"{self._name}:{line}: {what}"
        self._found.append(Problem(kind, detail, path=self._name, field=column, line=line))

    def by_line(self) -> tuple[Problem, ...]:
        return tuple(sorted(self._found, key=lambda problem: problem.line or 0))


def read_table(data: bytes, name: str, known: FieldTypes) -> MetadataTable:
    """The table in the bytes of a CSV file, whose first line names the columns.

    `known` are the catalog's fields: their cells are read as that type, and what does not fit stays text. Raises
    MetadataError with `name` and the line to change where it has no column `file`.
    """
    separator, found = records(data, name)
    problems = _Problems(name)
    header = next(found)
    files = _file_column(header)
    body = list(_body(found, len(header.cells), files, problems))
    columns = list(_columns(header, files, body, problems))
    parsed: list[dict[str, Scalar | list[Scalar]]] = [{} for _ in body]
    types: dict[str, FieldType] = {}
    for column in columns:
        if any(row.cells[column.at].strip() for row in body):
            types[column.name] = _read_column(column, body, known.get(column.name), separator, parsed, problems)
    keys = [_file(row.cells[files]) for row in body]
    rows = dict(zip(keys, parsed, strict=True))
    lines = {key: row.line for key, row in zip(keys, body, strict=True)}
    plain: dict[str, str] = {}
    for key in keys:
        plain.setdefault(_plain(key), key)
    return MetadataTable(types, rows, lines, problems.by_line(), plain)


def _file_column(header: Record) -> int:
    exact = [at for at, cell in enumerate(header.cells) if cell.strip() == FILE_COLUMN]
    return exact[0] if exact else next(at for at, cell in enumerate(header.cells) if is_file_column(cell))


def _columns(header: Record, files: int, body: Sequence[_Row], problems: _Problems) -> Iterator[_Column]:
    """The columns that can be fields. A column without any value is left out without a problem."""
    names = [nfc(cell.strip()) for cell in header.cells]
    for at, name in enumerate(names):
        if at == files or not any(row.cells[at].strip() for row in body):
            continue
        column = f"column {at + 1}" if not name or unreadable(name) else f"column {printable(name)!r}"
        what = None
        if not name:
            what = "has no name: name it or remove it"
        elif character := unreadable(name):
            what = f"has a name with a character that cannot be read, {character}: save the table as UTF-8"
        elif name in names[:at] or name == names[files]:
            what = "stands there twice, and the first one holds: rename or remove one"
        elif problem := field_problem(name):
            what = f"{problem}: rename it"
        if what is None:
            yield _Column(name, at)
        else:
            problems.add(ProblemKind.FIELD, header.line, f"{column} {what}", name or None)


def _body(found: Iterator[Record], width: int, files: int, problems: _Problems) -> Iterator[_Row]:
    """The rows that name a file, each with `width` cells: missing ones at the end are empty."""
    lines: dict[str, int] = {}
    for record in found:
        cells = [*record.cells, *[""] * (width - len(record.cells))]
        file = _file(cells[files]) if record.broken is None else ""
        what = record.broken
        if what is None and any(map(str.strip, cells[width:])):
            what = (
                f"{len(record.cells)} cells, but the header names {width} columns: "
                "put cells with the separator in them in double quotes"
            )
        elif what is None and not file.strip():
            what = f"the column {FILE_COLUMN!r} is empty: name the file"
        elif what is None and (character := unreadable(file)):
            what = (
                f"the column {FILE_COLUMN!r} has a character that cannot be read, {character}: save the table as UTF-8"
            )
        elif what is None and file in lines:
            what = f"{printable(file)!r} stands in line {lines[file]} already, which holds: remove one of the two"
        if what is None:
            lines[file] = record.line
            yield _Row(record.line, cells)
        else:
            problems.add(ProblemKind.ROW, record.line, what)


def _file(cell: str) -> str:
    return cell.removeprefix("./")


def _plain(path: str) -> str:
    """A path in one form, however it is written: with backslashes, spaces around it, or decomposed accents."""
    return _file(nfc(path.strip().replace("\\", "/")))


def _read_column(
    column: _Column,
    body: Sequence[_Row],
    known: FieldType | None,
    separator: str,
    parsed: Sequence[dict[str, Scalar | list[Scalar]]],
    problems: _Problems,
) -> FieldType:
    """Fill one column into `parsed` (one mapping per row of `body`) and return its type."""
    split = [_parts(row.cells[column.at]) for row in body]
    is_list = any(_BAR.search(row.cells[column.at]) for row in body)
    for at, parts in enumerate(split):
        if character := next((found for part in parts if (found := unreadable(part))), None):
            what = f"column {column.name!r}: a character cannot be read, {character}: save the table as UTF-8"
            problems.add(ProblemKind.FIELD, body[at].line, what, column.name)
            split[at] = []
    style = NumberStyle()
    if known is None or known.is_number:
        distinct = {part for parts in split for part in parts}
        style = number_style(distinct, separator, number=known is not None)
        usable = distinct - style.refused.keys() - style.dropped.keys()
        known = known or column_type(style.plain(part) for part in usable)
        _tell(column, body, split, style, problems)
    widened = known
    for parts, metadata in zip(split, parsed, strict=True):
        values = [parse_cell(style.plain(part), known) for part in parts if part not in style.dropped]
        if values:
            metadata[column.name] = values if is_list else values[0]
        if known is FieldType.INTEGER and any(isinstance(value, float) for value in values):
            widened = FieldType.FLOAT
    return widened


def _tell(
    column: _Column, body: Sequence[_Row], split: Sequence[Sequence[str]], style: NumberStyle, problems: _Problems
) -> None:
    """Add a problem for each cell that looks like a number and is none; one for the column where all cells are so."""
    wrong = {**style.refused, **style.dropped}
    found = [(row.line, part) for row, parts in zip(body, split, strict=True) for part in parts if part in wrong]
    whole = len(found) > 1 and len(found) == sum(map(len, split))
    for line, part in found[:1] if whole else found:
        what = f"column {column.name!r}: {part!r} {wrong[part]}"
        if part in style.dropped:
            problems.add(ProblemKind.FIELD, line, f"{what}: leave the cell empty", column.name)
        else:
            others = f" (all {len(found):,} cells of the column stay text)" if whole else " (it stays text)"
            problems.add(ProblemKind.MISFIT, line, what + others, column.name)


def _parts(cell: str) -> list[str]:
    """The values in a cell."""
    return [part for part in (_unescape(part) for part in _BAR.split(cell)) if part]


def _unescape(part: str) -> str:
    return part.strip().replace("\\|", "|")

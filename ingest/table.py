"""`metadata.csv` -> typed metadata of each file: a table is read whole, checked whole, and then never changes.

The column `file` names the file, relative to the source's root; every other column is a field. Types belong to
columns, not to cells, and `|` separates the values of a list (`\\|` is a bar).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from recq.errors import MetadataError
from recq.index.schema import FieldType, FieldTypes, Metadata, Scalar, column_type, field_problem, nfc, parse_cell
from recq.paths import printable

TABLE_NAME = "metadata.csv"
"""The table that is read when it stands in a source's root."""

FILE_COLUMN = "file"

_BAR = re.compile(r"(?<!\\)\|")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """The rows by `file` (text form of `recq.paths`), their lines, and the type of each column that has a value."""

    types: FieldTypes = field(default_factory=dict)
    rows: Mapping[str, Metadata] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    def row_of(self, path: str) -> str | None:
        """The `file` of the row that means the file at `path`: its own, else one that looks the same (`nfc`)."""
        return path if path in self.rows else self._composed.get(nfc(path))

    @cached_property
    def _composed(self) -> Mapping[str, str]:
        return {nfc(file): file for file in self.rows if not file.isascii()}


@dataclass(frozen=True)
class _Row:
    line: int
    cells: Sequence[str]


def read_table(data: bytes, name: str, known: FieldTypes) -> Table:
    """The table in the bytes of a CSV file (UTF-8, comma, first line the header).

    `known` are the catalog's fields: their cells are read as that type, and what does not fit stays text. Raises
    MetadataError with `name` and the line to change.
    """
    rows = _rows(data, name)
    header = next(rows, None)
    if header is None:
        raise MetadataError(f"{name} is empty: its first line has to name the columns, one of them {FILE_COLUMN!r}")
    columns = _columns(header, name)
    body = list(_body(rows, columns, name))
    files = columns.index(FILE_COLUMN)
    parsed: dict[str, dict[str, Scalar | list[Scalar]]] = {}
    lines: dict[str, int] = {}
    for row in body:
        file = _file(row.cells[files])
        if not file:
            raise MetadataError(f"{name}:{row.line}: the column {FILE_COLUMN!r} is empty: name the file")
        if file in lines:
            raise MetadataError(f"{name}:{row.line}: {printable(file)!r} stands in line {lines[file]} already")
        lines[file] = row.line
        parsed[file] = {}
    types: dict[str, FieldType] = {}
    for at, column in enumerate(columns):
        if at != files and any(row.cells[at].strip() for row in body):
            types[column] = _read_column(column, at, body, known.get(column), name, list(parsed.values()))
    return Table(types, parsed, lines)


def _rows(data: bytes, name: str) -> Iterator[_Row]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MetadataError(f"{name}:{line}: not UTF-8: save the table as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    before = 0
    try:
        for cells in reader:
            if any(cells):
                yield _Row(before + 1, cells)
            before = reader.line_num
    except csv.Error as error:
        raise MetadataError(f"{name}:{before + 1}: not a table: {error}") from error


def _columns(header: _Row, name: str) -> list[str]:
    columns = [nfc(cell.strip()) for cell in header.cells]
    where = f"{name}:{header.line}"
    for number, column in enumerate(columns, 1):
        if not column:
            raise MetadataError(f"{where}: column {number} has no name: name it or remove it")
        if column != FILE_COLUMN and (problem := field_problem(column)):
            raise MetadataError(f"{where}: column {column!r} {problem}: rename it")
        if column in columns[: number - 1]:
            raise MetadataError(f"{where}: column {column!r} stands there twice: rename or remove one")
    if FILE_COLUMN not in columns:
        hint = " (its columns seem to be separated by semicolons: save it with commas)" if ";" in columns[0] else ""
        raise MetadataError(
            f"{where}: no column {FILE_COLUMN!r}: add one with each file's path relative to the source's root{hint}"
        )
    return columns


def _body(rows: Iterator[_Row], columns: Sequence[str], name: str) -> Iterator[_Row]:
    for row in rows:
        if len(row.cells) != len(columns):
            raise MetadataError(
                f"{name}:{row.line}: {len(row.cells)} cells, but the header names {len(columns)} columns: "
                "add what is missing, or put cells with commas in double quotes"
            )
        yield row


def _file(cell: str) -> str:
    return cell.removeprefix("./")


def _read_column(
    column: str,
    at: int,
    body: Sequence[_Row],
    known: FieldType | None,
    name: str,
    parsed: Sequence[dict[str, Scalar | list[Scalar]]],
) -> FieldType:
    """Fill one column into `parsed` (one mapping per row of `body`) and return its type."""
    split = [[part for part in (_unescape(part) for part in _BAR.split(row.cells[at])) if part] for row in body]
    is_list = any(_BAR.search(row.cells[at]) for row in body)
    if known is None or known.is_number:
        try:
            inferred = column_type(cell for cells in split for cell in cells)
        except MetadataError as error:
            line = next(
                row.line for row, cells in zip(body, split, strict=True) if any(map(_NOT_FINITE.fullmatch, cells))
            )
            raise MetadataError(f"{name}:{line}: column {column!r}: {error}") from error
        known = known or inferred
    widened = known
    for cells, metadata in zip(split, parsed, strict=True):
        values = [parse_cell(cell, known) for cell in cells]
        if values:
            metadata[column] = values if is_list else values[0]
        if known is FieldType.INTEGER and any(isinstance(value, float) for value in values):
            widened = FieldType.FLOAT
    return widened


def _unescape(part: str) -> str:
    return part.strip().replace("\\|", "|")

"""Reads tables of metadata: `metadata.csv`, and the patches beside it. A table is read whole and then never changes.

The column `file` names the file, relative to the source's root; every other column is a field. Types belong to
columns, not to cells, and `|` separates the values of a list (`\\|` is a bar). All tables of a source have one type for
a field, and it is a list in all of them or in none: so a table is first taken apart (`sheet`), and then read together
with the others (`read_tables`). Only a table without a column `file` is refused: a row, a column or a cell that cannot
be used is left out and listed with its line.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ingest.source.dialect import Record, is_file_column, records, unreadable
from ingest.source.number_style import NumberStyle, has_words, number_style
from recq.index.cells import FILE_COLUMN, file_in, has_list, is_removed, values_in
from recq.index.problems import Problem, ProblemKind
from recq.index.schema import FieldType, FieldTypes, Metadata, Scalar, column_type, field_problem, nfc, parse_cell
from recq.paths import printable

TABLE_NAME = "metadata.csv"
"""The table that is read when it stands in a source's root."""


@dataclass(frozen=True)
class MetadataTable:
    """The rows by `file` (text form of `recq.paths`), and the type of each column that has a value.

    `name` is the table's in messages, `numbers` are the lines of the rows, in their order. `removed` are the fields
    that a row takes away, by `file`: a patch alone has some. `problems` are what was left out, by line. `plain` leads
    from the plain form of a row's `file` (slashes, no spaces around it, Unicode's NFC) to the first row of that form,
    where that is written otherwise. All of it stays in memory: equal values are one object.
    """

    name: str = TABLE_NAME
    types: FieldTypes = field(default_factory=dict)
    rows: Mapping[str, Metadata] = field(default_factory=dict)
    removed: Mapping[str, Collection[str]] = field(default_factory=dict)
    numbers: Sequence[int] = ()
    problems: Sequence[Problem] = ()
    plain: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def lines(self) -> Mapping[str, int]:
        """The lines by `file`: messages alone need them so, and what asks for them makes them."""
        return dict(zip(self.rows, self.numbers, strict=True))

    def row_of(self, path: str) -> str | None:
        """The `file` of the row for the file at `path`: exactly its path, else the path in another form."""
        if path in self.rows:
            return path
        if not self.rows:  # a folder without a table: each of its files is asked about
            return None
        plain = _plain(path)
        return self.plain.get(plain) or (plain if plain in self.rows else None)


@dataclass(frozen=True)
class _Column:
    name: str
    at: int


@dataclass(frozen=True, slots=True)
class _Row:
    """A row as it is written: cells at its end may be missing. Work and memory are those of the cells that there are,
    however many columns the header names."""

    line: int
    cells: Sequence[str]

    def filled(self) -> Sequence[tuple[int, str]]:
        """The cells that are not empty, with their places."""
        return [(at, cell) for at, cell in enumerate(self.cells) if cell.strip()]

    def without(self, emptied: Collection[int]) -> _Row:
        """The same row with empty cells at these places."""
        return _Row(self.line, ["" if at in emptied else cell for at, cell in enumerate(self.cells)])


class _Problems:
    """What is left out of the table called `name`; `found` was before."""

    def __init__(self, name: str, found: Sequence[Problem] = ()) -> None:
        self._name = name
        self._found = list(found)

    def add(self, kind: ProblemKind, line: int, what: str, column: str | None = None) -> None:
        detail = f"{self._name}:{line}: {what}"
        self._found.append(Problem(kind, detail, path=self._name, field=column, line=line))

    def by_line(self) -> tuple[Problem, ...]:
        return tuple(sorted(self._found, key=lambda problem: problem.line or 0))


@dataclass(frozen=True)
class Sheet:
    """A table that has been taken apart and whose fields have no types yet. `removed` and `problems` are as there."""

    name: str
    separator: str
    files: Sequence[str]  # of each row of `body`
    columns: Sequence[_Column]
    body: Sequence[_Row]
    removed: Mapping[str, Collection[str]]
    problems: Sequence[Problem]


def sheet(data: bytes, name: str, *, patch: bool = False) -> Sheet:
    """The cells in the bytes of a CSV file, whose first line names the columns; in a `patch` `<remove>` is no text.

    Raises MetadataError with `name` and the line to change where it has no column `file`.
    """
    separator, found = records(data, name)
    problems = _Problems(name)
    header = next(found)
    at = _file_column(header)
    body = list(_body(found, len(header.cells), at, problems))
    columns = list(_columns(header, at, body, problems))
    files = [file_in(row.cells[at]) for row in body]
    removed: dict[str, Collection[str]] = {}
    if patch:
        names = {column.at: column.name for column in columns}
        for index, (file, row) in enumerate(zip(files, body, strict=True)):
            marked = {at for at, cell in row.filled() if at in names and is_removed(cell)}
            if marked:
                removed[file] = frozenset(names[at] for at in marked)
                body[index] = row.without(marked)
    return Sheet(name, separator, files, columns, body, removed, problems.by_line())


def read_table(data: bytes, name: str, known: FieldTypes) -> MetadataTable:
    """The one table in the bytes of a CSV file; see `sheet` and `read_tables`."""
    return read_tables([sheet(data, name)], known)[0]


def read_tables(sheets: Sequence[Sheet], known: FieldTypes) -> Sequence[MetadataTable]:
    """The tables, in the order of their sheets. The type of a field is that of all its columns together.

    `known` are the catalog's fields: their cells are read as that type, and what does not fit stays text.
    """
    readings = [_Reading(each) for each in sheets]
    fields: dict[str, list[_ColumnReading]] = {}
    for reading in readings:
        for column in reading.columns():
            fields.setdefault(column.name, []).append(column)
    for name, columns in fields.items():
        _read_field(columns, known.get(name))
    return [reading.table() for reading in readings]


class _Reading:
    """A sheet that becomes a table."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.parsed: list[dict[str, Scalar | list[Scalar]]] = [{} for _ in sheet.body]
        self.types: dict[str, FieldType] = {}
        self.problems = _Problems(sheet.name, sheet.problems)

    def columns(self) -> Sequence[_ColumnReading]:
        """The columns in which any cell is not empty."""
        columns = {column.at: _ColumnReading(self, column.name) for column in self.sheet.columns}
        for index, row in enumerate(self.sheet.body):
            for at, cell in row.filled():
                if at in columns:
                    columns[at].take(index, cell)
        return [column for column in columns.values() if column.split]

    def table(self) -> MetadataTable:
        """The table, when all columns have been read."""
        rows: dict[str, Metadata] = {}
        plain: dict[str, str] = {}
        for file, metadata in zip(self.sheet.files, self.parsed, strict=True):
            if (form := _plain(file)) != file and form not in rows:
                plain.setdefault(form, file)
            rows[file] = metadata
        return MetadataTable(
            name=self.sheet.name,
            types=self.types,
            rows=rows,
            removed=self.sheet.removed,
            numbers=array("Q", [row.line for row in self.sheet.body]),
            problems=self.problems.by_line(),
            plain=plain,
        )


_KINDS = 4096
"""Different cells of a column of which the equal ones become one object: a column with more has mostly others."""


class _ColumnReading:
    """A column of a sheet whose cells are read: `split` has the values of each that is not empty, `rows` its row."""

    def __init__(self, reading: _Reading, name: str) -> None:
        self.reading = reading
        self.name = name
        self.is_list = False
        self.rows: list[int] = []
        self.split: list[list[str]] = []
        self._equal: dict[str, list[str]] = {}
        self.style = NumberStyle()

    def take(self, row: int, cell: str) -> None:
        """Read the cell of a row."""
        self.is_list = self.is_list or has_list(cell)
        parts = self._equal.get(cell)
        if parts is None:
            parts = values_in(cell)
            if len(self._equal) < _KINDS:
                self._equal[cell] = parts
        if character := next((found for part in parts if (found := unreadable(part))), None):
            what = f"column {self.name!r}: a character cannot be read, {character}: save the table as UTF-8"
            self.reading.problems.add(ProblemKind.FIELD, self.reading.sheet.body[row].line, what, self.name)
            parts = []
        self.rows.append(row)
        self.split.append(parts)

    def distinct(self) -> set[str]:
        """The different values."""
        return {part for parts in self.split for part in parts}

    def has_values(self) -> bool:
        """Whether any cell has a value."""
        return any(part not in self.style.dropped for parts in self.split for part in parts)

    def tell(self) -> None:
        """Add a problem for each cell that looks like a number and is none; one for the column where all are so."""
        wrong = {**self.style.refused, **self.style.dropped}
        body, problems = self.reading.sheet.body, self.reading.problems
        cells = zip(self.rows, self.split, strict=True)
        found = [(body[row].line, part) for row, parts in cells for part in parts if part in wrong]
        whole = len(found) > 1 and len(found) == sum(map(len, self.split))
        for line, part in found[:1] if whole else found:
            what = f"column {self.name!r}: {part!r} {wrong[part]}"
            if part in self.style.dropped:
                problems.add(ProblemKind.FIELD, line, f"{what}: leave the cell empty", self.name)
            else:
                others = f" (all {len(found):,} cells of the column stay text)" if whole else " (it stays text)"
                problems.add(ProblemKind.MISFIT, line, what + others, self.name)

    def parse(self, field_type: FieldType, *, is_list: bool) -> bool:
        """Fill the column into the parsed rows; whether a field of integers has a number that is none."""
        usable = self.distinct() - self.style.dropped.keys()
        parsed = {part: parse_cell(self.style.plain(part), field_type) for part in usable}
        for row, parts in zip(self.rows, self.split, strict=True):
            values = [parsed[part] for part in parts if part in parsed]
            if values:
                self.reading.parsed[row][self.name] = values if is_list else values[0]
        return field_type is FieldType.INTEGER and any(isinstance(value, float) for value in parsed.values())


def _read_field(columns: Sequence[_ColumnReading], known: FieldType | None) -> None:
    """Read all columns of one field. Each table writes its numbers in its own way."""
    if known is None or known.is_number:
        distinct = [column.distinct() for column in columns]
        if known is not None or not any(map(has_words, distinct)):
            for column, cells in zip(columns, distinct, strict=True):
                column.style = number_style(cells, column.reading.sheet.separator)
        usable = {
            column.style.plain(cell)
            for column, cells in zip(columns, distinct, strict=True)
            for cell in cells - column.style.refused.keys() - column.style.dropped.keys()
        }
        known = known or column_type(usable)
        is_text = not known.is_number and any(column.has_values() for column in columns)
        for column in columns:
            column.style = column.style.as_text() if is_text else column.style
            column.tell()
    is_list = any(column.is_list for column in columns)
    widens = [column.parse(known, is_list=is_list) for column in columns]
    for column in columns:
        if column.has_values():  # else the catalog would keep a type that nothing has shown
            column.reading.types[column.name] = FieldType.FLOAT if any(widens) else known


def _file_column(header: Record) -> int:
    exact = [at for at, cell in enumerate(header.cells) if cell.strip() == FILE_COLUMN]
    return exact[0] if exact else next(at for at, cell in enumerate(header.cells) if is_file_column(cell))


def _columns(header: Record, files: int, body: Sequence[_Row], problems: _Problems) -> Iterator[_Column]:
    """The columns that can be fields. A column without any value is left out without a problem."""
    names = [nfc(cell.strip()) for cell in header.cells]
    first = {name: at for at, name in reversed([*enumerate(names)])}
    filled = set[int]()
    for row in body:
        filled.update([at for at, cell in enumerate(row.cells) if at not in filled and cell.strip()])
    for at in sorted(filled - {files}):
        name = names[at]
        column = f"column {at + 1}" if not name or unreadable(name) else f"column {printable(name)!r}"
        what = None
        if not name:
            what = "has no name: name it or remove it"
        elif character := unreadable(name):
            what = f"has a name with a character that cannot be read, {character}: save the table as UTF-8"
        elif first[name] < at or name == names[files]:
            what = "stands there twice, and the first one holds: rename or remove one"
        elif problem := field_problem(name):
            what = f"{problem}: rename it"
        if what is None:
            yield _Column(name, at)
        else:
            problems.add(ProblemKind.FIELD, header.line, f"{column} {what}", name or None)


def _body(found: Iterator[Record], width: int, files: int, problems: _Problems) -> Iterator[_Row]:
    """The rows that name a file: none has a value in more than `width` columns."""
    lines: dict[str, int] = {}
    for record in found:
        cells, what = record.cells, record.broken
        file = file_in(cells[files]) if files < len(cells) else ""
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


def _plain(path: str) -> str:
    """A path in one form, however it is written: with backslashes, spaces around it, or decomposed accents."""
    return file_in(nfc(path.strip().replace("\\", "/")))

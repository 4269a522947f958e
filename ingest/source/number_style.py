"""How the numbers of a column are written: decimal points or commas, and cells that could be read in two ways.

`1.5` is always a number. `1,5` is one where the whole column is written so and commas do not separate the columns. A
thousands separator is never read, since `1,234` is 1234 in some countries and 1.234 in others: such cells are reported.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from recq.index.schema import column_type

_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"-?(0|[1-9]\d*),\d+")
_THOUSANDS_TOO = re.compile(r"-?[1-9]\d{0,2},\d{3}")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:([,.'’ \u00a0\u202f])\d{3})(?:\1\d{3})*(?:[.,]\d+)?")


class _Form(Enum):
    PLAIN = auto()
    COMMA = auto()
    TWOFOLD = auto()  # 1,234: a decimal comma, or one between thousands
    GROUPED = auto()
    NOT_FINITE = auto()
    WORD = auto()


@dataclass(frozen=True)
class NumberStyle:
    """How to read the cells of a column.

    `refused` are cells that look like numbers and are not read as such, `dropped` those that have no value, each with
    the reason.
    """

    decimal_comma: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)

    def plain(self, cell: str) -> str:
        """The cell with a decimal point."""
        return cell.replace(",", ".") if self.decimal_comma and cell not in self.refused else cell

    def as_text(self) -> NumberStyle:
        """The style where the field is text after all: each cell is what it says, as it is once the field is known."""
        return NumberStyle(refused=self.refused)


def has_words(cells: Collection[str]) -> bool:
    """Whether any cell is no number, however it is written: a column with a word in it is text, unless it is known to
    hold numbers."""
    return any(_form(cell) is _Form.WORD for cell in cells)


def number_style(cells: Collection[str], separator: str) -> NumberStyle:
    """The style of a column of numbers with these distinct cells, in a table whose columns `separator` separates."""
    forms = {cell: _form(cell) for cell in cells}
    dropped = {cell: "is not a finite number" for cell, form in forms.items() if form is _Form.NOT_FINITE}
    refused = {
        cell: "has a separator between thousands: write it without"
        for cell, form in forms.items()
        if form is _Form.GROUPED
    }
    commas = {cell: form for cell, form in forms.items() if form in (_Form.COMMA, _Form.TWOFOLD)}
    points = any("." in cell for cell, form in forms.items() if form is _Form.PLAIN)
    certain = _Form.COMMA in commas.values()
    decimal = bool(commas) and certain and not points and separator != ","
    if not decimal:
        refused |= {cell: _comma_problem(cell, form) for cell, form in commas.items()}
    return NumberStyle(decimal, refused, dropped)


def _form(cell: str) -> _Form:
    if _NOT_FINITE.fullmatch(cell):
        return _Form.NOT_FINITE
    if column_type([cell]).is_number:
        return _Form.PLAIN
    if _DECIMAL_COMMA.fullmatch(cell):
        return _Form.TWOFOLD if _THOUSANDS_TOO.fullmatch(cell) else _Form.COMMA
    return _Form.GROUPED if _GROUPED.fullmatch(cell) else _Form.WORD


def _comma_problem(cell: str, form: _Form) -> str:
    if form is _Form.TWOFOLD:
        return f"may be {cell.replace(',', '')} or {cell.replace(',', '.')}: write one of them"
    return f"has a decimal comma: write {cell.replace(',', '.')}"

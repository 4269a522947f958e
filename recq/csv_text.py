r"""Rows as CSV: what Python's `csv`, spreadsheet programs and databases read back, whatever is in the cells.

`csv.writer` quotes a cell for the characters of its own line end alone. With "\n" a lone carriage return would stay
bare, and its reader, like most, would take it for the end of a row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

_END = "\r\n"  # so that cells with either character are quoted


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    r"""The rows, the header first, each ended by "\n"; line breaks within a cell stay as they are."""
    return "".join(_line(row) for row in rows)


def _line(row: Sequence[object]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=_END).writerow(row)
    return out.getvalue().removesuffix(_END) + "\n"

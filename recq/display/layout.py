"""Divides the width of a terminal among a table's columns: one line a row, cut with an ellipsis; or all in full. Pure.

Numbers are never cut. Text gets what it needs where that fits; else the longest columns give way first, and when all
are at their least, columns are left out from the last on: `Layout.hidden` names them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from recq.display.table import TextTable

GAP = 2
"""Cells between two columns."""

LEAST = 8
"""The least cells of a shown column of text."""

LEAST_NAME = 12
"""The same of the column that names the row."""

ELLIPSIS = "…"
_MARK = "\u200e"  # left-to-right, of no width: right-to-left text does not reorder its neighbours


@dataclass(frozen=True)
class Layout:
    """The columns that are shown, by their places in the table, with their widths in cells; the headers left out."""

    places: tuple[int, ...]
    widths: tuple[int, ...]
    hidden: tuple[str, ...]

    @property
    def width(self) -> int:
        """Of a line, in cells."""
        return sum(self.widths) + GAP * (len(self.widths) - 1)


def layout(table: TextTable, width: int) -> Layout:
    """The columns of a table on a terminal that is `width` cells wide."""
    columns = range(len(table.header))
    needed = [max(cells(row[n]) for row in (table.header, *table.rows)) for n in columns]
    least = [
        needed[n] if table.right[n] else min(needed[n], LEAST_NAME if table.header[n] == table.names else LEAST)
        for n in columns
    ]
    shown = list(columns)
    while len(shown) > table.kept and _line(least, shown) > width:
        shown.pop()
    if _line(least, shown) > width:  # a very narrow terminal: what names a row gives way, too
        least = [value if table.right[n] else min(value, 4) for n, value in enumerate(least)]
    spare = width - _line(least, shown)
    text = [n for n in shown if not table.right[n]]
    widths = {n: least[n] for n in shown} | shared({n: least[n] for n in text}, {n: needed[n] for n in text}, spare)
    hidden = tuple(table.header[n] for n in columns if n not in shown)
    return Layout(tuple(shown), tuple(widths[n] for n in shown), hidden)


def _line(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[n] for n in shown) + GAP * (len(shown) - 1)


def shared(least: dict[int, int], needed: dict[int, int], spare: int) -> dict[int, int]:
    """Each column's width: `spare` cells are given to the narrowest that need more, until none does or all are gone."""
    widths = dict(least)
    while spare > 0 and (wanting := [n for n in widths if widths[n] < needed[n]]):
        widths[min(wanting, key=lambda n: widths[n])] += 1
        spare -= 1
    return widths


def plain(table: TextTable) -> str:
    """Columns two spaces apart, a header, nothing cut: for `grep`, `awk` and logs."""
    rows = [table.header, *table.rows]
    widths = [max(cells(row[n]) for row in rows) for n in range(len(table.header))]
    lines = []
    for row in rows:
        padded = [
            " " * (width - cells(text)) + text if right else text + " " * (width - cells(text))
            for text, width, right in zip(row, widths, table.right, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines) + "\n"


def cells(text: str) -> int:
    """How many columns of a terminal `text` takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # some milliseconds

    return cell_len(text)


def fitted(text: str, width: int, *, right: bool = False, end: bool = False) -> str:
    """`text` in exactly so many cells: padded, or cut with an ellipsis, its `end` kept where that matters more."""
    taken = cells(text)
    if taken > width:
        text = _cut(text, width, end=end)
        taken = cells(text)
    padding = " " * (width - taken)
    text = f"{_MARK}{text}{_MARK}" if _runs_right_to_left(text) else text
    return padding + text if right else text + padding


def _cut(text: str, width: int, *, end: bool) -> str:
    from rich.cells import set_cell_size

    if width < 2:
        return ELLIPSIS[:width]
    if not end:
        return set_cell_size(text, width - 1).rstrip() + ELLIPSIS
    start = len(text)
    while start > 0 and cells(text[start - 1 :]) < width:
        start -= 1
    while start < len(text) and (unicodedata.combining(text[start]) or text[start] in "\u200d\ufe0f"):
        start += 1  # what belongs to a character that is gone
    return ELLIPSIS + text[start:].lstrip()


def _runs_right_to_left(text: str) -> bool:
    return not text.isascii() and any(unicodedata.bidirectional(c) in ("R", "AL") for c in text)

"""What the cells of a metadata table hold: a file, and the values of a field. Pure; read by the daemon, written here.

`|` separates the values of a list, `\\|` is a bar. Values have no spaces around them, and none is empty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

FILE_COLUMN = "file"
"""The column that a table of metadata has to have, in upper or lower case."""

REMOVED = "<remove>"
"""The cell of a patch that takes the field away from the item, in upper or lower case."""

LONGEST_CELL = 131_072
"""Characters of a cell: Python's csv reads no longer ones."""

_HERE = "./"
_BAR = re.compile(r"(?<!\\)\|")
_FORMULA = ("=", "+", "-", "@")
"""How a spreadsheet program knows a formula, which it would work out in place of the name."""


def file_in(cell: str) -> str:
    """The path that a cell of the column `file` names."""
    return cell.removeprefix(_HERE)


def file_cell(path: str) -> str:
    """The cell that names the file at `path`, relative to the source's root; never a formula."""
    return _HERE + path if path.startswith(_FORMULA) else path


def has_list(cell: str) -> bool:
    """Whether a bar separates values in a cell; that makes its whole column one of lists."""
    return _BAR.search(cell) is not None


def values_in(cell: str) -> list[str]:
    """The values in a cell, as text."""
    return [part for part in (_unescaped(part) for part in _BAR.split(cell)) if part]


def values_cell(values: Sequence[str], *, as_list: bool) -> str | None:
    """The cell that has these values, one or more; `as_list` also where there is one. None where no cell has them."""
    parts = [_escaped(value) for value in values]
    cell = "|".join(parts) + ("|" if as_list and len(parts) == 1 else "")
    taken = values_in(cell) == list(values) and has_list(cell) == (as_list or len(parts) > 1)
    return cell if taken and not is_removed(cell) and len(cell) <= LONGEST_CELL else None


def is_removed(cell: str) -> bool:
    """Whether a patch's cell takes the field away."""
    return cell.strip().casefold() == REMOVED


def _escaped(value: str) -> str:
    """A backslash at the end would take the next bar for itself: a space, which is no part of a value, keeps it off."""
    return value.replace("|", "\\|") + (" " if value.endswith("\\") else "")


def _unescaped(part: str) -> str:
    return part.strip().replace("\\|", "|")

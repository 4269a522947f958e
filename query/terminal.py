"""A table on a terminal: Rich's colours, as wide as the terminal and no wider."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from query.table import Table

_STYLES = {"score": "bold green", "items": "bold green", "#": "dim", "source": "dim", "field": "cyan"}
_WHOLE = {"#", "score", "items", "field"}  # columns that are never cut


def draw(table: Table) -> str:
    """The table with escape sequences for the terminal that standard output is."""
    console = Console()
    drawn = RichTable(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name, right in zip(table.header, table.right, strict=True):
        whole = name in _WHOLE
        drawn.add_column(
            Text(name),
            justify="right" if right else "left",
            style=_STYLES.get(name, ""),
            no_wrap=whole or name == "file",
            overflow="fold" if not whole else "ellipsis",
        )
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    with console.capture() as captured:
        if table.title:
            console.print(Text(table.title, style="bold"))
        console.print(drawn)
        if table.caption:
            console.print(Text(table.caption, style="dim"))
    return captured.get()

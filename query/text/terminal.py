"""A table on a terminal: Rich's colours, as wide as the terminal and no wider."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recq.display.layout import GAP, fitted, layout
from recq.display.table import TextTable

_STYLES = {"score": "bold green", "items": "bold green", "#": "dim", "source": "dim", "field": "cyan"}
_WHOLE = {"#", "score", "items", "field"}  # columns that are never cut


def draw(table: TextTable) -> str:
    """The table with escape sequences for the terminal on standard output."""
    console = Console(highlight=False)
    with console.capture() as captured:
        if table.title:
            console.print(Text(table.title, style="bold"))
            if table.one_line:
                console.print()
        if table.one_line:
            _draw_lines(console, table)
        else:
            console.print(_folded(table))
        if table.caption:
            console.print(Text(table.caption, style="dim"))
    return captured.get()


def _draw_lines(console: Console, table: TextTable) -> None:
    """A line for each row, cut where it does not fit, and a remark on hidden columns."""
    shape = layout(table, console.width)

    def line(row: tuple[str, ...], *, style: str | None = None) -> None:
        text = Text()
        for number, (place, width) in enumerate(zip(shape.places, shape.widths, strict=True)):
            name = table.header[place]
            cell = fitted(row[place], width, right=table.right[place], end=name == table.names)
            last = number == len(shape.places) - 1
            text.append(cell.rstrip(" ") if last else cell, _STYLES.get(name, "") if style is None else style)
            text.append("" if last else " " * GAP)
        console.print(text, no_wrap=True, overflow="crop", crop=True)

    line(table.header, style="bold")
    console.print(Text("─" * min(shape.width, console.width)), no_wrap=True)
    for row in table.rows:
        line(row)
    if shape.hidden or table.caption:
        console.print()
    if shape.hidden:
        console.print(Text(hidden_remark(shape.hidden, chosen=table.chosen), style="yellow"))


def hidden_remark(hidden: tuple[str, ...], *, chosen: bool) -> str:
    """The remark on columns that did not fit."""
    way = "name fewer with --fields" if chosen else "choose with --fields"
    return f"no room for: {', '.join(hidden)} (a wider terminal shows more, or {way})"


def _folded(table: TextTable) -> Table:
    """Cells wrap into several lines, so that nothing is cut."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
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
    return drawn

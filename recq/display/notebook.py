"""Sheets and tables as pieces of HTML for a notebook's cell: styles at each element, thumbnails inside, no script.

A notebook may be dark or light and has its own styles: colours are taken from it, and nothing affects the rest of
it. Names and metadata are not trusted: they become only text of elements.
"""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterable
from typing import TYPE_CHECKING

from recq.display.grid_sheet import Card, Row, Sheet
from recq.display.grid_tiles import thumbnail
from recq.display.html_element import Element, element, markup
from recq.display.table import TextTable

if TYPE_CHECKING:
    from PIL.Image import Image

    from recq.images import Limits

MOST_FIGURES = 60
"""Results shown at most: some 300 kB that stay in the notebook's file."""

_SIDE = 150  # pixels of a thumbnail's longer side
_QUALITY = 80
_LONGEST = 80  # characters of a value

_FLOW = "display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start;margin:4px 0 12px"
_FIGURE = f"margin:0;width:{_SIDE}px;font-size:12px;line-height:1.35;overflow-wrap:anywhere"
_TILE = f"width:{_SIDE}px;height:{_SIDE}px;display:flex;align-items:center;justify-content:center;text-align:center"
_CELL = "padding:2px 10px;text-align:{};white-space:pre-wrap"
_FAINT = "opacity:0.65"


def pictures_html(sheet: Sheet, limits: Limits, notes: Iterable[str] = ()) -> str:
    """The sheet's pictures, each with its score and its main values, and the remarks below them."""
    sheet = sheet.within(MOST_FIGURES, row_at_least=5)
    head = [element("strong", sheet.title)]
    faint = "   ".join([*sheet.filters, *sheet.spaces[:1]])
    parts = [element("div", *head, element("span", f"   {faint}", style=f"{_FAINT};white-space:pre"))]
    for row in sheet.rows:
        parts += _row(row, limits)
    parts += [element("div", note, style=_FAINT) for note in notes]
    return markup(element("div", *parts))


def tables_html(tables: Iterable[TextTable], notes: Iterable[str] = ()) -> str:
    """Tables with their titles and captions, one below the other."""
    parts = []
    for table in tables:
        if table.title:
            parts.append(element("div", element("strong", table.title), style="margin-top:10px"))
        parts.append(_table(table))
        if table.caption:
            parts.append(element("div", table.caption, style=f"{_FAINT};white-space:pre-wrap"))
    parts += [element("div", note, style=f"{_FAINT};white-space:pre-wrap") for note in notes]
    return markup(element("div", *parts))


def picture_html(image: Image, text: str) -> str:
    """One picture as it is, and a line below it."""
    picture = element("img", src=_source(image), alt=text, style=f"max-width:100%;width:{image.width}px")
    return markup(element("div", picture, element("div", text, style=_FAINT)))


def card_html(card: Card, table: TextTable, limits: Limits) -> str:
    """One picture beside its facts."""
    return markup(element("div", _figure(card, limits), _table(table), style=_FLOW))


def _row(row: Row, limits: Limits) -> list[Element]:
    parts = [element("div", row.title, style=f"{_FAINT};white-space:pre-wrap")] if row.title else []
    cards = [_figure(card, limits) for card in (*row.asked, *row.found)]
    if not row.found:
        cards.append(element("em", "Nothing matches."))
    parts.append(element("div", *cards, style=_FLOW))
    if row.left_out:
        parts.append(element("div", f"{row.left_out:,} more not shown", style=_FAINT))
    return parts


def _figure(card: Card, limits: Limits) -> Element:
    head = [card.heading] if card.asked else [f"{card.heading}  ", element("strong", card.score)]
    scale = [element("div", card.scale, style=_FAINT)] if card.scale else []
    facts = [element("div", f"{name}: {_shortened(value)}", style=_FAINT) for name, value in card.facts]
    asked = "border-right:1px solid currentColor;padding-right:11px;" if card.asked else ""
    caption = element("figcaption", element("div", *head), element("div", card.name), *scale, *facts)
    return element("figure", _tile(card, limits), caption, style=asked + _FIGURE)


def _tile(card: Card, limits: Limits) -> Element:
    picture, problem = thumbnail(card, limits, _SIDE)
    if picture is None:
        return element("div", problem, style=f"{_TILE};{_FAINT};border:1px dashed currentColor;box-sizing:border-box")
    size = f"width:{picture.width}px;height:{picture.height}px;margin:0;max-width:none"
    return element("div", element("img", src=_source(picture), alt=card.name, style=size), style=_TILE)


def _source(picture: Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"


def _table(table: TextTable) -> Element:
    sides = ["right" if right else "left" for right in table.right]
    header = [element("th", text, style=_CELL.format(side)) for text, side in zip(table.header, sides, strict=True)]
    rows = [
        element("tr", *(element("td", text, style=_CELL.format(side)) for text, side in zip(row, sides, strict=True)))
        for row in table.rows
    ]
    return element("table", element("thead", element("tr", *header)), element("tbody", *rows))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"

"""A sheet as one picture: rows of tiles with rank, score and name, and the target in a frame to the left of them.

A file that cannot be read becomes a labelled placeholder, so that every card has its tile.
"""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image, ImageDraw

from recq.display.grid_sheet import Card, Row, Sheet
from recq.display.grid_tiles import thumbnail
from recq.display.typeface import bundled, lettering, shorten
from recq.images import Limits

PER_ROW = 5
MOST_TILES = 50
"""The most results that are drawn: ten rows, which people can survey and viewers can open."""

_TILE = 232  # pixels a side of a picture's square
_GAP = 20
_LABEL = 62  # pixels below a picture: score and name
_SCALE = 22  # more where scores are shown on a scale
_TITLE = 38  # above a row that has one
_BETWEEN = 44  # pixels between rows that answer different questions
_MARGIN = 32
_CAPTION = 44
_FRAME = 5

_WHITE = "#ffffff"
_INK = "#1c1c1e"
_GREY = "#6b6b70"
_LINE = "#dcdce0"
_PAPER = "#f6f6f7"
_ACCENT = "#d9480f"


class Drawn(NamedTuple):
    """The grid, RGB, and the heights at which it may be cut without cutting a tile, ascending."""

    image: Image.Image
    cuts: tuple[int, ...]


def draw(sheet: Sheet, limits: Limits, widest: int | None = None) -> Drawn:
    """The sheet's first `MOST_TILES` results in lines of `PER_ROW`, filters and embedding space below them.

    `widest` pixels are how wide it should be: tiles stand in shorter lines then, one in each at least.
    """
    sheet = sheet.within(MOST_TILES, PER_ROW)
    left = (_TILE + 2 * _GAP) if any(row.asked for row in sheet.rows) else 0
    room = widest - 2 * _MARGIN - left if widest is not None else PER_ROW * (_TILE + _GAP)
    per_row = max(1, min(PER_ROW, (room + _GAP) // (_TILE + _GAP)))
    columns = min(per_row, max((len(row.found) for row in sheet.rows), default=1) or 1)
    label = _LABEL + (_SCALE if any(card.scale for row in sheet.rows for card in row.found) else 0)
    heights = [_height(row, per_row, label) for row in sheet.rows]
    width = 2 * _MARGIN + left + columns * _TILE + (columns - 1) * _GAP
    height = 2 * _MARGIN + sum(heights) + _BETWEEN * max(0, len(heights) - 1) + _CAPTION
    canvas = Image.new("RGB", (width, height), _WHITE)
    pen = ImageDraw.Draw(canvas)
    top, cuts = _MARGIN, []
    for row, tall in zip(sheet.rows, heights, strict=True):
        if top > _MARGIN:
            middle = top - _BETWEEN // 2
            pen.line((_MARGIN, middle, width - _MARGIN, middle), fill=_LINE)
            cuts.append(middle)
        cuts += _row(canvas, row, (top, top + tall), left, per_row, label, limits)
        top += tall + _BETWEEN
    _caption(pen, sheet, _MARGIN, height - _MARGIN + 4, width - 2 * _MARGIN)
    return Drawn(canvas, tuple(cuts))


def _lines(row: Row, per_row: int) -> int:
    return max(1, -(-len(row.found) // per_row), len(row.asked))


def _height(row: Row, per_row: int, label: int) -> int:
    lines = _lines(row, per_row)
    return (_TITLE if row.title else 0) + lines * (_TILE + label) + (lines - 1) * _GAP


def _row(
    canvas: Image.Image, row: Row, between: tuple[int, int], left: int, per_row: int, label: int, limits: Limits
) -> list[int]:
    """Draw the row between two heights, and return where its lines of tiles may be separated."""
    top, bottom = between
    pen = ImageDraw.Draw(canvas)
    if row.title:
        text, font = lettering(row.title, 19)
        pen.text((_MARGIN, top), shorten(text, canvas.width - 2 * _MARGIN, font), fill=_INK, font=font)
        top += _TITLE
    pitch = _TILE + label + _GAP
    for n, card in enumerate(row.asked):
        _paint(canvas, pen, card, _MARGIN, top + n * pitch, limits)
    if row.asked:
        middle = _MARGIN + _TILE + _GAP
        pen.line((middle, top, middle, bottom), fill=_LINE, width=2)
    for n, card in enumerate(row.found):
        x = _MARGIN + left + (n % per_row) * (_TILE + _GAP)
        _paint(canvas, pen, card, x, top + (n // per_row) * pitch, limits)
    if not row.found:
        x, y = _MARGIN + left + _TILE // 2, top + _TILE // 2
        pen.text((x, y), "nothing matches", fill=_GREY, font=bundled(20), anchor="mm")
    return [top + n * pitch - _GAP // 2 for n in range(1, _lines(row, per_row))]


def _paint(canvas: Image.Image, pen: ImageDraw.ImageDraw, card: Card, x: int, y: int, limits: Limits) -> None:
    picture, problem = thumbnail(card, limits, _TILE)
    box = (x, y, x + _TILE - 1, y + _TILE - 1)
    if picture is None:
        pen.rectangle(box, fill=_PAPER, outline=_LINE)
        pen.line((x + 84, y + 66, x + 148, y + 130), fill=_LINE, width=6)
        pen.line((x + 148, y + 66, x + 84, y + 130), fill=_LINE, width=6)
        pen.text((x + _TILE // 2, y + 168), problem, fill=_GREY, font=bundled(16), anchor="mm")
    else:
        pen.rectangle(box, fill=_PAPER)
        canvas.paste(picture, (x + (_TILE - picture.width) // 2, y + (_TILE - picture.height) // 2))
    if card.asked:
        around = (x - _FRAME, y - _FRAME, x + _TILE - 1 + _FRAME, y + _TILE - 1 + _FRAME)
        pen.rectangle(around, outline=_ACCENT, width=_FRAME)
    top = y + _TILE + 11
    if card.asked:
        _strong(pen, x, top, card.heading, _ACCENT)
    else:
        pen.text((x, top), card.heading, fill=_GREY, font=bundled(22))
        _strong(pen, x + pen.textlength(f"{card.heading} ", bundled(22)) + 6, top, card.score, _INK)
    if card.scale:
        pen.text((x, top + 29), card.scale, fill=_INK, font=bundled(15))
        top += _SCALE
    name, font = lettering(card.name, 16)
    pen.text((x, top + 30), shorten(name, _TILE, font), fill=_GREY, font=font)


def _strong(pen: ImageDraw.ImageDraw, x: float, y: float, text: str, colour: str) -> None:
    """The bundled font has no bold face: a thin outline of the same colour replaces it."""
    pen.text((x, y), text, fill=colour, font=bundled(22), stroke_width=0.6, stroke_fill=colour)


def _caption(pen: ImageDraw.ImageDraw, sheet: Sheet, x: int, baseline: int, width: int) -> None:
    """The filters and the number of results not drawn on the left, the embedding space on the right if it fits."""
    more = sheet.left_out
    text, font = lettering("   ".join([*sheet.filters, *([f"{more:,} more not drawn"] if more else [])]), 17)
    filters = shorten(text, width, font)
    pen.text((x, baseline), filters, fill=_INK, font=font, anchor="ls")
    left = width - (font.getlength(filters) + 2 * _GAP if filters else 0)
    font = bundled(17)
    for space in sheet.spaces:
        if font.getlength(space) <= left:
            pen.text((x + width, baseline), space, fill=_GREY, font=font, anchor="rs")
            return

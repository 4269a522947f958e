"""An answer as one picture: the target in a frame, its neighbours in rows with rank, score and name.

Drawn after the index has been let go of, from the files themselves; a file that cannot be read becomes a labelled
placeholder, so that the grid always has a tile for each result.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from query.output import replaced, require_place
from query.results import Answer, Asked, Result
from query.typeface import bundled, lettering, shorten
from recq.errors import ImageError, Reason, UsageError
from recq.images import Limits, Picture, decode, open_picture
from recq.images.heif import MISSING
from recq.paths import printable

if TYPE_CHECKING:
    from recq.settings import Settings

PER_ROW = 5
MOST_TILES = 50
"""Results drawn at most: ten rows, which is what an eye takes in and a viewer opens."""

_TILE = 232  # pixels a side of a picture's square
_GAP = 20
_LABEL = 62  # pixels below a picture: score and name
_MARGIN = 32
_CAPTION = 44
_FRAME = 5
_MAX_ENLARGED = 3.0  # icons are shown larger, but not as a blur

_WHITE = "#ffffff"
_INK = "#1c1c1e"
_GREY = "#6b6b70"
_LINE = "#dcdce0"
_PAPER = "#f6f6f7"
_ACCENT = "#d9480f"


@dataclass(frozen=True)
class Tile:
    """One picture of the grid: its pixels, or why there are none; a heading and a name below it."""

    picture: Image.Image | None
    problem: str
    heading: str
    name: str
    is_target: bool = False


def require_writable(path: Path) -> None:
    """Raise UsageError unless a PNG can be put there: found out before the work, not after it."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"--grid {path}: the grid is a PNG, name it so, as in --grid {path.stem or 'grid'}.png")
    require_place(path, "--grid")


def write_grid(answer: Answer, path: Path, settings: Settings) -> None:
    """Draw the answer of `similar` into a PNG at `path`, replaced in one step. Raises UsageError."""
    require_writable(path)
    image = draw(answer, Limits.from_settings(settings))
    with replaced(path, "--grid") as stream:
        image.save(stream, "PNG", optimize=True)


def draw(answer: Answer, limits: Limits) -> Image.Image:
    """The grid as an RGB picture: the target left, neighbours in rows of `PER_ROW` beside it, a caption below."""
    tiles = [_neighbour(result, limits) for result in answer.results[:MOST_TILES]]
    target = [_target(answer.target, limits)] if answer.target is not None else []
    columns = min(PER_ROW, max(1, len(tiles)))
    rows = max(1, -(-len(tiles) // PER_ROW))
    left = (_TILE + 2 * _GAP) if target else 0
    width = 2 * _MARGIN + left + columns * _TILE + (columns - 1) * _GAP
    height = 2 * _MARGIN + rows * (_TILE + _LABEL) + (rows - 1) * _GAP + _CAPTION
    canvas = Image.new("RGB", (width, height), _WHITE)
    pen = ImageDraw.Draw(canvas)
    for tile in target:
        _paint(canvas, pen, tile, _MARGIN, _MARGIN)
        middle = _MARGIN + _TILE + _GAP
        pen.line((middle, _MARGIN, middle, height - _MARGIN - _CAPTION), fill=_LINE, width=2)
    for n, tile in enumerate(tiles):
        x = _MARGIN + left + (n % PER_ROW) * (_TILE + _GAP)
        y = _MARGIN + (n // PER_ROW) * (_TILE + _LABEL + _GAP)
        _paint(canvas, pen, tile, x, y)
    if not tiles:
        x, y = _MARGIN + left + _TILE // 2, _MARGIN + _TILE // 2
        pen.text((x, y), "nothing matches", fill=_GREY, font=bundled(20), anchor="mm")
    _caption(pen, answer, _MARGIN, height - _MARGIN + 4, width - 2 * _MARGIN)
    return canvas


def _target(asked: Asked, limits: Limits) -> Tile:
    if asked.content is not None:
        content = asked.content
        picture, problem = _read(lambda: decode(content, limits, reduce_to=_TILE))
    else:
        picture, problem = _open(asked.location, limits)
    return Tile(picture, problem, "target", printable(asked.name), is_target=True)


def _neighbour(result: Result, limits: Limits) -> Tile:
    picture, problem = _open(result.location, limits)
    score = f"{result.score:.2f}" if result.score is not None else ""
    return Tile(picture, problem, f"{result.rank}  {score}".strip(), printable(result.name))


def _open(location: Path | None, limits: Limits) -> tuple[Image.Image | None, str]:
    if location is None:
        return None, "no folder on record"
    if not os.path.exists(location):  # noqa: PTH110 - Path's raises where one may not look
        return None, "not on this machine, or gone"
    return _read(lambda: open_picture(location, limits, reduce_to=_TILE))


def _read(how: Callable[[], Picture]) -> tuple[Image.Image | None, str]:
    """The picture fitted into a tile, or in a few words why not."""
    try:
        image = Image.fromarray(how().rgb)
    except ImageError as error:
        return None, "needs recq[heic]" if error.detail == MISSING else _WORDS.get(error.reason, "cannot be read")
    scale = min(_TILE / image.width, _TILE / image.height, _MAX_ENLARGED)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0), ""


_WORDS = {
    Reason.PERMISSION: "no permission to read it",
    Reason.EMPTY: "the file is empty",
    Reason.TRUNCATED: "the file is cut short",
    Reason.NOT_AN_IMAGE: "not a picture any more",
    Reason.TOO_LARGE: "too large to draw",
}


def _paint(canvas: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, x: int, y: int) -> None:
    box = (x, y, x + _TILE - 1, y + _TILE - 1)
    if tile.picture is None:
        pen.rectangle(box, fill=_PAPER, outline=_LINE)
        pen.line((x + 84, y + 66, x + 148, y + 130), fill=_LINE, width=6)
        pen.line((x + 148, y + 66, x + 84, y + 130), fill=_LINE, width=6)
        pen.text((x + _TILE // 2, y + 168), tile.problem, fill=_GREY, font=bundled(16), anchor="mm")
    else:
        pen.rectangle(box, fill=_PAPER)
        canvas.paste(tile.picture, (x + (_TILE - tile.picture.width) // 2, y + (_TILE - tile.picture.height) // 2))
    if tile.is_target:
        around = (x - _FRAME, y - _FRAME, x + _TILE - 1 + _FRAME, y + _TILE - 1 + _FRAME)
        pen.rectangle(around, outline=_ACCENT, width=_FRAME)
    name, font = lettering(tile.name, 16)
    top = y + _TILE + 11
    if tile.is_target:
        _strong(pen, x, top, tile.heading, _ACCENT)
    else:
        rank, _, score = tile.heading.partition("  ")
        pen.text((x, top), rank, fill=_GREY, font=bundled(22))
        _strong(pen, x + pen.textlength(f"{rank} ", bundled(22)) + 6, top, score, _INK)
    pen.text((x, top + 30), shorten(name, _TILE, font), fill=_GREY, font=font)


def _strong(pen: ImageDraw.ImageDraw, x: float, y: float, text: str, colour: str) -> None:
    """The bundled font has no bold: a thin outline of the same colour is one."""
    pen.text((x, y), text, fill=colour, font=bundled(22), stroke_width=0.6, stroke_fill=colour)


def _caption(pen: ImageDraw.ImageDraw, answer: Answer, x: int, baseline: int, width: int) -> None:
    """The filters left, and how many results were not drawn; the embedding space right where there is room."""
    more = len(answer.results) - MOST_TILES
    parts = [*map(printable, answer.filters), *([f"{more:,} more not drawn"] if more > 0 else [])]
    text, font = lettering("   ".join(parts), 17)
    filters = shorten(text, width, font)
    pen.text((x, baseline), filters, fill=_INK, font=font, anchor="ls")
    left = width - (font.getlength(filters) + 2 * _GAP if filters else 0)
    font = bundled(17)
    for space in (answer.space.label, answer.space.model):
        if font.getlength(space) <= left:
            pen.text((x + width, baseline), space, fill=_GREY, font=font, anchor="rs")
            return

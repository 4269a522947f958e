"""Shows a grid on a terminal that can display pictures: with kitty's protocol or sixels, by the library textual-image.

    show = require_terminal()
    show(sheet, limits)

The library asks the terminal what it can display, and the terminal answers on standard input.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from recq.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from recq.display.grid_sheet import Sheet
    from recq.images import Limits

INSTEAD = "use --open, or --grid grid.html"

_SMALLEST = 0.6  # of a tile's size: names in smaller ones cannot be read, so a line gets fewer tiles
_RULER = 100_000

Show = Callable[["Sheet", "Limits"], None]


def require_terminal() -> Show:
    """A function that shows a sheet on this terminal. Raises UsageError where it cannot, before the work."""
    if not sys.stdout.isatty() or sys.stdin is None or not sys.stdin.isatty():
        # Never asked on a pipe: the answer would be read from the picture that is piped in.
        stream = "input" if sys.stdout.isatty() else "output"
        raise UsageError(f"--preview: standard {stream} is no terminal, {INSTEAD}")
    logging.getLogger("textual_image").addHandler(logging.NullHandler())  # its warnings are not recq's
    try:
        from textual_image import renderable  # asks the terminal
    except ImportError as error:
        raise UsageError(f"--preview needs a library: pip install 'recq[preview]', or {INSTEAD}") from error
    if renderable.Image not in (renderable.SixelImage, renderable.TGPImage):
        raise UsageError(f"--preview: this terminal does not report that it can show pictures, {INSTEAD}")
    return lambda sheet, limits: _show(sheet, limits, renderable.Image)


@dataclass(frozen=True)
class Screen:
    """The terminal: its size in cells, and a cell's in pixels."""

    columns: int
    lines: int
    cell_width: float
    cell_height: float

    def scale(self, width: int, highest: int) -> float:
        """How much smaller a picture of that width has to be, whose highest strip must fit as a whole."""
        return min(1.0, self.columns * self.cell_width / width, (self.lines - 1) * self.cell_height / highest)

    def cells(self, width: int, height: int, scale: float) -> tuple[int, int]:
        """The cells, across and down, that hold so many pixels after scaling."""
        across = max(1, min(self.columns, math.ceil(width * scale / self.cell_width - 1e-6)))
        return across, max(1, math.ceil(height * scale / self.cell_height - 1e-6))


def _show(sheet: Sheet, limits: Limits, shown_as: Any) -> None:
    from PIL import Image
    from rich.console import Console

    from query.pictures.grid_png import draw

    # Colours carry kitty's picture numbers, control characters the sixels: both must be kept.
    console = Console(force_terminal=True, color_system="truecolor", no_color=False)
    screen = _screen(console, shown_as)
    image, cuts = draw(sheet, limits, widest=int(screen.columns * screen.cell_width / _SMALLEST))
    # Tiles are shown line by line, in one scale: a picture higher than the screen cannot be shown at once.
    edges = (0, *cuts, image.height)
    strips = list(pairwise(edges))
    scale = screen.scale(image.width, max(bottom - top for top, bottom in strips))
    for top, bottom in strips:
        across, down = screen.cells(image.width, bottom - top, scale)
        # White up to the edges of the cells, or the strip would be stretched to them.
        size = round(across * screen.cell_width / scale), round(down * screen.cell_height / scale)
        strip = Image.new("RGB", size, "white")
        strip.paste(image.crop((0, top, image.width, bottom)))
        console.print(shown_as(strip, width=across, height=down))


def _screen(console: Console, shown_as: Any) -> Screen:
    """The library knows the size of a cell; it is computed from the cells that a picture takes."""
    from PIL import Image
    from rich.measure import Measurement

    def across(size: tuple[int, int], **given: Any) -> int:
        anything = console.options.update(max_width=_RULER * 100)
        return max(1, Measurement.get(console, anything, shown_as(Image.new("1", size), **given)).maximum)

    cell_width = _RULER / across((_RULER, 1))
    aspect = across((1, 1), width="auto", height=_RULER) / _RULER  # of a square so many cells high
    return Screen(console.width, console.height, cell_width, cell_width * aspect)

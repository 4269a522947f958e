"""An answer as pictures in a file: one PNG, or one HTML page that contains everything it needs.

It is made from the files, after the index has been released.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recq.display.grid_sheet import Drawable, sheet_of
from recq.errors import UsageError
from recq.output import replaced, require_place

if TYPE_CHECKING:
    from recq.settings import Settings

SUFFIXES = (".png", ".html")
"""The endings that the name of a grid may have, in upper or lower case."""


def require_writable(path: Path) -> None:
    """Raise UsageError unless a grid can be written there; called before the work."""
    if path.suffix.lower() not in SUFFIXES:
        name = path.stem or "grid"
        raise UsageError(f"--grid {path}: a grid is a PNG or an HTML page, name it {name}.png or {name}.html")
    require_place(path, "--grid")


def write_grid(shown: Drawable, path: Path, settings: Settings) -> None:
    """Write the pictures of an answer to `path`, replaced in one step. Raises UsageError."""
    require_writable(path)
    from recq.images import Limits

    sheet, limits = sheet_of(shown), Limits.from_settings(settings)
    with replaced(path, "--grid") as stream:
        if path.suffix.lower() == ".html":
            from recq.display.grid_html import page

            for part in page(sheet, limits):
                stream.write(part.encode())
        else:
            from query.pictures.grid_png import draw

            draw(sheet, limits).image.save(stream, "PNG", optimize=True)

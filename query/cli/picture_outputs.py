"""The pictures of an answer: in a file, on the terminal, in the system's viewer.

All commands with --grid, --preview and --open use it. What cannot be done is reported before the work.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from query.cli.shell import PROG
from recq.cli_errors import complain
from recq.paths import printable

if TYPE_CHECKING:
    from query.pictures.preview import Show
    from recq.display.grid_sheet import Drawable
    from recq.settings import Settings


class Pictures:
    """The outputs that --grid, --preview and --open ask for. Raises UsageError for one that is impossible here."""

    def __init__(self, grid: Path | None, preview: bool, open_: bool) -> None:
        self._grid = grid
        self._open = open_
        self._preview: Show | None = None
        if grid is not None:
            from query.pictures.grid import require_writable

            require_writable(grid)
        if open_:
            from query.pictures.viewer import require_viewer

            require_viewer()
        if preview:
            from query.pictures.preview import require_terminal

            self._preview = require_terminal()

    @property
    def wanted(self) -> bool:
        """Whether there is anything to show."""
        return self._grid is not None or self._preview is not None or self._open

    def show(self, shown: Drawable, settings: Settings) -> None:
        """Write, show and open the pictures of an answer; which file was written is printed on standard error."""
        if self._preview is not None:
            from recq.display.grid_sheet import sheet_of
            from recq.images import Limits

            self._preview(sheet_of(shown), Limits.from_settings(settings))
        grid = self._grid
        if grid is None and self._open:  # it is kept: the viewer reads it after recq has ended
            grid = Path(tempfile.mkdtemp(prefix="recq-")) / "grid.png"
        if grid is None:
            return
        from query.pictures.grid import write_grid

        write_grid(shown, grid, settings)
        complain(PROG, f"picture grid written to {printable(str(grid))}")
        if self._open:
            from query.pictures.viewer import open_file

            open_file(grid)

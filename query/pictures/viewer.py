"""Opens a file in the system's viewer for pictures: the desktop's, or the program in BROWSER."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from recq.errors import UsageError


def require_viewer() -> None:
    """Raise UsageError where no viewer is found; called before the work."""
    try:
        webbrowser.get()
    except webbrowser.Error as error:
        raise UsageError(
            "--open: no viewer was found, as on a machine without a desktop: write the pictures with "
            "--grid grid.html and open that elsewhere, or name a program in BROWSER"
        ) from error


def open_file(path: Path) -> None:
    """Open the file. Raises UsageError where no viewer opens it."""
    if not webbrowser.open(path.absolute().as_uri()):
        raise UsageError(f"--open: nothing could open {path}: open it yourself, or name a program in BROWSER")

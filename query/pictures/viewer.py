"""Hands a file to whatever shows pictures on this system: the desktop's viewer, or the program in BROWSER."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from recq.errors import UsageError


def require_viewer() -> None:
    """Raise UsageError where nothing could show a file: found out before the work."""
    try:
        webbrowser.get()
    except webbrowser.Error as error:
        raise UsageError(
            "--open: no viewer was found, as on a machine without a desktop: write the pictures with "
            "--grid grid.html and open that elsewhere, or name a program in BROWSER"
        ) from error


def open_file(path: Path) -> None:
    """Show the file. Raises UsageError when nothing took it."""
    if not webbrowser.open(path.absolute().as_uri()):
        raise UsageError(f"--open: nothing could open {path}: open it yourself, or name a program in BROWSER")

"""Progress of long work: a callback that whoever shows it passes in."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and about how much there is."""


def silent(what: str, done: int, of: int) -> None:
    """Nobody looks."""

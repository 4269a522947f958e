"""Progress of long work: the type of the callback that shows it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and about how much there is in all."""


def silent(what: str, done: int, of: int) -> None:
    """Show nothing."""

"""The progress bar that a command shows on standard error while the library works."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from recq.progress import Progress, silent


@contextmanager
def bar() -> Iterator[Progress]:
    """A bar where standard error is a terminal, removed at the end; else nothing."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as drawn:
        tasks = {}

        def progress(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = drawn.add_task(what, total=of)
            drawn.update(tasks[what], completed=done, total=of)

        yield progress

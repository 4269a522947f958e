"""What the daemon says while it runs: a progress bar on a terminal, one structured line per event otherwise.

An event has a name and fields; docs/ingest.md lists them all. `indexed` and `reused` are said of every item, but on a
terminal the bar says it. Lines go to standard error.
"""

from __future__ import annotations

import contextlib
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from recq.paths import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class LogFormat(StrEnum):
    """How an event is written."""

    TEXT = "text"  # key=value
    JSON = "json"


class Say(Protocol):
    """Told that something happened."""

    def __call__(self, event: str, /, **fields: object) -> None:
        """An event's name and fields."""


_QUIET = frozenset({"indexed", "reused", "metadata", "deleted"})
"""Events of single items that went well: the bar counts them."""

_WARNINGS = frozenset(
    {"another", "failed", "held", "overflow", "problem", "misfit", "refused", "unreadable", "waiting"}
)


class Reporter:
    """Says events and shows progress. Events may come from any thread, progress from one."""

    def __init__(self, log_format: LogFormat | None = None) -> None:
        import structlog

        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if sys.stderr.isatty() and log_format is None:
            self._bar = _bar()
            self._task = self._bar.add_task("starting", total=None, failed=0, rate="")
            self._bar.start()
        renderer: Any = (
            structlog.processors.JSONRenderer(ensure_ascii=False)
            if log_format is LogFormat.JSON
            else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
        )
        self._log = structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr) if self._bar is None else _Above(self._bar.console),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
                renderer,
            ],
            cache_logger_on_first_use=True,
        )

    def event(self, name: str, **fields: object) -> None:
        """Say that something happened. Texts are escaped: a file's name cannot write a line of its own."""
        if self._bar is not None and name in _QUIET:
            return
        said = {key: printable(value) if isinstance(value, str) else value for key, value in fields.items()}
        with contextlib.suppress(OSError):  # the log's disk is full, or nobody reads it any more: the work goes on
            (self._log.warning if name in _WARNINGS else self._log.info)(name, **said)

    def progress(self, state: str, done: int, total: int, failed: int, rate: float | None) -> None:
        """Show how far this run has come; `rate` is items per second."""
        if self._bar is not None and self._task is not None:
            shown = f"{rate:.0f}/s" if rate else ""
            self._bar.update(
                self._task, description=state, completed=done, total=total or None, failed=failed, rate=shown
            )
            self._bar.refresh()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()


class _Above:
    """A logger that prints above the bar."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def msg(self, message: str) -> None:
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    info = warning = msg


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[failed]} failed"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        auto_refresh=False,  # an idle daemon sleeps
    )

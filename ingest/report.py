"""What the daemon reports while it runs: a progress bar on a terminal, one structured line per event otherwise.

An event has a name and fields; docs/ingest.md lists them all. On a terminal the bar counts the items that went well, in
place of an event for each. All lines go to standard error through one place, so that log messages of libraries appear
above the bar as well.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from recq.paths import printable
from recq.waiting import LOGGER as WAITING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class LogFormat(StrEnum):
    """How an event is written."""

    TEXT = "text"  # key=value
    JSON = "json"


class Say(Protocol):
    """Reports an event."""

    def __call__(self, event: str, /, **fields: object) -> None:
        """An event's name and fields."""


class Reports(Protocol):
    """What a daemon reports to."""

    def event(self, name: str, **fields: object) -> None:
        """Report an event."""

    def progress(self, state: str, done: int, total: int, failed: int, *, known: bool) -> None:
        """Show how far a run has come."""

    def stage(self, name: str, done: int, total: int) -> None:
        """Show the progress of a stage whose steps are no items."""


_QUIET = frozenset({"indexed", "reused", "metadata", "deleted"})
"""Events of single items that went well: the bar counts them."""

_WARNINGS = frozenset(
    {
        "another",
        "failed",
        "held",
        "log",
        "misfit",
        "overflow",
        "problem",
        "refused",
        "unpredicted",
        "unreadable",
        "waiting",
    }
)


class Reporter:
    """Reports events and shows progress. Events may come from any thread, progress from one."""

    def __init__(self, log_format: LogFormat | None = None) -> None:
        import structlog

        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        if sys.stderr.isatty() and log_format is None:
            self._bar = _bar()
            self._tasks[""] = self._bar.add_task("starting", total=None, so_far=0, failed="")
            self._bar.start()
        renderer: Any = (
            structlog.processors.JSONRenderer(ensure_ascii=False)
            if log_format is LogFormat.JSON
            else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
        )
        self._log = structlog.wrap_logger(
            _Lines(sys.stderr) if self._bar is None else _Above(self._bar.console),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
                renderer,
            ],
            cache_logger_on_first_use=True,
        )
        self._logged = _Logged(self)

    def event(self, name: str, **fields: object) -> None:
        """Report an event. Texts are escaped, so that the name of a file cannot write a line of its own."""
        if self._bar is not None and name in _QUIET:
            return
        shown = {key: printable(value) if isinstance(value, str) else value for key, value in fields.items()}
        with contextlib.suppress(OSError):  # the log's disk is full, or its reader has ended: the daemon goes on
            (self._log.warning if name in _WARNINGS else self._log.info)(name, **shown)

    def progress(self, state: str, done: int, total: int, failed: int, *, known: bool) -> None:
        """Show how far this run has come; `total` is what was found so far, unless it is `known` to be all."""
        if self._bar is not None:
            self._show("", state, done, total, known=known, failed=f"{failed:,} failed" if failed else "")

    def stage(self, name: str, done: int, total: int) -> None:
        """Show the progress of a stage whose steps are no items, in a line of its own."""
        if self._bar is not None:
            self._show(name, name, done, total, known=True, failed="")

    def end_stage(self, name: str) -> None:
        """Remove the line of a stage that has ended."""
        task = self._tasks.pop(name, None)
        if self._bar is not None and task is not None:
            self._bar.remove_task(task)
            self._bar.refresh()

    def _show(self, name: str, description: str, done: int, total: int, *, known: bool, failed: str) -> None:
        assert self._bar is not None
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(description, total=None, so_far=0, failed="")
        shown = total if known else None  # an update with None leaves a total as it is
        self._bar.update(
            self._tasks[name], description=description, completed=done, total=shown, so_far=total, failed=failed
        )
        self._bar.refresh()

    def close(self) -> None:
        """Remove the bar, and let libraries log as before."""
        self._logged.close()
        if self._bar is not None:
            self._bar.stop()


class _Lines:
    """A logger that writes lines. One that a full disk has cut is ended before the next, so that it spoils only itself.

    What could not be written is not tried again: standard error may or may not have kept the rest of a line.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._cut = False

    def msg(self, message: str) -> None:
        with self._lock:
            start = "\n" if self._cut else ""
            self._cut = True
            self._write(f"{start}{message}\n")
            self._cut = False

    def _write(self, text: str) -> None:
        binary = getattr(self._stream, "buffer", None)
        if binary is None:  # a stream of a test's, or of another program that this one runs in
            self._stream.write(text)
        else:
            # An unbuffered file takes what there is room for, says how much that was, and raises nothing.
            left = text.encode("utf-8", "backslashreplace")
            while left:
                left = left[binary.write(left) or 0 :]
        self._stream.flush()

    info = warning = msg


class _Above:
    """A logger that prints above the bar."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def msg(self, message: str) -> None:
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    info = warning = msg


class _Logged(logging.Handler):
    """Turns log messages of recq and of libraries into events, until `close`."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__(logging.WARNING)
        self._reporter = reporter
        self._printers = list(logging.getLogger("recq").handlers)  # the command line's own, for before and after
        for each in self._printers:
            logging.getLogger("recq").removeHandler(each)
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):  # a library's malformed message must not stop the work
            if record.name == WAITING.name:
                self._reporter.event("waiting", detail=record.getMessage())
            else:
                self._reporter.event("log", logger=record.name, detail=record.getMessage())

    def close(self) -> None:
        logging.getLogger().removeHandler(self)
        for each in self._printers:
            logging.getLogger("recq").addHandler(each)
        self._printers = []
        super().close()


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Done(ProgressColumn):
        """`1,200/5,000`; while more is being found `1,200/5,000+`."""

        def render(self, task: Task) -> Text:
            if not task.fields["so_far"]:
                return Text()
            more = "+" if task.total is None else ""
            return Text(f"{int(task.completed):,}/{task.fields['so_far']:,}{more}", style="progress.download")

    class Speed(ProgressColumn):
        """Items a second, while there is something to do."""

        def render(self, task: Task) -> Text:
            busy = task.speed and task.completed < task.fields["so_far"]
            return Text(f"{task.speed:,.0f}/s" if busy else "", style="progress.data.speed")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        Done(),
        Speed(),
        TextColumn("{task.fields[failed]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        auto_refresh=False,  # an idle daemon sleeps
        transient=True,  # a summary line follows at the end
    )

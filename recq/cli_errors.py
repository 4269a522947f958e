"""Runs a command of either program: whatever it raises becomes one clear line and a documented exit code.

    0    done
    1    unexpected: a bug, or a failure that no other code describes
    2    usage: an option, an argument, a filter or a setting
    3    target not found, ambiguous or failed; items failed
    4    the index is unreachable, refused or busy
    5    embedding space or model
    130  interrupted (Ctrl-C)
    141  the reader of standard output has ended (as in `recq search --format paths | head -1`)

Answers are written to standard output, everything else to standard error.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import typer

from recq.commands import repeating
from recq.errors import RecqError
from recq.paths import printable

EXIT_CODES = {
    0: "done",
    1: "unexpected",
    2: "usage",
    3: "target not found, ambiguous or failed; items failed",
    4: "index unreachable, refused or busy",
    5: "embedding space or model",
    130: "interrupted",
    141: "the reader of the output has gone",
}
"""What each exit code of both programs means, in a few words."""

_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_READER_GONE = 141  # 128 + SIGPIPE


def run(app: typer.Typer, prog: str, args: Sequence[str] | None = None) -> int:
    """Run a Typer app and return the exit code; never raises, never prints a traceback unless `--debug` was given.

    A command ends by returning (0), by returning an exit code, by `typer.Exit(code)` or by raising; an error's text is
    printed as `PROG: text`, with the lines after the first indented. `args` are the process's own when None.
    """
    given = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in given[: given.index("--") if "--" in given else None]
    with repeating():
        return _run(typer.main.get_command(app), prog, given, debug=debug)


def _run(program: Any, prog: str, given: list[str], *, debug: bool) -> int:
    try:
        with _warnings_printed(prog):
            result = program.main(given, prog_name=prog, standalone_mode=False)
        if sys.stdout is not None:  # closed by whoever started this (`>&-`)
            sys.stdout.flush()  # a reader that has ended is noticed here, not while the interpreter shuts down
        return result if isinstance(result, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        return _reader_gone()
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # how Typer reports it
            return _reader_gone()
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        complain(prog, _told(error, program, prog, given))
        return error.exit_code if isinstance(error, RecqError | typer.TyperException) else 1


def complain(prog: str, message: str) -> None:
    """One message on standard error: `PROG: message`, control characters escaped, further lines indented.

    Texts from file names or payloads must pass through `recq.paths.printable`, or their line breaks begin new lines.
    Where nobody reads them any more, they are lost, and the exit code still tells.
    """
    if not message or sys.stderr is None:
        return
    first, *more = message.split("\n")
    text = "\n".join([f"{prog}: {printable(first)}", *(f"  {printable(line)}" for line in more)]) + "\n"
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except BrokenPipeError:
        _to_nowhere(sys.stderr)


class _Printed(logging.Handler):
    """Warnings of recq's own loggers as lines like those of errors."""

    def __init__(self, prog: str) -> None:
        super().__init__(logging.WARNING)
        self._prog = prog

    def emit(self, record: logging.LogRecord) -> None:
        complain(self._prog, record.getMessage())


@contextmanager
def _warnings_printed(prog: str) -> Iterator[None]:
    handler = _Printed(prog)
    logging.getLogger("recq").addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger("recq").removeHandler(handler)


def _told(error: Exception, program: Any, prog: str, given: Sequence[str]) -> str:
    """The text of an error for the terminal."""
    if isinstance(error, RecqError):
        return str(error)
    if isinstance(error, typer.TyperException):
        from recq.cli_usage import told

        return told(error, program, prog, given)
    said = " ".join(str(error).split())
    return f"unexpected: {type(error).__name__}{f': {said}' if said else ''} (run again with --debug for the traceback)"


def _reader_gone() -> int:
    """End without a message, also at the interpreter's last flush: the reader of standard output has ended."""
    if sys.stdout is not None:
        _to_nowhere(sys.stdout)
    return _READER_GONE


def _to_nowhere(stream: TextIO) -> None:
    """What is left in a stream without a reader goes to nobody, also at the interpreter's last flush."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)

"""Output and remarks of every command of `recq`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from recq.cli_errors import complain

if TYPE_CHECKING:
    from recq.search.results import Answer

PROG = "recq"


def terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def emit(text: str) -> None:
    """Write the answer to standard output: UTF-8 whatever the locale, undecodable file names as their bytes."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def counted(count: int, noun: str) -> str:
    """A count with its noun, which is given in the singular."""
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"


def remark(answer: Answer) -> None:
    """Write the remarks on an answer to standard error."""
    for note in answer.notes:
        complain(PROG, note)
    if answer.no_results is not None:
        complain(PROG, answer.no_results.text)

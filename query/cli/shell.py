"""What every command of `recq` does around its one call into the library: output, remarks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from recq.cli_errors import complain

if TYPE_CHECKING:
    from recq.search.results import Answer

PROG = "recq"


def terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout.isatty()


def emit(text: str) -> None:
    """The answer on standard output: UTF-8 whatever the locale, undecodable file names as the bytes they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def counted(count: int, noun: str) -> str:
    """So many of something, in words; the noun in the singular."""
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"


def remark(answer: Answer) -> None:
    """What there is to say about an answer, on standard error."""
    for note in answer.notes:
        complain(PROG, note)
    if answer.no_results is not None:
        complain(PROG, answer.no_results.text)

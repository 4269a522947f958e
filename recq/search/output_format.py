"""The plug-in interface for output formats, which write the answers of `similar`, `recommend` and `search`.

recq's own formats (`query.text.render`) use it as well. docs/plugins.md explains how to write one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recq.search.many import FailedTarget
    from recq.search.results import Answer

GROUP = "recq.output_formats"
"""The group of the entry points. An entry's name is a value of `--format`, its object is a class."""


@dataclass(frozen=True)
class Page:
    """What is written to. `terminal`: for people, with colours; else for a program. `null`: -0 was given."""

    terminal: bool = False
    null: bool = False


class OutputFormat:
    """A format. `answer` is the one method that it needs; the others are for several targets."""

    several = True
    """Whether it can hold the answers to several targets."""

    together = False
    """Whether `answers` prints all answers at the end, instead of `one_of_several` each at once."""

    def answer(self, answer: Answer, page: Page) -> str:
        """The answer as text; names that are not UTF-8 keep their bytes as surrogate escapes."""
        raise NotImplementedError

    def one_of_several(self, answer: Answer, page: Page) -> str:
        """The answer to one of several targets."""
        return self.answer(answer, page)

    def answers(self, answers: Sequence[Answer], page: Page) -> str:
        """The answers to several targets at once."""
        return "".join(self.one_of_several(answer, page) for answer in answers)

    def failure(self, failure: FailedTarget) -> str | None:  # noqa: ARG002 - for those that print one
        """A failed target among several; None: a line on standard error reports it."""
        return None

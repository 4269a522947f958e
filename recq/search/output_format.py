"""The door for output formats: what one makes of the answers of `similar`, `recommend` and `search`.

recq's own (`query.text.render`) are behind it as well. docs/plugins.md is for those who write one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recq.search.many import FailedTarget
    from recq.search.results import Answer

GROUP = "recq.output_formats"
"""The group of the entry points; the name of one is what `--format` takes, and what is behind it a class."""


@dataclass(frozen=True)
class Page:
    """What is written on. `terminal`: for eyes, with colours; else for a program. `null`: -0 was given."""

    terminal: bool = False
    null: bool = False


class OutputFormat:
    """A format: `answer` is all that one needs; the rest is for several targets, whose answers come one by one."""

    several = True
    """Whether it can hold the answers to several targets."""

    together = False
    """Whether these are printed by `answers` when all are there, and not by `one_of_several` as they come."""

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
        """A target among several that has no answer; None: a line on standard error tells it."""
        return None

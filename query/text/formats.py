"""The formats for `--format` of `similar`, `recommend` and `search`: recq's own, and those of plug-ins.

For one of recq's own no package is searched. The others are searched for where all are listed (help, completion, an
error) or a name is not recq's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum, EnumMeta
from typing import TYPE_CHECKING, TypeVar

from recq.errors import PluginError
from recq.plugins import Door, fault
from recq.search.output_format import GROUP, OutputFormat, Page

if TYPE_CHECKING:
    from recq.search.many import FailedTarget
    from recq.search.results import Answer

DOOR = Door(
    GROUP,
    {
        "table": "query.text.render:Table",
        "json": "query.text.render:Json",
        "jsonl": "query.text.render:JsonLines",
        "csv": "query.text.render:Csv",
        "paths": "query.text.render:Paths",
    },
)

TABLE, PATHS = "table", "paths"

T = TypeVar("T")

if TYPE_CHECKING:
    FormatName = str
else:

    class _Listed(EnumMeta):
        def __iter__(cls) -> Iterator[str]:
            return iter(DOOR.names())

    class FormatName(Enum, metaclass=_Listed):
        """The name of a format, for Typer: help and completion list the formats when they are asked for."""


def format_name(name: str) -> str:
    """The name of a format. Raises ValueError, which lists them, for any other."""
    if not DOOR.has_own(name) and name not in DOOR.installed():
        raise ValueError(f"{name!r} is not one of {', '.join(map(repr, DOOR.names()))}")
    return name


class Printer:
    """A format that writes to a page. Raises PluginError where a plug-in cannot be used, or does not return text."""

    def __init__(self, name: str, page: Page) -> None:
        self._own = DOOR.has_own(name)
        entry = DOOR.own[name] if self._own else DOOR.installed()[name]
        self._called = DOOR.called(entry)
        self._page = page
        made = self._guarded(DOOR.load(entry))
        if not isinstance(made, OutputFormat):
            raise PluginError(f"{self._called} is no recq.search.output_format.OutputFormat, but {type(made).__name__}")
        self._format = made
        self.several = made.several
        self.together = made.together

    def answer(self, answer: Answer) -> str:
        """One answer."""
        return self._text(lambda: self._format.answer(answer, self._page))

    def one_of_several(self, answer: Answer) -> str:
        """The answer to one of several targets; empty where they are printed together."""
        return "" if self.together else self._text(lambda: self._format.one_of_several(answer, self._page))

    def answers(self, answers: Sequence[Answer]) -> str:
        """The answers to several targets; empty where each is printed at once."""
        return self._text(lambda: self._format.answers(answers, self._page)) if self.together else ""

    def failure(self, failure: FailedTarget) -> str | None:
        """A failed target, where the format has a form for it."""
        return self._guarded(lambda: self._format.failure(failure))

    def _text(self, make: Callable[[], str]) -> str:
        text = self._guarded(make)
        if not isinstance(text, str):
            raise PluginError(f"{self._called} prints {type(text).__name__}, not text")
        return text

    def _guarded(self, make: Callable[[], T]) -> T:
        if self._own:
            return make()
        try:
            return make()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # as in `fault`
            raise PluginError(f"{self._called} cannot print this: {fault(error)}") from error

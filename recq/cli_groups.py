"""Options that commands have together, each group declared once: a parameter of a command stands for all of its group.

    @grouped
    def search(*, question: Matched, output: Output, index: Index) -> None: ...

Typer sees a command with all the options, in the order of the groups' fields; the command gets records.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from recq.cli_options import CatalogOption, DataDirOption, DebugOption, InsecureOption, UrlOption

if TYPE_CHECKING:
    from recq.settings import Settings

R = TypeVar("R")

_DEBUG = "_debug"


@dataclass(frozen=True)
class WholeIndex:
    """Which index, for commands about several catalogs, or one that they name themselves."""

    url: UrlOption = None
    data_dir: DataDirOption = None
    insecure: InsecureOption = False

    def settings(self, **others: Any) -> Settings:
        """The settings in force, `others` among them. Raises UsageError."""
        from recq.settings import Settings

        return Settings.load(url=self.url, data_dir=self.data_dir, insecure=self.insecure or None, **others)


@dataclass(frozen=True)
class Index:
    """Which index and which catalog."""

    catalog: CatalogOption = None
    url: UrlOption = None
    data_dir: DataDirOption = None
    insecure: InsecureOption = False

    def settings(self, **others: Any) -> Settings:
        """The settings in force, `others` among them. Raises UsageError."""
        return WholeIndex(self.url, self.data_dir, self.insecure).settings(catalog=self.catalog, **others)


def grouped(function: Callable[..., R]) -> Callable[..., R]:
    """A command for Typer: each parameter that is a group of options becomes the group's options.

    `--debug` comes last. `recq.cli_errors.run` reads it from the command line, so no command is given it.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, type] = {}
    parameters: list[inspect.Parameter] = []
    for each in inspect.signature(function).parameters.values():
        kind = hints[each.name]
        if not is_dataclass(kind):
            parameters.append(each.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        assert isinstance(kind, type)
        groups[each.name] = kind
        types = get_type_hints(kind, include_extras=True)
        parameters += [
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=types[one.name])
            for one in fields(kind)
        ]
    parameters.append(inspect.Parameter(_DEBUG, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=DebugOption))

    @functools.wraps(function)
    def wrapper(**given: Any) -> R:
        del given[_DEBUG]
        records = {
            name: kind(**{one.name: given.pop(one.name) for one in fields(kind)}) for name, kind in groups.items()
        }
        return function(**given, **records)

    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {each.name: each.annotation for each in parameters}
    del wrapper.__wrapped__
    return wrapper

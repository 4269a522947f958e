"""Commands whose modules are imported on use: a program with many commands starts as fast as one with few.

    class Recq(CommandsOnUse):
        table = table(Listed("similar", "query.cli.search:similar", "What looks most like TARGET."), ...)

    app = typer.Typer(cls=Recq)

The program's help and the completion of command names list the table. After the program's own options it is known which
command runs: only that command is imported, and only its options are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True)
class Listed:
    """A command as its program lists it.

    `function` and `epilog` are named as `module:object`; `help` is the first paragraph of the function's docstring,
    which a test compares (`tests/test_help.py`).
    """

    name: str
    function: str
    help: str
    epilog: str | None = None
    context_settings: Mapping[str, Any] = field(default_factory=dict)

    def short(self) -> TyperCommand:
        """The command without its options: enough to be listed."""
        return TyperCommand(self.name, help=self.help)

    def whole(self) -> Any:
        """The command as Typer makes it of its function, which is imported."""
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        epilog = None if self.epilog is None else resolve_name(self.epilog)
        settings = dict(self.context_settings) or None
        alone.command(self.name, cls=_Command, epilog=epilog, context_settings=settings)(resolve_name(self.function))
        return typer.main.get_command(alone)


@dataclass(frozen=True)
class ListedGroup:
    """Commands under one name: `recq labels audit`. Each of them is imported when it runs."""

    name: str
    help: str
    table: Mapping[str, Listed | ListedGroup]

    def short(self) -> TyperCommand:
        """The name without its commands: enough to be listed."""
        return TyperCommand(self.name, help=self.help)

    def whole(self) -> Any:
        """The group, whose commands are listed."""
        kind = type("_Group", (CommandsOnUse,), {"table": self.table})
        alone = typer.Typer(
            name=self.name, cls=kind, help=self.help, no_args_is_help=True, add_completion=False,
            pretty_exceptions_enable=False,
        )  # fmt: skip
        alone.callback()(_nothing)
        return typer.main.get_command(alone)


def _nothing() -> None:
    """A group does nothing itself."""


def table(*commands: Listed | ListedGroup) -> Mapping[str, Listed | ListedGroup]:
    """The commands by name, in the order of the program's help."""
    return {each.name: each for each in commands}


def leaves(program: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command of a program that can run, by what is typed for it: `similar`, `labels audit`, `models`."""
    for name, command in getattr(program, "commands", {}).items():
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield f"{before}{name}", command
            yield from leaves(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _as_typed(ctx: Any, value: Any) -> Any:  # noqa: ARG001 - Typer's signature
    """A value as it stands on the command line."""
    return value


def _leave_unchecked(command: TyperCommand | TyperGroup, ctx: Any) -> None:
    """During shell completion no command runs, so typed values are not converted: that needs pydantic.

    Its import would take half of the time of a completion.
    """
    if ctx.resilient_parsing:
        for param in command.get_params(ctx):
            param.process_value = _as_typed  # type: ignore[method-assign]


class _Command(TyperCommand):
    """A command with its options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _leave_unchecked(self, ctx)
        return super().parse_args(ctx, args)


class _Whole(Mapping[str, Any]):
    """Every command with its options, made on first use."""

    def __init__(self, listed: Mapping[str, Listed | ListedGroup]) -> None:
        self._listed = listed
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._listed[name].whole()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


class CommandsOnUse(TyperGroup):
    """A program whose commands stand in `table`. `commands` has them whole, `get_command` as they are listed."""

    table: ClassVar[Mapping[str, Listed | ListedGroup]]

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = _Whole(self.table)  # type: ignore[assignment]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The program's own options; which command follows."""
        _leave_unchecked(self, ctx)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - Typer's signature
        """The names, in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """A command to be listed; None where there is none of that name."""
        listed = self.table.get(cmd_name)
        return None if listed is None else listed.short()

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that runs, whole."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, None if command is None else self.commands[str(command.name)], rest

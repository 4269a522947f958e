"""Messages for command lines that Typer refuses, in recq's own style.

-k 'abc': a whole number is needed, as in -k 20
recq similar has no option --strategy, recq recommend has
recq show takes TARGET alone: 'b' is too much
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from recq.cli_commands import leaves
from recq.commands import shell_word
from recq.needed import needed
from recq.paths import printable
from recq.spelling import did_you_mean, nearest, one_of

_COMMANDS = 3  # that are named of those that have an option


def told(error: typer.TyperException, program: Any, prog: str, given: Sequence[str]) -> str:
    """The message for the terminal; empty where Typer has shown the help instead.

    `program` is Typer's command that was run as `prog` with the words `given`.
    """
    message = error.format_message().strip()
    if not message:
        return ""
    context = getattr(error, "ctx", None)
    path, command = prog, program
    if context is not None:
        path, command = context.command_path, context.command
    else:
        for word in given:
            if word not in getattr(command, "commands", {}):
                break
            path, command = f"{path} {word}", command.commands[word]
    words = _words(error, _Run(path, command, prog, program), given) or message.rstrip(".")
    return f"{words} (see '{path} --help')"


@dataclass(frozen=True)
class _Run:
    """The command that was run, as it was called, and the program that it belongs to."""

    path: str
    command: Any
    prog: str
    program: Any

    @property
    def params(self) -> Sequence[Any]:
        """The command's options and arguments."""
        return tuple(self.command.params)

    def siblings(self) -> Iterator[tuple[str, Sequence[Any]]]:
        """The other commands of the program, with their options and arguments."""
        for name, command in leaves(self.program):
            if command is not self.command:
                yield f"{self.prog} {name}", command.params


def _words(error: typer.TyperException, run: _Run, given: Sequence[str]) -> str | None:
    """The message by the kind of error; None where Typer's own message is used. Typer's classes are not public."""
    param = getattr(error, "param", None)
    match type(error).__name__:
        case "MissingParameter" if param is not None:
            return f"{_name(param, given, whole=True)} is missing{_example(param, given)}"
        case "BadParameter" if param is not None:
            return _bad_value(error, param, given)
        case "NoSuchOption":
            return _no_option(str(getattr(error, "option_name", "")), run, given)
        case "BadOptionUsage":
            option = str(getattr(error, "option_name", ""))
            if "does not take a value" in error.message:
                return f"{option} takes no value"
            own = next((each for each in run.params if option in each.opts), None)
            return f"{option} needs a value{_example(own, given) if own is not None else ''}"
        case "UsageError":
            return _usage(error.message, run)
    return None


def _bad_value(error: typer.TyperException, param: Any, given: Sequence[str]) -> str:
    errors = getattr(error.__cause__, "errors", None)
    name = _name(param, given)
    if errors is None:
        return f"{name}: {error.message.rstrip('.')}"
    first: Mapping[str, Any] = errors()[0]
    said = needed(first)
    example = "" if "did you mean" in said or " or " in said.partition(" is needed")[0] else _example(param, given)
    return f"{name} '{printable(str(first['input']))}': {said}{example}"


def _no_option(option: str, run: _Run, given: Sequence[str]) -> str:
    """The message for an unknown option: an option that is spelt alike, else the commands that have the option.

    Else the word may be a name, such as that of a file.
    """
    name = next((word for word in given if word.startswith(option)), option)
    option = printable(option)
    known = [each for param in run.params for each in param.opts]
    near = nearest(option, [each for each in known if each.startswith("--")])
    if near:
        return f"{run.path} has no option {option}{did_you_mean(near)}"
    others = [name for name, params in run.siblings() if any(option in each.opts for each in params)]
    if others:
        more = len(others) - _COMMANDS
        told = [*others[:_COMMANDS], f"{more} others"] if more > 1 else others
        return f"{run.path} has no option {option}, {one_of(told, 'and')} {'has' if len(others) == 1 else 'have'}"
    takes = next((each.metavar or each.name for each in run.params if each.param_type_name == "argument"), None)
    if takes is None or (name == option and "." not in name):
        return f"{run.path} has no option {option}"
    return (
        f"{run.path} has no option {option}; a {takes.rstrip('.')} that begins with - comes last: -- {shell_word(name)}"
    )


def _usage(message: str, run: _Run) -> str | None:
    if extra := re.fullmatch(r"Got unexpected extra argument(?:\(s\)|s)? \((.*)\)", message, re.DOTALL):
        names = [each.metavar or each.name for each in run.params if each.param_type_name == "argument"]
        takes = f"{' and '.join(names)} alone" if names else "options alone"
        return f"{run.path} takes {takes}: '{printable(extra[1])}' is too much"
    if unknown := re.match(r"No such command '(.*?)'\.", message, re.DOTALL):
        known = getattr(run.command, "commands", None) or getattr(run.program, "commands", {})
        near = nearest(unknown[1], known, alike=0.6)
        return f"there is no command '{printable(unknown[1])}'{did_you_mean([repr(each) for each in near])}"
    return None


def _name(param: Any, given: Sequence[str], *, whole: bool = False) -> str:
    """The option as it was typed, with `whole` also its value's name; or an argument's name."""
    if param.param_type_name == "argument":
        return str(param.metavar or param.name)
    typed = (each for each in param.opts if any(word == each or word.startswith(f"{each}=") for word in given))
    option = str(next(typed, param.opts[0]))
    return f"{option} {param.metavar}" if whole and param.metavar else option


def _example(param: Any, given: Sequence[str]) -> str:
    """The example from the help text, as the rest of a sentence."""
    example = (getattr(param, "help", None) or "").partition("Example: ")[2]
    if param.param_type_name == "argument":
        word = re.match(r"'[^']*'|[^\s,]+", example)
        return f", such as {word.group().rstrip('.')}" if word else ""
    for option in param.opts:
        if found := re.search(rf"(?<!\S){re.escape(option)} ('[^']*'|[^\s,]+)", example):
            return f", as in {_name(param, given)} {found[1].rstrip('.')}"
    return ""

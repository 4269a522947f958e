"""Help of both programs: what it mentions is there to be used."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import typer

import ingest.cli.main
import query.cli.main
from recq.cli_commands import leaves

PROGRAMS: dict[str, Any] = {
    "recq": typer.main.get_command(query.cli.main.app),
    "recq-ingest": typer.main.get_command(ingest.cli.main.app),
}
COMMANDS = [(prog, name, command) for prog, app in PROGRAMS.items() for name, command in leaves(app)]
IDS = [f"{prog} {name}" for prog, name, _ in COMMANDS]
SWITCH = re.compile(r"(?<![\w-])--?[A-Za-z0-9][\w-]*")
QUOTED = re.compile(r"'[^']*'")


def switches(command: Any) -> set[str]:
    return {switch for parameter in command.params for switch in (*parameter.opts, *parameter.secondary_opts)}


def mentioned(text: str) -> set[str]:
    """The options in a text; those of another program's command after a bar are its own."""
    return {switch for part in re.split(r"\s\|\s.*", text) for switch in SWITCH.findall(QUOTED.sub("''", part))}


@pytest.mark.parametrize(("prog", "name", "command"), COMMANDS, ids=IDS)
def test_help_mentions_only_options_of_its_command(prog: str, name: str, command: Any) -> None:
    texts = {"itself": command.help, "epilog": command.epilog, "short": command.short_help}
    texts |= {"/".join(parameter.opts): getattr(parameter, "help", None) for parameter in command.params}
    known = switches(command) | {"--help", "-h"}
    wrong = {place: more for place, text in texts.items() if (more := mentioned(text or "") - known)}
    assert wrong == {}, f"{prog} {name} --help mentions what it has not"


@pytest.mark.parametrize(("prog", "name", "command"), COMMANDS, ids=IDS)
def test_help_mentions_only_commands_that_there_are(prog: str, name: str, command: Any) -> None:
    text = " ".join(
        str(each) for each in (command.help, command.epilog, *(getattr(p, "help", "") for p in command.params))
    )
    for program, called in re.findall(r"\b(recq|recq-ingest) ([a-z]+)\b", text):
        assert called in PROGRAMS[program].commands, f"{prog} {name}: {program} {called}"
    for example in re.findall(r"Example: (recq(?:-ingest)?) ([a-z]+)", text):
        assert example == (prog, name.split()[0]), "an example of its own"


def first_paragraph(text: str) -> str:
    return " ".join(inspect.cleandoc(text).partition("\n\n")[0].split())


@pytest.mark.parametrize(("prog", "name", "command"), COMMANDS, ids=IDS)
def test_the_program_lists_a_command_as_its_function_describes_it(prog: str, name: str, command: Any) -> None:
    """The line of the program's help is written where no command has to be imported for it."""
    program, *_, last = PROGRAMS[prog], *name.split()
    for word in name.split()[:-1]:
        program = program.commands[word]
    listed = program.get_command(typer.Context(program, info_name=prog), last)
    assert first_paragraph(listed.help) == first_paragraph(command.help)
    assert listed.name == command.name == last


def test_the_check_finds_what_is_not_there() -> None:
    assert mentioned("Not --without, nor -x; a-b 'quoted --one' | other --two") == {"--without", "-x"}


def declared(source: str) -> list[str]:
    """Each option or argument of Typer that a module declares, as it is written."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [text for call in calls if (text := ast.unparse(call)).startswith(("typer.Option(", "typer.Argument("))]


def test_every_option_is_declared_once() -> None:
    """Commands that have an option together share its declaration, in a program or in `recq`."""
    root = Path(__file__).resolve().parent.parent
    places = defaultdict(list)
    for file in [*root.glob("*/cli/*.py"), *root.glob("recq/cli_*.py")]:
        for declaration in declared(file.read_text("utf-8")):
            places[declaration].append(str(file.relative_to(root)))
    assert len(places) > 50, "declarations are found"
    assert {each: where for each, where in places.items() if len(where) > 1} == {}


def test_index_options_are_declared_through_their_groups() -> None:
    """`--catalog`, `--url`, `--data-dir` and `--debug` come from `recq.cli_groups`: no command writes them."""
    root = Path(__file__).resolve().parent.parent
    shared = {"CatalogOption", "UrlOption", "DataDirOption", "DebugOption"}
    wrong = [
        f"{file.relative_to(root)}: {node.id}"
        for file in root.glob("*/cli/*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Name) and node.id in shared
    ]
    assert wrong == []

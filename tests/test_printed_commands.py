"""Every command that a message prints goes through `recq.commands`, and is one that there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import ingest.cli.main
import query.cli.main
from recq.cli_commands import leaves
from recq.commands import OF_ALL

ROOT = Path(__file__).resolve().parent.parent
APPS: dict[str, Any] = {
    "recq": typer.main.get_command(query.cli.main.app),
    "recq-ingest": typer.main.get_command(ingest.cli.main.app),
}
PROGRAMS: dict[str, dict[str, Any]] = {prog: app.commands for prog, app in APPS.items()}
NAMES = "|".join(sorted({name for commands in PROGRAMS.values() for name in commands}, key=len, reverse=True))
PRINTED = re.compile(rf"\brecq(-ingest)? ({NAMES})\b")
FILES = sorted(file for package in ("recq", "ingest", "query") for file in (ROOT / package).rglob("*.py"))
STATIC = {"help", "epilog"}  # of a command: examples for any shell
HELP = {"Listed", "json_option"}  # calls whose arguments are help


def text_of(node: ast.AST) -> str:
    """What a string expression says; \\0 for what only the running program knows."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(text_of, parts))
        case ast.FormattedValue(value=value):
            return text_of(value)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return text_of(left) + text_of(right)
        case ast.Name(id="PROG" | "prog"):
            return "recq"
    return "\0"


def strings(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The string expressions of a tree that may be printed, with their lines: neither docstrings nor static help."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in HELP:
        return
    if isinstance(node, ast.JoinedStr | ast.BinOp | ast.Constant):
        yield getattr(node, "lineno", 0), text_of(node)
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or (isinstance(child, ast.keyword) and child.arg in STATIC):
                continue
            if field == "body" and isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            yield from strings(child)


def by_hand(source: str) -> list[str]:
    """The commands in a source that are printed as they stand."""
    return [f"{line}: {match[0]}" for line, text in strings(ast.parse(source)) for match in PRINTED.finditer(text)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_commands_are_built_where_the_index_is_known(file: Path) -> None:
    assert by_hand(file.read_text("utf-8")) == [], "use recq.commands.command"


@pytest.mark.parametrize(
    "source",
    [
        "print('see recq similar x.jpg')",
        "raise E(f\"run 'recq-ingest confirm {name}'\")",
        "echo(f'{PROG} status tells')",
        "echo('try ' + PROG + ' search')",
        "echo('a '\n'recq '\n'facets x')",
        "def f(x='recq search'): ...",
    ],
)
def test_the_check_sees_every_way_to_write_one(source: str) -> None:
    assert by_hand(source)


@pytest.mark.parametrize(
    "source", ["'''recq search is documented.'''", "Option(help='Example: recq show x')", "print('recq is here')"]
)
def test_the_check_leaves_the_rest_alone(source: str) -> None:
    assert by_hand(source) == []


CALLS = [
    (f"{file.relative_to(ROOT)}:{node.lineno}", node)
    for file in FILES
    for node in ast.walk(ast.parse(file.read_text("utf-8")))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("command", "command_line")
]


@pytest.mark.parametrize(("place", "call"), CALLS, ids=lambda each: each if isinstance(each, str) else "")
def test_every_printed_command_exists(place: str, call: ast.Call) -> None:
    if "commands.py" in place:
        return
    prog, name, *words = (text_of(word) for word in call.args)
    its_own = isinstance(call.args[0], ast.Name)  # PROG
    commands = PROGRAMS["recq-ingest" if place.startswith("ingest") and its_own else prog]
    options = {option for parameter in commands[name].params for option in parameter.opts}
    added = {"--url", "--data-dir"} | (set() if name in OF_ALL else {"--catalog"})
    assert added <= options, "what the function adds must be an option there"
    assert {word for word in words if word.startswith("--")} <= options


def test_a_catalog_is_added_wherever_it_can_be_given() -> None:
    takes: dict[str, set[bool]] = {}
    for app in APPS.values():
        for name, command in leaves(app):
            options = {option for parameter in command.params for option in parameter.opts}
            takes.setdefault(name.split()[0], set()).add("--catalog" in options)
    assert {name for name, found in takes.items() if False in found} == OF_ALL
    assert all(len(found) == 1 for found in takes.values()), "all commands of a group take one, or none does"


def test_there_are_printed_commands() -> None:
    assert len(CALLS) > 20

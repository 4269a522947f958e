"""docs/ingest.md stays complete and true: commands, options, exit codes, events, ignore rules, schemas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from ingest.cli.main import PROG, app
from recq.cli_commands import leaves
from recq.cli_errors import EXIT_CODES
from recq.errors import Reason
from recq.images import IMAGE_EXTENSIONS
from recq.settings import Settings
from tests.ingest.documented import SCHEMAS, rows, section

COMMANDS: dict[str, Any] = dict(leaves(typer.main.get_command(app)))
OPTIONS = [
    (name, parameter)
    for name, command in COMMANDS.items()
    for parameter in command.params
    if parameter.param_type_name == "option"
]
SOURCES = [file.read_text() for file in (Path(__file__).parents[2] / "ingest").rglob("*.py")]


def test_every_command_has_a_row() -> None:
    written = {
        f"`{' '.join([PROG, name, *(p.metavar for p in command.params if p.param_type_name == 'argument')])}`"
        for name, command in COMMANDS.items()
    }
    assert set(rows("Commands")) == written


@pytest.mark.parametrize(("command", "parameter"), OPTIONS, ids=lambda each: getattr(each, "name", each))
def test_every_option_has_a_row_that_names_its_command(command: str, parameter: Any) -> None:
    row = next(cells for key, cells in rows("Options").items() if f"`{parameter.opts[0]}" in key)
    assert row[0] == "all" or f"`{command}`" in row[0]
    assert "Example: " in parameter.help


def test_no_option_is_made_up() -> None:
    documented = {switch for key in rows("Options") for switch in re.findall(r"--?[a-z][a-z-]*", key)}
    assert documented == {switch for _, p in OPTIONS for switch in p.opts} | {
        "--help", "-h", "--version", "--install-completion", "--show-completion",
    }  # fmt: skip


def test_exit_codes() -> None:
    assert {int(code) for code in rows("Exit codes")} == set(EXIT_CODES) - {141}


def test_every_event_has_a_row() -> None:
    said = {name for text in SOURCES for name in re.findall(r'(?:say|said|\.event)\(\s*"(\w+)"', text)}
    said |= {"indexed", "reused", "failed"}  # chosen in one expression
    assert said == {event.strip("`") for event in rows("Events")}


def test_settings_that_are_named_exist() -> None:
    sentence = section("Options").split("Settings that the daemon uses")[1]
    named = set(re.findall(r"`(\w+)`", sentence))
    assert named
    assert named <= set(Settings.model_fields)


def test_extensions_that_are_named_are_images() -> None:
    named = set(re.search(r"`(\.jpg [^`]*)`", section("What is an item"))[1].split())  # type: ignore[index]
    assert named <= IMAGE_EXTENSIONS


def test_reasons() -> None:
    assert set(SCHEMAS["failed"]["items"]["properties"]["reason"]["enum"]) == {str(reason) for reason in Reason}

"""What is wrong with a command line is said in recq's own words, in one line, with exit code 2; every option."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Literal, get_origin

import pytest
import typer

import ingest.cli.main
import query.cli.main
from recq.cli_commands import leaves
from recq.cli_errors import run

PROGRAMS = {"recq": query.cli.main.app, "recq-ingest": ingest.cli.main.app}
COMMANDS: list[tuple[str, str, Any]] = [
    (prog, name, command) for prog, app in PROGRAMS.items() for name, command in leaves(typer.main.get_command(app))
]
OPTIONS = [
    (prog, name, param, command)
    for prog, name, command in COMMANDS
    for param in command.params
    if param.param_type_name == "option"
]
FOREIGN = re.compile(
    r"Input should|String should|Value error|Invalid value|unable to|No such|Possible|unexpected|Missing|requires an"
)


def said(prog: str, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that a refused command line gets."""
    assert run(PROGRAMS[prog], prog, list(words)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{prog}: ")
    assert err.count("\n") == 1
    assert not FOREIGN.search(err), err
    return err


def needed_words(command: Any) -> list[str]:
    """What the command cannot do without."""
    words = []
    for param in command.params:
        if param.required and param.param_type_name == "argument":
            words.append("x")
        elif param.required:
            words += [param.opts[0], "x", param.opts[0], "y"]
    return words


@pytest.mark.parametrize(
    ("prog", "name", "param", "command"), OPTIONS, ids=lambda each: getattr(each, "name", str(each))
)
def test_every_option_tells_what_it_needs(
    prog: str, name: str, param: Any, command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing runs: what the command line is refused for comes before."""
    option = max(param.opts, key=len)
    if param.is_flag:
        assert f"{option} takes no value" in said(prog, capsys, *name.split(), *needed_words(command), f"{option}=3")
        return
    assert f"{option} needs a value" in said(prog, capsys, *name.split(), *needed_words(command), option)
    kind = param.type_descriptor.annotation
    if kind in (int, float) or (isinstance(kind, type) and issubclass(kind, Enum)) or get_origin(kind) is Literal:
        told = said(prog, capsys, *name.split(), *needed_words(command), option, "such\x1b[31m")
        assert told.startswith(f"{prog}: {option} 'such\\x1b[31m': ")
        assert " needed" in told


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("recq similar x -k abc", "-k 'abc': a whole number is needed, as in -k 20 (see 'recq similar --help')"),
        ("recq similar x --top-k 1.5", "--top-k '1.5': a whole number is needed, as in --top-k 20"),
        ("recq similar x --top-k=", "--top-k '': a whole number is needed"),
        ("recq search --page 0", "--page '0': 1 or more is needed (see"),
        ("recq similar x --diversity much", "--diversity 'much': a number is needed, as in --diversity 0.3"),
        ("recq similar x --format xml", "--format 'xml': table, json, jsonl, csv or paths is needed (see"),
        ("recq similar x --format JSON", "did you mean json?"),
        ("recq recommend --like x --strategy bst", "average, best or sum is needed: did you mean best?"),
        ("recq-ingest run . --watch pol", "--watch 'pol': auto, native or poll is needed: did you mean poll?"),
        ("recq-ingest run . --size 0", "--size '0': 1 or more is needed"),
        ("recq search --catalog my/shop", "--catalog 'my/shop': a name is needed of letters, digits, '.', '_' and '-'"),
        ("recq-ingest status --catalog .hidden", "--catalog '.hidden': a name is needed"),
        ("recq simlar x", "there is no command 'simlar': did you mean 'similar'? (see 'recq --help')"),
        ("recq-ingest statu", "there is no command 'statu': did you mean 'status'?"),
        ("recq qqq", "there is no command 'qqq' (see"),
        ("recq labels audti", "there is no command 'audti': did you mean 'audit'? (see 'recq labels --help')"),
        ("recq labels audit", "FIELD is missing, such as category (see 'recq labels audit --help')"),
        ("recq labels audit kind --strategy x", "recq labels audit has no option --strategy, recq recommend has"),
        ("recq explain a b --patch x", "has no option --patch, recq labels audit and recq labels suggest have"),
        ("recq similar x --sorrt price", "recq similar has no option --sorrt: did you mean --sort?"),
        ("recq similar x --strategy best", "recq similar has no option --strategy, recq recommend has"),
        ("recq search -x", "recq search has no option -x"),
        (
            "recq show -dash.jpg",
            "recq show has no option -d; a TARGET that begins with - comes last: -- -dash.jpg (see",
        ),
        ("recq facets -minus", "a FIELD that begins with - comes last: -- -minus (see"),
        ("recq-ingest drop one -y", "recq-ingest drop has no option -y (see"),
        ("recq catalogs --catalog x", "recq similar, recq recommend, recq search and 15 others have (see"),
        ("recq show", "TARGET is missing, such as sofa_226.jpg (see 'recq show --help')"),
        ("recq explain a", "RESULT is missing, such as sofa_9.jpg"),
        ("recq evaluate", "--label FIELD is missing, as in --label category"),
        ("recq show a b", "recq show takes TARGET alone: 'b' is too much"),
        ("recq duplicates boots", "recq duplicates takes options alone: 'boots' is too much"),
        ("recq search --debug=1", "--debug takes no value (see 'recq search --help')"),
        ("recq search --catalog", "--catalog needs a value, as in --catalog products (see 'recq search --help')"),
        ("recq search boots", """'recq search --filter "title~boots"', or in the file's name, """),
        ("recq search boots", """'recq search --filter "file.name~boots"'"""),
        ("recq search red boots", '--filter "title~red boots"'),
        ("recq search category=sofa price<=50", 'recq search --filter category=sofa --filter "price<=50"'),
        ("recq recommend a.jpg", "recq recommend --like a.jpg"),
        ("recq recommend", "--like sofa.jpg"),
    ],
)
def test_what_is_wrong_with_a_command_line(line: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    prog, *words = line.split(" ")
    assert expected in said(prog, capsys, *words)


def test_a_setting_of_the_environment_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value, expected in (
        ("RECQ_SETTLE", "-1", "setting 'settle' (RECQ_SETTLE): 0 or more is needed (got '-1')"),
        ("RECQ_LOCK_WAIT", "long", "setting 'lock_wait' (RECQ_LOCK_WAIT): a number is needed (got 'long')"),
        ("RECQ_BATCH", "9.5", "setting 'batch' (RECQ_BATCH): a whole number is needed (got '9.5')"),
        ("RECQ_BATCH", "9999", "setting 'batch' (RECQ_BATCH): 1000 or less is needed (got '9999')"),
        ("RECQ_WATCH", "aut", "auto, native or poll is needed: did you mean auto? (got 'aut')"),
        ("RECQ_CATALOG", "my shop", "setting 'catalog' (RECQ_CATALOG): a name is needed of letters, digits"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert expected in said("recq", capsys, "search")

"""docs/query.md stays complete and true: commands, options, formats, exit codes, filters, the JSON schema, the code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer

from query.cli.main import app
from query.cli.shell import PROG
from query.text.render import COLUMNS, FacetsFormat, Format, ShowFormat
from recq.cli_commands import leaves
from recq.cli_errors import EXIT_CODES
from recq.index.grammar import parse, parse_any_of
from recq.index.parameters import MAX_RESULTS
from recq.index.predicted import Prediction
from recq.index.problems import Problem, ProblemKind
from recq.index.schema import FileFacts, Item
from recq.search.results import result_of
from recq.transfer.transfer import ENDINGS
from tests.query.conftest import FAILED, GOODS, WAITING, Reply, Shop

DOCS = (Path(__file__).parents[2] / "docs" / "query.md").read_text("utf-8")
COMMANDS: dict[str, Any] = dict(leaves(typer.main.get_command(app)))


def section(title: str) -> str:
    """The text below a heading, up to the next of its level or above."""
    level = title.index(" ")
    match = re.search(rf"^{re.escape(title)}$(.*?)(?=^#{{1,{level}}} |\Z)", DOCS, re.MULTILINE | re.DOTALL)
    assert match is not None, title
    return match[1]


def rows(text: str) -> dict[str, list[str]]:
    """The tables of a text: first cell -> the other cells."""
    cells = [re.split(r"(?<!\\)\|", line.strip("|")) for line in text.splitlines() if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in cells if set(row[0]) - set("- ")}


OPTIONS = [
    (name, parameter)
    for name, command in COMMANDS.items()
    for parameter in command.params
    if parameter.param_type_name == "option"
]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_its_row_and_arguments(name: str) -> None:
    arguments = [p.metavar for p in COMMANDS[name].params if p.param_type_name == "argument"]
    assert f"`{' '.join([PROG, name, *arguments])}`" in rows(section("## Commands"))


def test_no_row_documents_what_does_not_exist() -> None:
    lines = [key.strip("`").split()[1:] for key in rows(section("## Commands")) if key.startswith("`")]
    documented = {" ".join(word for word in line if not word.isupper() and "..." not in word) for line in lines}
    assert documented == set(COMMANDS)
    switches = {switch for key in rows(section("## Options")) for switch in re.findall(r"--?[a-z0-9][a-z-]*", key)}
    assert switches == {s for _, p in OPTIONS for s in p.opts} | {
        "--help", "-h", "--version", "--install-completion", "--show-completion",
    }  # fmt: skip


@pytest.mark.parametrize(("command", "parameter"), OPTIONS, ids=lambda each: getattr(each, "name", each))
def test_every_option_stands_in_the_table_for_its_command(command: str, parameter: Any) -> None:
    found = [
        (key, cells)
        for key, cells in rows(section("## Options")).items()
        if set(parameter.opts) & set(re.findall(r"--?[a-z0-9][a-z-]*", key))
    ]
    ((key, (of, _)),) = found
    assert of == "all" or f"`{command}`" in of
    if parameter.metavar:
        assert parameter.metavar in key
    if isinstance(parameter.default, int) and not isinstance(parameter.default, bool):
        assert f"`{command}` ({parameter.default})" in of


@pytest.mark.parametrize(("command", "parameter"), OPTIONS, ids=lambda each: getattr(each, "name", each))
def test_every_option_has_help_with_an_example(command: str, parameter: Any) -> None:
    assert "Example:" in parameter.help
    example = parameter.help.partition("Example:")[2]
    assert any(switch in example for switch in parameter.opts)


@pytest.mark.parametrize("command", ["similar", "recommend", "search", "show", "facets"])
def test_every_command_can_be_pointed_at_an_index(command: str) -> None:
    switches = {switch for name, parameter in OPTIONS if name == command for switch in parameter.opts}
    assert {"--catalog", "--url", "--data-dir", "--debug", "--format"} <= switches


def test_limits_and_formats_are_named() -> None:
    assert f"{MAX_RESULTS:,}" in DOCS
    formats = section("## Formats")
    for form in Format:
        assert f"- `{form}`:" in formats
    (_, meaning) = rows(section("## Options"))["`--format FORMAT`"]
    assert all(f"`{form}`" in meaning for form in {*Format, *FacetsFormat, *ShowFormat})
    assert ", ".join(f"`{column}`" for column in COLUMNS) in formats


def test_every_exit_code_has_a_row() -> None:
    assert {int(code) for code in rows(section("## Exit codes")) if code != "code"} == set(EXIT_CODES)


def test_filters_in_the_docs_and_the_help_are_quoted_and_can_be_read() -> None:
    table = rows(section("## Filters"))
    quoted = [text.replace("\\|", "|") for key in table for text in re.findall(r"`'([^']+)'`", key)]
    plain = [text for _, alias in table.values() for text in re.findall(r"`([^`]+)`", alias)]
    assert len(quoted) >= 10
    assert len(plain) >= 7
    for text in [*quoted, *plain]:
        parse(text)
    for text in plain:
        assert not re.search(r"[<>|!?*$&;()\s'\"\\]", text), f"{text} has characters of the shell"
    for command in ("similar", "recommend", "search", "facets"):
        shown = " ".join(COMMANDS[command].epilog.split())
        for text in ("category=sofa", "category=sofa|bed", "category!=sofa", "price<=50", "price?", "!price?"):
            assert f"'{text}'" in shown
        for alias in ("price=..100", "price=10..50", "category=sofa,bed", "has:price", "no:price"):
            assert alias in shown
    for _, parameter in OPTIONS:
        for text in re.findall(r"--filter (\S+)", parameter.help):
            assert re.fullmatch(r"'[^']+'", text)
        for text in re.findall(r"--any-of ('[^']+')", parameter.help):
            assert len(parse_any_of(text.strip("'")).alternatives) == 2


# -- the JSON contract ------------------------------------------------------------------------------------------------


def schema() -> dict[str, Any]:
    match = re.search(r"^```json schema=answer\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    assert match is not None
    found: dict[str, Any] = json.loads(match[1])
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def check(document: Any, part: str | None = None) -> None:
    contract = schema()
    if part is not None:
        contract = {**contract["$defs"][part], "$defs": contract["$defs"]}
    jsonschema.Draft202012Validator(contract, format_checker=jsonschema.FormatChecker()).validate(document)


def test_answers_keep_the_schema(shop: Shop) -> None:
    for arguments in (
        ["similar", "two.png", "-k", "50"],
        ["similar", "two.png", "--filter", "category=nothing"],
        ["similar", str(shop.root / WAITING)],
        ["recommend", "--like", "two.png", "--dislike", str(shop.root / WAITING), "--strategy", "sum"],
        ["search"],
    ):
        document = json.loads(shop.ask(*arguments, "--format", "json").out)
        check(document)
    assert len(document["results"]) == len(GOODS)
    for line in shop.ask("search", "--format", "jsonl").out.decode().splitlines():
        check(json.loads(line), "result")


def test_what_recq_keeps_of_a_file_for_itself_is_in_no_answer() -> None:
    facts = FileFacts("shop", "one.png", 1, 2, "0" * 64, "PNG", 3, 4, metadata_digest="d", ctime_ns=5, decoder=6)
    item = Item(facts, {"price": 3}, problems=(Problem(ProblemKind.FIELD, "wrong"),))
    check(result_of(1, item, None, None).to_json(), "result")


@pytest.mark.parametrize(
    "prediction",
    [Prediction("a1", ("sofa",), (0.97,)), Prediction("a1", (1, 2), (0.9, 0.6), several=True), Prediction("a1")],
)
def test_predictions_are_in_an_answer_as_documented(prediction: Prediction) -> None:
    item = Item(FileFacts("shop", "one.png", 1, 2), {"price": 3}, predicted={"category": prediction})
    document = result_of(1, item, None, None).to_json()
    assert document["payload"]["predicted"]["category"] == prediction.to_json()
    check(document, "result")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("results", 0, "rank"), 0),
        (("results", 0, "path"), "relative.png"),
        (("results", 0, "payload", "file", "size"), "big"),
        (("space", "fingerprint"), None),
        (("more",), 1),
    ],
)
def test_the_schema_refuses_what_it_should(shop: Shop, place: tuple[str | int, ...], value: Any) -> None:
    document = json.loads(shop.ask("search", "-k", "1", "--format", "json").out)
    at: Any = document
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(document)


def test_show_and_facets_have_the_documented_keys(shop: Shop) -> None:
    text = " ".join(section("### JSON of `show` and `facets`").split())
    failed = json.loads(shop.ask("show", FAILED, "--json").out)
    facets = json.loads(shop.ask("facets", "category", "--format", "json").out)
    for key in [*failed, *failed["error"], *facets]:
        assert f"`{key}`" in text
    check(failed["payload"], "payload")


def test_catalogs_and_fields_have_the_documented_keys(shop: Shop, ask: Callable[..., Reply]) -> None:
    text = " ".join(section("### JSON of `catalogs` and `fields`").split())
    catalogs = json.loads(ask(["catalogs", "--format", "json", *shop.options], None).out)
    fields = json.loads(shop.ask("fields", "--format", "json").out)
    for key in [*catalogs[0], *fields[0]]:
        assert f"`{key}`" in text


def test_endings_of_exports_are_named() -> None:
    assert set(re.findall(r"`(\.\w+)`", section("## Export and import").split("Any other ending")[0])) == set(ENDINGS)


def test_the_python_example_runs(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    match = re.search(r"^```python\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    assert match is not None
    code = match[1].replace("sofa_226.jpg", "two.png").replace("images", "shop")
    monkeypatch.setenv("RECQ_DATA_DIR", shop.options[1])
    names: dict[str, Any] = {}
    exec(compile(code, "docs/query.md", "exec"), names)
    assert [result.name for result in names["cheap"]] == ["two.png", "one.png", "one.png"]

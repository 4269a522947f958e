"""The table of operators: the one place that an operator stands in, from which everything else is made."""

from __future__ import annotations

import re
from pathlib import Path

import make_filter_table
import pytest
from qdrant_client import models

from query.cli import options
from query.cli.completion import offered_filters
from recq.errors import FilterError
from recq.index import operators
from recq.index.field_types import FieldType
from recq.index.filters import NO_ERROR, NO_FILE, compile_filters
from recq.index.grammar import Condition, escape, escape_field, parse
from recq.index.operators import OPERATORS, Asks, Example, Op, Operator, Takes

TYPES = {
    "category": FieldType.STRING,
    "title": FieldType.STRING,
    "labels": FieldType.STRING,
    "price": FieldType.FLOAT,
    "added": FieldType.DATE,
}
EXAMPLES = [(operator, example) for operator in OPERATORS for example in operator.examples]

# Rows that there are not: nothing but these is needed, and nothing in the code names their signs.
UNLIKE = Operator("^=", Asks.EQUAL, (Example("colour^=red", "whose colour is not red", note="unlike"),), negated=True)
NOT_ABOVE = Operator(
    "!>",
    Asks.MORE,
    (Example("price!>50", "not above 50, or without a price"),),
    negated=True,
    takes=Takes.VALUE,
    types=Op.GT.types,
)
LACKS = Operator(
    "^?", Asks.NO_VALUE, (Example("^price?", "that lack a price", "lacks:price"),), takes=Takes.NOTHING, prefix="lacks:"
)
MADE_UP = (UNLIKE, NOT_ABOVE, LACKS)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "OPERATORS", (*OPERATORS, *MADE_UP))


@pytest.mark.usefixtures("made_up")
def test_a_new_row_is_read() -> None:
    assert parse("colour^=red|green") == Condition("colour", UNLIKE, ("red", "green"), "colour^=red|green")
    assert parse("price!>50").op is NOT_ABOVE
    assert parse("lacks:price").op is parse("^price?").op is LACKS
    assert parse("price>50").op is Op.GT
    assert parse(escape_field("a^b") + f"={escape('^=x')}") == Condition("a^b", Op.EQ, ("^=x",), r"a\^b=^=x")
    with pytest.raises(FilterError, match=re.escape("no:field, field^=value, field!>value or lacks:field")):
        parse("price")
    with pytest.raises(FilterError, match="!> takes one value"):
        parse("price!>1,2")


def compiled(text: str) -> tuple[list[models.Condition], list[models.Condition]]:
    found = compile_filters([text], TYPES)
    assert isinstance(found.must, list)
    assert isinstance(found.must_not, list)
    assert found.must[0] == NO_ERROR
    assert found.must_not[0] == NO_FILE
    return found.must[1:], found.must_not[1:]


@pytest.mark.usefixtures("made_up")
def test_a_new_row_is_compiled() -> None:
    assert compiled("category^=red") == compiled("category!=red")
    assert compiled("price!>50") == ([], compiled("price>50")[0])
    assert compiled("lacks:price") == compiled("no:price")
    with pytest.raises(FilterError, match=re.escape("category is string, '!>' needs a number or a date")):
        compiled("category!>50")


@pytest.mark.usefixtures("made_up")
def test_a_new_row_is_completed() -> None:
    known = {"colour": ["red", "green"], "price": []}
    assert offered_filters(known, "colour^=r") == ["colour^=red"]
    assert offered_filters(known, "lacks:pri") == ["lacks:price"]
    assert offered_filters(known, "colour!>r") == []


def test_a_new_row_is_in_help_and_docs() -> None:
    table = (*OPERATORS, *MADE_UP)
    assert "'colour^=red' (unlike)" in options.filters_help(table)
    assert "lacks:price" in options.filters_help(table)
    document = make_filter_table.DOCUMENTS[0].read_text("utf-8")
    changed = make_filter_table.with_table(document, operators.markdown(table))
    assert set(changed.splitlines()) - set(document.splitlines()) == {
        "| `'colour^=red'` | whose colour is not red | |",
        "| `'price!>50'` | not above 50, or without a price | |",
        "| `'^price?'` | that lack a price | `lacks:price` |",
    }
    assert "^" in operators.characters_of(table)


@pytest.mark.parametrize("path", make_filter_table.DOCUMENTS, ids=lambda path: path.name)
def test_the_table_in_the_docs_is_made_from_the_operators(path: Path) -> None:
    text = path.read_text("utf-8")
    assert make_filter_table.with_table(text, operators.markdown(OPERATORS)) == text, (
        "run .venv/bin/python tools/make_filter_table.py"
    )


def test_help_is_made_from_the_operators() -> None:
    assert options.filters_help(OPERATORS) == options.FILTERS
    for _, example in EXAMPLES:
        assert f"'{example.filter}'" in options.FILTERS or not example.helped
        assert example.plain in options.FILTERS


@pytest.mark.parametrize(("operator", "example"), EXAMPLES, ids=[example.filter for _, example in EXAMPLES])
def test_examples_are_of_their_operator_and_both_forms_mean_the_same(operator: Operator, example: Example) -> None:
    assert parse(example.filter).op is operator
    assert not re.search(r"[<>|!?*$&;()\s'\"\\]", example.plain)
    if example.plain:
        plain, quoted = compiled(example.plain), compiled(example.filter)
        assert plain == quoted


def test_every_operator_has_an_example_and_a_sign_of_its_own() -> None:
    assert all(operator.examples for operator in OPERATORS)
    signs = [operator.sign for operator in OPERATORS]
    assert len(set(signs)) == len(signs)
    assert operators.opposite(Op.NO_WORDS) is Op.WORDS
    assert operators.opposite(Op.LT) is None


def test_no_sign_is_written_down_elsewhere() -> None:
    """`!~` is a row of the table and nothing else: no code names it."""
    root = make_filter_table.ROOT
    for package in ("recq", "query", "ingest"):
        for path in (root / package).rglob("*.py"):
            if path.name != "operators.py":
                text = path.read_text("utf-8")
                assert "!~" not in text, path
                assert "NO_WORDS" not in text, path

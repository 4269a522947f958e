"""The filter grammar: what each form means, and what is refused with which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from recq.errors import FilterError
from recq.index.filters import compile_filters
from recq.index.grammar import Condition, escape, escape_field, parse, parse_any_of, unescape
from recq.index.operators import Op
from recq.index.schema import FieldType

TYPES = {
    "category": FieldType.STRING,
    "price": FieldType.FLOAT,
    "stock": FieldType.INTEGER,
    "released": FieldType.DATE,
    "sale": FieldType.BOOL,
    "Price (EUR)": FieldType.FLOAT,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("category=sofa", Condition("category", Op.EQ, ("sofa",))),
        ("category=sofa|bed", Condition("category", Op.EQ, ("sofa", "bed"))),
        ("category=sofa,bed", Condition("category", Op.EQ, ("sofa", "bed"))),
        (r"category=a\,b\|c\\d", Condition("category", Op.EQ, ("a,b|c\\d",))),
        ("category!=sofa", Condition("category", Op.NE, ("sofa",))),
        ("price<=50", Condition("price", Op.LE, ("50",))),
        ("price >= 50", Condition("price", Op.GE, ("50",))),
        ("price<50", Condition("price", Op.LT, ("50",))),
        ("price>50", Condition("price", Op.GT, ("50",))),
        ("title~big, tote", Condition("title", Op.WORDS, ("big, tote",))),
        ("price?", Condition("price", Op.EXISTS)),
        ("!price?", Condition("price", Op.MISSING)),
        ("has:price", Condition("price", Op.EXISTS)),
        ("no:price", Condition("price", Op.MISSING)),
        ("title=what?", Condition("title", Op.EQ, ("what?",))),
        ("formula=a<=b", Condition("formula", Op.EQ, ("a<=b",))),
        ("Price (EUR)=3", Condition("Price (EUR)", Op.EQ, ("3",))),
    ],
)
def test_parse(text: str, expected: Condition) -> None:
    parsed = parse(text)
    assert (parsed.field, parsed.op, parsed.values) == (expected.field, expected.op, expected.values)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no operator"),
        ("price", "no operator"),
        ("=3", "names no field"),
        ("price=", "no:price"),
        ("category=a,,b", "empty value"),
        ("price=abc", "is a number, 'abc' is none"),
        ("price=nan", "is a number"),
        ("catgory=x", "did you mean 'category'"),
        ("nonsense=x", "known fields: Price (EUR), category"),
        ("category<3", "needs a number or a date"),
        ("released=2024-13", "is a date"),
        ("price=..", "needs a bound"),
        ("stock~3", "searches words"),
        ("has:", "names no field"),
        ("sale=maybe", "true or false"),
        ("price<1,2", "takes one value"),
        ("category~!!", "no word"),
        ("category==sofa", "the operator is ="),
        ("file.width~3", "no index"),
    ],
)
def test_refused_with_a_way_out(text: str, says: str) -> None:
    with pytest.raises(FilterError) as caught:
        compile_filters([text], TYPES)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def compiled(text: str) -> models.Filter:
    return compile_filters([text], TYPES)


def test_failed_items_are_left_out_of_every_filter() -> None:
    error_free = models.IsEmptyCondition(is_empty=models.PayloadField(key="error.reason"))
    foreign = models.IsEmptyCondition(is_empty=models.PayloadField(key="file.source"))
    assert compile_filters([], TYPES) == models.Filter(must=[error_free], must_not=[foreign])
    assert compiled("category=sofa").must == [
        error_free,
        models.FieldCondition(key="category", match=models.MatchValue(value="sofa")),
    ]


def test_equality_on_floats_is_a_range() -> None:
    condition = compiled("price=12.5").must
    assert isinstance(condition, list)
    assert condition[1] == models.FieldCondition(key="price", range=models.Range(gte=12.5, lte=12.5))


def test_names_with_other_characters_are_quoted() -> None:
    condition = compiled("Price (EUR)<=3").must
    assert isinstance(condition, list)
    assert isinstance(condition[1], models.FieldCondition)
    assert condition[1].key == '"Price (EUR)"'


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("released=2024", "2024-01-01", "2025-01-01"),
        ("released=2024-02", "2024-02-01", "2024-03-01"),
        ("released=2024-12-31", "2024-12-31", "2025-01-01"),
        ("released=2023..2024-02", "2023-01-01", "2024-03-01"),
    ],
)
def test_dates_name_whole_periods(text: str, low: str, high: str) -> None:
    conditions = compiled(text).must
    assert isinstance(conditions, list)
    condition = conditions[1]
    assert isinstance(condition, models.FieldCondition)
    assert isinstance(condition.range, models.DatetimeRange)
    assert str(condition.range.gte).startswith(low)
    assert str(condition.range.lt).startswith(high)
    assert condition.range.lte is None


@given(st.text(min_size=1), st.lists(st.text(min_size=1), min_size=1))
def test_escaped_fields_and_values_come_back_as_they_were(field: str, values: list[str]) -> None:
    parsed = parse(f"{escape_field(field.strip() or 'x')}={','.join(escape(value) for value in values)}")
    assert (parsed.field, list(parsed.values)) == (field.strip() or "x", values)


@given(st.text())
def test_unescape_inverts_escape(text: str) -> None:
    assert unescape(escape(text)) == text


@given(st.text(alphabet=st.sampled_from("ab=<>!~?.,|\\: 1-"), max_size=20))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        compile_filters([text], {**TYPES, "a": FieldType.STRING, "b": FieldType.DATE})
    except FilterError as error:
        assert str(error)  # noqa: PT017 - any other exception fails the test


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("category=sofa || price<=50", ["category=sofa", "price<=50"]),
        ("category=sofa,,price=..50", ["category=sofa", "price=..50"]),
        ("category=sofa|bed||category=a,b,,no:price", ["category=sofa|bed", "category=a,b", "no:price"]),
        (r"category=a\||price?", [r"category=a\|", None]),
        (r"category=a\\||price?", [r"category=a\\", "price?"]),
    ],
)
def test_groups_of_alternatives(text: str, parts: list[str | None]) -> None:
    if None in parts:
        with pytest.raises(FilterError, match="one alternative"):
            parse_any_of(text)
        return
    expected = [parse(part) for part in parts if part is not None]
    assert [(each.field, each.op, each.values) for each in parse_any_of(text).alternatives] == [
        (each.field, each.op, each.values) for each in expected
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("category=sofa", "one alternative"),
        ("", "one alternative"),
        ("category=sofa || ", "empty alternative"),
        ("|| category=sofa", "empty alternative"),
        ("category=sofa || price", "no operator"),
    ],
)
def test_groups_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(FilterError, match=said):
        parse_any_of(text)

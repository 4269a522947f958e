"""Filters that are drawn from items: they hold for some, can be written on a command line, and cover all shapes."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq.evaluate.drawn_filters import BANDS, DrawnFilter, Shape, band_ends, draw, spread
from recq.index.filters import compile_filters
from recq.index.grammar import parse
from recq.index.schema import FieldType, FieldTypes, FileFacts, Item

TYPES: FieldTypes = {
    "category": FieldType.STRING, "labels": FieldType.STRING, "sale": FieldType.BOOL, "price": FieldType.FLOAT,
    "stock": FieldType.INTEGER, "made": FieldType.DATE,
}  # fmt: skip


def items(*metadata: Mapping[str, Any]) -> list[Item]:
    return [Item(FileFacts("shop", f"{n}.jpg", 1, 1), each) for n, each in enumerate(metadata)]


SHOP = items(
    *(
        {
            "category": ["sofa", "bed", "hat"][n % 3],
            "labels": ["a, b", "c|d"] if n % 2 else ["e"],
            "sale": n % 4 == 0,
            "price": n * 1.5,
            "stock": n,
            "made": f"2024-01-{1 + n % 28:02d}",
        }
        for n in range(50)
    )
)


def test_every_shape_is_drawn_and_none_twice() -> None:
    drawn = draw(SHOP, TYPES, 8, Random(1))
    assert {each.shape for each in drawn} == set(Shape) - {Shape.NONE, Shape.GIVEN}
    texts = [(each.shape, tuple(one.text for one in each.conditions)) for each in drawn]
    assert len(texts) == len(set(texts))
    assert all(len(each.conditions) == 2 for each in drawn if each.shape is Shape.TWO)
    assert all(len({one.field for one in each.conditions}) == 3 for each in drawn if each.shape is Shape.THREE)  # type: ignore[union-attr]


def test_a_drawn_filter_can_be_compiled_and_its_text_means_the_same() -> None:
    for each in draw(SHOP, TYPES, 20, Random(2)):
        read = [parse(one.text) for one in each.conditions]
        assert compile_filters(read, TYPES) == compile_filters(each.conditions, TYPES)


def test_the_same_seed_draws_the_same() -> None:
    assert draw(SHOP, TYPES, 10, Random(3)) == draw(SHOP, TYPES, 10, Random(3))
    assert draw(SHOP, TYPES, 10, Random(3)) != draw(SHOP, TYPES, 10, Random(4))


def test_items_without_metadata_have_no_filters() -> None:
    assert draw(items({}, {}), TYPES, 10, Random(0)) == []


def test_a_field_that_holds_what_is_not_of_its_type_gives_no_filter() -> None:
    assert draw(items({"price": "n/a"}, {"category": " "}), TYPES, 10, Random(0)) == []


@given(st.floats(0, 1))
def test_a_share_lies_in_its_band(share: float) -> None:
    low, high = band_ends(DrawnFilter(Shape.ONE, (), share).band)
    assert low <= share <= high


def test_filters_are_given_by_shape_and_band_the_most_selective_first() -> None:
    found = [
        DrawnFilter(Shape.NOT, (), 0.9),
        DrawnFilter(Shape.ONE, (), 0.5),
        DrawnFilter(Shape.ONE, (), 0.001),
        DrawnFilter(Shape.ONE, (), 0.4),
    ]
    assert [(shape, band, len(those)) for shape, band, those in spread(found)] == [
        (Shape.ONE, 0, 1),
        (Shape.ONE, len(BANDS), 2),
        (Shape.NOT, len(BANDS), 1),
    ]


@pytest.mark.parametrize("value", ["a,b", "..", "=x", " edge ", "c\\d", "x||y", "!", "ä"])
def test_values_with_signs_of_the_grammar_are_escaped(value: str) -> None:
    for each in draw(items({"category": value}, {"category": "other"}), TYPES, 5, Random(0)):
        for one in each.conditions:
            assert compile_filters([one.text], TYPES) == compile_filters([one], TYPES)

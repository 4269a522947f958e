"""What people decided is kept with the catalog, whichever engine has it and whatever space follows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from qdrant_client import QdrantClient

from recq.index.catalog import Catalog
from recq.index.reviews import Decision
from recq.index.taggings import How, Tagging, revised
from tests.recq.index.conftest import SPACE


def decision(*seen: str, keep: tuple[str, ...] = (), at: str = "2026-01-01T00:00:00") -> Decision:
    return Decision(frozenset(seen), frozenset(keep), at)


def test_decisions_are_kept_taken_back_and_go_into_the_next_space(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "reviewed", SPACE)
    first = decision("a", "b", keep=("a",))
    later = decision("c", "d", keep=("c", "d"), at="2026-01-02T00:00:00")
    catalog.reviews.write(later)
    catalog.reviews.write(first)
    assert catalog.reviews.all() == [first, later]
    changed = replace(first, keep=frozenset("b"), at="2026-01-03T00:00:00")
    catalog.reviews.write(changed)
    assert catalog.reviews.all() == [later, changed]
    following = Catalog.begin_rebuild(client, "reviewed", replace(SPACE, weights="1"))
    assert following.reviews.all() == [later, changed]
    catalog.reviews.forget(changed.key)
    catalog.reviews.forget("nothing")
    assert catalog.reviews.all() == [later]


@pytest.mark.parametrize(
    ("items", "covered"), [(["a", "b"], True), (["a"], True), (["a", "b", "c"], False), (["c"], False)]
)
def test_a_group_comes_back_only_with_what_nobody_has_seen(items: list[str], covered: bool) -> None:
    assert decision("a", "b").covers(items) is covered


def test_one_key_for_the_same_items() -> None:
    assert decision("a", "b").key == decision("b", "a", keep=("b",), at="later").key
    assert decision("a", "b").key != decision("ab").key


def test_tags_are_kept_taken_back_and_go_into_the_next_space(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "tagged", SPACE)
    first = Tagging("kind", How.IS, ("x",), ("a", "b"), "2026-01-01T00:00:00")
    later = Tagging("kind", How.NOT, (), ("b",), "2026-01-02T00:00:00")
    catalog.taggings.take([later, first])
    assert catalog.taggings.all() == [first, later]
    assert catalog.reviews.all() == []
    catalog.taggings.write(first.without(["a"]))  # the same one, of fewer items
    assert catalog.taggings.all() == [replace(first, items=("b",)), later]
    assert Catalog.begin_rebuild(client, "tagged", replace(SPACE, weights="1")).taggings.all() == catalog.taggings.all()
    catalog.taggings.forget(first.key, later.key, "nothing")
    assert catalog.taggings.all() == []


TAGS = [
    (How.IS, ("c",), ("c",)),
    (How.ALSO, ("b", "c"), ("a", "b", "c")),
    (How.NOT, ("a",), ("b",)),
    (How.NOT, (), ()),
    (How.RIGHT, ("a",), ("a", "b")),
]


@pytest.mark.parametrize(("how", "values", "expected"), TAGS)
def test_what_a_tag_makes_of_values_it_makes_once(how: How, values: tuple[str, ...], expected: tuple[str, ...]) -> None:
    tagging = Tagging("kind", how, values, ("i",), "now")
    assert revised(("a", "b"), [tagging]) == expected
    assert revised(expected, [tagging]) == expected

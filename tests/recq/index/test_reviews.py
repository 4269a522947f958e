"""What people decided is kept with the catalog, whichever engine has it and whatever space follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from qdrant_client import QdrantClient

from recq.index.catalog import Catalog
from recq.index.reviews import Decision
from recq.index.taggings import How, Tagging, revised
from tests.recq.index.conftest import SPACE

OTHER = replace(SPACE, weights="1")


def decision(*seen: str, keep: tuple[str, ...] = (), at: str = "2026-01-01T00:00:00") -> Decision:
    return Decision(frozenset(seen), frozenset(keep), at)


def test_decisions_are_kept_and_taken_back(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "reviewed", SPACE)
    first = decision("a", "b", keep=("a",))
    later = decision("c", "d", keep=("c", "d"), at="2026-01-02T00:00:00")
    catalog.reviews.write(later)
    catalog.reviews.write(first)
    assert catalog.reviews.all() == [first, later]
    changed = replace(first, keep=frozenset("b"), at="2026-01-03T00:00:00")
    catalog.reviews.write(changed)
    assert catalog.reviews.all() == [later, changed]
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


def test_tags_are_kept_and_taken_back(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "tagged", SPACE)
    first = Tagging("kind", How.IS, ("x",), ("a", "b"), "2026-01-01T00:00:00")
    later = Tagging("kind", How.NOT, (), ("b",), "2026-01-02T00:00:00")
    catalog.taggings.take([later, first])
    assert catalog.taggings.all() == [first, later]
    assert catalog.reviews.all() == []
    catalog.taggings.write(first.without(["a"]))  # the same one, of fewer items
    assert catalog.taggings.all() == [replace(first, items=("b",)), later]
    catalog.taggings.forget(first.key, later.key, "nothing")
    assert catalog.taggings.all() == []


def rebuilding(client: QdrantClient, name: str) -> Callable[[], object]:
    return Catalog.begin_rebuild(client, name, OTHER).finish_rebuild


def going_on_with_a_rebuild(client: QdrantClient, name: str) -> Callable[[], object]:
    rebuilding(client, name)
    return rebuilding(client, name)


def rolling_back(client: QdrantClient, name: str) -> Callable[[], object]:
    rebuilding(client, name)()
    return lambda: Catalog.rollback(client, name)


def rolling_back_beside_a_daemon(client: QdrantClient, name: str) -> Callable[[], object]:
    rebuilding(client, name)()
    return Catalog.begin_rollback(client, name).finish_rebuild


@pytest.mark.parametrize(
    "begun",
    [rebuilding, going_on_with_a_rebuild, rolling_back, rolling_back_beside_a_daemon],
    ids=lambda way: way.__name__,
)
def test_what_people_give_and_take_back_while_the_catalog_moves_goes_along(
    client: QdrantClient, begun: Callable[[QdrantClient, str], Callable[[], object]]
) -> None:
    """It is given to the collection that answers until the alias moves, wherever that leads."""
    catalog = Catalog.create(client, "moving", SPACE)
    decisions = [decision(each, keep=(each,)) for each in "abc"]
    tags = [Tagging("kind", How.IS, (each,), ("i", "j"), "2026-01-01T00:00:00") for each in "abc"]
    catalog.reviews.take(decisions)
    catalog.taggings.take(tags)
    finish = begun(client, "moving")
    before = Catalog.open(client, "moving")
    before.reviews.forget(decisions[0].key)
    before.reviews.take([replace(decisions[1], keep=frozenset(), at="2026-01-02T00:00:00"), decision("new")])
    before.taggings.forget(tags[0].key)
    before.taggings.take([tags[1].without(["i"]), replace(tags[0], values=("new",))])
    given = before.reviews.all(), before.taggings.all()
    finish()
    after = Catalog.open(client, "moving")
    assert after.collection != before.collection
    assert (after.reviews.all(), after.taggings.all()) == given
    Catalog.rollback(client, "moving")
    back = Catalog.open(client, "moving")
    assert (back.reviews.all(), back.taggings.all()) == given, "and back again"


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

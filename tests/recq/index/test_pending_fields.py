"""Many new fields do not hold the pictures up: their indexes wait, are made later by anybody, and questions say so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from qdrant_client import QdrantClient

from recq.errors import FilterError, IndexPending
from recq.index.catalog import Catalog
from recq.index.grammar import parse_all, parse_any_of
from recq.index.parameters import Parameters, Sort
from recq.index.pending_fields import (
    AT_ONCE,
    PENDING_PREFIX,
    Missing,
    Waiting,
    made_at_once,
    record,
    uses_of,
    waiting_in,
)
from recq.index.points import ItemVector
from recq.index.schema import FieldType, FieldTypes, Value, payload_key, shadow_key
from tests.asking import matching, nearest
from tests.recq.index.conftest import SPACE
from tests.recq.index.test_catalog import item, vector

FEW = 3
WORDS = {"w03": FieldType.STRING}
MANY: FieldTypes = {
    **WORDS, "price": FieldType.FLOAT, "stock": FieldType.INTEGER, "released": FieldType.DATE, "sale": FieldType.BOOL,
    "a.b": FieldType.STRING,
}  # fmt: skip
METADATA: dict[str, Value] = {
    "w03": "Green w03", "a.b": "Green a.b", "price": 12.5, "stock": 3, "released": "2024-02-03", "sale": True,
}  # fmt: skip
INDEXES = len(MANY) + len(WORDS) + 1


# ---- decisions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "waiting", "lately", "expected"),
    [
        (1, 0, 0, True),
        (AT_ONCE, 0, 0, True),
        (AT_ONCE + 1, 0, 0, False),
        (1, 1, 0, False),  # it would have to wait for what is being made
        (2, 0, AT_ONCE - 2, True),
        (2, 0, AT_ONCE - 1, False),  # sidecars that bring a few each
    ],
)
def test_few_fields_are_made_at_once_and_many_wait(new: int, waiting: int, lately: int, expected: bool) -> None:
    assert made_at_once(new, waiting, lately) is expected


def test_equality_is_made_first_and_words_last_and_category_before_others() -> None:
    types = {"b": FieldType.STRING, "a": FieldType.FLOAT, "category": FieldType.STRING}
    waiting = waiting_in(record(types), {}, ())
    assert [each.key for each in waiting.indexes] == ["category", "a", "b", "_text.category", "_text.b"]


def test_what_is_missing_is_what_was_recorded_less_what_there_is() -> None:
    types = {"b": FieldType.STRING, "a": FieldType.FLOAT}
    half = waiting_in(record(types), {"a": FieldType.FLOAT}, ["a", "_text.b"])
    assert half.indexes == (Missing("b", FieldType.STRING),)
    assert half.complete == ["a"]


def test_an_index_that_is_there_decides_the_type_whatever_a_record_says() -> None:
    waiting = waiting_in(record({"a": FieldType.STRING}), {"a": FieldType.INTEGER}, ["a"])
    assert (waiting.types, waiting.indexes, waiting.complete) == ({"a": FieldType.INTEGER}, (), ["a"])


def test_an_index_is_there_however_the_engine_writes_its_key() -> None:
    """Edge leaves out the quotes around letters: what is made once is not made for ever."""
    types = {"größe": FieldType.STRING, "a b": FieldType.STRING}
    assert waiting_in(record(types), types, ["größe", "_text.größe", '"a b"', '_text."a b"']).indexes == ()
    assert [each.words for each in waiting_in(record(types), types, ["größe", '"a b"']).indexes] == [True, True]


def test_a_record_of_a_newer_recq_is_left_alone() -> None:
    assert waiting_in({"field:a": "colour", "source:b": {}, "recq": {}}, {}, ()) == Waiting()


def test_a_question_whether_there_is_a_value_needs_no_index() -> None:
    conditions = [*parse_all(["a=1", "has:b", "no:c", "d~big"]), parse_any_of("e<3 || has:f")]
    assert uses_of(conditions) == [("a", False), ("d", True), ("e", False)]


def test_the_refusal_says_which_field_how_many_wait_and_how_long() -> None:
    waiting = waiting_in({**record({"a": FieldType.STRING, "b": FieldType.STRING}), "index_seconds": 0.5}, {}, ("a",))
    lacked = waiting.lacks([("a", False), ("a", True)])
    assert lacked == Missing("a", FieldType.STRING, words=True)
    assert str(waiting.refusal(lacked)).startswith("the index for 'a~' is being made, 3 wait: try again in about 2 s")


# ---- on every engine -------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def fewer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an engine an index takes a while: six fields are many there."""
    if "client" in request.fixturenames:
        monkeypatch.setattr("recq.index.pending_fields.AT_ONCE", FEW)


def pending(client: QdrantClient, name: str = "images") -> Catalog:
    """A catalog with one item that brought more fields than are made at once."""
    catalog = Catalog.create(client, name, SPACE)
    catalog.writes.upsert([ItemVector(item(1, **METADATA), vector(1))])
    return catalog


def keys(catalog: Catalog) -> set[str]:
    return set(catalog._client.get_collection(catalog._collection).payload_schema)


def found(catalog: Catalog, *filters: str) -> int:
    return catalog.items.count(filters)


def test_an_item_with_many_new_fields_is_written_before_any_index(client: QdrantClient) -> None:
    catalog = pending(client)
    assert catalog.items.count() == 1
    assert len(catalog.fields.known_waiting.indexes) == INDEXES
    assert not keys(catalog) & {payload_key(name) for name in MANY}
    assert catalog.fields.types() == MANY
    assert Catalog.open(client, "images").fields.types() == MANY  # another process knows them, too


def test_questions_that_need_a_missing_index_say_so(client: QdrantClient) -> None:
    catalog = pending(client)
    for ask in (
        lambda: found(catalog, "w03=x"),
        lambda: found(catalog, "price<=20"),
        lambda: found(catalog, "w03~green"),
        lambda: matching(catalog, ["w03!=x"], 5),
        lambda: list(catalog.items.rows(["released=2024"])),
        lambda: list(catalog.items.entries(parse_all(["sale=true"]))),
        lambda: nearest(catalog, vector(2), 5, ["w03=x"]),
        lambda: catalog.values.facets("w03"),
        lambda: catalog.values.facets("price"),
        lambda: catalog.finder.find(Parameters(5, sort=Sort("price"))),
        lambda: catalog.finder.find(Parameters(5, any_of=("w03=x || stock=3",))),
    ):
        with pytest.raises(IndexPending, match="is being made") as refused:
            ask()
        assert refused.value.exit_code == 4
        assert f"{INDEXES} wait" in str(refused.value)
    with pytest.raises(FilterError, match="unknown field 'w99'"):
        found(catalog, "w99=x")


def test_questions_that_need_no_index_are_answered_meanwhile(client: QdrantClient) -> None:
    catalog = pending(client)
    assert (found(catalog), found(catalog, "has:w03"), found(catalog, "no:w03")) == (1, 1, 0)
    assert [hit.item.metadata["w03"] for hit in nearest(catalog, vector(1), 5)] == ["Green w03"]
    assert len(catalog.finder.find(Parameters(5, group_by="w03", sort=Sort("w03"))).hits) == 1


def test_what_was_written_while_indexes_waited_is_found_by_them(client: QdrantClient) -> None:
    catalog = pending(client)
    left = [len(waiting.indexes) for waiting in catalog.fields.make_all()]
    assert left == list(range(INDEXES, 0, -1))
    assert {shadow_key("w03"), payload_key("w03"), payload_key("a.b"), "price"} <= keys(catalog)
    assert found(catalog, "w03=Green w03", "w03~green", "price=10..20", "released=2024-02", "sale=true") == 1
    assert found(catalog, "a.b~green") == 1
    assert catalog.values.facets("w03").rows == [("Green w03", 1)]
    metadata = client.get_collection(catalog._collection).config.metadata or {}
    assert not [key for key in metadata if key.startswith(PENDING_PREFIX) or key == "index_seconds"]


def test_equality_is_answered_while_words_still_wait(client: QdrantClient) -> None:
    catalog = pending(client)
    while (missing := catalog.fields.waiting(refresh=True).next()) is not None and not missing.words:
        catalog.fields.make(missing)
    assert found(catalog, "w03=Green w03", "price=12.5") == 1
    with pytest.raises(IndexPending, match=r"the index for 'w03~' is being made"):
        found(catalog, "w03~green")


def test_another_process_takes_up_what_was_left_and_the_first_learns_of_it(client: QdrantClient) -> None:
    first, second = pending(client), Catalog.open(client, "images")
    halfway = iter(first.fields.make_all())
    for _ in range(3):
        next(halfway)
    assert len(list(second.fields.make_all())) == INDEXES - 2
    assert found(first, "w03=Green w03") == 1  # it had read them as missing
    assert list(halfway) == []


def test_two_that_make_them_at_the_same_time_do_no_harm(client: QdrantClient) -> None:
    first, second = pending(client), Catalog.open(client, "images")
    for waiting in first.fields.make_all():
        second.fields.make(waiting.indexes[0])
    assert found(second, "w03~green", "w03=Green w03") == 1
    assert second.fields.waiting(refresh=True) == Waiting()


def test_a_new_field_joins_those_that_wait_and_keeps_its_type(client: QdrantClient) -> None:
    catalog = pending(client)
    catalog.writes.upsert([ItemVector(item(2, late=7, w03=5), vector(2))])
    assert catalog.fields.types()["late"] is FieldType.INTEGER
    assert catalog.fields.types()["w03"] is FieldType.STRING
    other = Catalog.open(client, "images")
    other.fields.declare({"late": FieldType.STRING})
    assert other.fields.types()["late"] is FieldType.INTEGER
    list(catalog.fields.make_all())
    assert found(catalog, "late=7") == 1


def test_a_few_fields_are_searchable_at_once(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "images", SPACE)
    few = dict(list(METADATA.items())[:FEW])
    catalog.writes.upsert([ItemVector(item(1, **few), vector(1))])
    assert catalog.fields.known_waiting == Waiting()
    assert found(catalog, "w03~green", "w03=Green w03") == 1


def test_forgetting_the_last_source_forgets_the_fields_that_wait(client: QdrantClient) -> None:
    catalog = pending(client)
    catalog.fields.note_refused(Missing("price", FieldType.FLOAT), "no room")
    catalog.drop_source("shop")
    assert Catalog.open(client, "images").fields.types() == {}
    assert catalog.fields.waiting(refresh=True) == Waiting()
    catalog.writes.upsert([ItemVector(item(1, w03=5), vector(1))])
    assert catalog.fields.types() == {"w03": FieldType.INTEGER}


def test_an_index_that_could_not_be_made_is_waited_for_by_nobody(client: QdrantClient) -> None:
    catalog = pending(client)
    price = Missing("price", FieldType.FLOAT)
    catalog.fields.note_refused(price, "no room")
    other = Catalog.open(client, "images")
    assert len(list(other.fields.make_all())) == INDEXES - 1
    waiting = Catalog.open(client, "images").fields.waiting(refresh=True)
    assert (waiting.indexes, waiting.left, waiting.refused) == ((price,), 0, {price: "no room"})
    with pytest.raises(FilterError, match=r"index of field 'price' could not be made.*no room"):
        found(other, "price=12.5")
    other.fields.make(price)  # as the next daemon tries
    other.fields.note_made()
    assert found(catalog, "price=12.5") == 1
    assert Catalog.open(client, "images").fields.waiting(refresh=True) == Waiting()


def test_a_rebuild_starts_with_what_the_new_collection_has(client: QdrantClient) -> None:
    pending(client)
    after = Catalog.begin_rebuild(client, "images", replace(SPACE, pooling="max"))
    after.writes.upsert([ItemVector(item(1, **METADATA), vector(1))])
    list(after.fields.make_all())
    after.finish_rebuild()
    assert found(Catalog.open(client, "images"), "w03=Green w03") == 1

"""Points through the ordinary client, on all three engines, against literal expectations."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from tests.contract.engine import Engine

A, B, C = "0b0e7b1e-0000-5000-8000-000000000001", "0b0e7b1e-0000-5000-8000-000000000002", 7
MISSING = "0b0e7b1e-0000-5000-8000-00000000dead"


@pytest.fixture
def shop(engine: Engine, name: str) -> str:
    """Three points: two with vectors, one that failed."""
    client = engine.client
    client.create_collection(
        name, vectors_config={"image": models.VectorParams(size=2, distance=models.Distance.COSINE)}
    )
    for key, kind in (("category", "keyword"), ("price", "float"), ("stock", "integer"), ("sold", "bool")):
        client.create_payload_index(name, key, models.PayloadSchemaType(kind), wait=True)
    shoe = {"category": "shoe", "price": 10.5, "stock": 3, "sold": True, "file": {"path": "a/b.jpg", "size": 1}}
    bag = {"category": "bag", "price": 20, "stock": 1, "sold": False, "file": {"path": "c.jpg", "size": 2}}
    client.upsert(
        name,
        [
            models.PointStruct(id=A, vector={"image": [1.0, 0.0]}, payload=shoe),
            models.PointStruct(id=B, vector={"image": [1.0, 1.0]}, payload=bag),
            models.PointStruct(id=C, vector={}, payload={"error": {"reason": "truncated"}}),
        ],
        wait=True,
    )
    return name


def payload(engine: Engine, name: str, point: Any) -> dict[str, Any]:
    (found,) = engine.client.retrieve(name, [point], with_payload=True)
    return found.payload or {}


def vector(engine: Engine, name: str, point: Any) -> Any:
    (found,) = engine.client.retrieve(name, [point], with_vectors=True)
    assert isinstance(found.vector, dict)
    return found.vector.get("image")


def ids(engine: Engine, name: str, **filter_: Any) -> set[Any]:
    return {point.id for point in engine.client.scroll(name, scroll_filter=models.Filter(**filter_))[0]}


def match(key: str, value: Any) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def test_retrieve_gives_the_known_ones_in_the_order_asked(engine: Engine, shop: str) -> None:
    found = engine.client.retrieve(shop, [C, MISSING, A], with_payload=["file.path", "error.reason"])
    assert [(one.id, one.payload) for one in found] == [
        (C, {"error": {"reason": "truncated"}}),
        (A, {"file": {"path": "a/b.jpg"}}),
    ]


def test_cosine_vectors_come_back_normalised(engine: Engine, shop: str) -> None:
    assert vector(engine, shop, B) == pytest.approx([0.70711, 0.70711], abs=1e-4)
    assert vector(engine, shop, C) is None


def test_an_upsert_replaces_everything(engine: Engine, shop: str) -> None:
    engine.client.upsert(shop, [models.PointStruct(id=A, vector={}, payload={"new": None})], wait=True)
    assert vector(engine, shop, A) is None
    assert payload(engine, shop, A) == {"new": None}


def test_set_merges_and_overwrite_replaces(engine: Engine, shop: str) -> None:
    client = engine.client
    client.set_payload(shop, {"price": 12.0, "file": {"path": "new"}}, points=[A], wait=True)
    assert payload(engine, shop, A) == {
        "category": "shoe", "price": 12.0, "stock": 3, "sold": True, "file": {"path": "new"}
    }  # fmt: skip
    client.overwrite_payload(shop, {"category": "boot"}, points=[A], wait=True)
    assert payload(engine, shop, A) == {"category": "boot"}
    assert vector(engine, shop, A) == pytest.approx([1, 0])
    assert ids(engine, shop, must=[match("category", "shoe")]) == set()
    assert ids(engine, shop, must=[match("category", "boot")]) == {A}


def test_a_payload_of_a_missing_point_is_an_error(engine: Engine, shop: str) -> None:
    with pytest.raises(UnexpectedResponse) as refusal:
        engine.client.overwrite_payload(shop, {"a": 1}, points=[MISSING], wait=True)
    assert refusal.value.status_code == 404
    assert engine.client.count(shop).count == 3


def test_many_payloads_in_one_batch(engine: Engine, shop: str) -> None:
    operations = [
        models.OverwritePayloadOperation(
            overwrite_payload=models.SetPayload(payload={"category": f"new-{point}"}, points=[point])
        )
        for point in (A, B)
    ]
    answers = engine.client.batch_update_points(shop, operations, wait=True)
    assert [answer.status for answer in answers] == [models.UpdateStatus.COMPLETED] * 2
    assert [payload(engine, shop, point) for point in (A, B)] == [{"category": f"new-{A}"}, {"category": f"new-{B}"}]


def test_delete_by_ids_and_by_filter(engine: Engine, shop: str) -> None:
    engine.client.delete(shop, models.FilterSelector(filter=models.Filter(must=[match("category", "bag")])), wait=True)
    engine.client.delete(shop, [MISSING, C], wait=True)
    assert ids(engine, shop) == {A}


def test_scrolling_through_pages_sees_every_point_once(engine: Engine, name: str) -> None:
    client = engine.client
    client.create_collection(name, vectors_config={"image": models.VectorParams(size=1, distance=models.Distance.DOT)})
    client.upsert(name, [models.PointStruct(id=i, vector={"image": [1.0]}) for i in range(95)], wait=True)
    seen: list[Any] = []
    offset, pages = None, 0
    while True:
        found, offset = client.scroll(name, limit=10, offset=offset, with_payload=False)
        seen += [one.id for one in found]
        pages += 1
        if offset is None:
            break
    assert seen == list(range(95))
    assert pages == 10


def test_nearest_by_vector_by_point_and_filtered(engine: Engine, shop: str) -> None:
    client = engine.client
    by_vector = client.query_points(shop, query=[1.0, 0.0], using="image", with_payload=["category"]).points
    assert [(one.id, one.payload) for one in by_vector] == [(A, {"category": "shoe"}), (B, {"category": "bag"})]
    assert [one.score for one in by_vector] == pytest.approx([1, 0.70711], abs=1e-4)
    by_point = client.query_points(shop, query=A, using="image").points
    assert [one.id for one in by_point] == [B], "the point itself is left out"
    filter_ = models.Filter(must=[match("category", "bag")])
    assert [one.id for one in client.query_points(shop, query=A, using="image", query_filter=filter_).points] == [B]
    none = client.query_points(shop, query=A, using="image", score_threshold=0.9).points
    assert none == []


@pytest.mark.parametrize("target", [C, MISSING])
def test_nearest_to_what_has_no_vector_is_an_error(engine: Engine, shop: str, target: Any) -> None:
    with pytest.raises(UnexpectedResponse) as refusal:
        engine.client.query_points(shop, query=target, using="image")
    assert refusal.value.status_code == 404


def test_filters_on_every_kind_of_value(engine: Engine, shop: str) -> None:
    def number(key: str, **bounds: Any) -> models.FieldCondition:
        return models.FieldCondition(key=key, range=models.Range(**bounds))

    has_vector = models.HasVectorCondition(has_vector="image")
    assert ids(engine, shop, must=[match("sold", True)]) == {A}
    assert ids(engine, shop, must=[match("sold", False)]) == {B}
    assert ids(engine, shop, must=[match("stock", 3)]) == {A}
    assert ids(engine, shop, must=[number("price", gte=10.5, lte=10.5)]) == {A}
    assert ids(engine, shop, must=[number("price", gt=10.5)]) == {B}
    assert ids(engine, shop, must_not=[match("category", "shoe")]) == {B, C}, "also where the field is absent"
    assert ids(engine, shop, must=[match("file.path", "a/b.jpg")]) == {A}
    assert ids(engine, shop, must=[has_vector]) == {A, B}
    assert ids(engine, shop, must_not=[has_vector]) == {C}
    empty = models.IsEmptyCondition(is_empty=models.PayloadField(key="error"))
    assert ids(engine, shop, must=[empty]) == {A, B}
    assert ids(engine, shop, must=[models.HasIdCondition(has_id=[A, MISSING])]) == {A}


def test_facets_count_values(engine: Engine, shop: str) -> None:
    def values(key: str) -> set[tuple[Any, int]]:
        return {(hit.value, hit.count) for hit in engine.client.facet(shop, key, exact=True).hits}

    assert values("category") == {("shoe", 1), ("bag", 1)}
    assert values("stock") == {(3, 1), (1, 1)}
    sold = {hit.value: hit.count for hit in engine.client.facet(shop, "sold", exact=True).hits}
    assert sold == {True: 1, False: 1}
    assert all(isinstance(value, bool) for value in sold)
    for key in ("price", "file.path", "nowhere"):
        with pytest.raises(UnexpectedResponse, match="No appropriate index for faceting") as refusal:
            engine.client.facet(shop, key)
        assert refusal.value.status_code == 400


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "no-uuid", "vector": {}},
        {"id": A, "vector": {"image": [1.0]}},
        {"id": A, "vector": {"other": [1.0, 2.0]}},
    ],
)
def test_points_that_no_engine_takes(engine: Engine, shop: str, bad: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedResponse) as refusal:
        engine.client.upsert(shop, [models.PointStruct(**bad)], wait=True)
    assert refusal.value.status_code == 400
    assert vector(engine, shop, A) == pytest.approx([1, 0])

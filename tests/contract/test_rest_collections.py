"""Collections, metadata, aliases and payload indexes through the ordinary client, on all three engines."""

from __future__ import annotations

import pytest
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from tests.contract.engine import Engine

IMAGE = {"image": models.VectorParams(size=4, distance=models.Distance.COSINE)}
UP, RIGHT = [0.0, 2.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]


def status_of(refusal: pytest.ExceptionInfo[UnexpectedResponse]) -> int:
    assert refusal.value.status_code is not None
    return refusal.value.status_code


def alias(collection: str, name: str) -> models.CreateAliasOperation:
    return models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=collection, alias_name=name))


def no_alias(name: str) -> models.DeleteAliasOperation:
    return models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name))


def renamed(old: str, new: str) -> models.RenameAliasOperation:
    return models.RenameAliasOperation(rename_alias=models.RenameAlias(old_alias_name=old, new_alias_name=new))


def metadata(engine: Engine, name: str) -> dict[str, object]:
    return engine.client.get_collection(name).config.metadata or {}


def test_a_created_collection_is_there_until_it_is_deleted(engine: Engine, name: str) -> None:
    client = engine.client
    assert not client.collection_exists(name)
    assert client.create_collection(name, vectors_config=IMAGE)
    assert client.collection_exists(name)
    assert name in [one.name for one in client.get_collections().collections]
    info = client.get_collection(name)
    assert (info.points_count, info.payload_schema, info.config.params.vectors) == (0, {}, IMAGE)
    with pytest.raises(UnexpectedResponse) as refusal:
        client.create_collection(name, vectors_config=IMAGE)
    assert status_of(refusal) == 409
    assert client.delete_collection(name)
    assert not client.collection_exists(name)
    assert not client.delete_collection(name)
    with pytest.raises(UnexpectedResponse) as refusal:
        client.get_collection(name)
    assert status_of(refusal) == 404


def test_a_deleted_collection_comes_back_empty(engine: Engine, name: str) -> None:
    client = engine.client
    client.create_collection(name, vectors_config=IMAGE, metadata={"a": 1})
    client.upsert(name, [models.PointStruct(id=1, vector={"image": UP})], wait=True)
    client.delete_collection(name)
    client.create_collection(name, vectors_config=IMAGE)
    assert client.count(name).count == 0
    assert metadata(engine, name) == {}


@pytest.mark.parametrize("distance", [models.Distance.COSINE, models.Distance.EUCLID, models.Distance.DOT])
def test_distances_score_as_they_should(engine: Engine, name: str, distance: models.Distance) -> None:
    vectors = {"image": models.VectorParams(size=2, distance=distance)}
    engine.client.create_collection(name, vectors_config=vectors)
    points = {1: [1.0, 0.0], 2: [0.0, 3.0], 3: [2.0, 2.0]}
    engine.client.upsert(
        name, [models.PointStruct(id=i, vector={"image": vector}) for i, vector in points.items()], wait=True
    )
    found = engine.client.query_points(name, query=[2.0, 0.0], using="image", with_vectors=True).points
    expected = {
        models.Distance.COSINE: [(1, 1.0), (3, 0.70711), (2, 0.0)],
        models.Distance.EUCLID: [(1, 1.0), (3, 2.0), (2, 3.60555)],
        models.Distance.DOT: [(3, 4.0), (1, 2.0), (2, 0.0)],
    }[distance]
    assert [one.id for one in found] == [id_ for id_, _ in expected]
    assert [one.score for one in found] == pytest.approx([score for _, score in expected], abs=1e-4)
    of_two = next(one.vector for one in found if one.id == 2)
    stored = [0.0, 1.0] if distance is models.Distance.COSINE else [0.0, 3.0]
    assert isinstance(of_two, dict)
    assert of_two["image"] == pytest.approx(stored)


def test_metadata_is_merged_at_the_top_level_and_null_removes(engine: Engine, name: str) -> None:
    client = engine.client
    client.create_collection(name, vectors_config=IMAGE, metadata={"space": {"model": "a", "dim": 4}, "kept": [1]})
    assert metadata(engine, name) == {"space": {"model": "a", "dim": 4}, "kept": [1]}
    client.update_collection(name, metadata={"space": {"model": "b"}, "sources": {"x": 1}})
    assert metadata(engine, name) == {"space": {"model": "b"}, "kept": [1], "sources": {"x": 1}}
    engine.ask("PATCH", f"/collections/{name}", {"metadata": {"kept": None, "never": None}})
    assert metadata(engine, name) == {"space": {"model": "b"}, "sources": {"x": 1}}
    client.update_collection(name, metadata={})
    assert metadata(engine, name) == {"space": {"model": "b"}, "sources": {"x": 1}}


def test_metadata_is_changed_through_an_alias(engine: Engine, name: str) -> None:
    engine.client.create_collection(name, vectors_config=IMAGE)
    engine.client.update_collection_aliases([alias(name, f"{name}-alias")])
    engine.client.update_collection(f"{name}-alias", metadata={"a": 1})
    assert metadata(engine, name) == {"a": 1}


def test_a_collection_is_replaced_behind_its_alias_while_the_old_one_answers(engine: Engine, name: str) -> None:
    client, shown, new = engine.client, f"{name}-shown", f"{name}-new"
    client.create_collection(name, vectors_config=IMAGE)
    client.upsert(name, [models.PointStruct(id=1, vector={"image": UP})], wait=True)
    client.update_collection_aliases([alias(name, shown)])
    try:
        client.create_collection(new, vectors_config={"image": models.VectorParams(size=2, distance="Cosine")})
        client.upsert(new, [models.PointStruct(id=2, vector={"image": [1.0, 0.0]})], wait=True)
        assert [one.id for one in client.query_points(shown, query=UP, using="image").points] == [1]
        client.update_collection_aliases([no_alias(shown), alias(new, shown)])
        assert [one.id for one in client.query_points(shown, query=[1.0, 0.0], using="image").points] == [2]
        assert [one.alias_name for one in client.get_collection_aliases(new).aliases] == [shown]
        assert client.get_collection_aliases(name).aliases == []
        client.delete_collection(name)
        assert client.count(shown).count == 1
    finally:
        client.delete_collection(new)
    assert shown not in [one.alias_name for one in client.get_aliases().aliases], "an alias goes with its collection"


def test_an_alias_stands_for_its_collection_everywhere(engine: Engine, name: str) -> None:
    client, shown = engine.client, f"{name}-shown"
    client.create_collection(name, vectors_config=IMAGE)
    client.update_collection_aliases([alias(name, shown)])
    client.create_payload_index(shown, "kind", models.PayloadSchemaType.KEYWORD, wait=True)
    client.upsert(shown, [models.PointStruct(id=1, vector={"image": UP}, payload={"kind": "a"})], wait=True)
    client.set_payload(shown, {"more": 1}, points=[1], wait=True)
    assert client.retrieve(shown, [1], with_payload=True)[0].payload == {"kind": "a", "more": 1}
    assert client.scroll(shown)[0][0].id == 1
    assert client.facet(shown, "kind").hits[0].count == 1
    assert client.get_collection(shown).points_count == 1
    assert client.collection_exists(shown)
    assert not client.delete_collection(shown), "only the collection's own name deletes it"
    client.delete(shown, [1], wait=True)
    assert client.count(name).count == 0


def test_aliases_are_refused_where_they_cannot_be(engine: Engine, name: str) -> None:
    client, shown = engine.client, f"{name}-shown"
    client.create_collection(name, vectors_config=IMAGE)
    client.update_collection_aliases([alias(name, shown)])
    refused: list[tuple[models.CreateAliasOperation | models.RenameAliasOperation, int]] = [
        (alias("nowhere", "x"), 404),
        (alias(shown, "x"), 404),
        (alias(name, name), 409),
        (renamed("nowhere", "x"), 404),
    ]
    for action, status in refused:
        with pytest.raises(UnexpectedResponse) as refusal:
            client.update_collection_aliases([action])
        assert status_of(refusal) == status
    with pytest.raises(UnexpectedResponse) as refusal:
        client.create_collection(shown, vectors_config=IMAGE)
    assert status_of(refusal) == 400
    client.update_collection_aliases([no_alias("nowhere"), renamed(shown, f"{shown}-2")])
    assert [one.alias_name for one in client.get_collection_aliases(name).aliases] == [f"{shown}-2"]


@pytest.mark.parametrize("bad", ["a/b", "a:b", "a*b", "x" * 256])
def test_names_that_no_engine_takes(engine: Engine, bad: str) -> None:
    body = {"vectors": {"image": {"size": 4, "distance": "Cosine"}}}
    status, _ = engine.ask("PUT", f"/collections/{bad.replace('/', '%2F')}", body)
    assert status == 422


@pytest.mark.parametrize("good", ["with space", "größe", "UPPER.lower-1_2", "..dots"])
def test_names_that_every_engine_takes(engine: Engine, good: str) -> None:
    client = engine.client
    try:
        assert engine.ask("PUT", f"/collections/{good}", {"vectors": {"i": {"size": 1, "distance": "Dot"}}})[0] == 200
        assert good in [one.name for one in client.get_collections().collections]
        assert client.count(good).count == 0
    finally:
        client.delete_collection(good)


def test_the_payload_schema_tells_types_and_counts(engine: Engine, name: str) -> None:
    client = engine.client
    client.create_collection(name, vectors_config=IMAGE)
    text = models.TextIndexParams(type=models.TextIndexType.TEXT, tokenizer=models.TokenizerType.WORD, lowercase=True)
    client.create_payload_index(name, "category", models.PayloadSchemaType.KEYWORD, wait=True)
    client.create_payload_index(name, "price", models.PayloadSchemaType.FLOAT, wait=True)
    client.create_payload_index(name, "_text.title", text, wait=True)
    client.create_payload_index(name, '"Price (EUR)"', models.PayloadSchemaType.FLOAT, wait=True)
    payload = {"category": ["a", "b"], "price": 1, "_text": {"title": "Two words"}, "Price (EUR)": 1.5}
    client.upsert(name, [models.PointStruct(id=i, vector={}, payload=payload) for i in range(3)], wait=True)
    client.upsert(name, [models.PointStruct(id=3, vector={}, payload={"price": "not a number"})], wait=True)
    schema = client.get_collection(name).payload_schema
    assert {key: (str(one.data_type.value), one.points) for key, one in schema.items()} == {
        "category": ("keyword", 3),
        "price": ("float", 3),
        "_text.title": ("text", 3),
        '"Price (EUR)"': ("float", 3),
    }
    params = schema["_text.title"].params
    assert isinstance(params, models.TextIndexParams)
    assert (params.tokenizer, params.lowercase) == (models.TokenizerType.WORD, True)
    client.delete_payload_index(name, '"Price (EUR)"', wait=True)
    assert '"Price (EUR)"' not in client.get_collection(name).payload_schema


def test_an_index_made_after_the_points_covers_them(engine: Engine, name: str) -> None:
    client = engine.client
    client.create_collection(name, vectors_config=IMAGE)
    client.upsert(name, [models.PointStruct(id=1, vector={}, payload={"title": "Blue Tote Bag"})], wait=True)
    client.create_payload_index(name, "title", models.PayloadSchemaType.TEXT, wait=True)
    words = models.Filter(must=[models.FieldCondition(key="title", match=models.MatchText(text="tote BLUE"))])
    assert client.count(name, count_filter=words).count == 1
    with pytest.raises(UnexpectedResponse, match="index"):
        client.facet(name, "title")
    client.create_payload_index(name, "title", models.PayloadSchemaType.KEYWORD, wait=True)  # replaces the text index
    assert client.facet(name, "title").hits[0].value == "Blue Tote Bag"

"""What the embedded engine refuses although a server would shrug: nothing is ignored, nothing half done."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from recq.index.edge import EdgeEngine, embedded_client
from tests.contract.engine import OWN_ENGINES, Engine, engine_of

VECTORS = {"vectors": {"image": {"size": 2, "distance": "Cosine"}}}
POINT = {"id": 1, "vector": {"image": [1, 0]}}


@pytest.fixture(params=OWN_ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """No server."""
    return engine_of(request)


@pytest.fixture
def path(engine: Engine, name: str) -> Iterator[str]:
    """A collection with one point."""
    assert engine.ask("PUT", f"/collections/{name}", VECTORS)[0] == 200
    assert engine.ask("PUT", f"/collections/{name}/points?wait=true", {"points": [POINT]})[0] == 200
    yield f"/collections/{name}"
    assert engine.client.count(name).count == 1, "a refusal changes nothing"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nowhere"),
        ("GET", "/telemetry"),
        ("GET", "/cluster"),
        ("POST", "/collections"),
        ("POST", "/aliases"),
        ("PUT", "/healthz"),
        ("GET", "/collections/x/points/1/more"),
        ("POST", "/collections/x/points/discover"),
        ("POST", "/collections/x/points/discover/batch"),
        ("POST", "/collections/x/snapshots"),
        ("POST", "/collections/x/points/search/matrix/pairs"),
        ("POST", "/collections/x/points/payload/delete"),
        ("POST", "/collections/x/points/payload/clear"),
        ("PUT", "/collections/x/points/vectors"),
        ("POST", "/collections/x/points/vectors/delete"),
    ],
)
def test_unknown_routes_are_501_and_named(engine: Engine, method: str, path: str) -> None:
    status, answer = engine.ask(method, path, None if method == "GET" else {})
    assert status == 501
    assert f"{method} {path}" in answer["status"]["error"]


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("PATCH", "", {"metadata": {}, "colour": 1}),
        ("PUT", "/points?wait=true", {"points": [{**POINT, "colour": 1}]}),
        ("PUT", "/points?wait=true", {"points": [POINT], "colour": 1}),
        ("PUT", "/points?wait=true", {"batch": {"ids": [], "vectors": {}, "colour": 1}}),
        ("POST", "/points", {"ids": [1], "colour": 1}),
        ("POST", "/points/delete?wait=true", {"points": [1], "colour": 1}),
        ("POST", "/points/delete?wait=true", {"filter": {"must": [], "colour": 1}}),
        ("POST", "/points/payload?wait=true", {"payload": {}, "points": [1], "colour": 1}),
        ("POST", "/points/scroll", {"colour": 1}),
        ("POST", "/points/scroll", {"order_by": {"key": "a", "colour": 1}}),
        ("POST", "/points/query", {"query": [1, 0], "using": "image", "colour": 1}),
        ("POST", "/points/query", {"query": [1, 0], "using": "image", "params": {"colour": 1}}),
        ("POST", "/points/query", {"query": {"nearest": [1, 0], "colour": 1}, "using": "image"}),
        ("POST", "/points/query", {"query": {"nearest": [1, 0], "mmr": {"colour": 1}}, "using": "image"}),
        ("POST", "/points/search", {"vector": {"name": "image", "vector": [1, 0]}, "limit": 1, "colour": 1}),
        ("POST", "/points/recommend", {"positive": [1], "using": "image", "limit": 1, "colour": 1}),
        ("POST", "/points/count", {"filter": {"must": [{"key": "a", "match": {"value": 1, "colour": 1}}]}}),
        ("POST", "/points/count", {"filter": {"must": [{"key": "a", "range": {"gte": 1, "colour": 1}}]}}),
        ("POST", "/facet", {"key": "a", "colour": 1}),
        ("PUT", "/index?wait=true", {"field_name": "a", "field_schema": {"type": "keyword", "colour": 1}}),
    ],
)
def test_unknown_fields_are_400_and_named(engine: Engine, path: str, method: str, tail: str, body: Any) -> None:
    status, answer = engine.ask(method, path + tail, body)
    assert status == 400
    assert "colour" in answer["status"]["error"]


def test_unknown_parameters_are_400(engine: Engine, path: str) -> None:
    status, answer = engine.ask("POST", f"{path}/points/scroll?colour=1", {})
    assert status == 400
    assert "colour" in answer["status"]["error"]
    assert engine.ask("POST", f"{path}/points/scroll?timeout=5&consistency=all", {})[0] == 200


@pytest.mark.parametrize(
    ("method", "tail", "body", "named"),
    [
        ("PUT", "/points?wait=true", {"points": [POINT], "shard_key": "a"}, "shard_key"),
        ("PUT", "/points?wait=true", {"points": [POINT], "update_mode": "insert_only"}, "conditional"),
        ("PUT", "/points?wait=true", {"points": [POINT], "update_filter": {}}, "conditional"),
        ("PUT", "/points?wait=true", {"points": [{"id": 2, "vector": {"image": {"text": "a", "model": "b"}}}]}, "list"),
        ("POST", "/points/query", {"prefetch": {"query": [1, 0]}, "query": {"fusion": "rrf"}}, "prefetch"),
        ("POST", "/points/query", {"query": {"sample": "random"}}, "SampleQuery"),
        ("POST", "/points/query/groups", {"query": 1, "using": "image", "group_by": "a", "with_lookup": "x"}, "lookup"),
        (
            "POST",
            "/points/query/groups",
            {"query": {"nearest": [1, 0], "mmr": {}}, "using": "image", "group_by": "a"},
            "mmr",
        ),
        ("POST", "/points/query/groups", {"query": {"order_by": "a"}, "group_by": "a"}, "order_by"),
        ("POST", "/points/query", {"query": [1, 0], "using": "image", "params": {"acorn": {}}}, "acorn"),
        ("PUT", "/index?wait=true", {"field_name": "a", "field_schema": "geo"}, "geo"),
        (
            "PUT",
            "/index?wait=true",
            {
                "field_name": "a",
                "field_schema": {"type": "text", "stemmer": {"type": "snowball", "language": "english"}},
            },
            "stemmer",
        ),
        ("PATCH", "", {"quantization_config": {"scalar": {"type": "int8"}}}, "quantization_config"),
        ("PATCH", "", {"strict_mode_config": {"enabled": True}}, "strict_mode_config"),
    ],
)
def test_what_only_a_server_can_do_is_501(
    engine: Engine, path: str, method: str, tail: str, body: Any, named: str
) -> None:
    status, answer = engine.ask(method, path + tail, body)
    assert (status, named in answer["status"]["error"]) == (501, True), answer


@pytest.mark.parametrize(
    "body",
    [
        {"vectors": {"size": 2, "distance": "Cosine"}},
        {"vectors": {"image": {"size": 2, "distance": "Cosine", "datatype": "float16"}}},
        {"vectors": {"image": {"size": 2, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}}}},
        {**VECTORS, "sparse_vectors": {"words": {}}},
        {**VECTORS, "shard_number": 2},
        {**VECTORS, "quantization_config": {"scalar": {"type": "int8"}}},
        {**VECTORS, "strict_mode_config": {"enabled": True}},
    ],
)
def test_collections_that_only_a_server_can_make_are_501(engine: Engine, name: str, body: Any) -> None:
    assert engine.ask("PUT", f"/collections/{name}", body)[0] == 501
    assert not engine.client.collection_exists(name)


def test_hints_for_a_server_are_kept_and_reported(engine: Engine, name: str) -> None:
    client = engine.client
    client.create_collection(
        name,
        vectors_config={"image": models.VectorParams(size=2, distance=models.Distance.COSINE)},
        hnsw_config=models.HnswConfigDiff(m=32),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0),
    )
    config = client.get_collection(name).config
    assert (config.hnsw_config.m, config.optimizer_config.indexing_threshold) == (32, 0)
    client.update_collection(name, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=10_000))
    assert client.get_collection(name).config.optimizer_config.indexing_threshold == 10_000


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("delete_payload", {"keys": ["a"], "points": [1]}),
        ("clear_payload", {"points": [1]}),
        ("update_vectors", {"points": [{"id": 1, "vector": {"image": [0, 1]}}]}),
        ("delete_vectors", {"vector": ["image"], "points": [1]}),
    ],
)
def test_changes_that_nothing_asks_for_are_501_in_a_batch_as_well(
    engine: Engine, path: str, kind: str, operation: Any
) -> None:
    before = engine.ask("GET", f"{path}/points/1")[1]["result"]
    status, answer = engine.ask("POST", f"{path}/points/batch?wait=true", {"operations": [{kind: operation}]})
    assert (status, f"`{kind}`" in answer["status"]["error"]) == (501, True), answer
    assert engine.ask("GET", f"{path}/points/1")[1]["result"] == before


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e39, 3e20])
@pytest.mark.parametrize("place", ["upsert", "query"])
def test_numbers_that_are_not_finite_never_reach_the_shard(
    engine: Engine, path: str, number: float, place: str
) -> None:
    """Also those whose square is not finite as float32: such a vector could not be normalised."""
    vector = f"[{'1e999' if math.isinf(number) else 'NaN' if math.isnan(number) else number}, 1.0]"
    method, tail, body = {
        "upsert": ("PUT", "/points?wait=true", f'{{"points": [{{"id": 1, "vector": {{"image": {vector}}}}}]}}'),
        "query": ("POST", "/points/query", f'{{"query": {vector}, "using": "image"}}'),
    }[place]
    assert engine.ask(method, path + tail, body.encode())[0] == 400
    answer = engine.ask("GET", f"{path}/points/1")[1]
    assert answer["result"]["vector"] == {"image": [1.0, 0.0]}


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_the_client_cannot_smuggle_in_a_vector_that_is_not_finite(engine: Engine, name: str, number: float) -> None:
    client = engine.client
    engine.ask("PUT", f"/collections/{name}", VECTORS)
    with pytest.raises(UnexpectedResponse) as refusal:
        client.upsert(name, [models.PointStruct(id=1, vector={"image": [number, 1.0]})], wait=True)
    assert refusal.value.status_code == 400
    assert client.count(name).count == 0


def test_the_word_nan_in_a_text_is_no_number(engine: Engine, path: str) -> None:
    body = {"payload": {"title": "NaN bread, to Infinity"}, "points": [1]}
    assert engine.ask("POST", f"{path}/points/payload?wait=true", body)[0] == 200


def test_a_bad_point_writes_nothing_of_its_batch(engine: Engine, path: str) -> None:
    """A server keeps the points before the bad one."""
    body = {"points": [{"id": 2, "vector": {}}, {"id": 3, "vector": {"image": [1]}}]}
    assert engine.ask("PUT", f"{path}/points?wait=true", body)[0] == 400


def test_bad_alias_actions_change_nothing_at_all(engine: Engine, name: str) -> None:
    """A server keeps the actions before the bad one."""
    engine.ask("PUT", f"/collections/{name}", VECTORS)
    actions = [
        {"create_alias": {"collection_name": name, "alias_name": f"{name}-a"}},
        {"create_alias": {"collection_name": "nowhere", "alias_name": f"{name}-b"}},
    ]
    assert engine.ask("POST", "/collections/aliases", {"actions": actions})[0] == 404
    assert engine.client.get_collection_aliases(name).aliases == []


@pytest.mark.parametrize(
    "count", [{"gte": 0}, {"lt": 1}, {"lte": 0}, {"lt": 5}, {"lte": 5, "gte": 0}, {}, {"gt": None}]
)
def test_a_number_of_values_that_zero_satisfies_is_refused(engine: Engine, path: str, count: Any) -> None:
    """Edge takes a point without the field for one with an empty list, a server does not."""
    for condition in ({"key": "a", "values_count": count}, {"key": "b", "match": {"value": 1}, "values_count": count}):
        nested = {"nested": {"key": "c", "filter": {"must": [condition]}}}
        for filter_ in ({"must": [condition]}, {"must_not": [condition]}, {"must": [{"should": [nested]}]}):
            status, answer = engine.ask("POST", f"{path}/points/count", {"filter": filter_})
            assert 400 <= status < 500 or status == 501
            assert "values_count" in answer["status"]["error"]


@pytest.mark.parametrize("count", [{"gte": 1}, {"gt": 0}, {"gt": 0, "lt": 5}, {"gte": 0, "gt": 0}])
def test_a_number_of_values_that_zero_does_not_satisfy_is_answered(engine: Engine, path: str, count: Any) -> None:
    condition = {"key": "a", "values_count": count}
    status, answer = engine.ask("POST", f"{path}/points/count", {"filter": {"must": [condition]}})
    assert (status, answer["result"]["count"]) == (200, 0)


def test_a_null_among_the_elements_of_a_list_is_refused(engine: Engine, path: str) -> None:
    status, answer = engine.ask("POST", f"{path}/points/count", {"filter": {"must": [{"is_null": {"key": "a[]"}}]}})
    assert (status, "`a[]`" in answer["status"]["error"]) == (501, True)


def test_the_official_client_copies_a_collection_with_its_configuration(
    engine: Engine, name: str, path: str, tmp_path: Path
) -> None:
    """`migrate` reads the whole configuration, and makes a collection of it."""
    other = EdgeEngine(tmp_path / "edge")
    engine.client.migrate(embedded_client(other), [name])
    assert embedded_client(other).count(name).count == 1
    assert path
    other.close()


@pytest.mark.parametrize("match", [{"text": "a"}, {"text_any": "a"}, {"phrase": "a"}])
def test_match_by_text_needs_a_text_index(engine: Engine, path: str, match: Any) -> None:
    """Without one a server looks for a substring and Edge for words: two answers to one question."""
    condition = {"key": "title", "match": match}
    status, answer = engine.ask("POST", f"{path}/points/count", {"filter": {"must": [condition]}})
    assert status == 400
    assert "text index on `title`" in answer["status"]["error"]
    index = {"field_name": "title", "field_schema": {"type": "text", "phrase_matching": True}}
    assert engine.ask("PUT", f"{path}/index?wait=true", index)[0] == 200
    assert engine.ask("POST", f"{path}/points/count", {"filter": {"must": [condition]}})[0] == 200
    assert engine.ask("DELETE", f"{path}/index/title?wait=true")[0] == 200
    assert engine.ask("POST", f"{path}/points/count", {"filter": {"must": [condition]}})[0] == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"points": 1}', b'{"points": [1]}'])
def test_bodies_that_are_no_request(engine: Engine, path: str, body: bytes) -> None:
    status, answer = engine.ask("PUT", f"{path}/points?wait=true", body)
    assert status == 400
    assert answer["status"]["error"].startswith("Format error in JSON body: ")


def test_a_point_without_a_vector_is_no_example(engine: Engine, path: str) -> None:
    """A server leaves it out in silence; where nothing is left every point gets the score 0."""
    assert engine.ask("PUT", f"{path}/points?wait=true", {"points": [{"id": 2, "vector": {}}]})[0] == 200
    for strategy in ("average_vector", "best_score", "sum_scores"):
        recommend = {"positive": [1, 2], "strategy": strategy}
        status, answer = engine.ask(
            "POST", f"{path}/points/query", {"query": {"recommend": recommend}, "using": "image"}
        )
        assert status == 404
        assert "image" in answer["status"]["error"]
    assert engine.ask("POST", f"{path}/points/delete?wait=true", {"points": [2]})[0] == 200


@pytest.mark.parametrize(
    ("limit", "candidates", "status"), [(10, 16_384, 200), (100, 10_000, 200), (1000, 1001, 400), (2000, None, 400)]
)
def test_variety_that_would_be_compared_for_minutes_is_400(
    engine: Engine, path: str, limit: int, candidates: int | None, status: int
) -> None:
    asked = {"query": {"nearest": [1, 0], "mmr": {"candidates_limit": candidates}}, "using": "image", "limit": limit}
    found, answer = engine.ask("POST", f"{path}/points/query", asked)
    assert found == status
    assert status == 200 or "candidates_limit" in answer["status"]["error"]

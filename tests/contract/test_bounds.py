"""How large a question may be: many conditions are a clear 400 at once, many values of one are not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from recq.index import points as reads
from recq.index.edge import bounds
from recq.space import MAX_DIMENSIONS
from tests.contract.engine import OWN_ENGINES, Engine, engine_of

VECTORS = {"vectors": {"image": {"size": 2, "distance": "Cosine"}}}
NEAR = {"query": [1, 0], "using": "image", "limit": 3}
POINTS = 3_000


@pytest.fixture(scope="module", params=OWN_ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """No server."""
    return engine_of(request)


@pytest.fixture(scope="module")
def path(engine: Engine) -> Iterator[str]:
    """A collection with some points, and an index of each cheap kind. All that is asked reads, or is refused."""
    name = "bounds"
    assert engine.ask("PUT", f"/collections/{name}", VECTORS)[0] == 200
    narrow = {"type": "keyword", "on_disk": True}
    for key, schema in {"n": "integer", "cat": "keyword", "file.path": narrow, "t": "text"}.items():
        index = {"field_name": key, "field_schema": schema}
        assert engine.ask("PUT", f"/collections/{name}/index", index)[0] == 200
    for start in range(0, POINTS, 1000):
        points = [
            {"id": i, "vector": {"image": [1, i]}, "payload": {"n": i, "plain": str(i), "file": {"path": f"{i}.jpg"}}}
            for i in range(start, start + 1000)
        ]
        assert engine.ask("PUT", f"/collections/{name}/points", {"points": points})[0] == 200
    yield f"/collections/{name}"
    assert engine.client.count(name).count == POINTS
    engine.client.delete_collection(name)


def conditions(count: int, key: str = "n") -> list[dict[str, Any]]:
    return [{"key": key, "match": {"value": i if key == "n" else f"x{i}"}} for i in range(count)]


def shapes(count: int) -> dict[str, dict[str, Any]]:
    """Filters with so many conditions."""
    some = conditions(count)
    return {
        "must": {"must": some},
        "should": {"should": some},
        "must_not": {"must_not": some},
        "min_should": {"min_should": {"conditions": some, "min_count": 1}},
        "groups": {"must": [{"should": some[: count // 2]}, {"must_not": [{"should": some[count // 2 :]}]}]},
        "nested": {"must": [{"nested": {"key": "parts", "filter": {"should": some}}}]},
        "each nested": {"should": [{"nested": {"key": "a", "filter": {"must": one}}} for one in some]},
        "ids one by one": {"must_not": [{"has_id": [i]} for i in range(count)]},
        "empty": {"must": [{"is_empty": {"key": "n"}}] * count},
    }


@cache
def body_of(shape: str, count: int) -> bytes:
    """The body of a request with such a filter of so many conditions."""
    return json.dumps({"filter": shapes(count)[shape]}).encode()


def requests(filter_: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every request that has a filter, and every place for one."""
    yield "POST", "/points/count", {"filter": filter_}
    yield "POST", "/points/scroll", {"filter": filter_}
    yield "POST", "/points/query", {**NEAR, "filter": filter_}
    yield "POST", "/points/query", {**NEAR, "prefetch": [{**NEAR, "prefetch": {**NEAR, "filter": filter_}}]}
    yield "POST", "/points/query/batch", {"searches": [NEAR, {**NEAR, "filter": filter_}]}
    yield "POST", "/points/query/batch", {"searches": [{**NEAR, "prefetch": {**NEAR, "filter": filter_}}]}
    yield "POST", "/facet", {"key": "cat", "filter": filter_}
    yield "POST", "/points/delete", {"filter": filter_}
    yield "POST", "/points/payload", {"payload": {"a": 1}, "filter": filter_}
    yield "PUT", "/points/payload", {"payload": {"a": 1}, "filter": filter_}
    yield "POST", "/points/batch", {"operations": [{"delete": {"filter": filter_}}]}
    yield "PUT", "/points", {"points": [{"id": 1, "vector": {}}], "update_filter": filter_}


@pytest.mark.parametrize("shape", list(shapes(0)))
def test_too_many_conditions_are_refused_in_every_shape(engine: Engine, path: str, shape: str) -> None:
    status, answer = engine.ask("POST", f"{path}/points/count", body_of(shape, 2_500))
    assert status == 400
    assert "conditions, at most 1,000" in answer["status"]["error"]


def test_sixty_thousand_conditions_are_refused_at_once(engine: Engine, path: str) -> None:
    body = body_of("should", 60_000)
    started = time.monotonic()
    status, answer = engine.ask("POST", f"{path}/points/count", body)
    assert status == 400
    assert "conditions, at most 1,000" in answer["status"]["error"]
    assert "match.any" in answer["status"]["error"]
    assert time.monotonic() - started < 4, "seconds, where it took 31"


def test_too_many_conditions_are_refused_wherever_a_filter_may_stand(engine: Engine, path: str) -> None:
    for method, tail, body in requests({"should": conditions(1001)}):
        status, answer = engine.ask(method, path + tail, body)
        assert (status, "at most 1,000" in answer["status"]["error"]) == (400, True), (tail, answer)
    assert engine.ask("POST", f"{path}/points/count", {})[1]["result"]["count"] == POINTS


def test_conditions_spread_over_a_batch_are_counted_together(engine: Engine, path: str) -> None:
    def ask(searches: int) -> tuple[int, Any]:
        body = {"searches": [{**NEAR, "filter": {"should": conditions(100)}}] * searches}
        return engine.ask("POST", f"{path}/points/query/batch", body)

    assert ask(199)[0] == 200
    status, answer = ask(600)
    assert status == 400
    assert "60,000 conditions" in answer["status"]["error"]


def test_a_thousand_conditions_that_indexes_answer_are_answered(engine: Engine, path: str) -> None:
    for key in ("n", "cat", "file.path"):
        answer = engine.ask("POST", f"{path}/points/count", {"filter": {"should": conditions(1000, key)}})
        assert answer[0] == 200, answer
        assert answer[1]["result"]["count"] == (1000 if key == "n" else 0)


@pytest.mark.parametrize(
    "condition",
    [
        {"has_id": list(range(100_000))},
        {"key": "plain", "match": {"any": [str(i) for i in range(100_000)]}},
        {"key": "n", "match": {"any": list(range(100_000))}},
        {"key": "file.path", "match": {"any": [f"{i}.jpg" for i in range(100_000)]}},
    ],
)
def test_many_ids_and_values_of_one_condition_are_no_matter(engine: Engine, path: str, condition: Any) -> None:
    status, answer = engine.ask("POST", f"{path}/points/count", {"filter": {"must": [condition]}})
    assert (status, answer["result"]["count"]) == (200, POINTS)


def test_conditions_that_read_every_point_again_and_again_are_refused(engine: Engine, path: str) -> None:
    def ask(count: int, **part: Any) -> tuple[int, Any]:
        return engine.ask("POST", f"{path}/points/count", {"filter": part or {"should": conditions(count, "plain")}})

    most = bounds.MAX_EVALUATIONS // POINTS
    assert ask(16)[0] == 200
    assert ask(100)[0] == 200
    slow = [
        {"should": conditions(most + 1, "plain")},
        {"must": [{"should": conditions(most + 1, "plain")}]},
        {"should": [{"key": "n", "values_count": {"gt": i}} for i in range(1, most + 2)]},
        {"should": [{"key": "n", "match": {"value": f"{i}"}} for i in range(most + 1)]},
        {"should": [{"key": "t", "match": {"value": f"{i}"}} for i in range(most + 1)]},
        {"should": [{"nested": {"key": "n", "filter": {"must": one}}} for one in conditions(most)]},
        {"should": [{"is_null": {"key": "plain"}}] * (most + 1)},
    ]
    for part in slow:
        status, answer = ask(0, **part)
        assert status == 400, part
        assert f"at most {most} here. Create an index" in answer["status"]["error"]


def test_many_values_in_many_conditions_are_not_all_looked_up(engine: Engine, path: str) -> None:
    """Each of a thousand conditions on a narrow field may have a thousand values: a million lookups took minutes."""
    condition = {"key": "file.path", "match": {"any": [f"x{i}" for i in range(300)]}}
    status, answer = engine.ask("POST", f"{path}/points/count", {"filter": {"should": [condition] * 600}})
    assert (status, "Create an index" in answer["status"]["error"]) == (400, True)
    assert engine.ask("POST", f"{path}/points/count", {"filter": {"should": [condition] * 40}})[0] == 200


@pytest.mark.parametrize("depth", [40, 500, 100_000])
@pytest.mark.parametrize("kind", ["filter", "nested", "prefetch"])
def test_what_nests_too_deep_is_refused(engine: Engine, path: str, kind: str, depth: int) -> None:
    begin, end = {
        "filter": ('{"must":[', "]}"),
        "nested": ('{"must":[{"nested":{"key":"a","filter":', "}}]}"),
        "prefetch": ('{"query":[1,0],"using":"image","prefetch":[', "]}"),
    }[kind]
    leaf = '{"query":[1,0]}' if kind == "prefetch" else '{"must":[{"key":"n","match":{"value":1}}]}'
    whole = begin * depth + leaf + end * depth
    tail = "/points/query" if kind == "prefetch" else "/points/count"
    body = whole if kind == "prefetch" else f'{{"filter": {whole}}}'
    assert engine.ask("POST", path + tail, body.encode())[0] == 400


def test_a_payload_is_no_filter() -> None:
    deep: Any = 1
    for _ in range(60):
        deep = {"filter": {"must": [deep] * 2}} if deep == 1 else {"filter": {"must": [deep]}}
    many = {"filter": {"must": [{"a": i} for i in range(5000)]}}
    for payload in (deep, many):
        bounds.require_bounded(json.dumps({"points": [{"id": 1, "payload": payload, "vector": {}}]}).encode())


FEW = {"must": [{"key": "n", "range": {"lt": 10}}]}
EXAMPLES = {"recommend": {"positive": [1, 2, 3]}}


def reading(with_vector: Any, points: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every request that answers with the vectors of so many points."""
    asked = {"limit": points, "with_vector": with_vector}
    near = {**NEAR, **asked}
    older = {"vector": {"name": "image", "vector": [1, 0]}, **asked}
    liked = {"positive": [1], "using": "image", **asked}
    yield "/points", {"ids": [*range(points), *range(points)], "with_vector": with_vector}
    yield "/points/scroll", asked
    yield "/points/scroll", {**asked, "order_by": "n"}
    yield "/points/query", near
    yield "/points/query", {**near, "offset": 5}
    yield "/points/query", {**near, "query": EXAMPLES}
    yield "/points/query", {**near, "query": {"nearest": [1, 0], "mmr": {"diversity": 0.5}}}
    yield "/points/query", asked
    yield "/points/query/batch", {"searches": [near]}
    yield "/points/query/batch", {"searches": [{**near, "limit": points - 1}, {**near, "limit": 1}, NEAR]}
    yield "/points/query/groups", {**near, "group_by": "n", "group_size": 1}
    yield "/points/search", older
    yield "/points/search/batch", {"searches": [{**older, "limit": points - 1}, {**older, "limit": 1}]}
    yield "/points/search/groups", {**older, "group_by": "n", "group_size": 1}
    yield "/points/recommend", liked
    yield "/points/recommend/batch", {"searches": [{**liked, "limit": points - 1}, {**liked, "limit": 1}]}
    yield "/points/recommend/groups", {**liked, "group_by": "n", "group_size": 1}


@pytest.mark.parametrize("with_vector", [True, ["image"], ["image", "image"]], ids=str)
def test_more_vectors_than_fit_into_memory_are_refused(
    engine: Engine, path: str, with_vector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MAX_READ", 80)  # of 40 points
    for tail, body in reading(with_vector, 41):
        status, answer = engine.ask("POST", path + tail, body)
        assert (status, "ask for fewer at a time" in str(answer["status"])) == (400, True), (tail, body, answer)
    for tail, body in reading(with_vector, 40):
        assert engine.ask("POST", path + tail, body)[0] == 200, (tail, body)
    for unread in (False, None, [], ["other"]):
        for tail, body in reading(unread, 41):
            assert engine.ask("POST", path + tail, body)[0] in ((200, 400) if unread else (200,)), (tail, body)


def test_vectors_are_counted_by_the_points_that_there_are(
    engine: Engine, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that wants all that match asks for a large limit."""
    monkeypatch.setattr(bounds, "MAX_READ", 80)
    asked = {"limit": 100_000, "with_vector": True}
    for body in ({**asked, "filter": FEW}, {**asked, "filter": FEW, "order_by": "n"}):
        status, answer = engine.ask("POST", f"{path}/points/scroll", body)
        assert (status, len(answer["result"]["points"])) == (200, 10)
    status, answer = engine.ask("POST", f"{path}/points/query", {**NEAR, **asked, "filter": FEW})
    assert (status, len(answer["result"]["points"])) == (200, 10)
    assert engine.ask("POST", f"{path}/points/scroll", asked)[0] == 400
    monkeypatch.setattr(bounds, "MAX_READ", 2 * POINTS)
    assert len(engine.ask("POST", f"{path}/points/scroll", asked)[1]["result"]["points"]) == POINTS


def test_examples_whose_vectors_are_read_first_are_counted_too(
    engine: Engine, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MAX_READ", 80)
    for strategy in ("average_vector", "best_score", "sum_scores"):
        for positive, negative, status in ((20, 20, 200), (20, 21, 400), (41, 0, 400)):
            examples = {"positive": list(range(positive)), "negative": list(range(50, 50 + negative))}
            body = {**NEAR, "query": {"recommend": {**examples, "strategy": strategy}}}
            assert engine.ask("POST", f"{path}/points/query", body)[0] == status, (strategy, positive, negative)


@pytest.mark.parametrize("dim", [1, 1_280, 20_000, MAX_DIMENSIONS])
def test_what_recq_reads_at_a_time_is_below_the_bound(dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the vectors are, and however many are asked for."""
    read: list[int] = []

    def stored(_client: Any, _collection: str, ids: list[str], *_: Any) -> list[Any]:
        read.append(len(ids))
        return []

    def page(_client: Any, _collection: str, asked: models.ScrollRequest) -> tuple[list[Any], None]:
        read.append(asked.limit or 0)
        return [], None

    monkeypatch.setattr(reads, "stored_points", stored)
    monkeypatch.setattr(reads, "stored_vectors", lambda *given: dict(stored(*given)))
    monkeypatch.setattr(reads, "scroll_points", page)
    points = reads.Points(QdrantClient(":memory:"), "c", dim=dim)
    ids = [str(number) for number in range(1_200)]
    for each in (points, points.asked_through(lambda function, *given: function(*given))):
        read.clear()
        each.vectors(ids)
        each.records(ids, payload=True, vectors=True)
        assert sum(read) == 2 * len(ids)
        list(each.scroll(models.Filter(), payload=True, page=5_000, vectors=True))
        assert max(read) * dim <= 0.7 * bounds.MAX_READ
        assert max(read) == min(reads.PAGE, 6_553_600 // dim)
        each.records(ids, payload=True)
        assert read[-1] == len(ids), "without vectors there is no bound"

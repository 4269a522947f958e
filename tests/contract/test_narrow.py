"""Keyword indexes with `on_disk: true`: narrow ones on the embedded engines, and the answers are a server's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.congruence import Ask, compare
from tests.contract.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
NAME = "narrow"
C = f"/collections/{NAME}"
ON_DISK = {"type": "keyword", "on_disk": True}
VECTOR, QUERY = [1.0, 50.0], [1.0, 0.0]
VALUES: list[Any] = [
    {"file": {"path": "a/1.jpg", "name": "1.jpg"}, "tag": "x", "kind": "k"},
    {"file": {"path": "a/2.jpg", "name": "1.jpg"}, "tag": ["x", "y", "x"], "kind": "k"},
    {"file": {"path": "größe \U0001f45f"}, "tag": [], "kind": "l"},
    {"file": {"path": ""}, "tag": None, "kind": ["k", "l"]},
    {"file": {"path": ["a/1.jpg", "b"]}, "tag": [["x"], "y", 5, None, {"x": "x"}]},
    {"file": {"path": {"deeper": "a/1.jpg"}}, "tag": {"x": "x"}},
    {"file": [{"path": "a/1.jpg"}], "tag": 5},
    {"file": "a/1.jpg", "tag": True},
    {"file.path": "a/1.jpg", "tag": "5"},
    {},
]


def field(key: str, **condition: Any) -> dict[str, Any]:
    return {"key": key, **condition}


def conditions() -> Iterator[dict[str, Any]]:
    known: dict[str, list[Any]] = {
        "file.path": ["a/1.jpg", "a/2.jpg", "größe \U0001f45f", "", "b", "no"],
        "file.name": ["1.jpg", "2.jpg"],
        "tag": ["x", "y", "5", 5, True],
    }
    for key, values in known.items():
        for value in values:
            yield field(key, match={"value": value})
        yield field(key, match={"any": [value for value in values if isinstance(value, str)]})
        yield field(key, match={"any": values[:1] * 3})
        yield field(key, match={"any": [5, 6]})
        yield field(key, match={"any": []})
        yield field(key, match={"except": values[:1]})
        yield field(key, values_count={"gte": 1})
        yield field(key, range={"gte": 1})
        yield field(key, is_null=True)
        yield {"is_empty": {"key": key}}
        yield {"is_null": {"key": key}}
    yield {"nested": {"key": "file", "filter": {"must": [field("path", match={"value": "a/1.jpg"})]}}}
    yield field("file[].path", match={"value": "a/1.jpg"})


def reads() -> Iterator[Ask]:
    scroll = f"{C}/points/scroll"
    yield "GET", C, None
    yield "GET", f"{C}/points/1", None
    for condition in conditions():
        for part in ("must", "must_not", "should"):
            yield "POST", scroll, {"filter": {part: [condition]}, "limit": 100, "with_payload": False}
        at_least = {"conditions": [condition, field("kind", match={"value": "k"})], "min_count": 2}
        yield "POST", scroll, {"filter": {"min_should": at_least}, "limit": 100}
        near = {"query": QUERY, "using": "image", "filter": {"must": [condition]}, "limit": 5, "with_payload": True}
        yield "POST", f"{C}/points/query", near
        yield "POST", f"{C}/points/count", {"filter": {"must": condition}, "exact": True}
    for selector in (True, False, ["file"], ["file.path", "nowhere"], {"exclude": ["file"]}, {"exclude": ["tag"]}):
        yield "POST", f"{C}/points", {"ids": [0, 1, 4, 9], "with_payload": selector}
        yield "POST", scroll, {"limit": 20, "with_payload": selector}
    for key in ("file.path", "file.name", "tag", "kind"):
        for filter_ in (None, {"must": [field("kind", match={"value": "k"})]}, {"must": next(conditions())}):
            for limit in (1, 2, 100):
                yield "POST", f"{C}/facet", {"key": key, "exact": True, "filter": filter_, "limit": limit}
    yield "POST", f"{C}/facet", {"key": "tag", "limit": 0}
    yield "POST", scroll, {"order_by": "file.path"}


def looks() -> Iterator[Ask]:
    """What a write may change."""
    scroll = f"{C}/points/scroll"
    yield "GET", C, None
    yield "POST", scroll, {"limit": 100, "with_payload": True}
    for value in ("a/1.jpg", "a/2.jpg", "new", "keyed", "over", "up", "b"):
        yield "POST", scroll, {"filter": {"must": [field("file.path", match={"value": value})]}, "with_payload": False}
    for key in ("file.path", "file.name", "tag"):
        yield "POST", f"{C}/facet", {"key": key, "exact": True, "limit": 100}


def writes() -> Iterator[Ask]:
    """Each kind of write on what the narrow fields see, and beside it."""
    payload, two = f"{C}/points/payload", {"must": [field("file.path", match={"value": "a/2.jpg"})]}
    yield "POST", f"{payload}?wait=true", {"payload": {"file": {"path": "new"}}, "points": [0, 9]}
    yield "POST", f"{payload}?wait=true", {"payload": {"path": "keyed"}, "key": "file", "points": [0, 1, 5, 7]}
    yield "POST", f"{payload}?wait=true", {"payload": {"deep": "keyed"}, "key": "file.path", "points": [2]}
    yield "POST", f"{payload}?wait=true", {"payload": {"path": "quoted"}, "key": '"file"', "points": [3]}
    yield "POST", f"{payload}?wait=true", {"payload": {"path": "listed"}, "key": "file[0]", "points": [6]}
    yield "POST", f"{payload}?wait=true", {"payload": {"kind": "m"}, "points": [4]}
    yield "POST", f"{payload}?wait=true", {"payload": {"tag": None}, "points": [0, 4]}
    yield "POST", f"{payload}?wait=true", {"payload": {"tag": ["z", "z"]}, "points": [1, 1000, 2]}
    yield "POST", f"{payload}?wait=true", {"payload": {"tag": "by filter"}, "filter": two}
    yield "POST", f"{payload}?wait=true", {"payload": {"tag": "k too"}, "filter": {"must": [{"has_id": [7, 8]}]}}
    yield "POST", f"{payload}?wait=true", {"payload": {"tag": "none"}, "filter": {"must": [{"has_id": []}]}}
    yield "PUT", f"{payload}?wait=true", {"payload": {"file": {"path": "over"}, "tag": "x"}, "points": [3]}
    yield "PUT", f"{payload}?wait=true", {"payload": {"tag": ["o"]}, "filter": {"must": [{"has_id": [5]}]}}
    yield "POST", f"{payload}/delete?wait=true", {"keys": ["file.path"], "points": [0]}
    yield "POST", f"{payload}/delete?wait=true", {"keys": ["tag", "kind"], "filter": {"must": [{"has_id": [8]}]}}
    yield "POST", f"{payload}/delete?wait=true", {"keys": ["file"], "points": [1000]}
    yield "POST", f"{payload}/clear?wait=true", {"points": [2]}
    point = {"id": 20, "vector": {"image": VECTOR}, "payload": {"file": {"path": "up", "name": "n"}}}
    yield (
        "PUT",
        f"{C}/points?wait=true",
        {"points": [point, {**point, "id": 9, "vector": {"image": [1.0, 55.5]}, "payload": {"tag": "up"}}]},
    )
    batch = {"ids": [21, 22], "vectors": {"image": [[1.0, 60.0], [1.0, 70.0]]}, "payloads": [{"tag": "b"}, {}]}
    yield "PUT", f"{C}/points?wait=true", {"batch": batch}
    yield "POST", f"{C}/points/delete?wait=true", {"filter": {"must": [field("tag", match={"any": ["b", "x"]})]}}
    yield "PUT", f"{C}/points/vectors?wait=true", {"points": [{"id": 9, "vector": {"image": [0.0, 1.0]}}]}
    operations = [
        {"set_payload": {"payload": {"tag": "batch"}, "points": [20]}},
        {"delete_payload": {"keys": ["file.name"], "points": [20]}},
        {"overwrite_payload": {"payload": {"tag": "batched"}, "points": [21]}},
    ]
    yield "POST", f"{C}/points/batch?wait=true", {"operations": operations}


def index_writes() -> Iterator[Ask]:
    index = f"{C}/index?wait=true"
    yield "PUT", index, {"field_name": "file.path", "field_schema": ON_DISK}  # again
    yield "GET", C, None
    yield "PUT", index, {"field_name": "file.path", "field_schema": "keyword"}
    yield "GET", C, None
    yield "PUT", index, {"field_name": "kind", "field_schema": ON_DISK}  # was in memory
    yield "GET", C, None
    yield "POST", f"{C}/facet", {"key": "kind", "exact": True}
    yield "PUT", index, {"field_name": "kind", "field_schema": {**ON_DISK, "is_tenant": True}}
    yield "GET", C, None
    yield "DELETE", f"{C}/index/tag?wait=true", None
    yield "GET", C, None
    yield "POST", f"{C}/facet", {"key": "tag", "exact": True}
    yield "POST", f"{C}/points/payload?wait=true", {"payload": {"tag": "unseen"}, "points": [7]}
    yield "PUT", index, {"field_name": "tag", "field_schema": ON_DISK}  # over points
    yield "POST", f"{C}/points/count", {"filter": {"must": [field("tag", match={"value": "unseen"})]}}
    yield "PUT", index, {"field_name": "file.name", "field_schema": "text"}
    yield "POST", f"{C}/points/count", {"filter": {"must": [field("file.name", match={"text": "jpg"})]}}
    yield "DELETE", f"{C}/index/file.name?wait=true", None
    yield "GET", C, None


@pytest.mark.server
@pytest.mark.parametrize("first", ["indexes", "points"])
def test_a_server_gives_the_same_answers(embedded: Engine, loopback: Engine, real: Engine, first: str) -> None:
    """Whether the indexes were made before the points or after them."""
    engines = [real, embedded, loopback]
    points = [{"id": i, "vector": {"image": [1.0, i]}, "payload": payload} for i, payload in enumerate(VALUES)]
    indexes: list[Ask] = [
        ("PUT", f"{C}/index?wait=true", {"field_name": key, "field_schema": schema})
        for key, schema in {"file.path": ON_DISK, "file.name": ON_DISK, "tag": ON_DISK, "kind": "keyword"}.items()
    ]
    upsert: list[Ask] = [("PUT", f"{C}/points?wait=true", {"points": points})]
    try:
        create: Ask = ("PUT", C, {"vectors": {"image": {"size": 2, "distance": "Cosine"}}})
        compare(engines, [create, *(indexes + upsert if first == "indexes" else upsert + indexes)])
        compare(engines, reads())
        for write in writes():
            compare(engines, [write, *looks()])
        compare(engines, reads())
        compare(engines, index_writes())
        compare(engines, reads())
    finally:
        for engine in engines:
            engine.ask("DELETE", C)

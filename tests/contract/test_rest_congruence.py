"""The same REST requests, one after another, to Edge in process, Edge on loopback and a real server: equal answers.

What may differ says `tests.contract.congruence`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from qdrant_client import models

from tests.contract.congruence import Ask, compare
from tests.contract.corpus import CATEGORIES, DIM, INDEXES, SIZE, WORDS, point_id, points
from tests.contract.engine import Engine

pytestmark = pytest.mark.server

NAME = "congruence"
C = f"/collections/{NAME}"

VECTOR = [0.5, -1, 0.25, 2, 0, 1, -0.5, 0.75]
A_UUID = point_id(1)
NO_UUID = "00000000-0000-0000-0000-00000000dead"
FAILED = point_id(9)


def field(key: str, **condition: Any) -> dict[str, Any]:
    return {"key": key, **condition}


FILTERS: list[Any] = [
    {},
    {"must": []},
    {"must": field("category", match={"value": "Footwear"})},
    {"must": [field("category", match={"value": "footwear"})]},
    {"must": [field("category", match={"any": ["bag", "größe"]})]},
    {"must": [field("category", match={"except": ["bag", "größe"]})]},
    {"must_not": [field("category", match={"value": "bag"})]},
    {"should": [field("stock", match={"value": 1}), field("stock", match={"value": 2})]},
    {"should": []},
    {"must": [field("stock", match={"any": [0, 10]})]},
    {"must": [field("stock", match={"except": [0, 10]})]},
    {"must": [field("stock", match={"any": []})]},
    {"must": [field("sold", match={"value": True})]},
    {"must": [field("sold", match={"value": False})]},
    {"must": [field("labels", match={"value": "Action"})]},
    {"must": [field("labels", match={"except": ["Action"]})]},
    {"must_not": [field("labels", match={"any": ["Action", "Noir"]})]},
    {"must": [field("labels", values_count={"gte": 2})]},
    {"must": [field("labels", values_count={"gt": 0, "lt": 3})]},
    {"must_not": [field("stock", values_count={"gte": 1})]},
    {"min_should": {"conditions": [], "min_count": 1}},
    {"must_not": [{"min_should": {"conditions": [], "min_count": 3}}]},
    {"must": None, "should": None, "must_not": None, "min_should": None},
    {"must": [], "should": [], "must_not": []},
    {"must": [field("labels", match={"any": []})], "should": []},
    {"must": [field("sold", match={"value": True}, range=None, values_count=None, is_null=None, is_empty=None)]},
    {"must": [field("price", range={"gte": 5, "lt": 50})]},
    {"must": [field("price", range={"gte": 12.25, "lte": 12.25})]},
    {"must": [field("price", range={})]},
    {"must": [field("stock", range={"gt": 0})]},
    {"must": [field("made", range={"gte": "2010-01-01T00:00:00Z", "lt": "2020-01-01T00:00:00Z"})]},
    {"must": [field("made", range={"gte": "2010-05-11T12:00:00+02:00"})]},
    {"must": [field("made", range={"gte": "2010-01-01"})]},
    {"must": [field('"Price (EUR)"', range={"gt": 3.5, "lte": 10})]},
    {"must": [field("file.path", match={"value": "a/001.jpg"})]},
    {"must": [field("file.path", match={"any": ["a/000.jpg", "b/000.jpg"]})]},
    {"must": [field("file.size", range={"lt": 5000})]},
    {"must": [field("file.name", match={"value": "004.jpg"})]},
    {"must": [field("plain", match={"value": "Two"})]},
    {"must": [field("plain", match={"except": ["Two"]})]},
    {"must": [field("_text.title", match={"text": "blue"})]},
    {"must": [field("_text.title", match={"text": "BLUE running"})]},
    {"must": [field("_text.title", match={"text": "großes"})]},
    {"must": [field("_text.title", match={"text": "GROSSES"})]},
    {"must": [field("_text.title", match={"text": "naive"})]},
    {"must": [field("_text.title", match={"text": "don't"})]},
    {"must": [field("_text.title", match={"text": "don"})]},
    {"must": [field("_text.title", match={"text": "x-large"})]},
    {"must": [field("_text.title", match={"text": "large"})]},
    {"must": [field("_text.title", match={"text": "lar"})]},
    {"must": [field("_text.title", match={"text": "42"})]},
    {"must": [field("_text.title", match={"text": ""})]},
    {"must": [field("_text.title", match={"text": "..."})]},
    {"must": [field("_text.title", match={"text_any": "tote sofa"})]},
    {"must": [field("note", match={"text": "BLUE"})]},
    {"must": [field("note", match={"text": "Running shoe"})]},
    {"must": [{"is_empty": {"key": "price"}}]},
    {"must": [{"is_empty": {"key": "labels"}}]},
    {"must": [{"is_empty": {"key": "error"}}]},
    {"must_not": [{"is_empty": {"key": "error"}}]},
    {"must": [{"is_null": {"key": "stock"}}]},
    {"must_not": [{"is_null": {"key": "stock"}}]},
    {"must": [field("stock", is_null=True)]},
    {"must": [field("stock", is_empty=False)]},
    {"must": [{"has_id": [0, 3, A_UUID, NO_UUID, 999]}]},
    {"must_not": [{"has_id": [0, A_UUID]}]},
    {"must": [{"has_vector": "image"}]},
    {"must_not": [{"has_vector": "image"}]},
    {"must": [{"has_vector": "other"}]},
    {"must": [field("parts[].name", match={"value": "x"})]},
    {"must": [{"nested": {"key": "parts", "filter": {"must": [field("name", match={"value": "x"})]}}}]},
    {
        "must": [
            {
                "nested": {
                    "key": "parts",
                    "filter": {"must": [field("name", match={"value": "x"}), field("weight", range={"gte": 3})]},
                }
            }
        ]
    },
    {"must": [field("error.reason", match={"value": "truncated"})]},
    {"must": [field("error.attempts", range={"gte": 50})]},
    {"must": [{"must": [{"should": [field("stock", match={"value": 1}), field("price", range={"gt": 50})]}]}]},
    {
        "must": [field("category", match={"value": "bag"})],
        "must_not": [field("sold", match={"value": True})],
        "should": [field("price", range={"lt": 10}), {"is_empty": {"key": "price"}}],
    },
    {
        "min_should": {
            "conditions": [
                field("sold", match={"value": True}),
                field("stock", match={"value": 1}),
                field("category", match={"value": "bag"}),
            ],
            "min_count": 2,
        }
    },
    {"must": [field("price", match={"value": 5})]},
    {"must": [field("nowhere", match={"value": "x"})]},
    {"must": [field("category", range={"gt": 1})]},
    # refused, each with the same status
    {"must": [field("price", match={"value": 12.5})]},
    {"must": [field("price")]},
    {"must": [field("broken[", match={"value": 1})]},
    {"must": [field("made", range={"gte": "yesterday"})]},
    {"must": [{"has_id": ["no-uuid"]}]},
    {"must": [{"something": 1}]},
    {"sometimes": []},
]


NULLS: list[Any] = [
    None, [], [None], [None, None], [None, 1], [[]], [[None]], {}, [{}], "", 0, False, {"a": None}, {"a": [None, None]},
    [{"a": None}, {"a": 1}], [{"a": [None]}], {"a": []}, [{}, {"a": [None, 2]}],
]  # fmt: skip
"""Every shape of nothing: as a value without an index, below one, and under an index of numbers and of keywords."""


def _null_points() -> list[dict[str, Any]]:
    return [
        {"id": 3000 + number, "vector": {}, "payload": {"nil": value, "stock": value, "labels": value}}
        for number, value in enumerate(NULLS)
    ] + [{"id": 2999, "vector": {}, "payload": {}}]


def _nulls() -> Iterator[Ask]:
    """`is_null` and `is_empty` in both their forms, on every shape of nothing."""
    for key in ("nil", "stock", "labels", "nil.a", "nil[].a", "nowhere"):
        forms: list[dict[str, Any]] = [
            {"is_null": {"key": key}},
            {"is_empty": {"key": key}},
            *(field(key, **{name: value}) for name in ("is_null", "is_empty") for value in (True, False)),
        ]
        for part in ("must", "should", "must_not"):
            for form in forms:
                yield "POST", f"{C}/points/scroll", {"filter": {part: [form]}, "limit": 200, "with_payload": False}
    for inner in ({"is_null": {"key": "a"}}, {"is_empty": {"key": "a"}}, field("a", is_null=True)):
        for part in ("must", "must_not"):
            nested = {"nested": {"key": "nil", "filter": {part: [inner]}}}
            yield "POST", f"{C}/points/scroll", {"filter": {"must": [nested]}, "limit": 200, "with_payload": False}


WRONG_NUMBERS = [-1, 2**64, 2**70, -(2**63), 1.5, 1e30, "3", True]


def _unsigned() -> Iterator[Ask]:
    """Numbers that a server keeps in 64 bits without a sign, and others: the same status, never a 5xx."""
    near = {"query": VECTOR, "using": "image", "limit": 3}
    for number in [*WRONG_NUMBERS, 0, 2**63, 2**64 - 1]:
        yield "POST", f"{C}/points/query", {**near, "limit": number}
        yield "POST", f"{C}/points/query", {**near, "offset": number}
        yield "POST", f"{C}/points/query/batch", {"searches": [near, {**near, "offset": number}]}
        yield "POST", f"{C}/points/query", {**near, "params": {"hnsw_ef": number}}
        yield "POST", f"{C}/points/query", {"query": number, "using": "image"}
        yield "POST", f"{C}/points/scroll", {"limit": number, "with_payload": False}
        yield "POST", f"{C}/points/scroll", {"offset": number, "limit": 2, "with_payload": False}
        yield "POST", f"{C}/facet", {"key": "category", "exact": True, "limit": number}
        yield "POST", f"{C}/points", {"ids": [number]}
        yield "POST", f"{C}/points/count", {"filter": {"must": [{"has_id": [number]}]}}
        yield "POST", f"{C}/points/delete?wait=true", {"points": [number]} if number in WRONG_NUMBERS else {}
        yield "GET", f"{C}/points/{number}", None
    for number in WRONG_NUMBERS:
        least = {"conditions": [field("stock", match={"value": 1})], "min_count": number}
        yield "POST", f"{C}/points/count", {"filter": {"min_should": least}}
        yield "POST", f"{C}/points/count", {"filter": {"must": [field("labels", values_count={"gt": number})]}}
        yield "PUT", f"{C}/points?wait=true", {"points": [{"id": number, "vector": {}}]}
    for timeout in ("0", "-1", "x", "", "1.5", "5"):
        yield "POST", f"{C}/points/scroll?timeout={timeout}", {"limit": 1}
    for consistency in ("x", "-1", "1", "majority", "quorum", "all"):
        yield "POST", f"{C}/points/scroll?consistency={consistency}", {"limit": 1}
    for parameter in ("wait=x", "wait=", "wait=false", "wait=true", "ordering=x", "ordering=strong", "ordering=weak"):
        yield "POST", f"{C}/points/payload?{parameter}", {"payload": {}, "points": [0]}


def _nothing_given() -> Iterator[Ask]:
    """Null, and where a server takes it an empty list or object, is what was not given."""
    near = {"query": VECTOR, "using": "image", "limit": 3}
    given: list[dict[str, Any]] = [
        *(
            {name: None}
            for name in ("prefetch", "filter", "params", "score_threshold", "limit", "offset", "lookup_from")
        ),
        *({name: None} for name in ("with_payload", "with_vector", "shard_key")),
        *({name: []} for name in ("prefetch", "with_payload", "with_vector")),
        *({name: {}} for name in ("filter", "params")),
        *({"params": {name: None}} for name in ("hnsw_ef", "quantization", "acorn")),
        {"params": {"quantization": {}}},
    ]
    for more in given:
        yield "POST", f"{C}/points/query", {**near, **more}
        yield "POST", f"{C}/points/query/batch", {"searches": [{**near, **more}]}
    yield "POST", f"{C}/points/query", {"query": None, "limit": 3}
    for name in ("offset", "limit", "filter", "with_payload", "order_by", "shard_key"):
        yield "POST", f"{C}/points/scroll", {"limit": 3, "with_payload": False, name: None}
    for name, value in (("filter", None), ("filter", {}), ("shard_key", None)):
        yield "POST", f"{C}/points/count", {name: value}
        yield "POST", f"{C}/facet", {"key": "category", "exact": True, name: value}
    yield "POST", f"{C}/facet", {"key": "category", "exact": None, "limit": None}
    for one in ({"positive": [0], "negative": None}, {"positive": [0], "negative": [], "strategy": None}):
        yield "POST", f"{C}/points/query", {"query": {"recommend": one}, "using": "image", "limit": 2}
    yield "POST", f"{C}/points/query", {"query": {"nearest": 0, "mmr": None}, "using": "image", "limit": 2}
    for name in ("vectors", "sparse_vectors", "params", "metadata", "hnsw_config", "optimizers_config"):
        yield "PATCH", C, {name: None}
        yield "PATCH", C, {name: {}}
    yield "PATCH", C, {"quantization_config": None, "strict_mode_config": None}
    for more in ({"update_filter": None}, {"update_mode": None}, {"shard_key": None}):
        yield "PUT", f"{C}/points?wait=true", {"points": [{"id": 2999, "vector": {}, "payload": None}], **more}
    yield "POST", f"{C}/points/payload?wait=true", {"payload": {}, "points": [0], "key": None, "filter": None}


def _reads() -> Iterator[Ask]:
    yield "GET", "/collections", None
    yield "GET", C, None
    yield "GET", f"{C}/exists", None
    yield "GET", f"{C}/points/0", None
    yield "GET", f"{C}/points/{A_UUID}", None
    yield "GET", f"{C}/points/{FAILED}", None
    yield "GET", f"{C}/points/1000", None
    yield "GET", f"{C}/points/no-uuid", None
    for filter_ in FILTERS:
        yield "POST", f"{C}/points/count", {"filter": filter_, "exact": True}
        yield "POST", f"{C}/points/scroll", {"filter": filter_, "limit": 200, "with_payload": False}
        yield "POST", f"{C}/points/query", {"query": VECTOR, "using": "image", "filter": filter_, "limit": 7}
    yield from _retrieving()
    yield from _scrolling()
    yield from _querying()
    yield from _faceting()
    yield "POST", f"{C}/points/count", {}
    yield "POST", "/collections/nowhere/points/count", {}


def _retrieving() -> Iterator[Ask]:
    ids = [6, A_UUID, 999, 3, 6, FAILED]
    for with_payload in (None, True, False, ["file.path", "price"], ["nowhere"], {"exclude": ["file", "_text.title"]}):
        yield "POST", f"{C}/points", {"ids": ids, "with_payload": with_payload}
    yield "POST", f"{C}/points", {"ids": ids, "with_payload": {"include": ['"Price (EUR)"', "parts[].name"]}}
    for with_vector in (True, False, ["image"], ["other"], []):
        yield "POST", f"{C}/points", {"ids": ids, "with_vector": with_vector}
    yield "POST", f"{C}/points", {"ids": []}
    yield "POST", f"{C}/points", {"ids": ["no-uuid"]}
    yield "POST", f"{C}/points", {"ids": [-1]}
    yield "POST", f"{C}/points", {}
    yield "POST", f"{C}/points", b"{"


def _scrolling() -> Iterator[Ask]:
    scroll = f"{C}/points/scroll"
    yield "POST", scroll, {}
    yield "POST", scroll, {"limit": 7, "with_vector": True}
    for offset in (0, 4, 99, 1000, A_UUID, NO_UUID):
        yield "POST", scroll, {"limit": 5, "offset": offset, "with_payload": ["file.path"]}
    yield "POST", scroll, {"limit": 33, "filter": {"must": [field("category", match={"value": "bag"})]}}
    yield "POST", scroll, {"limit": 0}
    yield "POST", scroll, {"limit": 3, "offset": "no-uuid"}
    for order in ("file.size", "category", "_text.title", "nowhere"):
        yield "POST", scroll, {"order_by": order}  # no such order without an index of numbers
    yield "POST", scroll, {"order_by": "made", "offset": 3}
    for key in ("made", '"Price (EUR)"'):
        for direction in ("asc", "desc"):
            order_by = {"key": key, "direction": direction}
            yield "POST", scroll, {"order_by": order_by, "limit": 12, "with_payload": [key]}
    yield "POST", scroll, {"order_by": {"key": '"Price (EUR)"', "start_from": 10.25}, "limit": 4}
    yield "POST", scroll, {"order_by": {"key": "made", "start_from": "2020-01-01T00:00:00Z"}, "limit": 4}
    yield "POST", scroll, {"order_by": {"key": '"Price (EUR)"', "direction": "down"}}


def _querying() -> Iterator[Ask]:
    query = f"{C}/points/query"
    near = {"query": VECTOR, "using": "image"}
    yield "POST", query, near
    yield "POST", query, {**near, "query": {"nearest": VECTOR}, "limit": 3}
    yield "POST", query, {**near, "limit": 200, "with_payload": ["category"]}
    yield "POST", query, {**near, "limit": 3, "with_vector": True, "with_payload": True}
    yield "POST", query, {**near, "limit": 3, "with_vector": ["image"], "with_payload": {"exclude": ["file"]}}
    yield "POST", query, {**near, "limit": 5, "offset": 5}
    yield "POST", query, {**near, "limit": 5, "offset": 500}
    yield "POST", query, {**near, "limit": 50, "score_threshold": 0.2}
    yield "POST", query, {**near, "limit": 50, "score_threshold": 2}
    yield "POST", query, {**near, "limit": 5, "params": {"exact": True, "hnsw_ef": 64}}
    yield "POST", query, {**near, "limit": 0}
    yield "POST", query, {**near, "query": VECTOR[:-1]}
    yield "POST", query, {**near, "query": []}
    yield "POST", query, {**near, "using": "other"}
    yield "POST", query, {"query": VECTOR}
    for target in (0, A_UUID, FAILED, 1000, NO_UUID, "no-uuid", -5):
        yield "POST", query, {"query": target, "using": "image", "limit": 4}
        yield "POST", query, {"query": {"nearest": target}, "using": "image", "limit": 4}
    yield "POST", query, {"query": 0, "using": "other"}
    yield "POST", query, {"query": 0}
    yield (
        "POST",
        query,
        {"query": 0, "using": "image", "filter": {"must_not": [field("category", match={"value": "bag"})]}},
    )
    yield "POST", query, {"limit": 5, "with_payload": True}
    yield "POST", query, {"limit": 5, "offset": 3, "filter": {"must": [field("sold", match={"value": True})]}}
    yield "POST", query, {"query": {"order_by": '"Price (EUR)"'}, "limit": 5}
    yield "POST", query, {"query": {"order_by": {"key": '"Price (EUR)"', "direction": "desc"}}, "limit": 5}
    yield from _recommending()
    yield from _varied()
    yield from _older()
    yield from _in_groups()
    yield "POST", f"{query}/batch", {"searches": [near, {**near, "limit": 1}, {"query": 0, "using": "image"}]}
    yield "POST", f"{query}/batch", {"searches": []}
    yield "POST", f"{query}/batch", {"searches": [near, {"query": 1000, "using": "image"}]}


def _recommending() -> Iterator[Ask]:
    other = [-number for number in VECTOR[::-1]]
    examples: list[tuple[list[Any], list[Any]]] = [
        ([0], []),
        ([0, A_UUID, VECTOR], []),
        ([0, VECTOR], [3, other]),
        ([], [3]),
        ([], []),
        ([0], [1000]),
        ([VECTOR[:-1]], []),
        (["no-uuid"], []),
    ]
    for strategy in ("average_vector", "best_score", "sum_scores", None):
        for positive, negative in examples:
            said = {"positive": positive, "negative": negative, "strategy": strategy}
            yield "POST", f"{C}/points/query", {"query": {"recommend": said}, "using": "image", "limit": 8}
        said = {"positive": [0], "strategy": strategy}
        few = {"score_threshold": 0.3, "filter": {"must": [field("category", match={"value": "bag"})]}}
        yield "POST", f"{C}/points/query", {"query": {"recommend": said}, "using": "image", "limit": 50, **few}
    yield "POST", f"{C}/points/query", {"query": {"recommend": {"positive": [0]}}}


def _varied() -> Iterator[Ask]:
    """Maximal marginal relevance."""
    some: list[dict[str, Any]] = [
        {},
        {"diversity": 0.0},
        {"diversity": 0.3, "candidates_limit": 40},
        {"diversity": 0.5, "candidates_limit": 30},
        {"diversity": 0.9, "candidates_limit": 60},
        {"diversity": 1.0, "candidates_limit": 20},
        {"candidates_limit": 2},
        {"candidates_limit": 0},
        {"candidates_limit": 16_384},
        {"candidates_limit": 16_385},
        {"candidates_limit": -1},
        {"diversity": 1.5},
        {"diversity": -0.1},
    ]
    for mmr in some:
        for nearest in (VECTOR, 0, A_UUID):
            asked = {"query": {"nearest": nearest, "mmr": mmr}, "using": "image", "limit": 6}
            yield "POST", f"{C}/points/query", asked
    near = {"query": {"nearest": VECTOR, "mmr": {"candidates_limit": 50}}, "using": "image", "limit": 5}
    only = {"must": [field("price", range={"lt": 50})]}
    few: tuple[dict[str, Any], ...] = (  # not `offset`: a server takes it off the page (2 of 5 are 3), Edge does not
        {"filter": only},
        {"score_threshold": 0.3},
        {"with_vector": True, "with_payload": True},
        {"with_vector": [], "with_payload": []},
        {"with_vector": ["image"]},
        {"using": "other"},
        {"query": {"nearest": FAILED, "mmr": {}}},
        {"query": {"nearest": VECTOR[:-1], "mmr": {}}},
    )
    for more in few:
        yield "POST", f"{C}/points/query", {**near, **more}


def _older() -> Iterator[Ask]:
    """What `/points/query` has replaced."""
    search, recommend = f"{C}/points/search", f"{C}/points/recommend"
    near: dict[str, Any] = {"vector": {"name": "image", "vector": VECTOR}, "limit": 6}
    like: dict[str, Any] = {"positive": [0, A_UUID], "using": "image", "limit": 6}
    only = {"must": [field("price", range={"lt": 10})]}
    few: tuple[dict[str, Any], ...] = (
        {},
        {"offset": 3},
        {"filter": only},
        {"score_threshold": 0.2},
        {"with_payload": True, "with_vector": True},
        {"with_payload": ["price"], "with_vector": ["image"]},
        {"params": {"exact": True}},
        {"limit": 0},
        {"limit": None},
        {"shard_key": None},
        {"with_payload": None, "with_vector": None},
        {"with_payload": [], "with_vector": []},
    )
    for more in few:
        yield "POST", search, {**near, **more}
        yield "POST", f"{search}/batch", {"searches": [near, {**near, **more}]}
        yield "POST", recommend, {**like, **more}
        yield "POST", f"{recommend}/batch", {"searches": [like, {**like, **more}]}
    for vector in (VECTOR, {"name": "other", "vector": VECTOR}, {"name": "image", "vector": VECTOR[:-1]}, None):
        yield "POST", search, {**near, "vector": vector}
    yield "POST", search, {"vector": near["vector"]}
    for strategy in ("average_vector", "best_score", "sum_scores"):
        more_of: tuple[dict[str, Any], ...] = (
            {"negative": [3]},
            {"positive": [VECTOR]},
            {"positive": [1000]},
            {"positive": []},
        )
        for examples in more_of:
            yield "POST", recommend, {**like, "strategy": strategy, **examples}
    yield "POST", recommend, {"positive": [0], "limit": 3}
    yield "POST", f"{search}/batch", {"searches": []}


def _in_groups() -> Iterator[Ask]:
    groups = f"{C}/points/query/groups"
    near: dict[str, Any] = {"query": VECTOR, "using": "image", "group_by": "category"}
    # Not `price`, half of whose values are no group's: a server gives up early, with fewer groups than there are.
    keys = ("category", "labels", "stock", "file.path", "sold", "made", "nowhere", "plain", "parts[].name")
    for key in (
        *keys,
        '"Price (EUR)"',
        "file",
        "parts",
        "parts[0].name",
        "labels[1]",
        "labels[]",
        "file.path.more",
        "",
    ):
        for size in (1, 2, 5):
            yield "POST", groups, {**near, "group_by": key, "group_size": size, "limit": 3}
        yield "POST", groups, {**near, "group_by": key, "group_size": 50, "limit": 50}
    only = {"must": [field("price", range={"lt": 50})]}
    few: tuple[dict[str, Any], ...] = (
        {},
        {"filter": only},
        {"filter": only, "group_by": "labels", "limit": 2},
        {"score_threshold": 0.3},
        {"with_payload": True, "with_vector": True, "group_size": 2},
        {"with_payload": ["price"], "with_vector": ["image"], "group_by": "labels"},
        {"with_payload": [], "with_vector": []},
        {"with_payload": {"exclude": ["note"]}, "with_vector": None},
        {"query": 0},
        {"query": FAILED},
        {"query": {"recommend": {"positive": [0], "negative": [3]}}},
        {"query": {"recommend": {"positive": [0], "strategy": "best_score"}}},
        {"limit": 0},
        {"group_size": 0},
        {"limit": None, "group_size": None, "with_lookup": None},
        {"using": "other"},
        {"query": VECTOR[:-1]},
    )
    for more in few:
        yield "POST", groups, {**near, **more}
    older: dict[str, Any] = {"group_by": "category", "group_size": 2, "limit": 3}
    named = {"vector": {"name": "image", "vector": VECTOR}}
    for more in ({}, {"filter": only}, {"with_payload": True}, {"score_threshold": 0.3}, {"limit": None}):
        yield "POST", f"{C}/points/search/groups", {**older, **named, **more}
        yield "POST", f"{C}/points/recommend/groups", {**older, "positive": [0], "using": "image", **more}


def _faceting() -> Iterator[Ask]:
    facet = f"{C}/facet"
    for key in ("category", "labels", "stock", "sold", "file.path", "price", "made", "_text.title", "plain", "nowhere"):
        yield "POST", facet, {"key": key, "exact": True, "limit": 200}
    yield "POST", facet, {"key": "category", "exact": True, "limit": 2}
    yield "POST", facet, {"key": "category"}
    yield "POST", facet, {"key": "category", "limit": 0}
    only = {"must": [field("price", range={"lt": 10})]}
    yield "POST", facet, {"key": "labels", "exact": True, "filter": only}
    yield "POST", facet, {}


def _random_filters(count: int) -> Iterator[Ask]:
    dice = random.Random(7)
    for _ in range(count):
        yield "POST", f"{C}/points/scroll", {"filter": _random_filter(dice, 2), "limit": 200, "with_payload": False}


def _random_filter(dice: random.Random, depth: int) -> dict[str, Any]:
    parts = dice.sample(["must", "should", "must_not"], dice.randrange(1, 4))
    return {part: [_random_condition(dice, depth) for _ in range(dice.randrange(1, 3))] for part in parts}


def _random_condition(dice: random.Random, depth: int) -> dict[str, Any]:
    choices: list[dict[str, Any]] = [
        field("category", match={"value": dice.choice(CATEGORIES)}),
        field("labels", match={"any": dice.sample(["Action", "Drama", "Noir"], 2)}),
        field("labels", match={"except": dice.sample(["Action", "Drama", "Noir"], 2)}),
        field("stock", match={"value": dice.randrange(3)}),
        field("stock", range={"gte": dice.randrange(3)}),
        field("price", range={"gt": dice.choice([0, 5, 7.5, 12]), "lte": dice.choice([7.5, 50, 100])}),
        field("sold", match={"value": dice.random() < 0.5}),
        field("made", range={"lt": f"20{dice.randrange(30):02d}-01-01T00:00:00Z"}),
        field("_text.title", match={"text": " ".join(dice.sample(WORDS, dice.randrange(1, 3)))}),
        field("plain", match={"value": dice.choice(["one", "Two"])}),
        field('"Price (EUR)"', range={"lt": dice.randrange(25)}),
        {"is_empty": {"key": dice.choice(["price", "stock", "labels", "error", "nowhere"])}},
        {"is_null": {"key": dice.choice(["stock", "price"])}},
        {"has_id": [point_id(dice.randrange(SIZE)) for _ in range(20)]},
        {"has_vector": "image"},
    ]
    if depth and dice.random() < 0.3:
        return _random_filter(dice, depth - 1)
    return dice.choice(choices)


_SOME = [0, A_UUID]
_BAGS = {"must": [field("category", match={"value": "bag"})]}


def _writes() -> Iterator[Ask]:
    yield from _payload_writes()
    yield from _point_writes()
    yield from _index_writes()


def _payload_writes() -> Iterator[Ask]:
    payload = f"{C}/points/payload"
    yield "POST", f"{payload}?wait=true", {"payload": {"new": 1, "file": {"path": "x"}}, "points": _SOME}
    yield "POST", f"{payload}?wait=true", {"payload": {"depth": {"a": [1, None]}}, "points": _SOME, "key": "file"}
    yield "POST", f"{payload}?wait=true", {"payload": {"price": None, "title": "changed"}, "points": [3, 6]}
    yield "POST", f"{payload}?wait=true", {"payload": {"found": True}, "filter": _BAGS}
    yield "POST", payload, {"payload": {"x": 1}, "points": [0]}
    yield "POST", f"{payload}?wait=true", {"payload": {"x": 1}}
    yield "POST", f"{payload}?wait=true", {"payload": {"x": 1}, "points": []}
    yield "POST", f"{payload}?wait=true", {"payload": {"x": 1}, "points": [1000]}
    yield "POST", f"{payload}?wait=true", {"payload": [1], "points": [0]}
    yield "PUT", f"{payload}?wait=true", {"payload": {"category": "only", "price": 3}, "points": [12, point_id(13)]}
    yield "PUT", f"{payload}?wait=true", {"payload": {}, "points": [15]}
    yield "PUT", f"{payload}?wait=true", {"payload": {"x": 1}, "points": [1000]}
    yield "PUT", f"{payload}?wait=true", {"payload": {"a": 1}, "filter": {"must": [{"has_id": [18]}]}}


def _point_writes() -> Iterator[Ask]:
    put = f"{C}/points?wait=true"
    yield "PUT", put, {"points": [{"id": 0, "vector": {}, "payload": {"category": "bag"}}]}  # loses its vector
    yield "PUT", put, {"points": [{"id": 3, "vector": {"image": VECTOR}}]}  # loses its payload
    yield "PUT", put, {"points": [{"id": 500, "vector": {"image": VECTOR}, "payload": {"price": 5}}]}
    yield "PUT", put, {"points": [{"id": 501, "vector": {"image": [0] * DIM}, "payload": None}]}
    batch = {"ids": [502, 503], "vectors": {"image": [VECTOR, VECTOR]}, "payloads": [{"a": 1}, {}]}
    yield "PUT", put, {"batch": batch}
    yield "PUT", put, {"batch": {**batch, "ids": [502]}}
    yield "PUT", f"{C}/points", {"points": [{"id": 504, "vector": {}}]}
    for bad in (
        {"id": "no-uuid", "vector": {}},
        {"id": -1, "vector": {}},
        {"id": 1.5, "vector": {}},
        {"id": 2**64, "vector": {}},
        {"id": 600, "vector": {"image": [1, 2]}},
        {"id": 600, "vector": {"other": VECTOR}},
        {"id": 600, "vector": VECTOR},
        {"id": 600},
        {"id": 600, "vector": {}, "payload": [1]},
    ):
        yield "PUT", put, {"points": [bad]}
    yield "PUT", put, {"points": []}
    yield "PUT", put, b'{"points": [{"id": 600, "vector": {"image": [NaN, 0, 0, 0, 0, 0, 0, 1]}}]}'
    yield "PUT", put, b'{"points": [{"id": 600, "vector": {"image": [1e999, 0, 0, 0, 0, 0, 0, 1]}}]}'
    yield "PUT", put, b'{"points": [{"id": 600, "vector": {}, "payload": {"a": NaN}}]}'
    yield "PUT", "/collections/nowhere/points?wait=true", {"points": [{"id": 1, "vector": {}}]}
    big = {"big": 2**63, "small": -(2**63), "float": 1e300, "text": "\u0000 \U0001f45f", "deep": [[{"a": [None]}]]}
    yield "PUT", put, {"points": [{"id": 505, "vector": {}, "payload": big}]}
    delete = f"{C}/points/delete?wait=true"
    yield "POST", delete, {"points": [36, 999]}
    yield "POST", delete, {"filter": {"must": [field("stock", match={"value": 10})]}}
    yield "POST", delete, {"points": []}
    yield "POST", delete, {}
    yield "POST", delete, {"points": ["no-uuid"]}
    yield (
        "POST",
        f"{C}/points/batch?wait=true",
        {
            "operations": [
                {"upsert": {"points": [{"id": 700, "vector": {}, "payload": {"a": 1}}]}},
                {"overwrite_payload": {"payload": {"b": 2}, "points": [700]}},
                {"set_payload": {"payload": {"c": 3}, "points": [700]}},
                {"upsert": {"points": [{"id": 701, "vector": {}}]}},
                {"delete": {"points": [701]}},
            ]
        },
    )


def _index_writes() -> Iterator[Ask]:
    index = f"{C}/index?wait=true"
    yield "PUT", index, {"field_name": "plain", "field_schema": "keyword"}
    yield "POST", f"{C}/facet", {"key": "plain", "exact": True}
    yield "PUT", index, {"field_name": "plain", "field_schema": "text"}  # replaces the first
    yield "POST", f"{C}/facet", {"key": "plain", "exact": True}
    yield "POST", f"{C}/points/count", {"filter": {"must": [field("plain", match={"text": "three"})]}}
    yield "PUT", index, {"field_name": "file.size", "field_schema": {"type": "integer", "lookup": True, "range": True}}
    yield "POST", f"{C}/points/scroll", {"order_by": "file.size", "limit": 5, "with_payload": ["file"]}
    yield "PUT", index, {"field_name": "uid", "field_schema": "uuid"}
    yield "DELETE", f"{C}/index/category?wait=true", None
    yield "POST", f"{C}/facet", {"key": "category", "exact": True}
    yield "POST", f"{C}/points/count", {"filter": _BAGS}
    yield "DELETE", f"{C}/index/%22Price%20(EUR)%22?wait=true", None
    yield "DELETE", f"{C}/index/nowhere?wait=true", None
    yield "PUT", index, {"field_name": "broken[", "field_schema": "keyword"}
    yield "PUT", index, {"field_name": "x", "field_schema": "colour"}
    yield "PUT", index, {"field_name": "x", "field_schema": {"type": "text", "tokenizer": "none"}}
    yield "PUT", index, {"field_name": "x"}
    yield "PUT", "/collections/nowhere/index?wait=true", {"field_name": "x", "field_schema": "keyword"}


@pytest.fixture(scope="module")
def engines(embedded: Engine, loopback: Engine, real: Engine) -> Iterator[list[Engine]]:
    """The three, each with the same collection."""
    trio = [real, embedded, loopback]
    for engine in trio:
        vectors = {"image": {"size": DIM, "distance": "Cosine"}}
        assert engine.ask("PUT", C, {"vectors": vectors, "metadata": {"made": "for tests"}})[0] == 200
        for key, schema in INDEXES.items():
            index = {"field_name": key, "field_schema": schema}
            assert engine.ask("PUT", f"{C}/index?wait=true", index)[0] == 200
        assert engine.ask("PUT", f"{C}/points?wait=true", {"points": [*points(), *_null_points()]})[0] == 200
    yield trio
    for engine in trio:
        engine.ask("DELETE", C)


def test_reads_are_answered_alike(engines: list[Engine]) -> None:
    compare(engines, _reads())


def test_every_shape_of_nothing_is_null_or_empty_alike(engines: list[Engine]) -> None:
    compare(engines, _nulls())


def test_numbers_without_a_sign_are_refused_alike(engines: list[Engine]) -> None:
    compare(engines, _unsigned())
    for engine in engines[1:]:
        for method, path, body in _unsigned():
            assert engine.ask(method, path, body)[0] < 500, (method, path, body)


def test_what_is_null_or_empty_was_not_given(engines: list[Engine]) -> None:
    compare(engines, _nothing_given())


@pytest.mark.parametrize(
    "given", [{}, {"wal_config": {"wal_capacity_mb": 64}}, {"wal_config": None, "sparse_vectors": None}]
)
def test_a_collection_is_described_with_every_key_that_official_clients_want(
    embedded: Engine, loopback: Engine, real: Engine, given: dict[str, Any]
) -> None:
    path = "/collections/described"
    described = []
    for engine in (real, embedded, loopback):
        vectors = {"image": {"size": 2, "distance": "Cosine"}}
        assert engine.ask("PUT", path, {"vectors": vectors, **given})[0] == 200
        status, answer = engine.ask("GET", path)
        assert status == 200
        engine.ask("DELETE", path)
        described.append(answer["result"])
    for one in described[1:]:
        assert one["config"] == described[0]["config"]
        assert one.keys() == described[0].keys()
        assert models.CollectionInfo.model_validate(one).config.wal_config is not None


def test_random_filters_find_the_same_points(engines: list[Engine]) -> None:
    compare(engines, _random_filters(150))


def test_writes_are_answered_alike_and_leave_the_same_points(engines: list[Engine]) -> None:
    """Last in this file: it changes the points."""
    compare(engines, _writes())
    compare(engines, [("POST", f"{C}/points/scroll", {"limit": 1000, "with_payload": True, "with_vector": True})])
    compare(engines, [("GET", C, None)])
    compare(engines, _random_filters(50))

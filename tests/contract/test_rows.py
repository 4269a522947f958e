"""Whole points without a request, the embedded engine's short way: what is stored, and refused, is as by a request."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from recq.errors import RecqError
from recq.index.edge import EdgeEngine, embedded_client
from recq.index.edge.client import EmbeddedClient
from recq.index.errors import translated
from recq.index.writes import Row, WritesRows

SIZE = 5
_NARROW = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, on_disk=True)

numbers = st.floats(allow_nan=False, allow_infinity=False, width=32, min_value=-(2.0**50), max_value=2.0**50)
vectors = st.lists(numbers, min_size=SIZE, max_size=SIZE).map(lambda values: np.array(values, np.float32))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()  # NaN and infinity, too
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc.", min_size=1), inner, max_size=3),
    max_leaves=8,
)
payloads = st.dictionaries(st.sampled_from(["category", "price", "labels", "file"]), values, max_size=4)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedClient]:
    engine = EdgeEngine(tmp_path_factory.mktemp("rows") / "edge")
    try:
        made = embedded_client(engine)
        for name in ("asked", "rows"):
            params = {"image": models.VectorParams(size=SIZE, distance=models.Distance.COSINE)}
            made.create_collection(name, vectors_config=params)
            made.create_payload_index(name, "category", field_schema=_NARROW)
        yield made
    finally:
        engine.close()


def points(rows: Sequence[Row]) -> list[models.PointStruct]:
    """The same as a server is sent it."""
    return [
        models.PointStruct(id=id_, vector={name: each.tolist() for name, each in named.items()}, payload=dict(payload))
        for id_, named, payload in rows
    ]


def stored(client: QdrantClient, name: str, rows: Sequence[Row]) -> list[Any]:
    found = client.retrieve(name, [id_ for id_, _, _ in rows], with_payload=True, with_vectors=True)
    return sorted((str(record.id), repr(record.payload), repr(record.vector)) for record in found)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.uuids().map(str), st.none() | vectors, payloads), min_size=1, max_size=4))
def test_what_is_stored_is_the_same(
    client: EmbeddedClient, given_rows: list[tuple[str, np.ndarray | None, Mapping[str, Any]]]
) -> None:
    rows: list[Row] = [
        (id_, {} if vector is None else {"image": vector}, payload) for id_, vector, payload in given_rows
    ]
    client.upsert("asked", points(rows), wait=True)
    client.upsert_rows("rows", rows)
    assert stored(client, "rows", rows) == stored(client, "asked", rows)
    for _, _, payload in rows:
        if isinstance(value := payload.get("category"), str):  # through the narrow index, whose numbers are hidden
            wanted = models.Filter(must=[models.FieldCondition(key="category", match=models.MatchValue(value=value))])
            counts = {name: client.count(name, count_filter=wanted).count for name in ("asked", "rows")}
            assert counts["rows"] == counts["asked"] > 0


def bad(**changes: Any) -> Row:
    named = changes.get("vectors", {"image": np.ones(SIZE, np.float32)})
    return changes.get("id", str(uuid.uuid4())), named, changes.get("payload", {"category": "dress"})


@pytest.mark.parametrize(
    "row",
    [
        bad(vectors={"image": np.array([1, 2, 3e38, 3e38, 1], np.float32)}),  # its length is no float
        bad(vectors={"image": np.ones(SIZE - 1, np.float32)}),
        bad(vectors={"image": np.ones(0, np.float32)}),
        bad(vectors={"other": np.ones(SIZE, np.float32)}),
        bad(id="no id"),
        bad(payload={"_narrow": [1]}),
        bad(payload={"category": "half a pair: \ud800"}),
    ],
)
def test_what_is_refused_is_the_same(client: EmbeddedClient, row: Row) -> None:
    good = bad()
    refusals = []
    for send in (
        lambda: client.upsert("asked", points([good, row]), wait=True),
        lambda: client.upsert_rows("rows", [good, row]),
    ):
        with pytest.raises(RecqError) as refused:
            translated(send)()
        refusals.append((type(refused.value), str(refused.value)))
    assert refusals[0] == refusals[1]
    assert stored(client, "rows", [good]) == []  # nothing is written where one is refused


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_no_number_is_stored_that_is_not_finite(client: EmbeddedClient, number: float) -> None:
    vector = np.array([1, 2, 3, 4, number], np.float32)
    row: Row = (str(uuid.uuid4()), {"image": vector}, {})
    with pytest.raises(RecqError, match="not finite"):
        translated(client.upsert_rows)("rows", [row])
    assert stored(client, "rows", [row]) == []


def test_a_closed_engine_and_an_absent_collection_are_refused_alike(tmp_path: Path) -> None:
    engine = EdgeEngine(tmp_path / "edge")
    client = embedded_client(engine)
    rows = [bad()]
    for _ in ("absent", "closed"):
        refusals = []
        for send in (
            lambda: client.upsert("absent", points(rows), wait=True),
            lambda: client.upsert_rows("absent", rows),
        ):
            with pytest.raises(RecqError) as refused:
                translated(send)()
            refusals.append((type(refused.value), str(refused.value)))
        assert refusals[0] == refusals[1]
        engine.close()


def test_the_catalog_takes_the_short_way_where_there_is_one(client: EmbeddedClient) -> None:
    assert isinstance(client, WritesRows)
    assert not isinstance(QdrantClient(":memory:"), WritesRows)

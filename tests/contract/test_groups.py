"""Groups are exact however the points are spread: a large group, many small ones, rows in several or in none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from qdrant_client import QdrantClient, models

from recq.index.edge import EdgeEngine, embedded_client
from recq.index.edge.groups import groups_of

SIZE = 300


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantClient]:
    """Points on a quarter circle, nearest first: 200 of one brand, then 50 brands of two each, far apart."""
    engine = EdgeEngine(tmp_path_factory.mktemp("groups") / "edge")
    client = embedded_client(engine)
    vectors = {"image": models.VectorParams(size=2, distance=models.Distance.EUCLID)}
    client.create_collection("shop", vectors_config=vectors)
    client.upsert(
        "shop",
        [
            models.PointStruct(id=n, vector={"image": [n, 0]}, payload={"brand": brand_of(n), "odd": n % 2})
            for n in range(SIZE)
        ],
    )
    yield client
    engine.close()


def brand_of(number: int) -> str:
    return "large" if number < 200 else f"small {(number - 200) % 50}"


def expected(limit: int, size: int, only_odd: bool = False) -> list[tuple[str, list[int]]]:
    groups: dict[str, list[int]] = {}
    for number in range(SIZE):
        if not only_odd or number % 2:
            groups.setdefault(brand_of(number), []).append(number)
    return [(brand, found[:size]) for brand, found in list(groups.items())[:limit]]


@pytest.mark.parametrize(("limit", "size"), [(1, 1), (1, 5), (3, 2), (20, 2), (40, 2), (51, 3), (500, 500), (2, 201)])
@pytest.mark.parametrize("only_odd", [False, True])
def test_the_best_groups_and_the_best_of_each(client: QdrantClient, limit: int, size: int, only_odd: bool) -> None:
    odd = models.FieldCondition(key="odd", match=models.MatchValue(value=1))
    found = client.query_points_groups(
        "shop",
        query=[0.0, 0.0],
        using="image",
        group_by="brand",
        limit=limit,
        group_size=size,
        with_payload=False,
        query_filter=models.Filter(must=[odd]) if only_odd else None,
    ).groups
    assert [(group.id, [hit.id for hit in group.hits]) for group in found] == expected(limit, size, only_odd)
    assert not [hit for group in found for hit in group.hits if hit.payload or hit.vector], "none was asked for"


def test_a_row_is_in_the_group_of_each_of_its_values_or_in_none() -> None:
    payloads: list[object] = [
        {"a": ["x", "y", "x"]},
        {"a": "y"},
        {"a": 7},
        {"a": ["z", 1.5]},
        {"a": True},
        {"a": []},
        {},
        {"a": {"b": 1}},
    ]
    rows = [{"id": number, "payload": payload} for number, payload in enumerate(payloads)]
    found = {value: [row["id"] for row in rows] for value, rows in groups_of(rows, "a").items()}
    assert found == {"x": [0], "y": [0, 1], 7: [2]}
    assert list(found) == ["x", "y", 7]

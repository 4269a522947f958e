"""What a question reads as plain JSON is what the client's own models give, and an answer that is none is reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from qdrant_client import QdrantClient, models

from recq.errors import IndexRefused, IndexUnreachable, RecqError, RequestRefused
from recq.index.catalog import Catalog
from recq.index.parameters import Parameters
from recq.index.plain_requests import query_beside, query_points, stored_payloads
from recq.index.points import ItemVector, Points
from recq.index.ranking import NOTHING_OWN, Own
from recq.index.schema import VECTOR, FileFacts, Item, ItemError
from tests.recq.index.conftest import SPACE
from tests.recq.index.test_catalog import full, item, vector

COUNT = 30


@pytest.fixture(scope="module")
def plain(shared_client: QdrantClient) -> Catalog:
    """Thirty items, one that failed, and a point of another program."""
    catalog = Catalog.create(shared_client, "plain {0}", SPACE)
    failed = Item(FileFacts("s", "broken.jpg", 1, 1), {}, ItemError("corrupt", "cut", "2026-01-01T00:00:00+00:00"))
    catalog.writes.upsert([*(full(number) for number in range(COUNT)), ItemVector(failed, None)])
    foreign = models.PointStruct(id=7, vector={VECTOR: vector(3).tolist()}, payload={"of": "another program"})
    shared_client.upsert(catalog._collection, [foreign], wait=True)
    return catalog


def requests() -> list[models.QueryRequest]:
    sofas = models.Filter(must=[models.FieldCondition(key="category", match=models.MatchValue(value="sofa"))])
    others = models.Filter(
        must=[models.FieldCondition(key="category", match=models.MatchExcept(**{"except": ["sofa"]}))]
    )
    return [
        models.QueryRequest(query=vector(1).tolist(), using=VECTOR, limit=4, with_payload=True),
        models.QueryRequest(query=full(2).item.id, using=VECTOR, filter=sofas, limit=3, score_threshold=-0.2),
        models.QueryRequest(query=vector(5).tolist(), using=VECTOR, filter=others, limit=3, with_payload=["file.path"]),
    ]


def test_points_are_those_that_the_clients_own_call_gives(plain: Catalog) -> None:
    client, collection = plain._client, plain._collection
    theirs = [answer.points for answer in client.query_batch_points(collection, requests())]
    mine = query_points(client, collection, requests())
    assert mine == [query_points(client, collection, [each])[0] for each in requests()]
    for ours, their in zip(mine, theirs, strict=True):
        assert [(each.id, each.payload) for each in ours] == [(each.id, each.payload or None) for each in their]
        assert [each.score for each in ours] == pytest.approx([each.score for each in their])
        assert ours


def test_a_point_is_read_beside_a_question(plain: Catalog) -> None:
    client, collection, (request, *_) = plain._client, plain._collection, requests()
    wanted = full(3).item.id
    found, payload = query_beside(client, collection, request, wanted)
    assert found == query_points(client, collection, [request])[0]
    (record,) = client.retrieve(collection, [wanted])
    assert payload == record.payload
    assert query_beside(client, collection, request, str(UUID(int=99)))[1] is None


@pytest.mark.parametrize("payload", [True, False, ["file", "error"], ["category"]])
def test_payloads_by_id_are_those_that_the_clients_own_call_gives(plain: Catalog, payload: bool | list[str]) -> None:
    client, collection = plain._client, plain._collection
    broken = Item(FileFacts("s", "broken.jpg", 1, 1)).id
    ids = [full(3).item.id, broken, str(UUID(int=99)), full(5).item.id]
    records = client.retrieve(collection, ids, with_payload=payload)
    found = stored_payloads(client, collection, ids, payload)
    assert found == {str(record.id): record.payload or {} for record in records}
    assert len(found) == 3


@pytest.mark.parametrize("own", [lambda _: NOTHING_OWN, lambda it: Own(digests=frozenset({it.file.sha256}))])
@pytest.mark.parametrize("filters", [[], ["category=sofa"], ["price!=3"]])
def test_from_an_item_the_answer_is_that_of_its_id(plain: Catalog, filters: list[str], own: Any) -> None:
    wanted = full(4).item
    parameters = Parameters(6, filters=tuple(filters))
    near = plain.finder.rank_from(wanted.id, parameters, own)
    assert near is not None
    assert near[0].file == plain.lookups.get(wanted.id).file  # type: ignore[union-attr]
    assert near[1] == plain.finder.rank(wanted.id, parameters, own=own(near[0]))
    assert len(near[1].hits) == 6
    assert wanted.id not in {hit.item.id for hit in near[1].hits}


def test_from_an_item_that_is_none_there_is_no_answer(plain: Catalog) -> None:
    """Whoever asks looks the item up then, which says what is wrong with it."""
    broken = Item(FileFacts("s", "broken.jpg", 1, 1)).id
    for wanted in (str(UUID(int=99)), broken):
        with pytest.raises(RecqError):
            plain.finder.rank_from(wanted, Parameters(3), lambda _: NOTHING_OWN)


def test_failed_items_and_foreign_points_are_never_near(plain: Catalog) -> None:
    hits = plain.finder.rank(vector(3), Parameters(COUNT + 5, keep_duplicates=True)).hits
    assert len(hits) == COUNT
    assert all(hit.item.error is None for hit in hits)


def test_an_item_with_an_error_and_a_vector_is_not_near(client: QdrantClient) -> None:
    """recq writes none; another program can."""
    catalog = Catalog.create(client, "both", SPACE)
    catalog.writes.upsert([full(number) for number in range(4)])
    both = {**full(1).item.to_payload(), "error": {"reason": "corrupt", "detail": ""}}
    client.overwrite_payload(catalog._collection, payload=both, points=[full(1).item.id], wait=True)
    found = {hit.item.id for hit in catalog.finder.rank(vector(1), Parameters(4, keep_duplicates=True)).hits}
    assert found == {full(number).item.id for number in (0, 2, 3)}


@pytest.mark.parametrize(
    "answer",
    [
        [],
        "no",
        {},
        {"result": None},
        {"result": {}},
        {"result": {"points": None}},
        {"result": {"points": [{}]}},
        {"result": {"points": [{"id": 1, "score": "high"}]}},
        {"result": {"points": [{"id": 1, "score": 1.0, "payload": []}]}},
        {"result": {"points": [None]}},
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("together", [1, 2])
def test_an_answer_that_is_none_is_one_error_of_recq(answer: Any, together: int) -> None:
    points = Points(answering(200, answer), "c")
    with pytest.raises(IndexRefused, match="cannot read the answer"):
        points.nearest(requests()[:together])


@pytest.mark.parametrize("answer", [[], {}, {"result": None}, {"result": [None]}, {"result": [{}]}], ids=json.dumps)
def test_items_of_an_answer_that_is_none_are_the_same_error(answer: Any) -> None:
    with pytest.raises(IndexRefused, match="cannot read the answer"):
        Points(answering(200, answer), "c").items([str(UUID(int=99))])


def test_a_refusal_is_the_servers_own(plain: Catalog) -> None:
    with pytest.raises(RequestRefused):
        Points(plain._client, plain._collection).nearest(
            [models.QueryRequest(query=str(UUID(int=99)), using=VECTOR, limit=1)]
        )


def answering(status: int, answer: Any) -> QdrantClient:
    """A client of a server that answers everything so."""
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=answer))
    return QdrantClient(url="http://mock", transport=transport, check_compatibility=False)


def test_items_are_read_of_points_only(plain: Catalog) -> None:
    assert item(0).id == full(0).item.id
    found, one = Points(plain._client, plain._collection).nearest_beside(requests()[0], full(0).item.id)
    assert one is not None
    assert one.id == full(0).item.id
    assert found


@pytest.mark.parametrize("wait", [None, "7", "Wed, 21 Oct 2037 07:28:00 GMT"])
@pytest.mark.parametrize("status", [408, 429, 503])
def test_who_is_told_to_wait_is_told_so_by_one_error(status: int, wait: str | None) -> None:
    """The client has errors of its own for `Retry-After`, and others for what is no number there."""
    headers = {} if wait is None else {"Retry-After": wait}
    points = Points(saying(httpx.Response(status, headers=headers, json={"status": {"error": "too many"}})), "c")
    each_kind_fails(points, "cannot answer now")


@pytest.mark.parametrize("body", [b"", b"<html>Back soon</html>", b"{", b"\xff\xfe\x00", b'"\xff"'])
def test_an_answer_of_another_program_is_waited_out(body: bytes) -> None:
    """Such as a page that a proxy shows, with status 200, while its server is away."""
    points = Points(saying(httpx.Response(200, content=body)), "c")
    each_kind_fails(points, "no JSON")


def each_kind_fails(points: Points, match: str) -> None:
    """Calls of the client's, and requests of recq's own."""
    asks: list[Callable[[], object]] = [
        lambda: points.items([str(UUID(int=99))]),
        lambda: points.count(models.Filter()),
        lambda: points.nearest(requests()),
    ]
    for ask in asks:
        with pytest.raises(IndexUnreachable, match=match):
            ask()


def saying(answer: httpx.Response) -> QdrantClient:
    """A client of a server that says nothing else."""
    return QdrantClient(url="http://mock", transport=httpx.MockTransport(lambda _: answer), check_compatibility=False)

"""One request that fails for what is in it: found by halves, and never taken for an index that is away."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient

from ingest.index.isolation import FIRST_TRIES, Isolation
from ingest.index.retrying import Retrier
from ingest.index.retrying_index import RetryingIndex
from ingest.loop import Stopping
from recq.errors import IndexFailing, IndexRefused, IndexUnreachable, RecqError, RequestRefused
from recq.index.catalog import Catalog
from recq.index.edge import EdgeEngine
from recq.index.errors import translate
from recq.index.points import ItemVector, Points
from recq.index.schema import FileFacts, Item
from tests.recq.index.conftest import SPACE


class Index:
    """In the place of an index: takes numbers, but not those in `poison`; `down` fails at everything."""

    def __init__(self, poison: Sequence[int], error: Callable[[], RecqError]) -> None:
        self.poison = set(poison)
        self.error = error
        self.down = 0
        self.taken: list[int] = []
        self.calls = 0
        self.said: list[str] = []
        self.stop = threading.Event()
        self.retrier = Retrier(
            self.stop, give_up_after=None, waiting=self.said.append, recovered=lambda: self.said.append("recovered")
        )
        self.isolation = Isolation(self.retrier, self.probe)

    def send(self, numbers: Sequence[int]) -> None:
        self.calls += 1
        self._answer()
        if self.poison & set(numbers):
            raise self.error()
        self.taken += numbers

    def probe(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if self.down:
            self.down -= 1
            raise IndexFailing("500 down")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.index.retrying._FIRST_WAIT", 0.001)
    monkeypatch.setattr("ingest.index.retrying._LONGEST_WAIT", 0.01)


@pytest.mark.parametrize("poison", [(), (0,), (63,), (5, 6), tuple(range(64))], ids=str)
@pytest.mark.parametrize("error", [lambda: RequestRefused("400"), lambda: IndexFailing("500")], ids=["400", "500"])
def test_all_but_the_refused_ones_are_taken(poison: Sequence[int], error: Callable[[], RecqError]) -> None:
    index = Index(poison, error)
    outcome = index.isolation.each(index.send, range(64))
    assert sorted(outcome.done) == sorted(index.taken) == [n for n in range(64) if n not in poison]
    assert sorted(number for number, _ in outcome.refused) == sorted(poison)
    if len(poison) == 1:
        assert index.calls <= FIRST_TRIES + 12
    assert not index.retrier.away
    assert index.said in ([], ["500", "recovered"])


def test_an_index_that_is_down_is_waited_for_and_nobody_is_blamed() -> None:
    index = Index((), lambda: IndexFailing("500"))
    index.down = 40  # the probe fails as well
    outcome = index.isolation.each(index.send, range(8))
    assert list(outcome.done) == list(range(8))
    assert outcome.refused == []
    assert index.said == ["500 down", "recovered"]


def test_a_key_that_is_refused_is_no_items_fault() -> None:
    index = Index((3,), lambda: IndexRefused("401"))
    with pytest.raises(IndexRefused):
        index.isolation.each(index.send, range(8))


def test_a_stop_ends_it() -> None:
    index = Index((3,), lambda: IndexUnreachable("away"))
    index.stop.set()
    with pytest.raises(Stopping):
        index.isolation.each(index.send, range(8))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, RequestRefused), (413, RequestRefused), (501, RequestRefused), (401, IndexRefused), (403, IndexRefused),
     (408, IndexUnreachable), (429, IndexUnreachable), (500, IndexFailing), (503, IndexFailing), (507, IndexFailing)],
)  # fmt: skip
def test_what_a_status_means(status: int, kind: type[RecqError]) -> None:
    from qdrant_client.http.exceptions import UnexpectedResponse

    answer = UnexpectedResponse(status, "x", b"{}", httpx.Headers())
    assert type(translate(answer)) is kind


class Spoilt(httpx.BaseTransport):
    """An embedded engine, of which `spoil(method, path, body)` tells the requests that are answered with 500."""

    def __init__(self, engine: EdgeEngine) -> None:
        self.inner = engine.transport()
        self.spoil: Callable[[str, str, bytes], bool] = lambda method, path, body: False
        self.requests: Counter[str] = Counter()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        path = request.url.path
        self.requests[path.rpartition("/")[2]] += 1
        if self.spoil(request.method, path, body):
            return httpx.Response(500, json={"status": {"error": "Service internal error"}, "time": 0.0})
        return self.inner.handle_request(request)


@pytest.fixture
def spoilt(tmp_path: Path) -> Iterator[tuple[Catalog, Spoilt]]:
    engine = EdgeEngine(tmp_path / "edge")
    transport = Spoilt(engine)
    client = QdrantClient(url="http://embedded", transport=transport, check_compatibility=False, cloud_inference=True)
    catalog = Catalog.create(client, "images", SPACE)
    catalog.writes.upsert(
        [ItemVector(Item(FileFacts("s", f"{n}.jpg", 1, 1)), np.ones(SPACE.dim, np.float32)) for n in range(9)]
    )
    yield catalog, transport
    engine.close()


def patient(catalog: Catalog, stop: threading.Event, said: list[str], **more: Any) -> RetryingIndex:
    retrier = Retrier(stop, waiting=said.append, recovered=lambda: said.append("recovered"), **more)
    return RetryingIndex(catalog, retrier)


def scrolling(method: str, path: str, body: bytes) -> bool:
    return path.endswith("/scroll")


def test_a_scroll_that_keeps_failing_waits_between_its_tries_and_is_told(spoilt: tuple[Catalog, Spoilt]) -> None:
    """Other calls answered, so it was begun again at once: 55,721 calls in 1.5 s, and nobody knew."""
    catalog, transport = spoilt
    transport.spoil = scrolling
    said: list[str] = []
    index = patient(catalog, threading.Event(), said, give_up_after=0.5)
    started = time.monotonic()
    with pytest.raises(IndexUnreachable):
        list(index.scan("s"))
    assert time.monotonic() - started >= 0.4
    assert transport.requests["scroll"] < 400  # waits of 0.01 s at most, here
    assert len(said) == 1
    assert "Service internal error" in said[0]


def test_a_stop_ends_a_scroll_that_keeps_failing(spoilt: tuple[Catalog, Spoilt]) -> None:
    catalog, transport = spoilt
    transport.spoil = scrolling
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(Stopping):
        list(patient(catalog, stop, [], give_up_after=None).holders(["x"]))


def test_a_scroll_goes_on_where_it_failed(spoilt: tuple[Catalog, Spoilt], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes twice, nothing is missing."""
    catalog, transport = spoilt
    scroll = Points.scroll
    monkeypatch.setattr(Points, "scroll", lambda self, *a, **k: scroll(self, *a, **{**k, "page": 2}))
    said: list[str] = []
    failures = iter([True, False, True, True, False])
    stream = patient(catalog, threading.Event(), said, give_up_after=None).scan("s")
    first = list(islice(stream, 3))
    transport.spoil = lambda method, path, body: scrolling(method, path, body) and next(failures, False)
    rest = list(stream)
    assert sorted(item.file.path for item in [*first, *rest]) == [f"{n}.jpg" for n in range(9)]
    assert said.count("recovered") == 2


def test_an_id_that_cannot_be_read_keeps_no_other_from_being_known(spoilt: tuple[Catalog, Spoilt]) -> None:
    catalog, transport = spoilt
    ids = [FileFacts("s", f"{n}.jpg", 1, 1).id for n in range(9)]
    transport.spoil = lambda method, path, body: path.endswith("/points") and ids[4].encode() in body
    known = patient(catalog, threading.Event(), [], give_up_after=None).known(ids)
    assert set(known) == {*ids} - {ids[4]}

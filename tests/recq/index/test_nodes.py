"""Which node a request goes to, and whether it is sent again where one does not answer."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException

from recq.errors import IndexRefused, IndexUnreachable, UsageError
from recq.index import server_access
from recq.index.catalog import Catalog
from recq.index.connect import connect, server_client
from recq.index.edge.routes import ROUTES
from recq.index.errors import translate
from recq.index.nodes import Kind, Nodes, base_of, cluster_of, kind_of, may_go_on
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.index.server_access import require_unread
from recq.settings import Settings
from tests.qdrant_server import QdrantServer
from tests.recq.index.conftest import SPACE
from tests.recq.index.test_connect import certificate, speaking
from tests.reliability.proxy import Fate, Proxy

__all__ = ["certificate"]

WORD = "word-of-mine"
ONE, TWO, THREE = ADDRESSES = ("http://one:1", "http://two:2/below", "http://three")
READ = ("POST", "/collections/shop/points/query?timeout=3")
WRITE = ("PUT", "/collections/shop/points?wait=true")
MAKE = ("PUT", "/collections/shop")


# ---- decisions -------------------------------------------------------------------------------------------------------


def test_what_only_reads_is_what_the_table_of_routes_says() -> None:
    for route in ROUTES:
        path = route.path.replace("*", "x")
        assert (kind_of(route.method, path) is Kind.READS) == route.reads, route


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("PUT", "/collections/shop/points", Kind.AGAIN),
        ("POST", "/collections/shop/points/delete", Kind.AGAIN),
        ("POST", "/collections/shop/points/batch", Kind.AGAIN),
        ("POST", "/collections/shop/points/payload", Kind.AGAIN),
        ("PUT", "/collections/shop/index", Kind.AGAIN),
        ("PATCH", "/collections/shop", Kind.AGAIN),
        ("PUT", "/collections/shop", Kind.ONCE),
        ("DELETE", "/collections/shop", Kind.ONCE),
        ("POST", "/collections/aliases", Kind.ONCE),
        ("POST", "/something/new", Kind.ONCE),
        ("GET", "/", Kind.READS),
    ],
)
def test_the_kind_of_a_request(method: str, path: str, kind: Kind) -> None:
    assert kind_of(method, path) is kind


@pytest.mark.parametrize(
    ("error", "kinds"),
    [
        (httpx.ConnectError("refused"), {Kind.ONCE, Kind.AGAIN, Kind.READS}),
        (httpx.ConnectTimeout("nobody"), {Kind.ONCE, Kind.AGAIN, Kind.READS}),
        (httpx.ReadError("cut"), {Kind.AGAIN, Kind.READS}),
        (httpx.RemoteProtocolError("half an answer"), {Kind.AGAIN, Kind.READS}),
        (httpx.ReadTimeout("slow"), {Kind.READS}),
        (httpx.InvalidURL("no URL"), set()),
        (UnicodeEncodeError("ascii", "ä", 0, 1, "no header"), set()),
    ],
)
def test_what_may_be_sent_to_the_next(error: Exception, kinds: set[Kind]) -> None:
    assert {kind for kind in Kind if may_go_on(kind, error)} == kinds


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost", "http://localhost:80", "https://qdrant.example.org", "https://qdrant.example.org:443/qdrant",
        "http://[::1]:6333", "http://10.0.0.1:6333/a/b", f"http://user:{WORD}@host:1", "http://HOST?key=1",
    ],
)  # fmt: skip
def test_an_address_is_what_the_client_makes_of_it(address: str) -> None:
    client = QdrantClient(url=address, check_compatibility=False)
    try:
        assert base_of(address) == httpx.URL(client._client.rest_uri)  # type: ignore[attr-defined]
    finally:
        client.close()


# ---- requests --------------------------------------------------------------------------------------------------------


class Three:
    """Three nodes that answer with a status, or not at all; what arrived at each, with its timeouts."""

    def __init__(self) -> None:
        self.nodes = Nodes(ADDRESSES, Settings(connect_timeout=8, request_timeout=60), seconds=4, first=12)
        self.nodes.connected = True
        self.fates: dict[str, int | Exception] = dict.fromkeys(("one", "two", "three"), 200)
        self.arrived: list[str] = []
        self.timeouts: list[tuple[float, float]] = []

    def ask(self, method: str, path: str) -> int:
        request = httpx.Request(method, f"{ONE}{path}", json={}, extensions={"timeout": {"connect": 60, "read": 60}})
        return self.nodes(request, self._send).status_code

    def _send(self, request: httpx.Request) -> httpx.Response:
        self.arrived.append(str(request.url))
        assert request.headers["Host"] == request.url.netloc.decode()
        timeout = request.extensions["timeout"]
        self.timeouts.append((timeout["connect"], timeout["read"]))
        fate = self.fates[request.url.host]
        if isinstance(fate, Exception):
            raise ResponseHandlingException(fate)
        return httpx.Response(fate, text="broken")


@pytest.fixture
def three() -> Three:
    return Three()


REFUSED = httpx.ConnectError("refused")


def test_the_first_is_asked_until_it_does_not_answer_and_then_the_next(three: Three) -> None:
    assert (three.ask(*READ), three.nodes.answering) == (200, ONE)
    three.fates["one"] = REFUSED
    assert (three.ask(*READ), three.nodes.answering) == (200, TWO)
    assert three.arrived[1:] == [f"{ONE}{READ[1]}", f"{TWO}{READ[1]}"]
    three.fates["one"] = 200
    assert (three.ask(*WRITE), three.arrived[3:]) == (200, [f"{TWO}{WRITE[1]}"])
    three.fates["two"] = REFUSED
    assert (three.ask(*MAKE), three.arrived[4:]) == (200, [f"{TWO}{MAKE[1]}", f"http://three:6333{MAKE[1]}"])
    three.fates["three"] = REFUSED
    assert (three.ask(*READ), three.nodes.answering) == (200, ONE), "round again"


@pytest.mark.parametrize(
    ("fate", "request_", "asked"),
    [
        (httpx.ReadError("cut"), READ, 3), (httpx.ReadError("cut"), WRITE, 3), (httpx.ReadError("cut"), MAKE, 1),
        (httpx.ReadTimeout("slow"), READ, 3), (httpx.ReadTimeout("slow"), WRITE, 1), (REFUSED, MAKE, 3),
    ],
)  # fmt: skip
def test_where_none_answers_the_last_error_is_raised(
    three: Three, fate: Exception, request_: tuple[str, str], asked: int
) -> None:
    three.fates = dict.fromkeys(three.fates, fate)
    with pytest.raises(ResponseHandlingException) as raised:
        three.ask(*request_)
    assert raised.value.source is fate
    told = str(translate(raised.value))
    assert all((f"{address}: {fate}" in told) is (asked == 3) for address in ADDRESSES), told
    assert len(three.arrived) == asked
    three.fates["one"] = three.fates["two"] = three.fates["three"] = 200
    assert three.ask(*request_) == 200
    assert three.arrived[-1].startswith(ONE if asked == 3 else TWO), "the next request begins with another node"


@pytest.mark.parametrize(("status", "asked"), [(500, 3), (503, 3), (501, 1), (429, 1), (404, 1), (401, 1)])
def test_an_internal_error_is_asked_of_the_others_and_a_refusal_is_not(three: Three, status: int, asked: int) -> None:
    three.fates = dict.fromkeys(three.fates, status)
    for request in (READ, WRITE):
        three.arrived.clear()
        assert three.ask(*request) == status
        assert len(three.arrived) == asked
        assert three.nodes.answering == ONE, "which is no worse than the others"
    three.arrived.clear()
    assert three.ask(*MAKE) == status
    assert len(three.arrived) == 1
    three.nodes = Three().nodes
    three.fates = {"one": status, "two": 200, "three": 200}
    assert three.ask(*READ) == (200 if asked == 3 else status)


def test_where_none_answers_it_is_told_what_each_said(three: Three) -> None:
    three.fates = {"one": 500, "two": httpx.ReadTimeout(""), "three": REFUSED}
    with pytest.raises(ResponseHandlingException) as raised:
        three.ask(*READ)
    told = translate(raised.value)
    assert isinstance(told, IndexUnreachable)
    assert str(told).endswith(f"{ONE}: 500 broken; {TWO}: ReadTimeout; {THREE}: refused"), told


def test_all_tries_together_have_the_time_of_one(three: Three) -> None:
    three.fates = dict.fromkeys(three.fates, REFUSED)
    with pytest.raises(ResponseHandlingException):
        three.ask(*READ)
    (c1, r1), (c2, r2), (c3, r3) = three.timeouts
    assert (c1, r1) == pytest.approx((4, 30), abs=0.5), "half of what is left"
    assert (c2, r2) == pytest.approx((4, 30), abs=0.5), "which a refusal takes nothing of"
    assert (c3, r3) == pytest.approx((8, 60), abs=0.5), "the last one has all"
    three.timeouts.clear()
    with pytest.raises(ResponseHandlingException):
        three.ask(*WRITE)
    assert [read for _, read in three.timeouts] == [60] * 3, "a write is left to its node"


def test_one_address_has_all_the_time_and_every_error_is_its_own() -> None:
    alone = Nodes([ONE], Settings(connect_timeout=8), seconds=4, first=12)
    seen = []

    def send(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"])
        return httpx.Response(500)

    assert alone(httpx.Request(WRITE[0], f"{ONE}{WRITE[1]}"), send).status_code == 500
    alone.connected = True
    alone(httpx.Request("GET", f"{ONE}/", extensions={"timeout": {"read": 60}}), send)
    assert [(each["connect"], each["read"]) for each in seen] == [
        pytest.approx((4, 12), abs=0.5),
        pytest.approx((8, 60), abs=0.5),
    ]


@pytest.mark.parametrize(
    ("request_", "fate", "asked"),
    [
        (READ, httpx.ReadError("[Errno 9] Bad file descriptor"), 2),
        (READ, httpx.RemoteProtocolError("Server disconnected without sending a response."), 2),
        (READ, httpx.WriteError("Broken pipe"), 2),
        (READ, httpx.ReadTimeout("slow"), 1),
        (READ, REFUSED, 1),
        (WRITE, httpx.ReadError("cut"), 1),
        (MAKE, httpx.ReadError("cut"), 1),
    ],
)
@pytest.mark.parametrize("passing", [True, False])
def test_a_question_to_a_single_address_is_asked_again_where_its_connection_broke(
    request_: tuple[str, str], fate: Exception, asked: int, passing: bool
) -> None:
    alone = Nodes([ONE], Settings(connect_timeout=8), seconds=4, first=12)
    alone.connected = True
    arrived = []

    def send(request: httpx.Request) -> httpx.Response:
        arrived.append(request.extensions["timeout"])
        if passing and len(arrived) == 2:
            return httpx.Response(200)
        raise ResponseHandlingException(fate)

    request = httpx.Request(request_[0], f"{ONE}{request_[1]}", extensions={"timeout": {"connect": 60, "read": 60}})
    if passing and asked == 2:
        assert alone(request, send).status_code == 200
    else:
        with pytest.raises(ResponseHandlingException) as raised:
            alone(request, send)
        assert raised.value.source is fate
    assert len(arrived) == asked


def test_an_answer_is_gone_with_its_last_use() -> None:
    """Not when garbage is looked for: a page of vectors has few objects and many bytes."""
    one = Nodes([ONE], Settings(connect_timeout=8), seconds=4, first=12)
    kept: list[weakref.ref[Any]] = []
    gc.disable()
    try:
        with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=[1.0]))) as client:

            def send(request: httpx.Request) -> httpx.Response:
                answer = client.send(request)
                kept.extend((weakref.ref(answer), weakref.ref(request)))
                return answer

            assert one(httpx.Request(READ[0], f"{ONE}{READ[1]}", content=b"{}"), send).json() == [1.0]
        assert len(kept) == 2
        assert [each() for each in kept] == [None, None]
    finally:
        gc.enable()


# ---- addresses and keys ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:1,https://127.0.0.1:2", "both http:// and https://"),
        ("http://127.0.0.1:1,127.0.0.1:2", "cannot be used"),
        ("http://127.0.0.1:1 http://:x", "cannot be used"),
        ("127.0.0.1:1,http://127.0.0.1:2", "is not a URL"),
        ("http://[::1:6333", "cannot be used"),
        ("http://127.0.0.1:1,http://[::1:6333", "cannot be used"),
    ],
)
def test_all_addresses_have_to_be_some(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        server_client(Settings.load(url=url, connect_timeout=0.1))


def test_a_key_is_sent_to_none_where_it_could_be_read_on_the_way_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_access, "is_private", lambda host: host != "far")
    given = Settings.load(url="http://near:1,http://far:2", api_key="secret key")
    with pytest.raises(UsageError, match="--url http://far:2 is plain http beyond a private network") as refused:
        server_client(given)
    assert "secret" not in str(refused.value)
    require_unread(Settings.load(url="https://near:1,https://far:2", api_key="secret key"))


def test_where_none_answers_all_are_named_and_no_secret() -> None:
    url = f"http://user:{WORD}@127.0.0.1:9,http://127.0.0.1:9/x?k={WORD}"
    with pytest.raises(IndexUnreachable) as away:
        server_client(Settings.load(url=url, connect_timeout=0.2, api_key="secret key"))
    assert "answers at http://***@127.0.0.1:9 or http://127.0.0.1:9/x?*** (tried for 0.2 s)" in str(away.value)
    assert WORD not in str(away.value)
    assert "secret" not in str(away.value)


def test_only_where_no_node_can_ever_be_reached_it_is_given_up_at_once(certificate: Path) -> None:
    with speaking(certificate) as port, speaking(certificate) as other:
        began = time.monotonic()
        with pytest.raises(IndexRefused, match=f"at https://localhost:{port} cannot be used: its certificate"):
            server_client(Settings.load(url=f"https://localhost:{port},https://localhost:{other}", connect_timeout=60))
        assert time.monotonic() - began < 30
        with pytest.raises(IndexUnreachable, match="no Qdrant server answers"):
            server_client(Settings.load(url=f"https://localhost:{port},https://127.0.0.1:9", connect_timeout=0.3))


# ---- a real server, reached by two ways ------------------------------------------------------------------------------


@pytest.fixture
def ways(own_server: QdrantServer) -> Iterator[tuple[Proxy, Proxy]]:
    """Two addresses of one server, which pass everything on until they are told otherwise."""
    with ExitStack() as running:
        first, second = (
            running.enter_context(Proxy(own_server.url, lambda _: Fate.PASSED, 5.0).serving()) for _ in range(2)
        )
        yield first, second


def entry(number: int) -> ItemVector:
    facts = FileFacts("s", f"{number}.jpg", 1, 1, sha256=f"{number:064x}")
    return ItemVector(Item(facts), np.eye(8, dtype=np.float32)[number])


def _always(fate: Fate, _write: bool) -> Fate:
    return fate


@pytest.mark.server
def test_whatever_becomes_of_a_node_no_question_fails_and_nothing_is_lost(ways: tuple[Proxy, Proxy]) -> None:
    """Each fate is that of whichever node is asked, so that the other one has to answer."""
    fates = (Fate.CUT_BEFORE, Fate.CUT, Fate.HALF, Fate.FAILED, Fate.REFUSED)
    with connect(Settings.load(url=" ".join(each.url for each in ways), request_timeout=5)) as client:
        catalog = Catalog.create(client, "shop", SPACE)
        for number, fate in enumerate(fates):
            for question in (partial(catalog.writes.upsert, [entry(number)]), catalog.items.count):
                asked = next(each for each in ways if each.url == catalog.node)
                asked.choose(partial(_always, fate))
                question()
                assert asked.fates[fate] > 0
                assert catalog.node != asked.url
                asked.heal()
            assert catalog.items.count() == number + 1
        assert {item.file.path for item in catalog.items.rows([])} == {f"{number}.jpg" for number in range(len(fates))}
        for each in ways:
            each.choose(lambda _: Fate.CUT_BEFORE)
        with pytest.raises(IndexUnreachable):
            catalog.items.count()


@pytest.mark.server
def test_a_node_that_is_away_is_no_reason_not_to_connect(own_server: QdrantServer) -> None:
    url = f"http://127.0.0.1:9,{own_server.url}"
    with connect(Settings.load(url=url, connect_timeout=2)) as client:
        assert Catalog.create(client, "shop", SPACE).node == own_server.url
        assert cluster_of(client) == []

"""What is refused before a route is reached, and what hostile requests meet: never a 5xx, and the service goes on."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import socket
import struct
import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.types import Message, Receive, Scope, Send

from recq.api.access import Gatekeeper
from recq.api.gate import AT_ONCE, READ_OUT, Gate
from recq.api.metrics import Metrics
from recq.api.rates import Rates
from recq.api.routes import PREFIX
from recq.settings import Settings
from tests.recq.api.serving import JSON, Api, served

OPERATE, READ = "what-operates", "what-reads"
LARGEST = 300_000


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[Api]:
    """The API with tokens and a small limit."""
    limited = settings.model_copy(update={"max_upload": LARGEST, "max_pixels": 1_000_000})
    with served(limited, Gatekeeper(operate=OPERATE, read=READ)) as api:
        api.client.headers["Authorization"] = f"Bearer {READ}"
        yield api


def test_roles(api: Api) -> None:
    anybody, operator = {"Authorization": ""}, {"Authorization": f"Bearer {OPERATE}"}
    assert api.get("/fields").status_code == 200
    refused = api.client.get(f"{PREFIX}/fields", headers=anybody)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorised")
    assert refused.headers["www-authenticate"] == "Bearer"
    forbidden = api.post("/retry")
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")
    retried = api.client.post(f"{PREFIX}/retry", content="{}", headers=operator | JSON)
    assert (retried.status_code, retried.json()["items"]) == (200, {"shop": 1})
    assert api.client.get(f"{PREFIX}/healthz", headers=anybody).json() == {"status": "ok"}
    assert api.client.get(f"{PREFIX}/readyz", headers=anybody).json() == {"status": "ok"}


def test_a_page_that_rebinds_its_name_is_refused(api: Api) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        reply = api.client.get(f"{PREFIX}/fields", headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")
        assert "access-control-allow-origin" not in reply.headers


def test_pages_of_an_origin_that_may_ask(settings: Settings) -> None:
    page = {"Origin": "https://shop.example"}
    with served(settings, Gatekeeper(origins=frozenset({"https://shop.example"}), read=READ)) as api:
        wanted = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        preflight = api.client.request("OPTIONS", f"{PREFIX}/similar", headers=page | wanted)
        assert preflight.status_code == 200
        reply = api.client.get(f"{PREFIX}/fields", headers=page | {"Authorization": f"Bearer {READ}"})
        assert reply.status_code == 200
        for each in (preflight, reply):
            assert each.headers["access-control-allow-origin"] == "https://shop.example"
        assert reply.headers["access-control-expose-headers"] == "Retry-After", "a script has to see it"
        assert api.client.get(f"{PREFIX}/fields", headers=page).status_code == 401


def test_bodies_are_limited(api: Api) -> None:
    for content in (bytes(LARGEST + 1), bytes(READ_OUT * LARGEST), (bytes(1000) for _ in range(LARGEST // 1000 + 1))):
        with httpx.Client(base_url=api.client.base_url) as client:
            reply = client.post(f"{PREFIX}/similar/picture", content=content, headers=api.client.headers)
        assert (reply.status_code, reply.json()["code"]) == (413, "too-large")
    assert api.get("/fields").status_code == 200


BODIES: dict[str, Callable[[], bytes | Iterable[bytes]]] = {
    "of a length": lambda: bytes(LARGEST),
    "in chunks": lambda: (bytes(LARGEST // 100) for _ in range(100)),
}


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_means_nothing_takes_no_room(api: Api, body: str) -> None:
    with ExitStack() as open_:
        for _ in range(AT_ONCE + 1):
            stream = api.client.stream("GET", f"{PREFIX}/changes/stream?since=now", content=BODIES[body]())
            assert open_.enter_context(stream).status_code == 200
        assert api.post("/similar", target="two.png").status_code == 200
        assert api.send("/similar/picture", bytes(LARGEST)).status_code == 422, "it was let in, and is no picture"


def test_a_body_that_means_nothing_changes_no_answer(api: Api) -> None:
    for content in (b"", b"{", b'{"filters": ["category=nothing"], "k": 1}', bytes(LARGEST)):
        found = api.client.request("GET", f"{PREFIX}/search", params={"k": 2}, content=content, headers=JSON)
        assert found.json()["results"] == api.get("/search", k=2).json()["results"]
        assert api.client.request("HEAD", f"{PREFIX}/search", content=content).status_code == 405
    for method in ("GET", "HEAD"):
        with httpx.Client(base_url=api.client.base_url, headers=api.client.headers) as client:
            assert client.request(method, f"{PREFIX}/search", content=bytes(LARGEST + 1)).status_code == 413


def passed(gate: Gate, method: str, parts: list[bytes]) -> None:
    """A request with a body of these parts, which are gone as they are read."""

    async def receive() -> Message:
        return {"type": "http.request", "body": parts.pop(), "more_body": bool(parts)}

    async def send(_: Message) -> None:
        pass

    scope = {"type": "http", "method": method, "path": "/", "headers": [(b"host", b"127.0.0.1")], "query_string": b""}
    asyncio.run(gate(scope, receive, send))


@pytest.mark.parametrize(("method", "times"), [("POST", 1), ("GET", 0), ("HEAD", 0)])
def test_a_body_is_in_memory_once_and_the_application_may_let_it_go(method: str, times: int) -> None:
    size, count = 20_000, 50
    given: list[int] = []
    held: list[float] = []

    def bodies() -> float:
        return (tracemalloc.get_traced_memory()[0] - before) / (size * count)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        held.append(bodies())
        given.append(len((await receive())["body"]))
        held.append(bodies())

    gate = Gate(app, Gatekeeper(), Metrics(), max_body=size * count, rates=Rates(0), pages=None, names_proxies=False)
    tracemalloc.start()
    try:
        for _ in range(AT_ONCE + 1):
            held.clear()
            before = tracemalloc.get_traced_memory()[0]
            parts = [bytes(size) for _ in range(count)]
            passed(gate, method, parts)
            assert held == [pytest.approx(times, abs=0.2), pytest.approx(0, abs=0.2)]
    finally:
        tracemalloc.stop()
    assert given == [size * count * times] * (AT_ONCE + 1), "what was held is given back each time"


def bomb(side: int) -> bytes:
    """A PNG of a few hundred kB at most that declares side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(5_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("content", [bomb(20_000), bomb(2_000_000), b"GIF89a" + b"\xff" * 600, b"", b"\0" * 1000])
def test_bombs_and_rubbish_are_refused(api: Api, content: bytes) -> None:
    for reply in (
        api.send("/similar/picture", content),
        api.post("/similar", target={"picture": b64encode(content).decode()}),
        api.post("/explain", target={"picture": b64encode(content).decode()}, result="two.png"),
    ):
        assert (reply.status_code, reply.json()["code"]) == (422, "target"), reply.text


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/similar", "{"),
        ("/similar", "[]"),
        ("/similar", "null"),
        ("/similar", '{"target": 5}'),
        ("/similar", '{"target": {"picture": "%%%"}}'),
        ("/similar", '{"target": {"vector": []}}'),
        ("/similar", '{"target": {"vector": [1, 2]}}'),
        ("/similar", '{"target": {"vector": [NaN]}}'),
        ("/similar", '{"target": {"vector": [1e400]}}'),
        ("/similar", '{"target": "two.png", "k": 1e99}'),
        ("/similar", '{"target": "two.png", "k": 99999999999999999999999999}'),
        ("/similar", '{"target": "two.png", "min_score": "NaN"}'),
        ("/similar", '{"target": "two.png", "catalog": "../../etc"}'),
        ("/similar", '{"target": "two.png", "catalog": "nothing"}'),
        ("/similar", '{"target": "\\ud800"}'),
        ("/similar", '{"target": {"picture": "", "name": "\\udcff"}}'),
        ("/retry", '{"pattern": "\\ud800"}'),
        ("/similar", '{"target": "two.png", "filters": ["\\ud800=\\udfff"]}'),
        ("/similar", '{"target": "two.png", "filters": "category=sofa"}'),
        ("/similar", '{"target": "two.png", "fields": ["\\u0000"], "group_by": "\\ud800"}'),
        ("/similar/batch", '{"targets": []}'),
        ("/search", "[" * 100_000),
        *(("/search", '{"filters": ' * depth + "1" + "}" * depth) for depth in (100, 400, 700, 900, 980)),
        *(("/similar", '{"target": ' + "[" * depth + "]" * depth + "}") for depth in (100, 400, 700, 900, 980)),
        ("/search", json.dumps({"filters": [f"price={number}" for number in range(20_000)]})),
        ("/search", json.dumps({"filters": [f"price={number}" for number in range(1_500)]})),
        ("/search", json.dumps({"any_of": [" || ".join(f"price={number}" for number in range(15_000))]})),
        ("/evaluate", '{"label": "category", "ks": [0]}'),
        ("/evaluate", '{"label": "category", "ks": []}'),
        ("/duplicates", '{"kinds": ["nothing"]}'),
        ("/predict", '{"targets": ["two.png"], "top": 0}'),
        ("/compare", '{"target": "two.png", "against": []}'),
        ("/explain", '{"target": "two.png"}'),
    ],
)
def test_bad_documents_are_refused_in_one_form(api: Api, route: str, body: str) -> None:
    reply = api.client.post(PREFIX + route, content=body, headers=JSON)
    assert 400 <= reply.status_code < 500, reply.text
    assert reply.json().keys() == {"code", "exit_code", "message"}


@pytest.mark.parametrize(
    ("route", "body", "message"),
    [
        ("/similar", {}, "target is missing"),
        ("/similar", {"target": 5}, 'target: a name, {"vector": [NUMBERS]} or {"picture": "BASE64"} is needed'),
        (
            "/similar/batch",
            {"targets": ["two.png", {"vektor": [1.0]}]},
            'targets.1: a name, {"vector": [NUMBERS]} or {"picture": "BASE64"} is needed',
        ),
        ("/similar", {"target": "two.png", "min_score": "much"}, "min_score: a number is needed"),
        ("/similar", {"target": "two.png", "min_score": True}, "min_score: a number is needed"),
        ("/similar", {"target": "two.png", "min_score": "0.5"}, "min_score: a number is needed"),
        ("/similar", {"target": "two.png", "keep_duplicates": 1}, "keep_duplicates: true or false is needed"),
        ("/similar", {"target": "two.png", "k": True}, "k: a whole number is needed"),
        ("/evaluate", {"label": "category", "ks": [True]}, "ks.0: a whole number is needed"),
        ("/duplicates", {"min_score": False}, "min_score: a number is needed"),
        ("/similar", {"target": "two.png", "filters": "category=sofa"}, "filters: a list is needed"),
        ("/similar", {"target": "two.png", "filters": [3]}, "filters.0: a text is needed"),
        ("/similar", {"target": "two.png", "filter": []}, "there is no parameter 'filter': docs/api.md lists them"),
        ("/duplicates", {"kinds": ["copies"]}, "kinds.0: copy, crop or mirror is needed: did you mean copy?"),
    ],
)
def test_a_wrong_parameter_is_named(api: Api, route: str, body: dict[str, Any], message: str) -> None:
    reply = api.post(route, **body)
    assert (reply.status_code, reply.json()["code"]) == (400, "usage")
    assert reply.json()["message"] == message


def test_a_document_in_a_form_of_a_page_is_not_read(api: Api) -> None:
    """A page of another origin may send these types without being asked (no preflight)."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", None):
        headers = {} if kind is None else {"Content-Type": kind}
        reply = api.client.post(f"{PREFIX}/retry", content='{"pattern": "*"}', headers=headers)
        assert reply.status_code in (400, 403)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/fields/",
        "/api/v2/fields",
        "/docs",
        "/openapi.json",
        "/api/v1/items/../../../etc/passwd/image",
        "/api/v1/items/..%2f..%2fetc%2fpasswd/image",
        "/api/v1/items/%00/thumbnail",
        "/api/v1/items/two.png",
    ],
)
def test_there_is_nothing_else(api: Api, path: str) -> None:
    headers = f"Host: 127.0.0.1\r\nAuthorization: Bearer {READ}\r\nConnection: close\r\n"
    reply = sent(api, f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode())
    assert reply.startswith(b"HTTP/1.1 404"), reply


def sent(api: Api, request: bytes) -> bytes:
    """The answer to bytes as they are."""
    with socket.create_connection(("127.0.0.1", api.client.base_url.port or 80), timeout=30) as connection:
        found = b""
        try:
            connection.sendall(request)
            while part := connection.recv(65536):
                found += part
        except (ConnectionResetError, BrokenPipeError):
            pass
        return found


def test_headers_without_end_are_cut_off(api: Api) -> None:
    request = b"GET /api/v1/fields HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 30_000_000 + b"\r\n\r\n"
    assert b"200 OK" not in sent(api, request)
    assert api.get("/fields").status_code == 200


def test_a_refusal_is_logged_once(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="recq.api.gate"):
        for _ in range(5):
            api.client.get(f"{PREFIX}/fields", headers={"Authorization": "Bearer not-the-one"})
    assert len([each for each in caplog.records if "a token is needed" in each.getMessage()]) <= 1
    assert "not-the-one" not in caplog.text


def test_eight_clients_at_once_get_their_own_answers(api: Api, settings: Settings) -> None:
    """Items, pictures and thumbnails in turns: everything that the service shares is used from several threads."""
    names = ["two.png", "twin-a.png", "twin-b.png", "beds/one.png"]
    picture = io.BytesIO()
    Image.new("RGB", (90, 60), (200, 30, 30)).save(picture, "PNG")
    expected = {name: api.get("/similar", target=name, k=3).json()["results"] for name in names}
    expected["mine"] = api.send("/similar/picture", picture.getvalue(), k=3).json()["results"]
    assert len({json.dumps(each) for each in expected.values()}) == len(expected)

    def ask(number: int) -> None:
        with httpx.Client(base_url=api.client.base_url, headers=api.client.headers, timeout=60) as client:
            mine = Api(client, api.service)
            for turn in range(10):
                name = [*names, "mine"][(number + turn) % 5]
                reply = (
                    mine.send("/similar/picture", picture.getvalue(), k=3)
                    if name == "mine"
                    else mine.get("/similar", target=name, k=3)
                )
                assert reply.status_code == 200, reply.text
                assert reply.json()["results"] == expected[name]

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(ask, range(8)))

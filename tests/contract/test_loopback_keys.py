"""What each key opens on the loopback server: the full one everything, the read-only one what the table says."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from recq.errors import UsageError
from recq.index.edge import EdgeEngine, LoopbackServer, read_address
from recq.index.edge.routes import ROUTES, only_reads
from recq.index.edge.serving import Serving

KEY = "opens-everything"
READ_KEY = "opens-what-reads"
NAME = "shop"

READS = {
    ("GET", "/collections"), ("GET", "/aliases"), ("GET", "/collections/*"), ("GET", "/collections/*/exists"),
    ("GET", "/collections/*/aliases"), ("POST", "/collections/*/points"), ("GET", "/collections/*/points/*"),
    ("POST", "/collections/*/points/scroll"), ("POST", "/collections/*/points/count"), ("POST", "/collections/*/facet"),
    ("POST", "/collections/*/points/query"), ("POST", "/collections/*/points/query/batch"),
    ("POST", "/collections/*/points/query/groups"), ("POST", "/collections/*/points/search"),
    ("POST", "/collections/*/points/search/batch"), ("POST", "/collections/*/points/search/groups"),
    ("POST", "/collections/*/points/recommend"), ("POST", "/collections/*/points/recommend/batch"),
    ("POST", "/collections/*/points/recommend/groups"),
}  # fmt: skip
"""Written down a second time: a new route reads only when somebody says so in both places."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackServer]:
    """A collection of one point, behind an alias."""
    folder = tmp_path_factory.mktemp("keys")
    engine = EdgeEngine(folder / "edge")

    def done(method: str, body: bytes) -> tuple[int, dict[str, object]]:
        return 200, {"done": True}

    mounted = {"/recq/status": done, "/recq/retry": done}
    with LoopbackServer(folder, engine, mounted, serving=Serving(given_key=KEY, read_key=READ_KEY)) as running:
        vectors = {"vectors": {"image": {"size": 2, "distance": "Cosine"}}}
        point = {"id": 1, "vector": {"image": [1, 0]}, "payload": {"a": "b"}}
        alias = {"create_alias": {"collection_name": NAME, "alias_name": "images"}}
        asks: list[tuple[str, str, Any]] = [
            ("PUT", f"/collections/{NAME}", vectors),
            ("PUT", f"/collections/{NAME}/points?wait=true", {"points": [point]}),
            ("PUT", f"/collections/{NAME}/index?wait=true", {"field_name": "a", "field_schema": "keyword"}),
            ("POST", "/collections/aliases", {"actions": [alias]}),
        ]
        for method, path, body in asks:
            assert ask(running, KEY, method, path, body).status_code == 200
        yield running
    engine.close()


def ask(server: LoopbackServer, key: str, method: str, path: str, body: Any = None) -> httpx.Response:
    with httpx.Client(trust_env=False, headers={"api-key": key}, timeout=30) as client:
        return client.request(method, server.url + path, json=body)


def test_the_table_says_of_exactly_these_that_they_read() -> None:
    assert {(route.method, route.path) for route in ROUTES if route.reads} == READS


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_read_only_key_opens_what_reads_and_nothing_else(server: LoopbackServer, route: Any) -> None:
    path = route.path.replace("/*", f"/{NAME}", 1).replace("/*", "/1")
    status = ask(server, READ_KEY, route.method, path, None if route.method == "GET" else {}).status_code
    if route.reads:
        assert status in (200, 400, 422)  # an empty question may be none
    else:
        assert status == 403
    assert ask(server, READ_KEY, "POST", f"/collections/{NAME}/points/count", {}).json()["result"]["count"] == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/recq/status"),
        ("POST", "/recq/retry"),
        ("POST", f"/collections/{NAME}/snapshots"),
        ("PUT", f"/collections/{NAME}/snapshots/recover"),
        ("POST", f"/collections/{NAME}/cluster"),
        ("PUT", f"/collections/{NAME}/shards"),
        ("DELETE", f"/collections/{NAME}/points"),
        ("POST", f"/collections/{NAME}/points%2Fdelete"),
        ("POST", f"/collections/{NAME}/points//delete"),
        ("POST", f"//collections/{NAME}/points/delete"),
        ("POST", f"/collections/{NAME}/points/delete/"),
        ("POST", "/nowhere"),
        ("PUT", "/"),
    ],
)
def test_what_the_table_does_not_have_is_closed(server: LoopbackServer, method: str, path: str) -> None:
    assert ask(server, READ_KEY, method, path, {}).status_code == 403
    assert ask(server, READ_KEY, "GET", f"/collections/{NAME}/points/1").status_code == 200


def test_a_refusal_comes_before_the_body_and_shows_no_key(server: LoopbackServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(
            f"PUT /collections/{NAME}/points HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\napi-key: {READ_KEY}\r\n"
            "content-length: 1000000\r\n\r\n".encode()
        )
        answer = raw.recv(4096).decode()
    assert answer.startswith("HTTP/1.1 403")
    assert READ_KEY not in answer
    for key in (READ_KEY, "wrong-key"):
        text = ask(server, key, "DELETE", f"/collections/{NAME}").text
        assert not {KEY, READ_KEY, "wrong-key"} & set(text.replace('"', " ").split())


def test_what_only_a_server_reads_is_told_so_to_both(server: LoopbackServer) -> None:
    for method, path in (
        ("POST", f"/collections/{NAME}/points/discover"),
        ("POST", f"/collections/{NAME}/points/search/matrix/pairs"),
        ("GET", f"/collections/{NAME}/snapshots"),
        ("GET", "/telemetry"),
    ):
        for key in (KEY, READ_KEY):
            answer = ask(server, key, method, path, None if method == "GET" else {})
            assert answer.status_code == 501
            assert f"{method} {path}" in answer.json()["status"]["error"]


def test_a_name_that_looks_like_a_route_is_a_name() -> None:
    """Of what is decoded nothing decides what a request may do."""
    assert only_reads("GET", "/collections/points%2Fdelete")
    assert not only_reads("POST", "/collections/x/points/payload/clear")
    assert not only_reads("post", "/collections/x/points/scroll")
    assert not only_reads("HEAD", "/collections")


def test_the_key_may_come_as_a_bearer_token(server: LoopbackServer) -> None:
    for given, status in ((f"Bearer {READ_KEY}", 200), (f"bearer {KEY}", 200), (READ_KEY, 401), ("Bearer wrong", 401)):
        with httpx.Client(trust_env=False, headers={"authorization": given}) as client:
            assert client.get(f"{server.url}/collections").status_code == status


def test_recqs_own_programs_find_a_key_of_this_start_beside_those_that_were_given(tmp_path: Path) -> None:
    with LoopbackServer(tmp_path, None, serving=Serving(given_key=KEY, read_key=READ_KEY)) as server:
        address = read_address(tmp_path)
        assert address is not None
        assert (address.url, address.key) == (server.url, server.key)
        assert ask(server, server.key, "GET", "/collections").status_code == 501, "no engine, but no refusal either"
        assert KEY not in (tmp_path / "serve.json").read_text()
        assert READ_KEY not in (tmp_path / "serve.json").read_text()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_a_port_that_is_set_is_the_same_after_every_start(tmp_path: Path) -> None:
    port = free_port()
    with httpx.Client(trust_env=False, headers={"api-key": READ_KEY}) as client:
        for _ in range(3):  # the connection of the last time is still being forgotten by the system
            with LoopbackServer(tmp_path, None, serving=Serving(port=port, read_key=READ_KEY)) as server:
                assert server.url == f"http://127.0.0.1:{port}"
                assert client.get(f"{server.url}/readyz").status_code == 200


def test_a_port_that_is_taken_is_one_line_naming_the_setting(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = LoopbackServer(tmp_path, None, serving=Serving(port=port, given_key=KEY))
        with pytest.raises(
            UsageError, match=rf"^setting 'serve_port': port {port} of 127.0.0.1 .*another program"
        ) as told:
            server.start()
    assert KEY not in str(told.value)
    assert read_address(tmp_path) is None
    server.stop()  # harmless

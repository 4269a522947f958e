"""The loopback server: who may ask, where it is found, and how it ends."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from recq.index.edge import Address, EdgeEngine, LoopbackServer, read_address
from recq.index.edge.server import MAX_BODY, READS_AT_ONCE


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LoopbackServer]:
    engine = EdgeEngine(tmp_path / "edge")

    def status(method: str, body: bytes) -> tuple[int, dict[str, object]]:
        return 200, {"method": method, "length": len(body)}

    with LoopbackServer(tmp_path, engine, {"/recq/status": status}) as running:
        yield running
    engine.close()


def get(server: LoopbackServer, path: str, **headers: str) -> httpx.Response:
    with httpx.Client(trust_env=False) as client:
        return client.get(server.url + path, headers=headers)


def test_only_the_key_opens(server: LoopbackServer) -> None:
    for wrong in ({}, {"api-key": ""}, {"api-key": "wrong"}, {"api-key": server.key[:-1]}, {"api-key": "é"}):
        with httpx.Client(trust_env=False) as client:
            headers = [(name.encode(), value.encode()) for name, value in wrong.items()]
            for path in ("/", "/collections", "/recq/status", "/nowhere"):
                answer = client.get(server.url + path, headers=headers)
                assert answer.status_code == 401
                assert server.key not in answer.text
    assert get(server, "/collections", **{"api-key": server.key}).json()["result"] == {"collections": []}


def test_health_is_told_to_anyone_on_this_machine(server: LoopbackServer) -> None:
    assert [get(server, path).status_code for path in ("/healthz", "/livez", "/readyz")] == [200] * 3


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1.evil.example:{port}"])
def test_another_host_name_is_turned_away_even_with_the_key(server: LoopbackServer, host: str) -> None:
    port = server.url.rpartition(":")[2]
    for path in ("/collections", "/healthz"):
        answer = get(server, path, **{"api-key": server.key, "host": host.format(port=port)})
        assert answer.status_code == 403
    assert get(server, "/collections", **{"api-key": server.key, "host": f"localhost:{port}"}).status_code == 200


def test_the_daemons_own_routes_are_served_beside(server: LoopbackServer) -> None:
    with httpx.Client(trust_env=False, headers={"api-key": server.key}) as client:
        answer = client.post(f"{server.url}/recq/status", content=b"four")
    assert answer.json() == {"method": "POST", "length": 4}


def test_a_daemon_of_a_real_server_serves_its_own_routes_only(tmp_path: Path) -> None:
    with LoopbackServer(tmp_path, None, {"/recq/status": lambda method, body: (503, {"state": "away"})}) as server:
        answer = get(server, "/recq/status", **{"api-key": server.key})
        assert (answer.status_code, answer.json()) == (503, {"state": "away"})
        assert get(server, "/collections", **{"api-key": server.key}).status_code == 501


class HeldEngine(EdgeEngine):
    """Holds every question until `go`, and counts how many it has at once; writes and health checks pass."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.go, self.full = threading.Event(), threading.Event()
        self.most = self._now = 0
        self._counting = threading.Lock()

    def handle(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        if method != "GET":
            return super().handle(method, path, query, body)
        with self._counting:
            self._now += 1
            self.most = max(self.most, self._now)
            if self._now == READS_AT_ONCE:
                self.full.set()
        try:
            assert self.go.wait(30)
            return super().handle(method, path, query, body)
        finally:
            with self._counting:
                self._now -= 1


def test_some_questions_are_answered_at_once_and_nothing_else_waits_for_them(tmp_path: Path) -> None:
    engine = HeldEngine(tmp_path / "edge")
    status = {"/recq/status": lambda method, body: (200, {"method": method})}
    count = 3 * READS_AT_ONCE
    named = {"vectors": {"image": {"size": 2, "distance": "Dot"}}}
    with (
        LoopbackServer(tmp_path, engine, status) as server,
        ThreadPoolExecutor(count) as clients,
        httpx.Client(trust_env=False, headers={"api-key": server.key}, timeout=60) as client,
    ):
        asked = [clients.submit(client.get, f"{server.url}/collections") for _ in range(count)]
        assert engine.full.wait(30)
        assert client.put(f"{server.url}/collections/x", json=named).json()["result"] is True
        assert client.get(f"{server.url}/healthz").status_code == 200
        assert client.get(f"{server.url}/recq/status").json() == {"method": "GET"}
        assert not any(each.done() for each in asked)
        engine.go.set()
        assert [each.result().status_code for each in asked] == [200] * count
    assert engine.most == READS_AT_ONCE
    engine.close()


def test_a_body_beyond_the_limit_is_413(server: LoopbackServer) -> None:
    with httpx.Client(trust_env=False, headers={"api-key": server.key}, timeout=30) as client:
        answer = client.put(f"{server.url}/collections/x/points", content=b" " * (MAX_BODY + 1))
    assert answer.status_code == 413


def test_the_address_file_is_private_right_and_removed(tmp_path: Path) -> None:
    server = LoopbackServer(tmp_path, None)
    assert read_address(tmp_path) is None
    server.start()
    try:
        assert read_address(tmp_path) == Address(server.url, server.key, os.getpid())
        assert (tmp_path / "serve.json").stat().st_mode & 0o777 == 0o600
        assert server.url.startswith("http://127.0.0.1:")
        assert get(server, "/healthz").status_code == 200, "it is written after the server answers"
    finally:
        server.stop()
    assert read_address(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(httpx.ConnectError):
        get(server, "/healthz")
    server.stop()  # harmless


def test_the_address_of_another_daemon_is_left_alone(tmp_path: Path) -> None:
    other = {"url": "http://127.0.0.1:1", "key": "k", "pid": 1}
    with LoopbackServer(tmp_path, None):
        (tmp_path / "serve.json").write_text(json.dumps(other))
    assert read_address(tmp_path) == Address("http://127.0.0.1:1", "k", 1)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"url": "http://127.0.0.1:1"}',
        '{"url": 1, "key": "k", "pid": 1}',
        '{"url": "http://127.0.0.1:1", "key": "k", "pid": "1"}',
        '{"url": "http://evil.example:1", "key": "k", "pid": 1}',
        "\udcff",
    ],
)
def test_an_address_file_that_says_nothing_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "serve.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert read_address(tmp_path) is None


def test_every_server_has_its_own_key_and_port(tmp_path: Path) -> None:
    with LoopbackServer(tmp_path / "a", None) as one, LoopbackServer(tmp_path / "b", None) as other:
        assert one.key != other.key
        assert one.url != other.url
        assert len(one.key) >= 40
        assert get(one, "/collections", **{"api-key": other.key}).status_code == 401


def test_stopping_lets_the_answer_under_way_finish_and_is_quick(tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()
    answers: list[int] = []

    def slow(method: str, body: bytes) -> tuple[int, dict[str, object]]:
        entered.set()
        leave.wait(10)
        return 200, {}

    server = LoopbackServer(tmp_path, None, {"/slow": slow})
    server.start()
    idle = httpx.Client(trust_env=False)
    idle.get(f"{server.url}/healthz")  # its connection stays open
    asking = threading.Thread(
        target=lambda: answers.append(get(server, "/slow", **{"api-key": server.key}).status_code)
    )
    asking.start()
    assert entered.wait(10)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    leave.set()
    stopping.join(5)
    asking.join(5)
    idle.close()
    assert not stopping.is_alive()
    assert answers == [200]

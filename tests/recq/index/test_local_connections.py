"""Each request to a server on this machine has a connection to itself, which is used again while it is fresh."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from qdrant_client.http.exceptions import ResponseHandlingException

from recq.index.local_connections import KEPT_FOR, LocalConnections, no_certificates


class Server(ThreadingHTTPServer):
    """Answers with its request's body; `/slow` when all are there that `together` waits for. Counts connections."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.connections = 0
        self.together = threading.Barrier(1)

    def finish_request(self, request: object, client_address: object) -> None:
        """Count, then answer."""
        self.connections += 1
        super().finish_request(request, client_address)  # type: ignore[arg-type]


class Answer(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        """The body, or no answer at all where it says so."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"break":
            self.close_connection = True
            return
        if self.path == "/slow":
            self.server.together.wait(30)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def connections() -> Iterator[LocalConnections]:
    made = LocalConnections(no_certificates())
    yield made
    made.close()


def request(server: Server, body: bytes, path: str = "/") -> httpx.Request:
    return httpx.Request("POST", f"http://127.0.0.1:{server.server_port}{path}", content=body)


def test_one_connection_serves_many_requests(server: Server, connections: LocalConnections) -> None:
    assert [connections.send(request(server, b"%d" % number)).content for number in range(5)] == [
        b"%d" % number for number in range(5)
    ]
    assert server.connections == 1


def test_requests_at_once_have_one_each_and_get_their_own_answers(
    server: Server, connections: LocalConnections
) -> None:
    for _ in range(3):
        server.together = threading.Barrier(8)
        answers: list[tuple[int, bytes]] = []

        def ask(number: int, answers: list[tuple[int, bytes]] = answers) -> None:
            answers.append((number, connections.send(request(server, b"%d" % number, "/slow")).content))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [(number, b"%d" % number) for number in range(8)]
    assert server.connections == 8


def test_a_broken_connection_is_not_used_again(server: Server, connections: LocalConnections) -> None:
    connections.send(request(server, b"1"))
    with pytest.raises(ResponseHandlingException) as caught:
        connections.send(request(server, b"break"))
    assert isinstance(caught.value.source, httpx.RemoteProtocolError)
    assert connections.send(request(server, b"2")).content == b"2"
    assert server.connections == 2


def test_what_has_been_idle_is_closed(
    server: Server, connections: LocalConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("recq.index.local_connections.time.monotonic", lambda: now)
    server.together = threading.Barrier(3)
    threads = [threading.Thread(target=connections.send, args=(request(server, b"x", "/slow"),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(connections._idle) == 3
    now += KEPT_FOR + 0.1
    connections.send(request(server, b"y"))
    assert len(connections._idle) == 1


def test_a_client_that_is_closed_keeps_none(server: Server) -> None:
    connections = LocalConnections(no_certificates())
    with httpx.Client(transport=connections) as client:
        assert client.post(f"http://127.0.0.1:{server.server_port}/", content=b"a").content == b"a"
        assert len(connections._idle) == 1
    assert not connections._idle
    connections.send(request(server, b"late"))
    assert not connections._idle

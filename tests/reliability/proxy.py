"""A proxy between the daemon and a Qdrant server that is as bad as networks and servers are at their worst.

It understands plain HTTP/1.1 with a Content-Length, which is what the client speaks. What it did to each upsert it
remembers, so that a test can tell whether anything was believed to be written before the answer was handed over.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_KEPT_BACK = {"connection", "keep-alive", "transfer-encoding", "content-length", "accept-encoding"}
_GIVES_UP = 60.0  # seconds for the server to answer


class Fate(StrEnum):
    """What happens to a request."""

    PASSED = "passed"
    REFUSED = "not forwarded, 503"
    CUT_BEFORE = "not forwarded, cut"
    CUT = "written, cut before the answer"
    HALF = "written, cut within the answer"
    SILENT = "written, never answered"
    FAILED = "written, 500"
    BUSY = "written, 429"
    POISONED = "not forwarded, 500"
    LATE = "given up by the client, written later"


@dataclass(frozen=True)
class Acknowledged:
    """An upsert whose answer was handed over: when (seconds since the epoch), and the paths in it."""

    at: float
    paths: frozenset[str]


class Proxy:
    """Forwards to `url`. `choose(write)` decides the fate of each request; `write` tells whether it changes points."""

    def __init__(self, url: str, choose: Callable[[bool], Fate], patience: float) -> None:
        self.fates: Counter[Fate] = Counter()
        self.acknowledged: list[Acknowledged] = []
        self.requests: Counter[str] = Counter()
        """By the last part of their path."""
        self.poison: Callable[[str, bytes], bool] = lambda path, body: False
        """Which requests, by path and body, a broken part of the server fails at, whatever `choose` says."""
        self._target = urlsplit(url)
        self._choose = choose
        self._patience = patience
        self._lock = threading.Lock()
        self._late: list[threading.Thread] = []
        self._closing = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy._handle(self)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # the daemon was faster to go away

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator[Proxy]:
        """Answer until the end; what was to be written later is written by then."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._closing.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()
            for late in self._late:
                late.join()

    def heal(self) -> None:
        """From here on everything passes."""
        self.choose(lambda _: Fate.PASSED)

    def choose(self, choose: Callable[[bool], Fate]) -> None:
        """From here on `choose` decides."""
        with self._lock:
            self._choose = choose

    def nothing_under_way(self) -> bool:
        """Whether everything that is written later has been."""
        return not any(late.is_alive() for late in self._late)

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        write = request.command != "GET" and _changes_points(request.command, request.path)
        with self._lock:
            fate = Fate.POISONED if self.poison(request.path, body) else self._choose(write)
            self.fates[fate] += 1
            self.requests[urlsplit(request.path).path.rpartition("/")[2]] += 1
        if fate is Fate.CUT_BEFORE:
            return _hang_up(request)
        if fate is Fate.REFUSED:
            return _answer(request, 503, b"<html>no upstream</html>")
        if fate is Fate.POISONED:
            return _answer(
                request, 500, b'{"status": {"error": "Service internal error: a page is broken"}, "time": 0.1}'
            )
        if fate is Fate.LATE:
            late = threading.Thread(target=self._forward_late, args=(request.command, request.path, body, request))
            self._late.append(late)
            late.start()
            self._closing.wait(2 * self._patience)
            return _hang_up(request)
        status, answer = self._forward(request.command, request.path, body, dict(request.headers))
        match fate:
            case Fate.CUT:
                _hang_up(request)
            case Fate.SILENT:
                self._closing.wait(2 * self._patience)
                _hang_up(request)
            case Fate.FAILED:
                _answer(request, 500, b'{"status": {"error": "Service internal error"}, "time": 0.1}')
            case Fate.BUSY:
                _answer(request, 429, b'{"status": {"error": "Too many requests"}, "time": 0.1}')
            case Fate.HALF:
                _answer(request, status, answer, sent=len(answer) // 2)
                _hang_up(request)
            case _:
                if write and status == 200:
                    self._note(request.path, body)
                _answer(request, status, answer)
        return None

    def _forward_late(self, method: str, path: str, body: bytes, request: BaseHTTPRequestHandler) -> None:
        time.sleep(1.5 * self._patience)  # the fault itself: longer than the client waits
        self._forward(method, path, body, dict(request.headers))

    def _forward(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._target.hostname or "", self._target.port, timeout=_GIVES_UP)
        try:
            kept = {name: value for name, value in headers.items() if name.lower() not in _KEPT_BACK}
            connection.request(method, path, body=body, headers=kept)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 502, b""
        finally:
            connection.close()

    def _note(self, path: str, body: bytes) -> None:
        points = json.loads(body).get("points", []) if urlsplit(path).path.endswith("/points") else []
        payloads = [point["payload"] for point in points if isinstance(point, dict)]
        paths = frozenset(payload["file"]["path"] for payload in payloads if "file" in payload)  # others are tombstones
        with self._lock:
            self.acknowledged.append(Acknowledged(time.time(), paths))


def spoilt(rng: random.Random, share: float, fates: tuple[Fate, ...]) -> Callable[[bool], Fate]:
    """Spoil a share of the writes, and a third as many reads."""

    def choose(write: bool) -> Fate:
        spoil = rng.random() < (share if write else share / 3)
        return rng.choice(fates) if spoil else Fate.PASSED

    return choose


def _changes_points(method: str, path: str) -> bool:
    plain = urlsplit(path).path
    return (method == "PUT" and plain.endswith(("/points", "/points/payload"))) or plain.endswith("/points/delete")


def _answer(request: BaseHTTPRequestHandler, status: int, body: bytes, *, sent: int | None = None) -> None:
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body[:sent])


def _hang_up(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True
    with contextlib.suppress(OSError):  # the client has gone already
        request.connection.shutdown(socket.SHUT_RDWR)

"""The loopback server under connections that ask for nothing: real sockets, in a process with few descriptors."""

from __future__ import annotations

import logging
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from recq.index.edge import LoopbackServer, read_address
from recq.index.edge.address import Address
from recq.index.edge.connections import GREETS_WITHIN, Connections, TimeLimits
from recq.index.edge.descriptors import MOST, Room, raise_soft_limit, room_for
from recq.index.edge.throttle import Throttle
from tests.eventually import eventually

SERVING = """
import resource, sys, threading
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[3]), int(sys.argv[2])))
from recq.index.edge import EdgeEngine, LoopbackServer
folder = Path(sys.argv[1])
engine = EdgeEngine(folder / "edge")
with LoopbackServer(folder, engine):
    print("ready", flush=True)
    sys.stdin.read()
engine.close()
"""
VECTORS = {"vectors": {"image": {"size": 2, "distance": "Cosine"}}}
HALF_OPEN = 2_000


@dataclass
class Serving:
    """A process that serves an empty index."""

    address: Address
    errors: Path
    pid: int

    def connect(self) -> socket.socket:
        """A connection that says nothing yet."""
        host, port = self.address.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=30)

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """A client that knows the key."""
        headers = {"api-key": self.address.key}
        with httpx.Client(base_url=self.address.url, headers=headers, trust_env=False, timeout=20) as client:
            yield client

    def descriptors(self) -> int:
        """How many descriptors the process has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@contextmanager
def serving(tmp_path: Path, hard: int, soft: int | None = None) -> Iterator[Serving]:
    """A process whose limits of descriptors are `soft` (that of `hard`, when None) and `hard`."""
    folder, errors = tmp_path / "data", tmp_path / "errors"
    with errors.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVING, str(folder), str(hard), str(soft or hard)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n", errors.read_text()
            address = read_address(folder)
            assert address is not None
            yield Serving(address, errors, process.pid)
            assert process.poll() is None
            process.communicate(timeout=20)
            assert process.returncode == 0, errors.read_text()
        finally:
            process.kill()
            process.communicate()


@pytest.fixture(autouse=True)
def enough_descriptors() -> Iterator[None]:
    """This process holds the other end of them all."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if raise_soft_limit() < HALF_OPEN + 200:
        pytest.skip(f"this process may not open {HALF_OPEN} connections")
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def works(client: httpx.Client, name: str) -> None:
    """A collection is made, filled, asked and deleted: what needs descriptors, too."""
    assert client.put(f"/collections/{name}", json=VECTORS).status_code == 200
    point = {"id": 1, "vector": {"image": [1, 0]}}
    assert client.put(f"/collections/{name}/points?wait=true", json={"points": [point]}).status_code == 200
    assert client.post(f"/collections/{name}/points/count", json={}).json()["result"] == {"count": 1}
    assert client.delete(f"/collections/{name}").status_code == 200


@pytest.mark.parametrize("begun", [b"", b"POST /collections HTTP/1.1\r\nhost: x\r\nx-", b"GET"])
def test_a_client_with_the_key_gets_in_while_2000_half_open_connections_hang(tmp_path: Path, begun: bytes) -> None:
    with serving(tmp_path, hard=1024) as server, ExitStack() as stack, server.client() as before:
        works(before, "before")
        for number in range(HALF_OPEN):
            hanging = stack.enter_context(server.connect())
            if begun:
                hanging.send(begun)
            if number % 400 == 399:
                with server.client() as client:
                    works(client, "during")
        started = time.monotonic()
        with server.client() as client:
            works(client, "after")
        works(before, "again")
        assert time.monotonic() - started < 5
        assert server.descriptors() < 1024 - 256
    assert server.errors.stat().st_size < 5_000, "a line a minute, not one for each"


def test_a_client_gets_in_while_those_with_the_key_do_not_end_their_bodies(tmp_path: Path) -> None:
    with serving(tmp_path, hard=1024) as server, ExitStack() as stack:
        begun = f"PUT /collections/x HTTP/1.1\r\nhost: x\r\napi-key: {server.address.key}\r\n"
        for _ in range(room_for(1024).connections + 50):
            hanging = stack.enter_context(server.connect())
            hanging.send(f"{begun}content-length: 900\r\n\r\n{{".encode())

        def gets_in() -> bool:
            try:
                with server.client() as client:
                    works(client, "during")
            except httpx.TransportError:
                return False
            return True

        started = time.monotonic()
        eventually(gets_in, within=20)
        assert time.monotonic() - started < TimeLimits().body / 2
        for _ in range(20):  # and from then on each
            with server.client() as client:
                works(client, "after")


def test_few_descriptors_leave_the_index_its_own(tmp_path: Path) -> None:
    with serving(tmp_path, hard=256) as server, ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(server.connect())
        with server.client() as client:
            works(client, "here")
    assert server.errors.stat().st_size < 5_000


def test_the_soft_limit_is_raised_to_the_hard_one(tmp_path: Path) -> None:
    with serving(tmp_path, hard=2048, soft=200) as server:
        limits = Path(f"/proc/{server.pid}/limits").read_text().splitlines()
    (files,) = [line.split()[3:5] for line in limits if line.startswith("Max open files")]
    assert files == ["2048", "2048"]


@pytest.mark.parametrize("descriptors", [64, 100, 256, 1024, 4096, MOST])
def test_connections_never_take_the_descriptors_of_the_index(descriptors: int) -> None:
    room = room_for(descriptors)
    assert room.connections + 2 * room.backlog <= descriptors - min(256, descriptors // 2)
    assert room.connections >= 8
    assert room_for(4096) == Room(512, 32)


@dataclass(eq=False)
class New:
    """In place of a connection that has just come."""

    since: float
    ended: bool = False

    def abort(self) -> None:
        self.ended = True


def test_who_has_just_come_is_not_closed_for_the_next_ones() -> None:
    """Its request is on its way: so others are accepted when there is room without it."""
    book = Connections(room := Room(64, 4), lambda _: False)
    come: list[New] = []

    def all_that_may(now: float) -> int:
        count = 0
        while book.has_room(now):
            for _ in range(2 * room.backlog):  # so many are on their way when there is no more
                come.append(New(now))
                book.admit(come[-1])  # type: ignore[arg-type]
                count += 1
        return count

    first = all_that_may(0.0)
    assert 2 * room.backlog < first <= room.connections // 2
    assert all_that_may(GREETS_WITHIN / 2) == 0
    assert not any(each.ended for each in come)
    for now in (GREETS_WITHIN, 2 * GREETS_WITHIN, 3 * GREETS_WITHIN):
        assert all_that_may(now)
        young = [each for each in come if now - each.since < GREETS_WITHIN]
        assert young
        assert not any(each.ended for each in young)
    assert any(each.ended for each in come)
    assert len(book) <= room.connections


def test_however_few_there_is_room_for_somebody_gets_in() -> None:
    book = Connections(Room(8, 8), lambda _: False)
    assert book.has_room(0.0)
    book.admit(New(0.0))  # type: ignore[arg-type]
    assert not book.has_room(0.1)
    assert book.has_room(GREETS_WITHIN)


QUICK = TimeLimits(headers=0.3, body=0.4, idle=0.3, answer=0.3)


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[LoopbackServer]:
    def large(method: str, body: bytes) -> tuple[int, dict[str, object]]:
        return 200, {"length": len(body), "much": "x" * 30_000_000 if method == "GET" else ""}

    with LoopbackServer(tmp_path, None, {"/large": large}, QUICK) as server:
        yield server


def open_to(server: LoopbackServer) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def head(server: LoopbackServer, method: str, key: str, more: str = "") -> bytes:
    host = server.url.removeprefix("http://")
    return f"{method} /large HTTP/1.1\r\nhost: {host}\r\napi-key: {key}\r\n{more}\r\n".encode()


def closed_after(connection: socket.socket, drip: bytes = b"", every: float = 0.02) -> tuple[float, bytes]:
    """Seconds until the other side closed, and what it had sent; `drip` is sent meanwhile, a byte at a time."""
    started, got, left = time.monotonic(), b"", list(drip)
    while time.monotonic() - started < 10:
        readable, _, _ = select.select([connection], [], [], every)
        try:
            if readable:
                some = connection.recv(1 << 16)
                got += some
                if not some:
                    break
            if left:
                connection.send(bytes([left.pop(0)]))
        except ConnectionError:
            break
    return time.monotonic() - started, got


def test_a_connection_that_says_nothing_is_closed(quick: LoopbackServer) -> None:
    with open_to(quick) as connection:
        seconds, got = closed_after(connection)
    assert 0.2 < seconds < 3
    assert got == b""


def test_headers_that_trickle_in_are_cut_off(quick: LoopbackServer) -> None:
    with open_to(quick) as connection:
        seconds, _ = closed_after(connection, head(quick, "GET", quick.key)[:-2] + b"x-more: " + b"a" * 1000)
    assert seconds < 3


@pytest.mark.parametrize("known", [True, False])
def test_a_body_that_trickles_in_is_cut_off(quick: LoopbackServer, known: bool) -> None:
    """Also where the answer, a refusal, has been given long before."""
    key = quick.key if known else "wrong"
    with open_to(quick) as connection:
        connection.send(head(quick, "POST", key, "content-length: 100000\r\n"))
        seconds, got = closed_after(connection, b"a" * 1000)
    assert 0.2 < seconds < 3
    assert got.startswith(b"" if known else b"HTTP/1.1 401")


@pytest.mark.parametrize("second", [b"", b"GET /large HTTP/1.1\r\nx-more: " + b"a" * 1000])
def test_a_connection_is_closed_between_requests_and_in_a_second_one(quick: LoopbackServer, second: bytes) -> None:
    with open_to(quick) as connection:
        connection.send(head(quick, "POST", quick.key, "content-length: 0\r\n"))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        seconds, _ = closed_after(connection, second)
    assert 0.2 < seconds < 3


@pytest.mark.parametrize("more", ["", "connection: close\r\n"])
def test_an_answer_that_nobody_takes_is_dropped(quick: LoopbackServer, more: str) -> None:
    with open_to(quick) as connection:
        connection.send(head(quick, "GET", quick.key, more))
        port = connection.getsockname()[1]
        assert connection.recv(1) == b"H"  # it has begun, and no more of it is read
        eventually(lambda: _established(port) == 0, within=30)


def _established(port: int) -> int:
    """How many sockets of this process are connected to the local port."""
    return sum(
        1
        for each in psutil.Process().net_connections("tcp")
        if each.raddr and each.raddr.port == port and each.status == psutil.CONN_ESTABLISHED
    )


def test_a_slow_answer_is_waited_for(tmp_path: Path) -> None:
    """The time-outs are the client's: what the daemon needs is its own affair."""

    def slow(method: str, body: bytes) -> tuple[int, dict[str, object]]:
        time.sleep(1)
        return 200, {}

    with LoopbackServer(tmp_path, None, {"/slow": slow}, QUICK) as server:
        answer = httpx.post(f"{server.url}/slow", content=b"a", headers={"api-key": server.key}, trust_env=False)
    assert answer.status_code == 200


def test_a_repeated_line_is_logged_once_a_minute_with_the_number_left_out(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    logger = logging.getLogger("tests.throttle")
    throttle = Throttle(60, lambda: now[0])
    logger.addFilter(throttle)
    try:
        for _ in range(1001):
            logger.warning("lost %d", 1)
        logger.warning("another")
        now[0] = 61
        logger.warning("lost %d", 2)
    finally:
        logger.removeFilter(throttle)
    assert [record.getMessage() for record in caplog.records] == [
        "lost 1", "another", "lost 2 (and 1,000 times more since the last)",
    ]  # fmt: skip


def test_requests_that_are_no_http_do_not_fill_the_log(tmp_path: Path) -> None:
    with serving(tmp_path, hard=1024) as server:
        for _ in range(200):
            with server.connect() as connection:
                connection.send(b"\0\1\2\r\n\r\n")
                assert b"400" in connection.recv(4096)
    assert server.errors.stat().st_size < 1_000

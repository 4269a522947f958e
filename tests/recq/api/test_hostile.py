"""Hostile clients of a running `recq serve`: refused, logged once, others are answered, and it ends within 5 s.

Each kind is what a client does on connections of its own; `begin` leaves them open, for the end of the service to find
them so.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from recq import paths
from recq.index.edge.descriptors import raise_soft_limit
from tests.ingest.running import Place
from tests.recq.api.test_gate import bomb
from tests.recq.api.test_serve import Serving, place, serving

__all__ = ["place"]

OPERATE, READ = "operates-in-this-test", "reads-in-this-test"
PREFIX = "/api/v1"
MOST_MEMORY = 1_500_000_000
"""Bytes of the service and its decoding processes, whatever it is sent: the network takes 300 MB of them."""


@dataclass(frozen=True)
class Client:
    """A hostile client: what it opens stays open until `open` is closed."""

    port: int
    open: ExitStack

    def connection(self) -> socket.socket:
        """A new connection; it waits for nothing longer than a minute."""
        connection = self.open.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=60))
        connection.settimeout(60)
        return connection

    def sent(self, *parts: bytes) -> int:
        """The status of the answer to bytes as they are; 0 where the connection was cut."""
        connection = self.connection()
        with suppress(ConnectionResetError, BrokenPipeError):
            for part in parts:
                connection.sendall(part)
        with suppress(ConnectionResetError):
            found = re.match(rb"HTTP/1\.1 (\d{3})", connection.recv(65536))
            return int(found[1]) if found else 0
        return 0

    def asked(self, method: str, path: str, body: bytes = b"", *more: str, token: str = READ) -> int:
        """The status of the answer to a request; the path is sent as it is."""
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}", *more]
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json", "Connection: close"]
        return self.sent("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"), body)

    def posted(self, route: str, **document: object) -> int:
        """The status of the answer to a document."""
        return self.asked("POST", PREFIX + route, json.dumps(document).encode())


def traversal(client: Client) -> list[int]:
    ids = ["..", "../..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%252e%252e%252f", "..\\..\\", "%00", "/etc/passwd", "-"]
    found = [
        client.asked("GET", f"{PREFIX}/items/{each}{part}") for each in ids for part in ("", "/image", "/thumbnail")
    ]
    found += [client.asked("GET", each) for each in ("/../../etc/passwd", f"{PREFIX}/../../etc/passwd", "//etc/passwd")]
    targets = [
        "/etc/passwd",
        "../../etc/passwd",
        "file:///etc/passwd",
        "/proc/self/environ",
        "-",
        "\0",
        "http://127.0.0.1",
    ]
    found += [client.posted("/similar", target=each) for each in targets]
    found += [client.posted("/similar", target={"target": each, "region": "0,0,9,9"}) for each in targets]
    found += [client.posted("/explain", target=each, result=each) for each in targets]
    return found + [
        client.posted("/search", catalog=each) for each in ("../images", "/etc", "images--", "", "a" * 9_999)
    ]


def ids_of_others(client: Client) -> list[int]:
    ids = [paths.item_id("elsewhere", "tent.jpg", False), "00000000-0000-0000-0000-000000000000", "tent.jpg"]
    return [
        client.asked("GET", f"{PREFIX}/items/{each}{part}") for each in ids for part in ("", "/image", "/thumbnail")
    ]


def bombs(client: Client) -> list[int]:
    found = []
    for content in (
        bomb(20_000),
        bomb(2_000_000),
        bomb(60_000),
        b"GIF89a" + b"\xff" * 9_000,
        gzip.compress(bytes(10**7)),
    ):
        found.append(client.asked("POST", f"{PREFIX}/similar/picture", content, "Content-Encoding: gzip"))
        found.append(client.posted("/similar", target={"picture": b64encode(content).decode()}))
    return found


def slow_uploads(client: Client) -> list[int]:
    """They stop in the middle; the time limits are the long form's."""
    head = f"POST {PREFIX}/similar/picture HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {READ}\r\n"
    for _ in range(40):
        client.connection().sendall(f"{head}Content-Length: 9000000\r\n\r\n".encode() + bytes(60_000))
        client.connection().sendall(head.encode()[:60])
        client.connection().sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n5\r\nab".encode())
    return []


def unfinished_uploads(client: Client) -> list[int]:
    """More than there is room for."""
    for _ in range(600):
        with suppress(OSError):
            client.connection().sendall(
                f"POST {PREFIX}/search HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {READ}\r\n"
                "Content-Length: 900\r\n\r\n{".encode()
            )
    return []


def large_headers(client: Client) -> list[int]:
    start = f"GET {PREFIX}/fields HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()
    return [
        client.sent(start, b"X: " + b"x" * 30_000_000 + b"\r\n\r\n"),
        client.sent(start, *(b"X-%d: %s\r\n" % (number, b"x" * 100) for number in range(100_000)), b"\r\n"),
        client.sent(b"GET /" + b"x" * 30_000_000 + b" HTTP/1.1\r\n\r\n"),
    ]


def wrong_tokens(client: Client) -> list[int]:
    guesses = [*(f"guess-{number}" for number in range(150)), READ[:-1], f"{READ}x", "", "\udcff" * 9, "x" * 9_999]
    return [client.asked("GET", f"{PREFIX}/fields", token=each) for each in guesses]


def a_flood(client: Client) -> list[int]:
    """Of one client behind the proxy."""
    return [client.asked("GET", f"{PREFIX}/items/none", b"", "X-Forwarded-For: 203.0.113.7") for _ in range(400)]


def many_addresses(client: Client) -> list[int]:
    """Each guesses once, as a client with an IPv6 network of its own can."""
    addresses = [f"2001:db8:{number:x}::1" for number in range(300)] + [
        "no address",
        "203.0.113.9, " * 900 + "203.0.113.9",
        "\0",
    ]
    return [
        client.asked("GET", f"{PREFIX}/fields", b"", f"X-Forwarded-For: {each}", token=f"guess-{number}")
        for number, each in enumerate(addresses)
    ]


def beyond_the_role(client: Client) -> list[int]:
    return [client.posted("/retry") for _ in range(50)]


def idle_connections(client: Client) -> list[int]:
    for _ in range(1_500):
        with suppress(OSError):  # one more than there is room for takes the place of another
            client.connection()
    return []


def large_filters(client: Client) -> list[int]:
    many = [f"price={number}" for number in range(60_000)]
    long = [client.posted("/search", filters=many), client.posted("/similar", target="tent.jpg", filters=many)]
    long.append(client.posted("/search", any_of=[" || ".join(many)]))
    long.append(client.posted("/duplicates", filters=many))
    long.append(client.posted("/evaluate", label="category", query_filters=many))
    query = "&".join(f"filters={each}" for each in many[:1_500])
    return [
        *long,
        client.asked("GET", f"{PREFIX}/search?{query}"),
        client.asked("GET", f"{PREFIX}/facets/price?{query}"),
    ]


def no_http(client: Client) -> list[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with suppress(OSError):
        context.wrap_socket(client.connection())
    twice = f"POST {PREFIX}/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n{{}}"
    both = (
        f"POST {PREFIX}/search HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{{}}"
    )
    upgrade = f"GET {PREFIX}/fields HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    origin = f"GET {PREFIX}/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://[\r\nConnection: close\r\n\r\n"
    return [
        client.sent(each.encode())
        for each in (twice, both, upgrade, origin, "\0\0\0\0\r\n\r\n", "GET /\r\n\r\n", "\r\n" * 99)
    ]


def strange_documents(client: Client) -> list[int]:
    route = f"{PREFIX}/similar"
    bodies = [
        b"[" * 200_000,
        b'{"target": ' * 900 + b"1" + b"}" * 900,
        b"\xff\xfe",
        b'{"target": "\\ud800"}',
        b"{" * 99,
    ]
    found = [client.asked("POST", route, each) for each in bodies]
    found += [client.posted("/similar", target="a/" * count + "b") for count in (4_000, 30_000, 400_000)]
    found.append(client.posted("/similar/batch", targets=["tent.jpg"] * 1_001))
    found.append(client.posted("/similar", target={"vector": [1e308] * 65_537}))
    return [*found, client.posted("/search", k=10**30), client.posted("/similar", target="tent.jpg", offset=-1)]


@dataclass(frozen=True)
class Kind:
    """What a hostile client does, and the answers that it may get; 0 is a connection that is cut."""

    begin: Callable[[Client], list[int]]
    answers: frozenset[int]


def kind(begin: Callable[[Client], list[int]], *answers: int) -> Kind:
    return Kind(begin, frozenset(answers))


KINDS = {
    "traversal": kind(traversal, 400, 404, 422),
    "ids of other sources": kind(ids_of_others, 404),
    "bombs": kind(bombs, 422),
    "slow uploads": kind(slow_uploads),
    "600 unfinished uploads": kind(unfinished_uploads),
    "large headers": kind(large_headers, 0, 400, 431),
    "wrong tokens": kind(wrong_tokens, 0, 401, 429),
    "a flood": kind(a_flood, 404, 429),
    "many addresses": kind(many_addresses, 0, 400, 401),
    "what the token may not": kind(beyond_the_role, 403),
    "large filters": kind(large_filters, 0, 400),
    "no HTTP": kind(no_http, 0, 400, 401, 403),
    "strange documents": kind(strange_documents, 400, 404, 422),
    "1,500 idle connections": kind(idle_connections),
}


@pytest.fixture
def service(place: Place) -> Iterator[Serving]:
    """It believes a proxy on this machine, which nobody else here is."""
    env = {"RECQ_TOKEN": OPERATE, "RECQ_READ_TOKEN": READ, "RECQ_API_PROXIES": '["127.0.0.1"]', "RECQ_RATE": "1"}
    with serving(place, RECQ_DECODE_TIMEOUT="5", **env) as service:
        yield service


def client_of(service: Serving, open_: ExitStack) -> Client:
    raise_soft_limit()
    return Client(int(service.url.split(":")[2].partition("/")[0]), open_)


def fair(service: Serving) -> float:
    """The seconds that a client with a good question waits."""
    began = time.monotonic()
    reply = httpx.get(
        f"{service.url}/similar",
        params={"target": "tent.jpg"},
        headers={"Authorization": f"Bearer {READ}"},
        timeout=60,
    )
    assert reply.status_code == 200, reply.text
    return time.monotonic() - began


def memory(service: Serving) -> int:
    """Bytes of its processes."""
    process = psutil.Process(service.process.pid)
    return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])


def logged_once(service: Serving) -> None:
    """Each kind of line once, and no token in any."""
    said = "".join(service.said)
    assert OPERATE not in said
    assert READ not in said
    assert "Traceback" not in said, said
    lines = Counter(re.sub(r"\d+|'[^']*'", "_", line) for line in service.said if "answering at" not in line)
    assert not [line for line, count in lines.items() if count > 1], service.said
    assert len(said) < 5_000


def met(service: Serving, client: Client, name: str) -> None:
    """The kind, with a fair client beside it."""
    found = KINDS[name].begin(client)
    assert 429 in found or 429 not in KINDS[name].answers, f"{name}: {Counter(found)}"
    assert set(found) <= KINDS[name].answers, f"{name}: {Counter(found)}"
    assert fair(service) < 10, name


def test_all_of_them_are_refused_and_the_service_goes_on(service: Serving) -> None:
    """One after the other, and the connections of all are left open; then it ends in time nevertheless."""
    with ExitStack() as open_:
        client = client_of(service, open_)
        fair(service)
        for name in KINDS:
            met(service, client, name)
        assert memory(service) < MOST_MEMORY
        code, seconds = service.stop()
    assert (code, seconds < 5) == (0, True), seconds
    logged_once(service)


@pytest.mark.parametrize(
    "name", [name if name == "slow uploads" else pytest.param(name, marks=pytest.mark.long) for name in KINDS]
)
def test_it_ends_in_time_in_the_middle_of_each(service: Serving, name: str) -> None:
    with ExitStack() as open_:
        client, begun, ended = client_of(service, open_), threading.Event(), threading.Event()

        def again() -> None:
            while not ended.is_set():
                with suppress(OSError):
                    KINDS[name].begin(client)
                begun.set()

        fair(service)
        clients = [threading.Thread(target=again, daemon=True) for _ in range(4)]
        for each in clients:
            each.start()
        begun.wait(2)
        code, seconds = service.stop()
        ended.set()
        for each in clients:
            each.join(90)
    print(f"{name}: ended after {seconds:.1f} s")
    assert (code, seconds < 5) == (0, True), seconds
    logged_once(service)


@pytest.mark.long
def test_who_is_slow_or_idle_is_cut_off(service: Serving) -> None:
    """Uploads that have stopped, and 1,500 connections that ask nothing: none is left after a minute."""
    with ExitStack() as open_:
        client = client_of(service, open_)
        slow_uploads(client)
        idle_connections(client)
        process, waits = psutil.Process(service.process.pid), []
        deadline = time.monotonic() + 90
        while (left := len(process.net_connections())) > 3 and time.monotonic() < deadline:
            waits.append(fair(service))
            time.sleep(1)
        print(f"{left} left, others waited {max(waits):.2f} s at the most")
        assert left <= 3
        assert max(waits) < 5


@pytest.mark.long
def test_all_at_once_for_a_minute(service: Serving, tmp_path: Path) -> None:
    with ExitStack() as open_:
        ended = threading.Event()
        failures: list[int] = []

        def again(name: str) -> None:
            while not ended.is_set():
                with ExitStack() as mine, suppress(OSError):
                    found = KINDS[name].begin(client_of(service, mine))
                    failures.extend(each for each in found if each >= 500 and each != 503)

        clients = [threading.Thread(target=again, args=(name,), daemon=True) for name in KINDS]
        fair(service)
        for each in clients:
            each.start()
        deadline, waits, most = time.monotonic() + 60, [], 0
        while time.monotonic() < deadline:
            waits.append(fair(service))
            most = max(most, memory(service))
        code, seconds = service.stop()
        ended.set()
        for each in clients:
            each.join(90)
        open_.close()
    waits.sort()
    print(f"{len(waits)} answers, half within {waits[len(waits) // 2]:.2f} s, all within {waits[-1]:.2f} s; ", end="")
    print(f"{most / 1e6:.0f} MB at the most; ended after {seconds:.1f} s")
    assert failures == []
    assert (code, seconds < 5, most < MOST_MEMORY) == (0, True, True)
    logged_once(service)

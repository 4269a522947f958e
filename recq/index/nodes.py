"""Which node of a server a request goes to: the one that answered last, and the next one where it does not answer.

`RECQ_URL` may name several nodes of one cluster. A request that reads is sent again to the next node whatever happened
to it, and where there is no other, once to the same one if the connection broke; a write by ids, of which a second one
changes nothing, where the connection broke or the node answered with an internal error; what makes, deletes or renames
a collection only where it was never sent. All tries of one request together have the time that one had
(`connect_timeout`, `request_timeout`): each node has half of what is left, the last one all of it, and a write all of
it at each.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import partial
from urllib.parse import urlsplit

import httpx
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException

from recq.index.errors import NoNode, said, translated
from recq.index.hopeless import hopeless
from recq.index.local_connections import LocalConnections
from recq.settings import Settings, shown_url

Send = Callable[[httpx.Request], httpx.Response]

_PORT = 6333  # the client's, for an address without one
_SHORTEST = 0.05  # seconds for a connection, however little time is left
_CONNECTED_WITHIN = 1.0  # seconds for one to the next node, when another one took all the time for its answer

_READ = re.compile(r"/collections/[^/]+/(points(/(scroll|query|count|search|recommend|discover)(/.*)?)?|facet)")
_BY_ID = re.compile(r"/collections/[^/]+/(points|index)(/.*)?")
_COLLECTION = re.compile(r"/collections/[^/]+")

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_BROKEN = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
"""Ends of a connection, which mostly was kept open since an earlier request: the server may have closed it meanwhile,
or the client's own pool, of another thread's request (httpcore 1.0). A new connection shows whether it is the server.
"""

_AWAY = frozenset({500, 502, 503, 504, 507})
"""Answers of a node that cannot, though another one may."""


class Kind(IntEnum):
    """What a second sending of a request would do."""

    ONCE = 0  # it may fail, or undo what came between
    AGAIN = 1  # it writes what is there already
    READS = 2


def kind_of(method: str, path: str) -> Kind:
    """The kind of a request to Qdrant's REST API, by its path without the address's own."""
    if method == "GET" or (method == "POST" and _READ.fullmatch(path)):
        return Kind.READS
    if _BY_ID.fullmatch(path) or (method == "PATCH" and _COLLECTION.fullmatch(path)):  # metadata, key by key
        return Kind.AGAIN
    return Kind.ONCE


def may_go_on(kind: Kind, error: Exception) -> bool:
    """Whether a request that failed so may be sent to the next node. A write that was not answered in time may still be
    under way, and is left to who sent it."""
    if isinstance(error, _NEVER_SENT):
        return True
    broken = isinstance(error, httpx.TransportError)
    return broken and (kind is Kind.READS or (kind is Kind.AGAIN and not isinstance(error, httpx.TimeoutException)))


def base_of(address: str) -> httpx.URL:
    """Where the client sends its requests for an address: host, port and path. Raises ValueError."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    try:
        return httpx.URL(
            f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{parts.port or _PORT}{parts.path.rstrip('/')}"
        )
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from error


class Nodes:
    """The middleware of a client whose `addresses` are those of one server, or of nodes of one cluster.

    Until it is `connected`, all requests together wait at most `seconds` for a connection; a server that accepts it may
    be slow, and gets at least `first` seconds for its answer. Raises ValueError for an impossible address.
    """

    def __init__(self, addresses: Sequence[str], settings: Settings, seconds: float, first: float) -> None:
        self.connected = False
        self.seconds = seconds
        self._addresses = tuple(addresses)
        self._bases = tuple(map(base_of, addresses))
        self._deadline = time.monotonic() + seconds
        self._connect = settings.connect_timeout
        self._first = first
        self._at = 0
        self._failures: dict[int, Exception] = {}

    @property
    def answering(self) -> str:
        """The address that is asked now, without what may be secret in it: after an answer, the one that gave it."""
        return shown_url(self._addresses[self._at])

    def hopeless(self) -> str | None:
        """Why none of the nodes can ever be reached; None where one may answer later."""
        found = {at: hopeless(error, self._addresses[at]) for at, error in tuple(self._failures.items())}
        reasons = [
            f"the server at {shown_url(self._addresses[at])} cannot be used: {why}" for at, why in found.items() if why
        ]
        return reasons[0] if len(reasons) == len(self._addresses) else None

    def __call__(self, request: httpx.Request, send: Send) -> httpx.Response:
        """The answer of the first node that gives one. Raises the last one's error."""
        began, beginning, count = time.monotonic(), self._at, len(self._bases)
        own = request.url
        rest = own.raw_path[len(self._bases[0].raw_path.rstrip(b"/")) :]
        kind = kind_of(request.method, rest.partition(b"?")[0].decode("ascii"))
        given, told = dict(request.extensions.get("timeout", {})), list[str]()
        for turn in range(count):
            at, last = (beginning + turn) % count, turn == count - 1
            base = self._bases[at]
            _send_to(request, own if at == 0 else base.copy_with(raw_path=base.raw_path.rstrip(b"/") + rest))
            parted = 1 if last else 2
            try:
                response = self._sent(request, send, kind, partial(self._limits, given, began, parted, kind))
            except ResponseHandlingException as error:
                self._failures[at] = error
                told.append(f"{shown_url(self._addresses[at])}: {str(error.source) or type(error.source).__name__}")
                if self._at == at:  # the next request, of whatever thread, need not try it again
                    self._at = (at + 1) % count
                if last or not may_go_on(kind, error.source):
                    if len(told) > 1:
                        raise NoNode(error.source, "; ".join(told)) from error
                    raise
                continue
            if last or kind is Kind.ONCE or response.status_code not in _AWAY:
                self._failures.pop(at, None)
                if response.status_code not in _AWAY:
                    self._at = at
                return response
            told.append(f"{shown_url(self._addresses[at])}: {response.status_code} {said(response.content)}")
        raise AssertionError("the last node's answer is returned, its error raised")

    def _sent(
        self, request: httpx.Request, send: Send, kind: Kind, limits: Callable[[], dict[str, float | None]]
    ) -> httpx.Response:
        """The answer of one node, each try within its `limits`. Raises what the last try did."""
        request.extensions["timeout"] = limits()
        try:
            return _without_circle(send(request))
        except ResponseHandlingException as error:
            if len(self._bases) > 1 or kind is not Kind.READS or not isinstance(error.source, _BROKEN):
                raise
        request.extensions["timeout"] = limits()
        return _without_circle(send(request))

    def _limits(self, given: dict[str, float | None], began: float, parted: int, kind: Kind) -> dict[str, float | None]:
        """The timeouts of a try now, for a request of that time that has one of so many parts of what is left."""
        spent = time.monotonic() - began
        if not self.connected:
            left = max(_SHORTEST, self._deadline - time.monotonic())
            return given | {"connect": left / parted, "read": max(left, self._first) / parted}
        connect = max(self._connect - spent, min(self._connect, _CONNECTED_WITHIN)) / parted
        read = given.get("read")
        if read is not None and kind is Kind.READS:
            read = max(read - spent, min(read, _CONNECTED_WITHIN)) / parted
        return given | {"connect": connect, "read": read}


def _without_circle(answer: httpx.Response) -> httpx.Response:
    """The answer, whose stream has it in turn with httpx's client: request and answer, megabytes with vectors in them,
    would stay until garbage is looked for, which goes by the number of objects."""
    if answer.is_closed:  # it has been read
        answer.stream = httpx.ByteStream(b"")
    return answer


def _send_to(request: httpx.Request, url: httpx.URL) -> None:
    request.url = url
    request.headers["Host"] = url.netloc.decode("ascii")


class ServerClient(QdrantClient):
    """The client of a server, or of the nodes of a cluster."""

    nodes: Nodes
    connections: LocalConnections | None = None
    """Those to a server on this machine."""


def node_of(client: QdrantClient) -> str | None:
    """The node of a server that answers a client, as its address; None for an embedded index."""
    return client.nodes.answering if isinstance(client, ServerClient) else None


@translated
def cluster_of(client: QdrantClient) -> list[str]:
    """The nodes of the cluster that one of them knows, by their numbers; none for a server by itself. Raises
    IndexRefused and IndexUnreachable."""
    found = client.http.client.request(type_=dict, method="GET", url="/cluster").get("result", {})
    return sorted(found.get("peers", {})) if found.get("status") == "enabled" else []

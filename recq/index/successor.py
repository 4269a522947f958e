"""Asks whoever has an embedded folder now, where the daemon that was asked goes in the middle of a question.

A daemon that is killed takes the answers under way with it and nothing else: what it had acknowledged is in the folder.
So the request is sent again, to a daemon that has started since, or to the folder, which is opened for the rest of the
question. Only requests that read are: whether one that writes was carried out is not known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import TYPE_CHECKING

import httpx
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException

from recq.errors import RecqError
from recq.index.connect import DaemonClient, connect

if TYPE_CHECKING:
    from recq.settings import Settings

Send = Callable[[httpx.Request], httpx.Response]


@contextmanager
def connect_for_questions(settings: Settings) -> Iterator[QdrantClient]:
    """`recq.index.connect.connect`, and a client that goes on when the daemon of an embedded folder ends.

    A request waits up to `lock_wait` for whoever has the folder next, and raises what `connect` raises then.
    """
    with ExitStack() as stack:
        client = stack.enter_context(connect(settings))
        if isinstance(client, DaemonClient):
            client.http.client.add_middleware(_Successors(settings, client, stack))
        yield client


class _Successors:
    """Sends each request to the first one asked, or to who came after it. What is opened, `stack` closes."""

    def __init__(self, settings: Settings, first: DaemonClient, stack: ExitStack) -> None:
        self._settings = settings
        self._first = first
        self._stack = stack
        self._asked: QdrantClient = first
        self._opening = Lock()
        self._failure: RecqError | None = None
        """Of the last opening, for those who waited for it."""

    def __call__(self, request: httpx.Request, send: Send) -> httpx.Response:
        deadline: float | None = None
        while True:
            asked = self._asked
            try:
                return send(request) if asked is self._first else _sent(request, asked)
            except ResponseHandlingException as error:
                if deadline is None:
                    deadline = time.monotonic() + self._settings.lock_wait
                if time.monotonic() >= deadline or not _has_gone(error) or not _only_reads(request):
                    raise
            self._replace(asked, deadline)

    def _replace(self, gone: QdrantClient, deadline: float) -> None:
        """Open what there is after `gone`, unless another thread has. Raises what `connect` raises.

        Threads come one after the other, but wait together: whoever has no time left when its turn comes raises what
        the one before it has met.
        """
        with self._opening:
            if self._asked is not gone:
                return
            left = deadline - time.monotonic()  # only now: those before it may have taken it
            if left <= 0 and self._failure is not None:
                raise self._failure
            settings = self._settings.model_copy(update={"lock_wait": max(left, 0.0)})
            try:
                self._asked = self._stack.enter_context(connect(settings))
            except RecqError as error:
                self._failure = error
                raise
            self._failure, self._first.succeeded = None, True


def _sent(request: httpx.Request, client: QdrantClient) -> httpx.Response:
    """The answer of another client to a request that was made for the first one."""
    if isinstance(client, DaemonClient):
        request.url = request.url.copy_with(netloc=httpx.URL(client.address.url).netloc)
        request.headers.update({"Host": request.url.netloc.decode(), "api-key": client.address.key})
    return client.http.client.send_inner(request)


def _has_gone(error: ResponseHandlingException) -> bool:
    """Whether nobody is at the other end any more: one who is slow is."""
    return isinstance(error.source, httpx.TransportError) and not isinstance(error.source, httpx.TimeoutException)


def _only_reads(request: httpx.Request) -> bool:
    from recq.index.edge.routes import only_reads

    return only_reads(request.method, request.url.raw_path.partition(b"?")[0].decode("ascii"))

"""Changes as answers that wait for some, and as a stream of server-sent events."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import anyio
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from recq.api.documents import HEADERS, answer
from recq.api.errors import Busy, document_of
from recq.api.service import Service
from recq.errors import IndexError_, RecqError
from recq.index.changes import Changes

LOOK_EVERY = 0.5
"""Seconds between two looks at the index."""

MOST_FOLLOWING = 64
"""Clients that follow at a time, with a stream or a question that waits: each has the index looked at again and again,
in the threads that all questions share."""

_HEARTBEAT = 15.0  # seconds without an event until a comment shows that the stream lives, and a dead client is noticed
_AT_ONCE = 100  # changes that a stream reads at a time


class Following:
    """Reads the changes of the catalogs of a service for those who wait. For the event loop's thread."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._taken = 0

    async def changes(self, catalog: str | None, since: str | None, limit: int, wait: float) -> Response:
        """The changes since a cursor; where there are none, those that come within `wait` seconds.

        The response raises Busy where too many wait.
        """
        deadline = time.monotonic() + wait
        found = await self._read(catalog, since, limit)
        if found.changes or wait <= 0:  # it needs no place
            return answer(found.to_json())
        return _InAPlace(self._place, lambda client: self._waited(catalog, found, limit, deadline, client))

    async def stream(self, catalog: str | None, since: str | None) -> Response:
        """The changes since a cursor, and all that come, as server-sent events. The response raises Busy for one too
        many, and what is wrong with the question."""
        return _InAPlace(self._place, lambda _: self._streamed(catalog, since))

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of the places there are. Raises Busy where all are taken."""
        if self._taken >= MOST_FOLLOWING:
            raise Busy
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def _waited(
        self, catalog: str | None, found: Changes, limit: int, deadline: float, client: Request
    ) -> Response:
        """The next changes after `found`, which has none; as it is at the deadline, or when the client has left."""
        while (left := deadline - time.monotonic()) > 0:
            if found.changes or self._service.ending.is_set() or await client.is_disconnected():
                break
            await anyio.sleep(min(LOOK_EVERY, left))
            found = await self._read(catalog, str(found.cursor), limit)
        return answer(found.to_json())

    async def _streamed(self, catalog: str | None, since: str | None) -> Response:
        first = await self._read(catalog, since, _AT_ONCE)  # what is wrong with the question is an answer of its own
        return StreamingResponse(self._events(catalog, first), media_type="text/event-stream", headers=HEADERS)

    async def _events(self, catalog: str | None, found: Changes) -> AsyncIterator[str]:
        yield ": recq\n\n"
        told = time.monotonic()
        while not self._service.ending.is_set():
            for change in found.changes:
                yield event(change.kind.value, change.to_json(), id=change.cursor)
                told = time.monotonic()
            if not found.more:
                await anyio.sleep(LOOK_EVERY)
                if time.monotonic() - told >= _HEARTBEAT:
                    yield ":\n\n"
                    told = time.monotonic()
            try:
                found = await self._read(catalog, str(found.cursor), _AT_ONCE)
            except IndexError_:  # a daemon starts or ends, or a server is away: it comes back
                found = Changes((), found.cursor)
            except RecqError as error:
                yield event("error", document_of(error))
                return

    async def _read(self, catalog: str | None, since: str | None, limit: int) -> Changes:
        ask: Callable[[], Changes] = lambda: self._service.ask(  # noqa: E731
            catalog, lambda at: at.catalog.changes(since, limit=limit)
        )
        return await run_sync(ask)


class _InAPlace(Response):
    """The answer to a client that follows: it has a place from before it is found until its last byte is sent.

    A stream that took it with its first event would take it too late: all of many that come at once would find it free.
    """

    def __init__(
        self, place: Callable[[], AbstractContextManager[None]], find: Callable[[Request], Awaitable[Response]]
    ) -> None:
        super().__init__()
        self._place = place
        self._find = find

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find the answer and send it. Raises what finding it raises, before anything is sent."""
        with self._place():
            found = await self._find(Request(scope, receive))
            await found(scope, receive, send)


def event(kind: str, data: dict[str, Any], *, id: str | None = None) -> str:
    """One server-sent event."""
    head = f"event: {kind}\n" if id is None else f"event: {kind}\nid: {id}\n"
    return f"{head}data: {json.dumps(data, ensure_ascii=True)}\n\n"

"""Changes as answers that wait for some, and as a stream of server-sent events."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
from anyio.to_thread import run_sync
from starlette.responses import Response, StreamingResponse

from recq.api.documents import HEADERS, answer
from recq.api.errors import Busy, document_of
from recq.api.service import Service
from recq.errors import IndexError_, RecqError
from recq.index.changes import Changes

LOOK_EVERY = 0.5
"""Seconds between two looks at the index."""

MOST_STREAMS = 64
"""Streams that are open at a time: each is a connection that never ends."""

_HEARTBEAT = 15.0  # seconds without an event until a comment shows that the stream lives, and a dead client is noticed
_AT_ONCE = 100  # changes that a stream reads at a time


class Following:
    """Reads the changes of the catalogs of a service for those who wait. For the event loop's thread."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._streams = 0

    async def changes(self, catalog: str | None, since: str | None, limit: int, wait: float) -> Response:
        """The changes since a cursor; where there are none, those that come within `wait` seconds."""
        deadline = time.monotonic() + wait
        while True:
            found = await self._read(catalog, since, limit)
            left = deadline - time.monotonic()
            if found.changes or left <= 0 or self._service.ending.is_set():
                return answer(found.to_json())
            since = str(found.cursor)
            await anyio.sleep(min(LOOK_EVERY, left))

    async def stream(self, catalog: str | None, since: str | None) -> Response:
        """The changes since a cursor, and all that come, as server-sent events. Raises Busy for one too many."""
        if self._streams >= MOST_STREAMS:
            raise Busy
        first = await self._read(catalog, since, _AT_ONCE)  # what is wrong with the question is an answer of its own
        return StreamingResponse(self._events(catalog, first), media_type="text/event-stream", headers=HEADERS)

    async def _events(self, catalog: str | None, found: Changes) -> AsyncIterator[str]:
        self._streams += 1
        try:
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
        finally:
            self._streams -= 1

    async def _read(self, catalog: str | None, since: str | None, limit: int) -> Changes:
        ask: Callable[[], Changes] = lambda: self._service.ask(  # noqa: E731
            catalog, lambda at: at.catalog.changes(since, limit=limit)
        )
        return await run_sync(ask)


def event(kind: str, data: dict[str, Any], *, id: str | None = None) -> str:
    """One server-sent event."""
    head = f"event: {kind}\n" if id is None else f"event: {kind}\nid: {id}\n"
    return f"{head}data: {json.dumps(data, ensure_ascii=True)}\n\n"

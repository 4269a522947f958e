"""What a request passes before it reaches a route: who asks, how much is sent, how long it takes.

The body is read here, up to `max_upload` bytes, and counted with those of all other requests under way: 500 connections
that each send a picture would else fill the memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recq.api.access import Gatekeeper
from recq.api.documents import answer
from recq.api.errors import BUSY, FORBIDDEN, TOO_LARGE, UNAUTHORISED, Kind, document
from recq.index.edge.throttle import throttled

AT_ONCE = 4
"""Bodies of the largest size whose bytes are in memory at once."""

_log = throttled(__name__)

Observe = Callable[[str, str, int, float], None]
"""Takes method, the route's path with its parameters' names, status and seconds of an answer."""


class Gate:
    """ASGI middleware. For the event loop's thread only."""

    def __init__(self, app: ASGIApp, keeper: Gatekeeper, max_body: int, observe: Observe) -> None:
        self._app = app
        self._keeper = keeper
        self._max_body = max_body
        self._observe = observe
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        began, status = time.perf_counter(), 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._answer(scope, receive, note)
        except asyncio.CancelledError:  # the service ends, and has given it the time that there was
            if not status:
                await _refuse(BUSY, "the service is about to end: ask again in a moment", scope, receive, note)
        route = scope.get("route")
        self._observe(scope["method"], getattr(route, "path", "none"), status, time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._keeper.refusal(scope["path"], headers)
        if refusal is not None:
            if refusal.status == UNAUTHORISED.status and _is_browser(scope, headers):
                to = quote(
                    scope["path"] + ("?" + scope["query_string"].decode("latin-1") if scope["query_string"] else "")
                )
                await RedirectResponse(f"/login?to={to}", 303)(scope, receive, send)
                return
            kind = UNAUTHORISED if refusal.status == UNAUTHORISED.status else FORBIDDEN
            _log.warning("a request was refused: %s", refusal.message)
            await _refuse(kind, refusal.message, scope, receive, send)
            return
        scope["access"] = self._keeper.access(headers)
        held = 0
        parts: list[bytes] = []
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                part, more = message.get("body", b""), message.get("more_body", False)
                held += len(part)
                self._held += len(part)
                if held > self._max_body:
                    _log.warning("a request was refused: its body is larger than max_upload")
                    told = f"a body may have {self._max_body:,} bytes, the setting max_upload"
                    await _refuse(TOO_LARGE, told, scope, receive, send)
                    return
                if self._held > AT_ONCE * self._max_body:
                    await _refuse(BUSY, "too much is being sent at once: ask again in a moment", scope, receive, send)
                    return
                parts.append(part)
            await self._app(scope, _replayed(b"".join(parts), receive), send)
        finally:
            self._held -= held


def _is_browser(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Whether somebody opens a page, rather than a program asking the API."""
    return (
        scope["method"] == "GET" and not scope["path"].startswith("/api/") and "text/html" in headers.get("accept", "")
    )


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body in one piece, then what the connection reports."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


async def _refuse(kind: Kind, message: str, scope: Scope, receive: Receive, send: Send) -> None:
    headers: dict[str, Any] = {"Connection": "close"}
    if kind is UNAUTHORISED:
        headers["WWW-Authenticate"] = "Bearer"
    if kind is BUSY:
        headers["Retry-After"] = "1"
    await answer(document(kind, message), kind.status, headers)(scope, receive, send)

"""What a request passes before it reaches a route: who asks, how often, how much is sent, how long it takes.

The body is read here, up to `max_upload` bytes, and counted with those of all other requests under way: 500 connections
that each send a picture would else fill the memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recq.api.access import LOGIN, Gatekeeper, token_of
from recq.api.documents import answer
from recq.api.errors import BUSY, FORBIDDEN, TOO_LARGE, TOO_MANY, UNAUTHORISED, Kind, document
from recq.api.metrics import Metrics
from recq.api.rates import MOST_OF_A_QUESTION, UNKNOWN, Asking, Rates, TooMany, Why, cost_of, network_of
from recq.index.edge.serving import Access
from recq.index.edge.throttle import throttled

AT_ONCE = 4
"""Bodies of the largest size whose bytes are in memory at once."""

_log = throttled(__name__)

REFUSED = "/refused"
"""The page's own route for what is refused to people: it shows `scope["refused"]`, a `TooMany`."""


class Gate:
    """ASGI middleware. For the event loop's thread only.

    `names_proxies`: the addresses of clients are those that proxies report, where there are any (`api_proxies`).
    """

    def __init__(
        self,
        app: ASGIApp,
        keeper: Gatekeeper,
        metrics: Metrics,
        *,
        max_body: int,
        rates: Rates,
        has_pages: bool,
        names_proxies: bool,
    ) -> None:
        self._app = app
        self._keeper = keeper
        self._metrics = metrics
        self._max_body = max_body
        self._rates = rates
        self._has_pages = has_pages
        self._names_proxies = names_proxies
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
        self._metrics.observe(scope["method"], getattr(route, "path", "none"), status, time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        access, refusal = self._keeper.access(headers), self._keeper.refusal(scope["path"], headers)
        if refusal is None or refusal.status == UNAUTHORISED.status:
            too_many = self._too_many(scope, headers, access)
            if too_many is not None:
                await self._refuse_many(too_many, scope, receive, send)
                return
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
        scope["access"] = access
        most = self._max_body if access is not Access.NONE else min(self._max_body, MOST_OF_A_QUESTION)
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
                if held > most:
                    _log.warning("a request was refused: its body is larger than max_upload")
                    told = f"a body may have {most:,} bytes" + (", the setting max_upload" if access else " here")
                    await _refuse(TOO_LARGE, told, scope, receive, send)
                    return
                if self._held > AT_ONCE * self._max_body:
                    await _refuse(BUSY, "too much is being sent at once: ask again in a moment", scope, receive, send)
                    return
                parts.append(part)
            await self._app(scope, _replayed(b"".join(parts), receive), send)
        finally:
            self._held -= held

    def _too_many(self, scope: Scope, headers: Mapping[str, str], access: Access) -> TooMany | None:
        """Why a request comes too soon; None where it may be answered."""
        client = scope.get("client")
        network = network_of(client[0] if client else None)
        if network is None and "x-forwarded-for" in headers:
            if self._names_proxies:  # whoever says so came through a proxy, and this machine's own does not
                network = UNKNOWN
            else:
                _log.warning(
                    "a proxy on this machine asks for others, who count as one client, also where one of them guesses "
                    "tokens: list it in api_proxies"
                )
        asking = Asking(
            network,
            access,
            token_of(headers) if self._keeper.needs_token else "",
            cost_of(
                scope["method"], scope["path"], headers.get("content-length", headers.get("transfer-encoding", ""))
            ),
            logs_in=scope["method"] == "POST" and scope["path"] == LOGIN,
        )
        found = self._rates.refusal(asking, time.monotonic())
        if found is None:
            return None
        self._metrics.refuse(found.why)
        whose = network or "this machine"
        if found.why is Why.TOKENS:
            _log.warning("too many wrong tokens come from %s: for a while none of its tokens is looked at", whose)
        else:
            _log.warning("%s asks for more than the setting rate allows: some of it is refused", whose)
        return found

    async def _refuse_many(self, found: TooMany, scope: Scope, receive: Receive, send: Send) -> None:
        """429, to people as a page."""
        path = scope["path"]
        if self._has_pages and not path.startswith("/api/"):
            shown = {**scope, "path": REFUSED, "raw_path": REFUSED.encode(), "method": "GET", "refused": found}
            await self._app(shown, _replayed(b"", receive), send)
            return
        told = f"{found}: ask again in {found.retry_after} s"
        await _refuse(TOO_MANY, told, scope, receive, send, found.retry_after)


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


async def _refuse(kind: Kind, message: str, scope: Scope, receive: Receive, send: Send, retry_after: int = 1) -> None:
    headers: dict[str, Any] = {"Connection": "close"}
    if kind is UNAUTHORISED:
        headers["WWW-Authenticate"] = "Bearer"
    if kind in (BUSY, TOO_MANY):
        headers["Retry-After"] = str(retry_after)
    await answer(document(kind, message), kind.status, headers)(scope, receive, send)

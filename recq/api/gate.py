"""What a request passes before it reaches a route: who asks, how often, how much is sent, how long it takes.

The body is read here, up to `max_upload` bytes, and counted with those of all other requests under way: 500 connections
that each send a picture would else fill the memory. It counts until the answer is sent, since so long the application
has it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recq.api.access import LOGIN, Gatekeeper, token_of
from recq.api.errors import BUSY, FORBIDDEN, TOO_LARGE, TOO_MANY, UNAUTHORISED, Kind, document
from recq.api.metrics import Metrics
from recq.api.rates import MOST_OF_A_QUESTION, UNKNOWN, Asking, Rates, TooMany, Why, cost_of, network_of
from recq.api.refusals import Pages, is_for_people, meant_for_people, refused
from recq.index.edge.serving import Access
from recq.index.edge.throttle import throttled

AT_ONCE = 4
"""Bodies of the largest size whose bytes are in memory at once."""

READ_OUT = 4
"""Times the size that a body may have that are read, and thrown away, of one that is larger. Who sends it looks for the
answer when all is sent, and loses it where the connection ends before."""

_BODY_MEANS_NOTHING = frozenset({"GET", "HEAD"})
"""Methods whose body says nothing about what is asked (RFC 9110, 9.3.1): it is thrown away as it comes. Some answers to
them never end, and would keep it for as long."""

_log = throttled(__name__)


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
        pages: Pages | None,
        names_proxies: bool,
    ) -> None:
        self._app = app
        self._keeper = keeper
        self._metrics = metrics
        self._max_body = max_body
        self._rates = rates
        self._pages = pages
        self._names_proxies = names_proxies
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        meant_for_people(scope, self._pages)
        began, status, complete = time.perf_counter(), 0, False

        async def note(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            await self._answer(scope, receive, note)
        except asyncio.CancelledError:  # the service ends, and has given it the time that there was
            if not status:
                await _refuse(BUSY, "the service is about to end: ask again in a moment", scope, receive, note)
        except Exception:
            if not complete:
                raise
            # It was answered in the one form. Raised, it would end a connection on which the next request is under way.
            _log.exception("an unexpected error")
        route = scope.get("route")
        self._metrics.observe(scope["method"], getattr(route, "path", "none"), status, time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        access, refusal = self._keeper.access(headers), self._keeper.refusal(scope["path"], headers)
        if refusal is None or refusal.status == UNAUTHORISED.status:
            too_many = self._too_many(scope, headers, access)
            if too_many is not None:
                again = too_many.retry_after
                await _refuse(TOO_MANY, f"{too_many}: ask again in {again} s", scope, receive, send, again)
                return
        if refusal is not None:
            if refusal.status == UNAUTHORISED.status and is_for_people(scope):
                await _lead_to_login(scope, headers, receive, send)
                return
            kind = UNAUTHORISED if refusal.status == UNAUTHORISED.status else FORBIDDEN
            _log.warning("a request was refused: %s", refusal.message)
            await _refuse(kind, refusal.message, scope, receive, send)
            return
        scope["access"] = access
        await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, and have the application answer; refuse one that is too large, or where too many are sent."""
        access: Access = scope["access"]
        most = self._max_body if access is not Access.NONE else min(self._max_body, MOST_OF_A_QUESTION)
        keeps = scope["method"] not in _BODY_MEANS_NOTHING
        came = held = 0
        parts: list[bytes] = []
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                part, more = message.get("body", b""), message.get("more_body", False)
                came += len(part)
                if came > most:
                    _log.warning("a request was refused: its body is larger than max_upload")
                    told = f"a body may have {most:,} bytes" + (", the setting max_upload" if access else " here")
                    parts.clear()
                    self._held, held = self._held - held, 0
                    await _read_out(receive, READ_OUT * most, more)
                    await _refuse(TOO_LARGE, told, scope, receive, send)
                    return
                if not keeps:
                    continue
                held += len(part)
                self._held += len(part)
                if self._held > AT_ONCE * self._max_body:
                    await _refuse(BUSY, "too much is being sent at once: ask again in a moment", scope, receive, send)
                    return
                parts.append(part)
            await self._app(scope, _replayed(_joined(parts), receive), send)
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


async def _lead_to_login(scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send) -> None:
    """Where a token is given, and from there back to what was asked, or to the page that asked for a part of itself."""
    try:
        back = urlsplit(headers["hx-current-url"]) if "hx-current-url" in headers else None
    except ValueError:  # nobody's address
        back = urlsplit("/")
    if back is not None:
        path, query = back.path or "/", back.query
    elif scope["method"] == "GET":
        path, query = scope["path"], scope["query_string"].decode("latin-1")
    else:
        path, query = "/", ""
    to = f"{LOGIN}?to={quote(f'{path}?{query}' if query else path)}"
    # htmx would put the answer to a redirection in place of what it asked for.
    led = Response(status_code=401, headers={"HX-Redirect": to}) if back is not None else RedirectResponse(to, 303)
    await led(scope, receive, send)


async def _read_out(receive: Receive, most: int, more: bool) -> None:
    """Throw away what still comes of a body, up to `most` bytes."""
    while more and most > 0:
        message = await receive()
        more = message.get("more_body", False)
        most -= len(message.get("body", b""))


def _joined(parts: list[bytes]) -> bytes:
    """The parts in one piece; the list is empty then, so that they are in memory once."""
    body = b"".join(parts)
    parts.clear()
    return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body in one piece, which is the application's then; after it what the connection reports."""
    left = [body]
    del body

    async def next_message() -> Message:
        if not left:
            return await receive()
        return {"type": "http.request", "body": left.pop(), "more_body": False}

    return next_message


async def _refuse(kind: Kind, message: str, scope: Scope, receive: Receive, send: Send, retry_after: int = 1) -> None:
    headers = {"Connection": "close"}
    if kind is UNAUTHORISED:
        headers["WWW-Authenticate"] = "Bearer"
    if kind in (BUSY, TOO_MANY):
        headers["Retry-After"] = str(retry_after)
    await refused(scope, document(kind, message), kind.status, headers)(scope, receive, send)

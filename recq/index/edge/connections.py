"""Connections of the loopback server: how many may be open, and how long a request may take.

uvicorn has a time-out between two requests only, and answers every request with 503 once its limit is reached. Here the
client must send a request, and read the answer, within a fixed time. Where the limit is reached, the connection that
has waited longest is closed: one that never sent the key, or one between two requests where most have sent it, or where
all are at work the one that takes longest to send its body, if that is a moment or more. One whose request has arrived
is never closed for another. So a client that sends the key, and its request, at once is served.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from recq.index.edge.descriptors import Room
from recq.index.edge.throttle import throttled

GREETS_WITHIN = 0.25
"""Seconds that a new connection has to send the key, whoever else waits. On a busy machine a good client's request
comes some tens of milliseconds after its connection, and hundreds of others may have come in between."""

SENDS_WITHIN = 0.25
"""Seconds that a body may take, whoever else waits."""

_log = throttled(__name__)


@dataclass(frozen=True)
class TimeLimits:
    """Seconds. On loopback a request takes milliseconds: these limits are for an overloaded machine."""

    headers: float = 10.0
    """From the connection, or the first byte of a later request, to the end of its headers."""
    body: float = 30.0
    """From there to the end of the body."""
    idle: float = 15.0
    """Between two requests. Clients close an idle connection after about 5 s, and should do so first."""
    answer: float = 60.0
    """For the client to read its answer."""


Authorised = Callable[[Any], bool]
"""Whether an ASGI scope has the key."""


class Connections:
    """All open connections of one server, for which there is `room`; messages name it as it is `called`.

    For the event loop's thread only.
    """

    def __init__(
        self,
        room: Room,
        authorised: Authorised,
        times: TimeLimits | None = None,
        called: str = "the loopback server",
    ) -> None:
        self.limit = room.connections
        # What is accepted comes into the book two steps later.
        self._most_new = max(1, self.limit // 2 - 2 * room.backlog)
        self.authorised = authorised
        self.times = times or TimeLimits()
        self.called = called
        # Oldest first: the first one has waited longest.
        self._strangers: dict[BoundedConnection, None] = {}
        self._idle: dict[BoundedConnection, None] = {}
        self._sending: dict[BoundedConnection, None] = {}
        self._busy: dict[BoundedConnection, None] = {}

    def __len__(self) -> int:
        return sum(map(len, self._groups))

    @property
    def _groups(self) -> tuple[dict[BoundedConnection, None], ...]:
        return self._strangers, self._idle, self._sending, self._busy

    def has_room(self, now: float) -> bool:
        """Whether another connection may be accepted, at a time of the loop: not while too many have just come.

        Each of those may be a good client whose request is on its way, and would be closed for the next ones. Who is
        not accepted waits in the kernel's queue.
        """
        for count, each in enumerate(reversed(self._strangers), start=1):
            if now - each.since >= GREETS_WITHIN:
                return True
            if count >= self._most_new:
                return False
        return True

    def protocol(self, **given: Any) -> asyncio.Protocol:
        """What uvicorn calls to make the protocol of a new connection."""
        return BoundedConnection(self, **given)

    def admit(self, new: BoundedConnection) -> None:
        """Admit a new connection: where the limit is reached, close another one for it, or refuse it."""
        if len(self) >= self.limit:
            leaving = self._to_leave() or new
            if leaving is new:
                _log.warning("%s is busy with %d requests: another connection was closed", self.called, self.limit)
            elif leaving in self._sending:
                _log.warning("%d connections to %s are open: the slowest was closed", self.limit, self.called)
            else:
                _log.warning("%d connections to %s are open: the longest idle was closed", self.limit, self.called)
            self.forget(leaving)
            leaving.abort()
            if leaving is new:
                return
        self._strangers[new] = None

    def _to_leave(self) -> BoundedConnection | None:
        """The one to close for another; None: all have a request under way.

        A client with the key counts as unknown until it sends it: so among few unknown ones none is closed as long as
        another can be.
        """
        stranger, idle = next(iter(self._strangers), None), next(iter(self._idle), None)
        if len(self._strangers) > self.limit // 2:
            return stranger
        return idle or self._slowest() or stranger

    def _slowest(self) -> BoundedConnection | None:
        """The one that has been sending a body for longest, if that is long."""
        first = next(iter(self._sending), None)
        return first if first is not None and first.sends_since <= first.loop.time() - SENDS_WITHIN else None

    def forget(self, one: BoundedConnection) -> None:
        """A connection has ended, or is ending."""
        for group in self._groups:
            group.pop(one, None)

    def moved(self, one: BoundedConnection, *, answering: bool, sending: bool) -> None:
        """A connection that has sent the key has a request under way, whose body it may be `sending`, or waits for the
        next one."""
        group = self._idle if not answering else self._sending if sending else self._busy
        if one not in group:
            self.forget(one)
            group[one] = None


class BoundedConnection(H11Protocol):
    """uvicorn's HTTP/1.1, with a deadline for each part of a request and of its answer."""

    def __init__(self, book: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._book = book
        self._deadline: asyncio.TimerHandle | None = None
        self._receiving = ""  # what the deadline is for: "headers", "body", "answer" or nothing
        self._known = False
        self.since = 0.0
        """When it was made, in the loop's time."""
        self.sends_since = 0.0
        """When the headers of the last request had come, in the loop's time."""
        self.timeout_keep_alive = book.times.idle  # type: ignore[assignment]  # a number for `call_later`

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A place in the book, and a deadline for the first request."""
        super().connection_made(transport)
        self.since = self.loop.time()
        self._expect("headers")
        self._book.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection's place and its deadline."""
        self._expect("")
        self._book.forget(self)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves it where the connection broke

    def data_received(self, data: bytes) -> None:
        """A part of a request."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """The answer is written, or as much of it as the client has read."""
        super().on_response_complete()
        self._look()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP. Where it began as a request, the answer to that is not waited for any more."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:  # an answer has begun, or was the last one
            self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """No protocol is ever changed; the request is answered as any other, and nothing needs to be installed."""

    def timeout_keep_alive_handler(self) -> None:
        """Idle for too long; but a client that is still reading its answer is not idle."""
        if self.transport.get_write_buffer_size():
            self._expect("answer")
        else:
            super().timeout_keep_alive_handler()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def _look(self) -> None:
        """Set the deadline for what is awaited now; called after every event."""
        if self.transport.is_closing():
            self._expect("answer" if self.transport.get_write_buffer_size() else "")
            return
        theirs = self.conn.their_state
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and not self._known:
            self._known = self._book.authorised(self.scope)
        sending = theirs is h11.SEND_BODY
        if sending and self._receiving != "body":
            self.sends_since = self.loop.time()
        if self._known:
            self._book.moved(self, answering=answering, sending=sending)
        if sending:
            self._expect("body")
        elif theirs is h11.IDLE and self.timeout_keep_alive_task is None:
            self._expect("headers")
        else:
            self._expect("")

    def _expect(self, what: str) -> None:
        """Set the deadline for `what`, unless one is already set for it."""
        if what == self._receiving:
            return
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._receiving = what
        if what:
            self._deadline = self.loop.call_later(cast(float, getattr(self._book.times, what)), self._expired)

    def _expired(self) -> None:
        _log.warning("a connection to %s was closed: its %s timed out", self._book.called, self._receiving)
        self._book.forget(self)
        self.transport.abort()

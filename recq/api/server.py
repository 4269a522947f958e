"""`recq serve`: the API on an address of this machine, until a signal ends it.

uvicorn with the connections of `recq.index.edge.connections`: a client has limited time for headers, body and answer,
idle connections are closed, and one more than there is room for takes the place of the one that has waited longest.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import cast

import anyio.to_thread
import uvicorn
from starlette.requests import Request

from recq.announced import Announced, alike, announce, withdraw
from recq.api.access import Gatekeeper
from recq.api.app import gated
from recq.api.refusals import Pages
from recq.api.service import Service
from recq.errors import UsageError
from recq.heartbeat import SILENT, Heartbeat
from recq.index.edge.connections import Connections
from recq.index.edge.descriptors import raise_soft_limit, room_for
from recq.index.edge.server import STOP_WITHIN, Listening, accept_for, complain
from recq.index.edge.serving import Access
from recq.index.edge.throttle import throttled
from recq.private_files import make_private_folder
from recq.settings import Settings
from recq.signals import Signals

MakePages = Callable[[Service, Gatekeeper], Pages]

AT_ONCE = 16
"""Questions that are answered at the same time; others wait for a thread."""

throttled("uvicorn.error")  # a line for each request that is no HTTP, a traceback for each unexpected error


@dataclass(frozen=True)
class Bound:
    """A socket that listens, and the address that clients reach it by."""

    listening: socket.socket
    url: str
    loopback: bool

    @property
    def on_loopback(self) -> str | None:
        """The address by which this machine reaches it on 127.0.0.1; None where it does not listen there."""
        host, number = self.listening.getsockname()[:2]
        return f"http://127.0.0.1:{number}" if host in ("127.0.0.1", "0.0.0.0") else None


def bind(host: str, port: int) -> Bound:
    """Listen on a port of `host`, a name or an address of this machine; 0 is a free port.

    Raises UsageError where that is not possible.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host!r} is no address of this machine: {_why(error)}") from error
    listening = Listening(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # old connections of the last service do not block the port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} of {host} is not available, another program listens there: choose one with --port"
            ) from error
        raise UsageError(f"--host {host} --port {port} cannot be used: {_why(error)}") from error
    found, number = listening.getsockname()[:2]
    shown = f"[{found}]" if ":" in found else found
    return Bound(listening, f"http://{shown}:{number}", ipaddress.ip_address(found).is_loopback)


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def serve(
    settings: Settings, host: str, port: int, ready: Callable[[str], None], *, pages: MakePages | None = None
) -> None:
    """Answer until SIGTERM or Ctrl-C; `ready` is given the address once questions are answered.

    `pages` makes routes for people beside those of the API.

    Raises UsageError for an address that cannot be had, or that others reach while no token is set, and what opening
    the catalog raises.
    """
    keeper = replace(Gatekeeper.from_settings(settings, host), own=new_key())
    bound = bind(host, port)
    with Signals(0) as signals, bound.listening, Service(settings) as service:
        if not bound.loopback and not keeper.needs_token:
            raise UsageError(
                f"--host {host} can be reached from other machines: set RECQ_TOKEN to a secret of 8 characters or more "
                "that those who ask have to send"
            )
        service.ask(None, lambda served: served.catalog.space)
        shown = None if pages is None else pages(service, keeper)
        with ExitStack() as known:

            def tell() -> None:
                _make_known(settings, bound, keeper, known)
                ready(bound.url)

            heartbeat = Heartbeat()
            server = Server(service, keeper, tell, shown, heartbeat=heartbeat)
            signals.working(server.leave)
            signals.working(heartbeat.ending)
            server.run(sockets=[bound.listening])


def new_key() -> str:
    """A key for one start of a service."""
    return secrets.token_urlsafe(32)


def announcement(settings: Settings, bound: Bound, keeper: Gatekeeper) -> Announced | None:
    """What `recq` needs to ask a service of this process; None where loopback does not reach it."""
    url = bound.on_loopback
    if url is None or keeper.own is None:
        return None
    return Announced(url, keeper.own, keeper.own_read, os.getpid(), alike(settings))


def _make_known(settings: Settings, bound: Bound, keeper: Gatekeeper, known: ExitStack) -> None:
    """Let the command line find the service, until `known` is closed. It works without, where that is not possible."""
    found = announcement(settings, bound, keeper)
    if found is None:
        return
    with suppress(OSError):
        make_private_folder(settings.data_dir)
        announce(settings.data_dir, found)
        known.callback(withdraw, settings.data_dir, found)


class Server(uvicorn.Server):
    """uvicorn for a service; `ready` is called once it answers. Signals are left to `recq.signals`."""

    def __init__(
        self,
        service: Service,
        keeper: Gatekeeper,
        ready: Callable[[], None],
        pages: Pages | None = None,
        *,
        heartbeat: Heartbeat = SILENT,
    ) -> None:
        room = room_for(raise_soft_limit())
        connections = Connections(
            room,
            lambda scope: keeper.access(Request(scope).headers) > Access.NONE,
            called="the HTTP API",
        )
        super().__init__(
            uvicorn.Config(
                gated(service, keeper, pages),
                http=cast(type[asyncio.Protocol], connections.protocol),
                ws="none",
                backlog=room.backlog,
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=bool(service.settings.api_proxies),
                forwarded_allow_ips=proxies_as_seen(service.settings.api_proxies),
                timeout_graceful_shutdown=int(STOP_WITHIN),
            )
        )
        self._connections = connections
        self._service = service
        self._ready = ready
        self._heartbeat = heartbeat

    def leave(self) -> None:
        """End, from any thread: no further connections, and a few seconds for answers under way."""
        self.should_exit = True
        self._service.ending.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections."""
        asyncio.get_running_loop().set_exception_handler(complain)
        accept_for(self._connections, sockets)
        anyio.to_thread.current_default_thread_limiter().total_tokens = AT_ONCE
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second, between two steps of the loop that answers."""
        self._heartbeat.tick(time.monotonic())
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def proxies_as_seen(proxies: Sequence[str]) -> list[str]:
    """The addresses and networks of proxies, also as a socket of both families shows those of IPv4."""
    found = list(proxies)
    for each in map(ipaddress.ip_network, proxies):
        if each.version == 4:
            found.append(f"::ffff:{each.network_address}/{96 + each.prefixlen}")
    return found


def address_of(url: str) -> str:
    """Where the routes begin."""
    return f"{url}/api/v1/"

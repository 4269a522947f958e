"""The embedded engine on loopback, so that other processes search while the daemon owns the folder.

The same handler as in process, behind uvicorn in a thread. A client must send a key (recq's own programs read it from a
file that only the owner can read; `serving` has the keys of the settings) and name this host: a web page that points
its own name at 127.0.0.1 (DNS rebinding) is refused before the key is checked. `connections` closes connections that
send no request. Starlette and uvicorn are loaded here only.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import uvicorn
from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from recq.announced import Announced
from recq.errors import RecqError, UsageError
from recq.index.edge.address import Address, remove_address, write_address
from recq.index.edge.connections import Connections, TimeLimits
from recq.index.edge.descriptors import raise_soft_limit, room_for
from recq.index.edge.engine import EdgeEngine
from recq.index.edge.routes import PLAIN, only_reads
from recq.index.edge.serving import Access, Serving
from recq.index.edge.throttle import throttled
from recq.index.edge.transport import content_type
from recq.private_files import make_private_folder

MAX_BODY = 32 * 2**20  # bytes; a server's own default

READS_AT_ONCE = 8
"""Questions to the engine that are answered at once; others wait for one of them.

Each thread more makes the one that reads and writes the connections wait longer for the interpreter: with 32 at once
small questions took 1.2 to 1.6 times as long as with 8, and 8 no longer than 2 (10,000 vectors, a filter of 1 %, two
cores). Writes do not wait here, since they may wait for each other.
"""

STOP_WITHIN = 2.0  # seconds for answers under way, of the 5 that a daemon has to stop
_QUEUE = 1024  # connections that wait in the kernel; they take no descriptors
_OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz"})  # report only that the server runs; open on a server too
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

_log = throttled(__name__)
throttled("uvicorn.error")  # a line for each request that is no HTTP, a traceback for each unexpected error

Mounted = Callable[[str, bytes], tuple[int, dict[str, object]]]


class LoopbackServer:
    """Serves `engine` and the daemon's own `routes` on 127.0.0.1; a context manager.

    `routes` maps a path such as `/recq/status` to `f(method, body) -> (status, JSON)`. Without an `engine` (the daemon
    works for a real server) only they are answered. `serving` has the port and the keys; the default is a free
    port and a new key. `url` holds from `start` on.
    """

    def __init__(
        self,
        data_dir: Path,
        engine: EdgeEngine | None,
        routes: Mapping[str, Mounted] | None = None,
        times: TimeLimits | None = None,
        serving: Serving | None = None,
    ) -> None:
        self.url = ""
        self._serving = serving or Serving()
        self.key = self._serving.key
        self._data_dir = data_dir
        self._engine = engine
        self._mounted = dict(routes or {})
        self._times = times
        self._hosts: frozenset[str] = frozenset()
        self._reading = asyncio.Semaphore(READS_AT_ONCE)
        self._server: _Announcing | None = None
        self._thread: threading.Thread | None = None
        self._announcing = threading.Lock()

    def start(self) -> None:
        """Bind, answer, and only then write `serve.json`.

        Raises UsageError when the port is not available, RecqError when the server does not start.
        """
        make_private_folder(self._data_dir)
        listening = _bound(self._serving.port)
        port = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        app = Starlette(routes=[Route("/{path:path}", self._answer, methods=_METHODS)])
        room = room_for(raise_soft_limit())
        connections = Connections(room, lambda scope: self._access(Request(scope)) > Access.NONE, self._times)
        config = uvicorn.Config(
            app,
            http=cast(type[asyncio.Protocol], connections.protocol),
            backlog=room.backlog,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(STOP_WITHIN),
        )
        self._server = _Announcing(config, connections)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listening]}, name="recq-loopback", daemon=True
        )
        self._thread.start()
        self._server.up.wait(timeout=10)
        if not self._server.started:
            listening.close()
            raise RecqError("the loopback server did not start within 10 s: run with --debug and look at the log")
        self.announce(None)

    def announce(self, api: Announced | None) -> None:
        """Write where this server answers, and where the daemon's API does. No effect once it stops."""
        with self._announcing:
            if self._server is not None:
                write_address(self._data_dir, Address(self.url, self.key, os.getpid(), api))

    def stop(self) -> None:
        """Remove `serve.json`, let answers under way finish, and stop. Harmless when not started."""
        if self._server is None or self._thread is None:
            return
        server, thread = self._server, self._thread
        with self._announcing:
            self._server = self._thread = None
            remove_address(self._data_dir, Address(self.url, self.key, os.getpid()))
        server.should_exit = True
        thread.join(STOP_WITHIN + 1)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def _answer(self, request: Request) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return _error(413, f"Payload too large: more than {MAX_BODY} bytes")
        path = request.scope["raw_path"].decode("ascii")
        parameters = dict(request.query_params)
        reads = path not in _OPEN_PATHS and only_reads(request.method, path)
        async with self._reading if reads else nullcontext():
            status, content = await run_in_threadpool(self._handle, request.method, path, parameters, bytes(body))
        return Response(content, status, media_type=content_type(content))

    def _refusal(self, request: Request) -> Response | None:
        if request.headers.get("host", "").lower() not in self._hosts:
            return _error(403, "Forbidden: this server answers to 127.0.0.1 only")
        if request.scope["path"] in _OPEN_PATHS:
            return None
        access = self._access(request)
        if access is Access.NONE:
            return _error(
                401,
                "Invalid API key: the running daemon's key is in serve.json of its data folder, "
                "unless serve_key or serve_read_key was set",
            )
        method, path = request.method, request.scope["raw_path"].decode("ascii")
        if access is Access.READ and (path in self._mounted or not only_reads(method, path)):
            return _error(403, f"Forbidden: the read-only key allows reads only, not {method} {path}")
        return None

    def _access(self, request: Request) -> Access:
        """What the key of a request allows; the key is in one of the two headers that a server reads."""
        key = request.headers.get("api-key")
        if key is None:
            scheme, _, key = request.headers.get("authorization", "").partition(" ")
            key = key if scheme.lower() == "bearer" else ""
        return self._serving.access(key)

    def _handle(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        if path in self._mounted:
            status, answer = self._mounted[path](method, body)
            return status, to_json(answer)
        if method == "GET" and path in _OPEN_PATHS:
            return 200, PLAIN[path]
        if self._engine is None:
            return 501, to_json({"status": {"error": f"Not implemented here: {method} {path}"}, "time": 0.0})
        return self._engine.handle(method, path, query, body)


def _bound(port: int) -> socket.socket:
    """A socket on that port of 127.0.0.1, on any free one for 0. Raises UsageError naming the setting."""
    # TCP is explicit: asyncio turns delayed sending off only where it is, else each answer waits 40 ms.
    listening = Listening(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if port and os.name == "posix":  # old connections of the last daemon do not block the port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
    except OSError as error:
        listening.close()
        if not port:
            raise
        taken = error.errno == errno.EADDRINUSE
        why = "another program listens there" if taken else error.strerror
        raise UsageError(
            f"setting 'serve_port': port {port} of 127.0.0.1 is not available ({why}): "
            f"{'stop that program, or ' if taken else ''}choose another port"
        ) from error
    return listening


class Listening(socket.socket):
    """A socket whose queue in the kernel is longer than what asyncio accepts in one step, and that accepts nobody while
    `has_room` says no.

    asyncio uses one number for both. Where that queue is full, a client's next try comes a second later.
    """

    has_room: Callable[[], bool] | None = None

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. Raises BlockingIOError where none waits, or has to."""
        if self.has_room is not None and not self.has_room():
            raise BlockingIOError
        return super().accept()

    def listen(self, backlog: int = 0, /) -> None:
        """Listen with at least that queue."""
        super().listen(max(backlog, _QUEUE))


def accept_for(connections: Connections, sockets: Iterable[socket.socket] | None) -> None:
    """Have sockets accept a connection where there is room for it, by the running loop's time."""
    loop = asyncio.get_running_loop()
    for each in sockets or ():
        if isinstance(each, Listening):
            each.has_room = lambda: connections.has_room(loop.time())


class _Announcing(uvicorn.Server):
    """uvicorn that reports when it accepts connections, or that it failed to start."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(complain)
        accept_for(self._connections, sockets)
        try:
            await super().startup(sockets=sockets)
        finally:
            self.up.set()


def complain(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error of asyncio as one line: it calls this hundreds of times where no descriptor is left."""
    error = context.get("exception")
    _log.warning("the loopback server: %s%s", context["message"], "" if error is None else f": {error!r}")


def _error(status: int, message: str) -> Response:
    return Response(to_json({"status": {"error": message}, "time": 0.0}), status, media_type="application/json")

"""The API of a daemon, in a process of its own: `python -m recq.api.beside`, which only a daemon starts.

It asks the daemon's engine on loopback, or the server that the daemon works for, as any other program does: what it
spends, on its network most of all, is not the daemon's, and it runs at a lower priority, so that a new drop goes
first. The daemon sends settings and keys through standard input, which it then keeps open: whatever ends the daemon,
SIGKILL as well, ends that, and the process with it. Where it answers is written to standard output. A line on standard
input is the fingerprint of the catalog's space at a moment when the daemon has nothing to do: the network is loaded
then, before anybody asks about a picture.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING

from recq.announced import Announced
from recq.cli_errors import complain
from recq.errors import RecqError
from recq.settings import Settings

if TYPE_CHECKING:
    from recq.api.server import Server
    from recq.api.warming import Warming

PRIORITY = 5
"""By which it is lowered (nice): beside a backlog that takes every core it gets a third of the daemon's share."""

_HOST = "127.0.0.1"
_LOADED_WITHIN = 1.0  # seconds that a network has, when the process is to end, to be loaded to its end


def send(stream: IO[bytes], settings: Settings, own: str, read: str) -> None:
    """Write what `main` in the other process begins with. Raises OSError.

    `own` is the key that opens everything, `read` the one for what only reads.
    """
    pickle.dump((settings, own, read), stream)  # from one process to its child, of the same program
    stream.flush()


def tell_of_rest(stream: IO[bytes], space: str) -> None:
    """Tell the other process that the daemon has nothing to do; `space` is the fingerprint of the catalog's space.

    It does not wait for the other process to read it: where a system cannot promise that, nothing is told. Raises
    OSError, ValueError where the stream is closed.
    """
    if not hasattr(os, "set_blocking"):  # Windows has it since Python 3.12
        return
    number = stream.fileno()
    os.set_blocking(number, False)
    os.write(number, f"{space}\n".encode())


def read_place(stream: IO[bytes]) -> Announced | None:
    """Where the process answers, waited for; None where it has ended before."""
    line = stream.readline()
    return Announced.from_json(json.loads(line)) if line.endswith(b"\n") else None


def main() -> None:
    """Serve until standard input ends."""
    for each in ("SIGINT", "SIGTERM", "SIGHUP"):  # they go to a whole group: the daemon ends this process
        if hasattr(signal, each):
            signal.signal(getattr(signal, each), signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(PRIORITY)
    settings, own, read = pickle.load(sys.stdin.buffer)
    try:
        _serve(settings, own, read)
    except RecqError as error:
        complain("recq-ingest", f"the HTTP API cannot start: {error}")
        sys.exit(error.exit_code)


def _serve(settings: Settings, own: str, read: str) -> None:
    from recq.api.access import Gatekeeper
    from recq.api.server import Server, announcement, bind
    from recq.api.service import Service
    from recq.api.warming import Warming

    keeper = replace(Gatekeeper.from_settings(settings, _HOST), own=own, own_read=read)
    bound = bind(_HOST, 0)
    found = announcement(settings, bound, keeper)
    assert found is not None, "it listens on loopback"
    with bound.listening, Service(settings) as service:
        with suppress(RecqError):  # the first question meets it
            service.ask(None, lambda served: served.catalog.space)

        def tell() -> None:
            sys.stdout.write(json.dumps(found.to_json()) + "\n")
            sys.stdout.flush()

        server = Server(service, keeper, tell)
        warming = Warming(service)
        threading.Thread(target=_follow_daemon, args=(server, warming), daemon=True).start()
        server.run(sockets=[bound.listening])
        if not warming.has_ended(_LOADED_WITHIN):  # no network is loaded further while the interpreter ends
            os._exit(0)


def _follow_daemon(server: Server, warming: Warming) -> None:
    """Be ready for pictures when the daemon rests, and leave when standard input ends; at once where that lasts."""
    from recq.index.edge.server import STOP_WITHIN

    for line in sys.stdin.buffer:
        warming.rested(line.decode().strip())
    server.leave()
    time.sleep(STOP_WITHIN + 1)
    os._exit(0)


if __name__ == "__main__":
    main()

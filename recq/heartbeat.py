"""What systemd is told of a service: that it is ready, that it still moves, that it ends. Elsewhere nothing is sent.

The protocol is sd_notify's: lines in a datagram to the socket that `NOTIFY_SOCKET` names. A beat is sent by the loop
that does the work, between two of its steps: a service whose loop hangs sends none, and systemd starts it again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class Heartbeat:
    """Beats from a loop; `environ` is what systemd has set for the process (`Type=notify`, `WatchdogSec=`)."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._every = _interval(environ) if address else float("inf")
        self._next = 0.0 if address else float("inf")
        self._ready = False

    def tick(self, now: float) -> None:
        """The loop moves; `now` is monotonic seconds. The first time says that the service is ready."""
        if now < self._next:
            return
        self._next = now + self._every
        self._tell(*([] if self._ready else ["READY=1"]), *(["WATCHDOG=1"] if self._every < float("inf") else []))
        self._ready = True

    def next_deadline(self) -> float:
        """When `tick` has to be called again, monotonic seconds; infinity where nobody waits for it."""
        return self._next

    def ending(self) -> None:
        """A signal has come: it finishes what is under way. From any thread."""
        self._tell("STOPPING=1")

    def _tell(self, *lines: str) -> None:
        if self._address and hasattr(socket, "AF_UNIX"):
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)  # the work goes on whether systemd reads or not
                sock.sendto("\n".join(lines).encode(), self._address)


SILENT = Heartbeat({})
"""Of a loop that nobody watches."""


def _interval(environ: Mapping[str, str]) -> float:
    """Seconds between two beats: a third of what the watchdog allows, so that one may be late; infinity without one."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return float("inf")  # another process of the service is watched
    allowed = environ.get("WATCHDOG_USEC", "")
    return int(allowed) / 3e6 if allowed.isdecimal() and int(allowed) else float("inf")

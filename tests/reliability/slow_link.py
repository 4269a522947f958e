"""A link to a server that hands every answer over late: bytes in order, nothing lost, nothing changed."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SlowLink:
    """Listens on `port`. `delay`, in seconds, may be changed at any time; it holds for each piece of an answer."""

    def __init__(self, server_port: int) -> None:
        self.delay = 0.0
        self._server_port = server_port
        self._closed = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """No more connections; delays under way end."""
        self._closed.set()
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._server_port))
                threading.Thread(target=self._pipe, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pipe, args=(far, near, True), daemon=True).start()

    def _pipe(self, source: socket.socket, target: socket.socket, late: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(2**16):
                if late and self.delay:
                    self._closed.wait(self.delay)
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def slow_link(server_port: int) -> Iterator[SlowLink]:
    """A link that is closed at the end."""
    link = SlowLink(server_port)
    try:
        yield link
    finally:
        link.close()

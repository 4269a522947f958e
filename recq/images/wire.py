"""The messages between the daemon and its decoding processes: JSON and raw pixels, nothing that can run code.

A decoder that a hostile file has taken over can give a wrong answer for its one picture, but nothing more. So
answers are not pickles, have a limited length, and are waited for only until the deadline.
"""

from __future__ import annotations

import io
import json
import socket
import struct
import time
from typing import Any

import numpy as np

from recq.images.buffers import Block, Buffers

_LENGTHS = struct.Struct(">II")  # of the JSON text, of the pixels
_MAX_TEXT = 1 << 20
_READ_AHEAD = 1 << 14  # bytes: a message without pixels has some hundreds, and comes in one piece then
_NEAR_ENOUGH = 1.01  # the timeout of a socket is set anew, a call of the system, where it is longer by more than this
_NO_PIXELS: Block = np.empty(0, np.uint8)


class WireError(Exception):
    """The other side sent bytes that are no valid message."""


class Channel:
    """This side of a connection. It reads ahead, so nobody else may read from the socket, which stays the caller's."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._timed = _Timed(sock)
        self._reader = io.BufferedReader(self._timed, _READ_AHEAD)

    def send(self, message: dict[str, Any], pixels: bytes | memoryview = b"", *, deadline: float | None = None) -> None:
        """Send one message. Raises OSError when the other side has ended, TimeoutError at the deadline."""
        self._timed.wait_until(deadline)
        text = json.dumps(message).encode("ascii")
        begin = _LENGTHS.pack(len(text), len(pixels)) + text
        if not pixels:
            self._sock.sendall(begin)
            return
        sent = self._sock.sendmsg([begin, pixels])  # in one call: the other side wakes once
        if sent < len(begin):
            self._sock.sendall(begin[sent:])
        self._sock.sendall(pixels[max(0, sent - len(begin)) :])

    def receive(
        self, *, deadline: float | None = None, max_pixels: int = 0, buffers: Buffers | None = None
    ) -> tuple[dict[str, Any], Block]:
        """The next message and its pixels, uint8 (n,), in a block of `buffers`.

        `deadline` is a `time.monotonic()`; None waits without end. Raises TimeoutError at the deadline, EOFError or
        OSError when the other side has ended, WireError for an invalid message or more than `max_pixels` bytes.
        """
        self._timed.deadline = deadline
        text_length, pixels_length = _LENGTHS.unpack(self._exactly(_LENGTHS.size))
        if text_length > _MAX_TEXT or pixels_length > max_pixels:
            raise WireError(f"a message of {text_length} + {pixels_length} bytes")
        try:
            message = json.loads(self._exactly(text_length).decode("ascii"))
        except (ValueError, RecursionError) as error:  # not ASCII, not JSON, or nested without end
            raise WireError("a message that is not JSON") from error
        if not isinstance(message, dict):
            raise WireError("a message that is not an object")
        if not pixels_length:
            return message, _NO_PIXELS
        pixels: Block = np.empty(pixels_length, np.uint8) if buffers is None else buffers.take(pixels_length)
        if self._reader.readinto(pixels.data) != pixels_length:
            raise EOFError
        return message, pixels

    def _exactly(self, length: int) -> bytes:
        found = self._reader.read(length)
        if len(found) != length:
            raise EOFError
        return found


class _Timed(io.RawIOBase):
    """A socket to read from until `deadline`, however the bytes trickle in."""

    def __init__(self, sock: socket.socket) -> None:
        self.deadline: float | None = None
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.wait_until(self.deadline)
        return self._sock.recv_into(buffer)

    def wait_until(self, deadline: float | None) -> None:
        """Let the next call of the socket end by then. Raises TimeoutError where that is now."""
        if deadline is None:
            return
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        current = self._sock.gettimeout()
        if current is None or not remaining <= current <= _NEAR_ENOUGH * remaining:
            self._sock.settimeout(remaining)

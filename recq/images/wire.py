"""The messages between the daemon and its decoding processes: JSON and raw pixels, nothing that can run code.

A decoder that a hostile file has taken over can give a wrong answer for its one picture, but nothing more. So
answers are not pickles, have a limited length, and are waited for only until the deadline.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

import numpy as np

from recq.images.buffers import Block, Buffers

_LENGTHS = struct.Struct(">II")  # of the JSON text, of the pixels
_MAX_TEXT = 1 << 20
_NO_PIXELS: Block = np.empty(0, np.uint8)


class WireError(Exception):
    """The other side sent bytes that are no valid message."""


def send(sock: socket.socket, message: dict[str, Any], pixels: bytes | memoryview = b"") -> None:
    """Send one message. Raises OSError when the other side has ended, TimeoutError after the timeout of `sock`."""
    text = json.dumps(message).encode("ascii")
    sock.sendall(_LENGTHS.pack(len(text), len(pixels)) + text)
    if pixels:
        sock.sendall(pixels)


def receive(
    sock: socket.socket, *, deadline: float | None = None, max_pixels: int = 0, buffers: Buffers | None = None
) -> tuple[dict[str, Any], Block]:
    """The next message and its pixels, uint8 (n,), in a block of `buffers`.

    `deadline` is a `time.monotonic()`; None waits without end. Raises TimeoutError at the deadline, EOFError or OSError
    when the other side has ended, WireError for an invalid message or more than `max_pixels` bytes.
    """
    text_length, pixels_length = _LENGTHS.unpack(_exactly(sock, _LENGTHS.size, deadline))
    if text_length > _MAX_TEXT or pixels_length > max_pixels:
        raise WireError(f"a message of {text_length} + {pixels_length} bytes")
    try:
        message = json.loads(_exactly(sock, text_length, deadline).decode("ascii"))
    except (ValueError, RecursionError) as error:  # not ASCII, not JSON, or nested without end
        raise WireError("a message that is not JSON") from error
    if not isinstance(message, dict):
        raise WireError("a message that is not an object")
    if not pixels_length:
        return message, _NO_PIXELS
    pixels: Block = np.empty(pixels_length, np.uint8) if buffers is None else buffers.take(pixels_length)
    _fill(sock, pixels.data, deadline)
    return message, pixels


def _exactly(sock: socket.socket, length: int, deadline: float | None) -> bytearray:
    buffer = bytearray(length)
    _fill(sock, memoryview(buffer), deadline)
    return buffer


def _fill(sock: socket.socket, view: memoryview, deadline: float | None) -> None:
    filled = 0
    while filled < len(view):
        if deadline is not None:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            sock.settimeout(remaining)
        count = sock.recv_into(view[filled:])
        if count == 0:
            raise EOFError
        filled += count

"""Messages to and from a decoding process: whole, in order, and never waited for beyond the deadline."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest

from recq.images import wire
from recq.images.buffers import Buffers
from recq.images.wire import Channel


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("length", [1, 5_000, 100_000])
def test_messages_that_come_in_one_piece_are_told_apart(ends: tuple[socket.socket, socket.socket], length: int) -> None:
    ours, theirs = ends
    pixels = np.arange(length, dtype=np.uint8)
    sender, receiver = Channel(theirs), Channel(ours)
    sender.send({"started": True})
    sender.send({"known": "é"}, pixels.data)
    sender.send({"last": 1})
    assert receiver.receive()[0] == {"started": True}
    message, found = receiver.receive(max_pixels=length, buffers=Buffers())
    assert message == {"known": "é"}
    assert np.array_equal(found, pixels)
    assert receiver.receive()[0] == {"last": 1}


def test_pixels_that_do_not_go_out_at_once_arrive_whole(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    pixels = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8)

    class Slow:
        """A socket that takes ten bytes of the first call."""

        def sendmsg(self, parts: list[bytes]) -> int:
            return theirs.send(b"".join(parts)[:10])

        def sendall(self, part: bytes) -> None:
            sent.append(bytes(part))

    sent: list[bytes] = []
    Channel(Slow()).send({"a": 1}, pixels.data)  # type: ignore[arg-type]
    whole = ours.recv(10) + b"".join(sent)
    assert whole.endswith(b'{"a": 1}' + pixels.tobytes())
    assert len(whole) == 8 + 8 + len(pixels)


@pytest.mark.parametrize("ending", [b"", b"\0\0", b"\0\0\0\x08\0\0\0\x02{}", b"\0\0\0\x02\0\0\0\x02{}!"])
def test_a_message_that_breaks_off_is_no_message(ends: tuple[socket.socket, socket.socket], ending: bytes) -> None:
    ours, theirs = ends
    theirs.sendall(ending)
    theirs.close()
    with pytest.raises(EOFError):
        Channel(ours).receive(max_pixels=2)


def test_more_pixels_than_asked_for_are_refused_before_memory_is_taken(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    Channel(theirs).send({}, b"123")
    with pytest.raises(wire.WireError):
        Channel(ours).receive(max_pixels=2)


@pytest.mark.parametrize("pixels", [0, 1_000_000])
def test_bytes_that_trickle_in_do_not_extend_the_deadline(monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    now = time.monotonic()

    class Trickle:
        """A socket that gives one byte a second."""

        calls = 0

        def recv_into(self, buffer: memoryview) -> int:
            self.calls += 1
            buffer[:1] = sent[self.calls - 1 : self.calls]
            return 1

        def gettimeout(self) -> float | None:
            return None

        def settimeout(self, seconds: float) -> None:
            assert 0 < seconds <= 60

    sent = wire._LENGTHS.pack(2, pixels) + b"{}" + b"!" * pixels if pixels else wire._LENGTHS.pack(500, 0) + b" " * 500
    trickle = Trickle()
    monkeypatch.setattr("recq.images.wire.time.monotonic", lambda: now + trickle.calls)
    with pytest.raises(TimeoutError):
        Channel(trickle).receive(deadline=now + 60, max_pixels=pixels)  # type: ignore[arg-type]
    assert trickle.calls == 60


def test_the_timeout_is_set_anew_only_where_it_is_another(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    sender, receiver = Channel(theirs), Channel(ours)
    for seconds in (60.0, 1.0, 600.0):
        sender.send({})
        receiver.receive(deadline=time.monotonic() + seconds)
        timeout = ours.gettimeout()
        assert timeout is not None
        assert seconds - 1 < timeout <= 1.01 * seconds

"""One decoding process, seen from the daemon: starts it, gives it one file, waits for the answer, ends it.

`recq.images.child` is the other side. The process is started by exec: a fork of a threaded program can deadlock, and
multiprocessing's `spawn` and `forkserver` import the program's main module, Typer and all, into each.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from recq.errors import ImageError, Reason
from recq.images import wire
from recq.images.buffers import Block, Buffers
from recq.images.exif import Exif
from recq.images.reading import FileChanged
from recq.paths import printable
from recq.region import Beside, Region
from recq.space import InputSpec

START_TIMEOUT = 60.0
"""Seconds for a process to import its libraries (0.3 s when the machine is idle)."""


@dataclass(frozen=True)
class Header:
    """One file, of which only the headers were read."""

    size: int
    mtime_ns: int
    exif: Exif


@dataclass(frozen=True)
class Hashed:
    """One file, read and hashed; `exif` is None where it was not asked for."""

    sha256: str
    size: int
    mtime_ns: int
    exif: Exif | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Decoded(Hashed):
    """One file, fitted as well: `pixels` is uint8 (s, s, 3); `width` x `height` is the upright original.

    `since` is that of `recq.images.decode.Picture`.
    """

    format: str
    width: int
    height: int
    since: int
    pixels: npt.NDArray[np.uint8]


Verdict = Hashed | Header | ImageError | Beside | FileChanged | FileNotFoundError
"""The result for a file; only Hashed where its bytes are known."""

Known = Callable[[str], bool]
"""Whether the bytes with that SHA-256 are known, so that they need not be decoded."""


LONGEST_DETAIL = 500
"""Characters of a failure's detail that are kept: an answer may come from a decoder that a hostile file took over."""


_AT_ONCE = 1 << 19  # bytes that a process may send before they are read: its pixels, so that it need not wait
_END_WITHIN = 1.0  # seconds for a killed process to end


@dataclass(frozen=True)
class Task:
    """The task for a file: make the network's input of `spec`, or read only its headers (None).

    Bytes that `known` knows are not decoded. With `exif` the EXIF is read as well.
    """

    path: str
    spec: InputSpec | None = None
    known: Known | None = None
    exif: bool = False
    region: Region | None = None
    """The part that the input is made of."""

    def to_json(self) -> dict[str, Any]:
        """As the process is given it."""
        if self.spec is None:
            return {"path": self.path}
        region = None if self.region is None else str(self.region)
        more = {"region": region, "ask": self.known is not None, "exif": self.exif}
        return {"path": self.path, "size": self.spec.size, "resize": self.spec.resize, **more}


class ProcessDied(Exception):
    """The process ended, or broke the protocol, before its answer; the text says how.

    `killed`: by SIGKILL, which no decoder sends itself: the kernel, short of memory, perhaps because of others.
    """

    def __init__(self, cause: str, *, killed: bool = False) -> None:
        super().__init__(cause)
        self.killed = killed


class DecodeProcess:
    """A running process and this side of its socket. Starting returns at once; OSError when the system has no more.

    Pixels lie in blocks of `buffers`, where there are any.
    """

    def __init__(self, program: str, options: str, buffers: Buffers | None = None) -> None:
        self._buffers = buffers
        self._sock, theirs = socket.socketpair()
        self._channel = wire.Channel(self._sock)
        self._ready = False
        with theirs:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _AT_ONCE)
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", program, str(theirs.fileno()), options],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=environment_without_settings(),
                    process_group=0,  # Ctrl-C in the terminal is the daemon's, even while a process still starts
                )
            except OSError:
                self._sock.close()
                raise

    def begin(self, task: Task) -> None:
        """Hand over a file and wait until the process starts on it. Raises ProcessDied: the file is not to blame."""
        deadline = time.monotonic() + START_TIMEOUT
        try:
            if not self._ready:
                self._channel.receive(deadline=deadline)
                self._ready = True
            self._channel.send(task.to_json(), deadline=deadline)
            self._channel.receive(deadline=deadline)
        except (EOFError, OSError, wire.WireError) as error:  # TimeoutError is an OSError
            raise self._death() from error

    def finish(self, task: Task, timeout: float) -> Verdict:
        """The verdict on the file begun. Raises TimeoutError after `timeout` seconds, or ProcessDied."""
        deadline = time.monotonic() + timeout
        longest = task.spec.size * task.spec.size * 3 if task.spec is not None else 0
        try:
            message, pixels = self._channel.receive(deadline=deadline, max_pixels=longest, buffers=self._buffers)
            is_known = False
            if task.known is not None and message.keys() == {"known"}:
                is_known = task.known(str(message["known"]))
                self._channel.send({"known": is_known}, deadline=deadline)
                message, pixels = self._channel.receive(deadline=deadline, max_pixels=longest, buffers=self._buffers)
            return _verdict(message, pixels, task, is_known)
        except TimeoutError:
            raise
        except (EOFError, OSError) as error:
            raise self._death() from error
        except (wire.WireError, KeyError, TypeError, ValueError) as error:
            raise ProcessDied("its answer is not valid") from error

    def kill(self) -> None:
        """End the process now. A waiting thread gets ProcessDied, also where the kernel does not end the process."""
        self._process.kill()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Close the socket, which ends an idle process by itself, and make sure that it has ended."""
        self._sock.close()
        if self._ready:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # the kernel holds one whose disk does not answer
            self._process.wait(_END_WITHIN)

    def _death(self) -> ProcessDied:
        try:
            status = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return ProcessDied("no answer")
        if status >= 0:
            return ProcessDied(f"exit status {status}")
        if -status == signal.SIGKILL:
            return ProcessDied("SIGKILL, perhaps for lack of memory", killed=True)
        return ProcessDied(signal.strsignal(-status) or f"signal {-status}")


_SEEN: dict[str, type] = {"size": int, "mtime_ns": int}
_HASHED: dict[str, type] = {**_SEEN, "sha256": str}
_DECODED: dict[str, type] = {**_HASHED, "format": str, "width": int, "height": int, "since": int}


def _verdict(message: dict[str, Any], pixels: Block, task: Task, is_known: bool) -> Verdict:
    """The result from an answer. Raises KeyError, TypeError or ValueError for an invalid answer."""
    match message.get("failed"):
        case None:
            fields = _SEEN if task.spec is None else _HASHED if is_known else _DECODED
            with_exif = task.exif or task.spec is None
            exif = Exif.from_json(message.pop("exif")) if with_exif else None
            if message.keys() != fields.keys() or any(type(message[name]) is not kind for name, kind in fields.items()):
                raise ValueError("wrong fields")
            if task.spec is None:
                return Header(**message, exif=exif or Exif())
            if is_known:
                return Hashed(**message, exif=exif)
            square = pixels.reshape(task.spec.size, task.spec.size, 3)
            return Decoded(**message, pixels=square, exif=exif)
        case "image":
            return ImageError(Reason(message["reason"]), printable(str(message["detail"])[:LONGEST_DETAIL]))
        case "beside" if task.region is not None:
            return Beside(task.region, int(message["width"]), int(message["height"]))
        case "changed":
            return FileChanged(str(message["detail"]))
        case "gone":
            return FileNotFoundError(errno.ENOENT, "the file is gone", task.path)
        case other:
            raise ValueError(f"unknown failure {other!r}")


def environment_without_settings() -> dict[str, str]:
    """This process' environment without recq's settings (they hold the index's key), with its import path.

    numpy's linear algebra would map memory for as many threads as there are cores, and decoding uses none.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECQ_")}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}

"""Reads the bytes of one unchanging regular file.

Every file in the drop folder is read here first. Opening never hangs (a FIFO, a device), never reads more than
the limit, and notices a writer: bytes that were read while the file changed are not used.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from recq.errors import ImageError, Reason
from recq.images.decode import Limits, Picture, decode, too_many_bytes
from recq.images.inside import AS_IT_IS, open_inside

_CHUNK = 1 << 24


class FileChanged(Exception):
    """Size or time of change differed before and after reading: the file is still being written."""


@dataclass(frozen=True)
class Content:
    """The whole file: its bytes and what identifies them."""

    data: bytes
    size: int
    mtime_ns: int

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the bytes, 64 hex digits."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Mapped:
    """A mapped file, in the state in which it was opened."""

    data: mmap.mmap
    size: int
    mtime_ns: int


def read_content(path: str, limits: Limits) -> Content:
    """The bytes of the regular file at `path` (surrogate-escaped, as the operating system gives it).

    Raises FileNotFoundError when it is gone, before or after; FileChanged when it changed meanwhile; ImageError with
    PERMISSION, IO_ERROR, NOT_AN_IMAGE (not a regular file) or TOO_LARGE.
    """
    with _told(path), _open(path, limits) as (descriptor, before):
        data = _read_up_to(descriptor, limits.max_bytes + 1)
        _require_same(path, before, len(data))
        return Content(data, before.st_size, before.st_mtime_ns)


def read_inside(path: Path, root: Path, limits: Limits) -> Content:
    """`read_content` of a file below the folder `root`; one that lies elsewhere, whatever leads there, is not found."""
    with _told(os.fspath(path)):
        file, same = open_inside(path, root)
        with file:
            return read_content(same, limits)


@contextmanager
def mapped(path: str, limits: Limits) -> Iterator[Mapped]:
    """The same file, mapped: only the bytes that are used are read. Raises the same errors.

    If the file is shortened meanwhile, reading beyond its new end kills the process (SIGBUS).
    """
    with _told(path), _open(path, limits) as (descriptor, before):
        if not before.st_size:
            raise ImageError(Reason.EMPTY, "the file has no bytes")
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
            yield Mapped(data, before.st_size, before.st_mtime_ns)
        _require_same(path, before, before.st_size)


def open_picture(path: Path, limits: Limits, *, reduce_to: int | None = None) -> Picture:
    """The picture in the file at `path`, decoded in this process; see `decode`.

    Raises ImageError only: a missing file is IO_ERROR here, as is one that changes while it is read.
    """
    try:
        content = read_content(os.fspath(path), limits)
    except FileNotFoundError as error:
        raise ImageError(Reason.IO_ERROR, "no such file") from error
    except FileChanged as error:
        raise ImageError(Reason.IO_ERROR, "the file changed while it was read: try again") from error
    return decode(content.data, limits, reduce_to=reduce_to)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Translate the system's errors about the file at `path` into those of `read_content`."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:  # a parent may have become a file
        raise FileNotFoundError(error.errno, "the file is gone", path) from error
    except PermissionError as error:
        raise ImageError(Reason.PERMISSION, "the file may not be read: check its owner and mode") from error
    except OSError as error:
        raise ImageError(Reason.IO_ERROR, error.strerror or str(error)) from error


@contextmanager
def _open(path: str, limits: Limits) -> Iterator[tuple[int, os.stat_result]]:
    """The descriptor and the state of a regular file that is not too long."""
    descriptor = os.open(path, AS_IT_IS)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise ImageError(Reason.NOT_AN_IMAGE, "not a regular file")
        if before.st_size > limits.max_bytes:
            raise too_many_bytes(before.st_size, limits)
        yield descriptor, before
    finally:
        os.close(descriptor)


def _require_same(path: str, before: os.stat_result, read: int) -> None:
    """Raise FileChanged where the file of the state `before`, of which so many bytes were read, is another now."""
    after = Path(path).stat()  # by name: an atomic replacement counts as a change, too
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or read != after.st_size:
        raise FileChanged(f"size {before.st_size} -> {after.st_size}, {read} bytes read")


def _read_up_to(descriptor: int, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (part := os.read(descriptor, min(_CHUNK, most))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)

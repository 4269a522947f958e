"""A path -> the bytes of one unchanging regular file.

Where a file in the drop folder first meets the decoders. Opening never hangs (a FIFO, a device), never reads more than
the cap, and notices a writer: bytes that were read while the file changed are nobody's picture.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from recq.errors import ImageError, Reason
from recq.images.decode import Limits, Picture, decode, too_many_bytes

_CHUNK = 1 << 24


class FileChanged(Exception):
    """Size or time of change differed before and after reading: the file is still being written."""


@dataclass(frozen=True)
class Content:
    """The whole file as it stood: its bytes and what identifies them."""

    data: bytes
    size: int
    mtime_ns: int

    @cached_property
    def sha256(self) -> str:
        """Of the bytes, 64 hex digits."""
        return hashlib.sha256(self.data).hexdigest()


def read_content(path: str, limits: Limits) -> Content:
    """The bytes of the regular file at `path` (surrogate-escaped, as the operating system gives it).

    Raises FileNotFoundError when it is gone, before or after; FileChanged when it changed meanwhile; ImageError with
    PERMISSION, IO_ERROR, NOT_AN_IMAGE (not a regular file) or TOO_LARGE.
    """
    try:
        return _read(path, limits)
    except (FileNotFoundError, NotADirectoryError) as error:  # a parent may have become a file
        raise FileNotFoundError(error.errno, "the file is gone", path) from error
    except PermissionError as error:
        raise ImageError(Reason.PERMISSION, "the file may not be read: check its owner and mode") from error
    except OSError as error:
        raise ImageError(Reason.IO_ERROR, error.strerror or str(error)) from error


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


def _read(path: str, limits: Limits) -> Content:
    # O_NONBLOCK: opening a FIFO without a writer would wait for one for ever. It means nothing to a regular file.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise ImageError(Reason.NOT_AN_IMAGE, "not a regular file")
        if before.st_size > limits.max_bytes:
            raise too_many_bytes(before.st_size, limits)
        data = _read_up_to(descriptor, limits.max_bytes + 1)
    finally:
        os.close(descriptor)
    after = Path(path).stat()  # by name: an atomic replacement counts as a change, too
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != after.st_size:
        raise FileChanged(f"size {before.st_size} -> {after.st_size}, {len(data)} bytes read")
    return Content(data, after.st_size, after.st_mtime_ns)


def _read_up_to(descriptor: int, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (part := os.read(descriptor, min(_CHUNK, most))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)

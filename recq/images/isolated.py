"""Decodes what strangers send in processes of its own, as the daemon decodes files: bytes, pixels, time and memory are
limited, and a decoder that crashes or hangs takes nothing with it.

The bytes are handed over in memory that has no name on any disk, and are gone when they are decoded.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from recq.closing import ClosedAtEnd
from recq.errors import ImageError, Reason
from recq.images.decode import Limits
from recq.images.fitting import Displayed
from recq.images.pixels import RGBArray
from recq.images.reading import read_inside
from recq.images.resize import without_border
from recq.images.workers import Decoded, DecodePool, FileChanged
from recq.region import Region
from recq.settings import Settings
from recq.space import InputSpec


class IsolatedDecoder(ClosedAtEnd):
    """A `recq.images.fitting.Decoder` whose processes are started with the first picture. A context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: DecodePool | None = None
        self._starting = Lock()
        self._closed = False

    def read(self, path: Path, root: Path | None) -> bytes:
        """The bytes of an item's file, which lies inside `root`. Raises what `recq.images.reading.read_inside` raises,
        FileNotFoundError for what is no item's."""
        if root is None:
            raise FileNotFoundError(errno.ENOENT, "no item's file", os.fspath(path))
        return read_inside(path, root, Limits.from_settings(self._settings)).data

    def fitted(self, content: bytes, spec: InputSpec, region: Region | None = None) -> RGBArray:
        """The network's input: uint8 (size, size, 3). Raises ImageError and Beside."""
        return self._decoded(content, spec, region).pixels

    def displayed(self, content: bytes, longest: int, region: Region | None = None) -> Displayed:
        """The picture, its longer side of `longest` pixels. Raises ImageError and Beside."""
        found = self._decoded(content, InputSpec(longest, "pad"), region)
        return Displayed(_whole(found, longest), found.width, found.height)

    def shown(self, path: str, longest: int) -> tuple[RGBArray, str]:
        """The file at `path` likewise: upright, uint8 (h, w, 3); and the SHA-256 of its bytes.

        Raises ImageError, FileNotFoundError, and FileChanged for one that is being written.
        """
        found = self._ready().submit(path, InputSpec(longest, "pad")).result()
        return _whole(found, longest), found.sha256

    def _decoded(self, content: bytes, spec: InputSpec, region: Region | None) -> Decoded:
        with _handed_over(content) as path:
            try:
                return self._ready().submit(path, spec, region).result()
            except (FileNotFoundError, FileChanged) as error:  # nobody else has the file
                raise ImageError(Reason.IO_ERROR, "the picture could not be handed to a decoding process") from error

    def _ready(self) -> DecodePool:
        with self._starting:
            if self._closed:
                raise RuntimeError("the decoder is closed")
            if self._pool is None:
                self._pool = DecodePool(
                    workers=self._settings.worker_count,
                    timeout=self._settings.decode_timeout,
                    memory=self._settings.decode_memory,
                    limits=Limits.from_settings(self._settings),
                )
            return self._pool

    def close(self) -> None:
        """End the processes; pictures under way are dropped."""
        with self._starting:
            self._closed = True
            pool = self._pool
        if pool is not None:
            pool.close(cancel=True)


def _whole(found: Decoded, size: int) -> RGBArray:
    return without_border(found.pixels, found.width, found.height, InputSpec(size, "pad"))


@contextmanager
def _handed_over(content: bytes) -> Iterator[str]:
    """A path under which another process of this user can read the bytes, for the length of the block."""
    if not hasattr(os, "memfd_create"):  # not Linux
        with tempfile.NamedTemporaryFile(prefix="recq-") as file:  # readable by its owner only
            file.write(content)
            file.flush()
            yield file.name
        return
    descriptor = os.memfd_create("recq", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)

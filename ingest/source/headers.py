"""The EXIF headers of a source's pictures: from the process that decoded them, else from one that reads headers alone.

The headers of a new picture are read while it is decoded, and kept here until the picture is described. For a known
picture, whose metadata is to be refreshed and whose pixels are not decoded, a process of this source reads them: the
source's disk may hang, and no other source may wait for it. The process starts when it is needed and ends when idle.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from recq.images.decode import Limits
from recq.images.workers import DecodePool

if TYPE_CHECKING:
    from recq.images.exif import Exif
    from recq.images.process import Header
    from recq.settings import Settings

_MOST_KEPT = 4096
"""Headers that are kept: more than there are files under way at a time, or in a page of a comparison."""

_IDLE = 10.0
"""Seconds without a question after which the process ends."""


def header_pool(settings: Settings) -> DecodePool:
    """One process, with the bounds that the settings give to decoding."""
    return DecodePool(
        workers=1,
        timeout=settings.decode_timeout,
        memory=settings.decode_memory,
        limits=Limits.from_settings(settings),
    )


class Headers:
    """The headers of one source's files, by absolute path. `start` gives the process. Safe to use from any thread."""

    def __init__(self, start: Callable[[], DecodePool], *, idle: float = _IDLE) -> None:
        self._start = start
        self._idle = idle
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Header] = OrderedDict()
        self._pool: DecodePool | None = None
        self._asking = 0
        self._last = 0.0  # when the last answer came (monotonic)

    def note(self, path: str, header: Header) -> None:
        """Keep headers that were just read."""
        with self._lock:
            self._kept[path] = header
            self._kept.move_to_end(path)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)

    def exif(self, path: str) -> Exif:
        """The EXIF fields of the file at `path` as it is now.

        Raises what `DecodePool.submit_header` promises, and OSError where the file has gone.
        """
        status = Path(path).stat()
        with self._lock:
            kept = self._kept.get(path)
        if kept is None or (kept.size, kept.mtime_ns) != (status.st_size, status.st_mtime_ns):
            kept = self._read(path)
            self.note(path, kept)
        return kept.exif

    def _read(self, path: str) -> Header:
        with self._lock:
            self._asking += 1
            if self._pool is None:
                self._pool = self._start()
                self._wait(self._idle)
            pool = self._pool
        try:
            return pool.submit_header(path).result()
        finally:
            with self._lock:
                self._asking -= 1
                self._last = time.monotonic()

    def _wait(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._end_idle)
        timer.daemon = True
        timer.start()

    def _end_idle(self) -> None:
        with self._lock:
            left = self._idle if self._asking else self._last + self._idle - time.monotonic()
            if left > 0:
                self._wait(left)
                return
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

"""Thumbnails of indexed files for comparison: decoded in separate processes, kept in a temporary file.

    with Thumbnails(settings) as thumbnails:
        thumbnails.read([(row, [Place(path, sha256)]), ...], progress)
        thumbnails.rgb(row)

Each file is read once a run, and used only while it has the bytes that were indexed, which its vector is made of.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

import numpy as np

from recq.duplicates.same_picture import SIDE
from recq.errors import ImageError, UsageError
from recq.images import Limits
from recq.images.pixels import RGBArray
from recq.images.resize import placement
from recq.images.workers import Decoded, DecodePool, FileChanged
from recq.progress import Progress, silent
from recq.space import InputSpec

if TYPE_CHECKING:
    from recq.settings import Settings

_SPEC = InputSpec(SIDE, "pad")
_AT_HAND = 2  # files handed to the decoding processes, for each of them


class Unread(StrEnum):
    """Why a file has no thumbnail here."""

    GONE = "not on this machine, or deleted"
    CHANGED = "changed since they were indexed"
    UNREADABLE = "cannot be read"


@dataclass(frozen=True)
class Place:
    """A file that had the bytes with that SHA-256 when it was indexed; `path` is None where no folder is on record."""

    path: Path | None
    sha256: str


class Thumbnails:
    """The thumbnails by row: a context manager. They are in a file in TMPDIR, with at most 110 kB each.

    `unread` counts the rows that have none, by reason.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._found: dict[int, tuple[int, int, int]] = {}  # row: where it begins, height, width
        self.unread: Counter[Unread] = Counter()

    def __enter__(self) -> Self:
        self._file: IO[bytes] = self._stack.enter_context(tempfile.TemporaryFile(prefix="recq-thumbnails-"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def read(self, wanted: Sequence[tuple[int, Sequence[Place]]], progress: Progress = silent) -> None:
        """Decode each row's picture, at the first of its places that has it. Raises UsageError where the disk is full.

        RecqError where no decoding process starts.
        """
        settings = self._settings
        workers = min(settings.worker_count, max(1, len(wanted)))
        with DecodePool(
            workers=workers,
            timeout=settings.decode_timeout,
            memory=settings.decode_memory,
            limits=Limits.from_settings(settings),
        ) as pool:
            for done, attempt in enumerate(_begun(wanted, pool, workers * _AT_HAND)):
                progress("reading pictures", done, len(wanted))
                self._finish(attempt, pool)
        progress("reading pictures", len(wanted), len(wanted))

    def _finish(self, attempt: _Attempt, pool: DecodePool) -> None:
        """Wait for a file, and try the row's other files until one has its picture."""
        why = Unread.GONE
        while attempt.future is not None:
            try:
                decoded = attempt.future.result()
            except FileNotFoundError:
                pass
            except FileChanged:
                why = Unread.CHANGED
            except ImageError:
                why = Unread.UNREADABLE
            else:
                if decoded.sha256 == attempt.sha256:
                    return self._keep(attempt.row, decoded)
                why = Unread.CHANGED
            attempt.submit(pool)
        self.unread[why] += 1
        return None

    def _keep(self, row: int, decoded: Decoded) -> None:
        left, top, right, bottom = placement(decoded.width, decoded.height, _SPEC).inner
        rgb = np.ascontiguousarray(decoded.pixels[top:bottom, left:right])
        start = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(rgb.data)
            self._file.flush()
        except OSError as error:
            raise UsageError(
                f"no room for the thumbnails in {tempfile.gettempdir()}: {error.strerror}; set TMPDIR to a folder with "
                "more room, or choose fewer items with --filter"
            ) from error
        self._found[row] = start, bottom - top, right - left

    def __contains__(self, row: int) -> bool:
        return row in self._found

    def rgb(self, row: int) -> RGBArray:
        """The row's thumbnail, uint8 (h, w, 3), its longer side `SIDE` pixels. Raises KeyError where there is none."""
        start, height, width = self._found[row]
        self._file.seek(start)
        return np.frombuffer(self._file.read(math.prod((height, width, 3))), np.uint8).reshape(height, width, 3)


class _Attempt:
    """A row's picture, looked for at one place after the other. `future` is None when there are no more."""

    def __init__(self, row: int, places: Sequence[Place], pool: DecodePool) -> None:
        self.row = row
        self.sha256 = ""
        self.future: Future[Decoded] | None = None
        self._places = iter(places)
        self.submit(pool)

    def submit(self, pool: DecodePool) -> None:
        """Go on to the next place."""
        self.future = None
        for place in self._places:
            if place.path is not None:
                self.sha256, self.future = place.sha256, pool.submit(os.fspath(place.path), _SPEC)
                return


def _begun(wanted: Iterable[tuple[int, Sequence[Place]]], pool: DecodePool, most: int) -> Iterator[_Attempt]:
    """The attempts in order, `most` of them begun at a time."""
    under_way: deque[_Attempt] = deque()
    for row, places in wanted:
        under_way.append(_Attempt(row, places, pool))
        if len(under_way) >= most:
            yield under_way.popleft()
    yield from under_way

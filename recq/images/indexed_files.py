"""The pictures of indexed files, decoded again in separate processes: for whatever compares or learns pixels.

    for row, found in read_files(wanted, InputSpec(64, "pad"), settings, progress):
        ...

A file is used only while it has the bytes that were indexed, which its vector is made of.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from recq.errors import ImageError
from recq.images.decode import Limits
from recq.images.workers import Decoded, DecodePool, FileChanged
from recq.progress import Progress, silent
from recq.space import InputSpec

if TYPE_CHECKING:
    from recq.settings import Settings

_AT_HAND = 2  # files handed to the decoding processes, for each of them


class Unread(StrEnum):
    """Why there is no picture of a file here."""

    GONE = "not on this machine, or deleted"
    CHANGED = "changed since they were indexed"
    UNREADABLE = "cannot be read"


@dataclass(frozen=True)
class Place:
    """A file that had the bytes with that SHA-256 when it was indexed; `path` is None where no folder is on record."""

    path: Path | None
    sha256: str


def read_files(
    wanted: Sequence[tuple[int, Sequence[Place]]], spec: InputSpec, settings: Settings, progress: Progress = silent
) -> Iterator[tuple[int, Decoded | Unread]]:
    """Each row with its picture as the network's input of `spec`, at the first of its places that has it, in order.

    Raises RecqError where no decoding process starts.
    """
    return read_fitted(wanted, lambda _: spec, settings, progress)


def read_fitted(
    wanted: Sequence[tuple[int, Sequence[Place]]],
    spec_of: Callable[[int], InputSpec],
    settings: Settings,
    progress: Progress = silent,
) -> Iterator[tuple[int, Decoded | Unread]]:
    """The same, each row as the input of its own spec."""
    workers = min(settings.worker_count, max(1, len(wanted)))
    with DecodePool(
        workers=workers,
        timeout=settings.decode_timeout,
        memory=settings.decode_memory,
        limits=Limits.from_settings(settings),
    ) as pool:
        for done, attempt in enumerate(_begun(wanted, spec_of, pool, workers * _AT_HAND)):
            progress("reading pictures", done, len(wanted))
            yield attempt.row, attempt.finished(pool)
    progress("reading pictures", len(wanted), len(wanted))


class _Attempt:
    """A row's picture, looked for at one place after the other. `_future` is None when there are no more."""

    def __init__(self, row: int, places: Sequence[Place], spec: InputSpec, pool: DecodePool) -> None:
        self.row = row
        self._sha256 = ""
        self._future: Future[Decoded] | None = None
        self._places = iter(places)
        self._spec = spec
        self._submit(pool)

    def finished(self, pool: DecodePool) -> Decoded | Unread:
        """Wait for a file, and try the row's other files until one has its picture."""
        why = Unread.GONE
        while self._future is not None:
            try:
                decoded = self._future.result()
            except FileNotFoundError:
                pass
            except FileChanged:
                why = Unread.CHANGED
            except ImageError:
                why = Unread.UNREADABLE
            else:
                if decoded.sha256 == self._sha256:
                    return decoded
                why = Unread.CHANGED
            self._submit(pool)
        return why

    def _submit(self, pool: DecodePool) -> None:
        """Go on to the next place."""
        self._future = None
        for place in self._places:
            if place.path is not None:
                self._sha256, self._future = place.sha256, pool.submit(os.fspath(place.path), self._spec)
                return


def _begun(
    wanted: Iterable[tuple[int, Sequence[Place]]], spec_of: Callable[[int], InputSpec], pool: DecodePool, most: int
) -> Iterator[_Attempt]:
    """The attempts in order, `most` of them begun at a time."""
    under_way: deque[_Attempt] = deque()
    for row, places in wanted:
        under_way.append(_Attempt(row, places, spec_of(row), pool))
        if len(under_way) >= most:
            yield under_way.popleft()
    yield from under_way

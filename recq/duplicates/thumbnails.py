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
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

import numpy as np

from recq.duplicates.same_picture import SIDE
from recq.errors import UsageError
from recq.images.indexed_files import Place, Unread, read_files
from recq.images.pixels import RGBArray
from recq.images.resize import without_border
from recq.images.workers import Decoded
from recq.progress import Progress, silent
from recq.space import InputSpec

if TYPE_CHECKING:
    from recq.settings import Settings

_SPEC = InputSpec(SIDE, "pad")


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
        for row, found in read_files(wanted, _SPEC, self._settings, progress):
            if isinstance(found, Unread):
                self.unread[found] += 1
            else:
                self._keep(row, found)

    def _keep(self, row: int, decoded: Decoded) -> None:
        rgb = np.ascontiguousarray(without_border(decoded.pixels, decoded.width, decoded.height, _SPEC))
        start = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(rgb.data)
            self._file.flush()
        except OSError as error:
            raise UsageError(
                f"no room for the thumbnails in {tempfile.gettempdir()}: {error.strerror}; set TMPDIR to a folder with "
                "more room, or choose fewer items with --filter"
            ) from error
        self._found[row] = start, rgb.shape[0], rgb.shape[1]

    def __contains__(self, row: int) -> bool:
        return row in self._found

    def rgb(self, row: int) -> RGBArray:
        """The row's thumbnail, uint8 (h, w, 3), its longer side `SIDE` pixels. Raises KeyError where there is none."""
        start, height, width = self._found[row]
        self._file.seek(start)
        return np.frombuffer(self._file.read(math.prod((height, width, 3))), np.uint8).reshape(height, width, 3)

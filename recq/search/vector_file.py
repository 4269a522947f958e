"""Compares many vectors with many, exactly, without holding all of them or all scores in memory.

Vectors are kept in a temporary file; a block of them is compared with one part of the file after the other. The result
does not depend on an approximate index: `evaluate` ranks a gallery for each query, `duplicates` looks for the
nearest of each.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from recq.errors import UsageError
from recq.space import Distance

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

_BLOCK = 16 << 20
"""Bytes of the file that are in memory at once."""

_SCORES = 64 << 20
"""Bytes of scores that are in memory at once: queries of a block times the gallery."""

_MOST_QUERIES = 256

_PAIRED = 1024
"""Rows that are compared with all others at a time: the file is read once for each."""


class VectorFile:
    """Vectors in a temporary file without a name, in TMPDIR, which ends with the process. A context manager.

    The first `gallery` rows are ranked. The file is read, not mapped: pages of a mapping would count as
    this process's memory.
    """

    def __init__(self, dim: int, distance: Distance) -> None:
        self._file = tempfile.TemporaryFile(prefix="recq-vectors-")  # noqa: SIM115 - closed with this object
        self._dim = dim
        self._distance = distance
        self._squares: list[Vectors] = []
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, vectors: Vectors) -> None:
        """Append rows, float32 (n, dim). Raises UsageError where the disk is full."""
        if self._distance == "Cosine":
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self._squares.append(np.einsum("ij,ij->i", vectors, vectors))
        try:
            self._file.write(np.ascontiguousarray(vectors, np.float32).data)
            self._file.flush()
        except OSError as error:
            raise UsageError(
                f"no room for the vectors in {tempfile.gettempdir()}: {error.strerror}; "
                "set TMPDIR to a folder with more room, or choose fewer items with --sample and --gallery-filter"
            ) from error
        self.rows += len(vectors)

    def read(self, rows: Rows) -> Vectors:
        """Those rows, float32 (n, dim)."""
        found = np.empty((len(rows), self._dim), np.float32)
        for place, row in enumerate(rows.tolist()):
            self._file.seek(row * self._dim * 4)
            self._file.readinto(found[place].data)
        return found

    def _block(self, first: int, last: int) -> Vectors:
        """The rows from `first` on and before `last`, as far as there are any, float32 (n, dim)."""
        found = np.empty((min(last, self.rows) - first, self._dim), np.float32)
        self._file.seek(first * self._dim * 4)
        self._file.readinto(found.data)
        return found

    def ranked(self, queries: Rows, gallery: int) -> Iterator[Rows]:
        """For each of the `queries` (rows), the first `gallery` rows in order: nearest first, ties by row."""
        step = max(1, min(_MOST_QUERIES, _SCORES // (4 * gallery)))
        numbers = np.arange(gallery, dtype=np.uint64)
        for start in range(0, len(queries), step):
            for scores in self._scores(self.read(queries[start : start + step]), gallery):
                yield descending(scores, numbers)

    def neighbours(self, count: int, limit: float | None = None) -> Iterator[tuple[int, Rows]]:
        """For each row the `count` nearest other rows at least as near as `limit`; rows without any are left out.

        Distances and limit are cosines, or Euclidean distances. float32 with an error of some 1e-6 of the vectors'
        length. The neighbours are in no order; of equal ones at the edge any.
        """
        sign = np.float32(1 if self._distance == "Cosine" else -1)
        worst = -np.inf if limit is None else sign * limit
        step = max(1, _BLOCK // (4 * self._dim))
        for start in range(0, self.rows, _PAIRED):
            queries = self._block(start, start + _PAIRED)
            own = np.arange(len(queries))
            best = np.full((len(queries), count), -np.inf, np.float32)
            rows = np.zeros((len(queries), count), np.int64)
            for first in range(0, self.rows, step):
                block = self._block(first, first + step)
                scores = sign * self._compared(queries, block)
                itself = own[(own + start >= first) & (own + start < first + len(block))]
                scores[itself, itself + start - first] = -np.inf
                joined = np.concatenate([best, scores], axis=1)
                kept = np.argpartition(joined, -count, axis=1)[:, -count:]
                best = np.take_along_axis(joined, kept, axis=1)
                known = np.take_along_axis(rows, np.minimum(kept, count - 1), axis=1)
                rows = np.where(kept < count, known, first + kept - count)
            near = (best >= worst) & np.isfinite(best)
            for place in np.flatnonzero(near.any(axis=1)).tolist():
                yield start + place, rows[place, near[place]]

    def compared(self, row: int) -> Vectors:
        """The cosines, or the distances, of all rows to one: float32 (rows,)."""
        query = self._block(row, row + 1)
        step = max(1, _BLOCK // (4 * self._dim))
        blocks = (self._block(start, start + step) for start in range(0, self.rows, step))
        return np.concatenate([self._compared(query, block)[0] for block in blocks])

    def score(self, row: int, other: int) -> float:
        """The cosine, or the distance, of two rows."""
        return float(self._compared(self._block(row, row + 1), self._block(other, other + 1))[0, 0])

    def _compared(self, queries: Vectors, block: Vectors) -> Vectors:
        """Cosines or distances, float32 (queries, block)."""
        products: Vectors = queries @ block.T
        if self._distance == "Cosine":
            return products
        lengths = np.einsum("ij,ij->i", queries, queries)[:, np.newaxis] + np.einsum("ij,ij->i", block, block)
        distances: Vectors = np.sqrt(np.maximum(lengths - 2 * products, 0))
        return distances

    def _scores(self, queries: Vectors, gallery: int) -> Vectors:
        """How near each gallery row is to each query: float32 (queries, gallery), larger is nearer."""
        scores = np.empty((len(queries), gallery), np.float32)
        step = max(1, _BLOCK // (4 * self._dim))
        buffer = np.empty((step, self._dim), np.float32)
        squares = np.concatenate(self._squares) if self._distance == "Euclid" else None
        self._file.seek(0)
        for start in range(0, gallery, step):
            block = buffer[: min(step, gallery - start)]
            self._file.readinto(block.data)
            products = queries @ block.T
            if squares is not None:  # |q - g|^2 without |q|^2, which is the same for the whole row
                products = 2 * products - squares[start : start + len(block)]
            scores[:, start : start + len(block)] = products
        return scores


def descending(scores: Vectors, numbers: npt.NDArray[np.uint64]) -> Rows:
    """Positions of `scores`, float32 (n,), finite, the highest first and equal ones in order; `numbers` is arange(n).

    One sort of integers that hold the score above and the position below: a third of a stable argsort's time.
    """
    bits = (scores + np.float32(0)).view(np.uint32)  # no minus zero
    keys = np.where(bits & 0x8000_0000, bits, 0x7FFF_FFFF - bits).astype(np.uint64)
    keys = (keys << np.uint64(32)) | numbers
    keys.sort()
    order: Rows = (keys & np.uint64(0xFFFF_FFFF)).astype(np.int64)
    return order

"""Which of many vectors lie near each other: near-duplicates, and the nearest ones of other groups.

All are compared with all, in blocks. Of more than `MOST_EXACT` the first `NUMBERS` principal ones stand for the whole
vectors at first, and what they leave is compared exactly: of near-duplicates none is missed by that, since no two
vectors come farther apart in fewer orthogonal directions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from recq.learn.directions import right_singular
from recq.progress import Progress, silent

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

MOST_EXACT = 10_000
"""Vectors that are compared as they are: 100 million products of 1,280 numbers take some seconds."""

NUMBERS, CANDIDATES = 128, 64
"""How many principal numbers there are, and how many vectors for which they are largest compete for the nearest."""

_TILE = (1_024, 8_192)  # rows and columns compared at a time, each pair of which may be near: 130 MB
_BLOCK = 256  # rows whose nearest are looked for at a time, by each thread: 200 MB where there are 100,000
_PAIRS = 16_384  # compared exactly at a time: 170 MB of vectors of 1,280 numbers
_SPARSE = 1 / 32  # with more of a tile left, all of it is compared exactly
_DIRECTIONS_OF = 10_000  # vectors that principal directions are taken from
_ROUNDING = 1e-4


def near_pairs(vectors: Floats, near: float, progress: Progress = silent) -> Iterator[tuple[Rows, Rows]]:
    """Every two rows of (n, d), of length 1, whose cosine is `near` or more: the first ones and the second ones."""
    height, width = _TILE
    principal = None if len(vectors) <= MOST_EXACT else _principal(vectors)
    for start in range(0, len(vectors), height):
        progress("looking for near-duplicates", start, len(vectors))
        for left in range(start, len(vectors), width):
            rows, columns = slice(start, start + height), slice(left, left + width)
            if principal is None:
                one, other = np.nonzero(vectors[rows] @ vectors[columns].T >= near)
            else:
                one, other = _near_in_tile(vectors, principal, rows, columns, near)
            one, other = one + start, other + left
            apart = one < other
            if apart.any():
                yield one[apart], other[apart]


def _near_in_tile(vectors: Floats, principal: Floats, rows: slice, columns: slice, near: float) -> tuple[Rows, Rows]:
    """Of vectors of length 1 the squared distance is 2 - 2 cos, and that of their principal numbers at most that."""
    one, other = principal[rows], principal[columns]
    half, other_half = ((each * each).sum(axis=1, keepdims=True) / 2 for each in (one, other))
    # Minus half the squared distances, by one product.
    scores = np.hstack([one, -half, np.ones_like(half)]) @ np.hstack([other, np.ones_like(other_half), -other_half]).T
    first, second = np.nonzero(scores >= near - 1 - _ROUNDING)
    if len(first) > _SPARSE * scores.size:
        first, second = np.nonzero(vectors[rows] @ vectors[columns].T >= near)
        return first, second
    found = np.zeros(len(first), bool)
    for at in range(0, len(first), _PAIRS):
        some = slice(at, at + _PAIRS)
        cosines = np.einsum("ij,ij->i", vectors[rows][first[some]], vectors[columns][second[some]])
        found[some] = cosines >= near
    return first[found], second[found]


def nearest_others(
    vectors: Floats, groups: Rows, count: int, progress: Progress = silent
) -> Iterator[tuple[slice, Rows, npt.NDArray[np.bool_]]]:
    """Of blocks of rows, one after the other: the `count` nearest rows of other groups, int64 (b, count) in no order,
    and bool (b, count) which of them there are."""
    from threadpoolctl import threadpool_limits

    principal = None if len(vectors) <= MOST_EXACT else _principal(vectors)
    members = _Members(groups)

    def found(start: int) -> tuple[slice, Rows, npt.NDArray[np.bool_]]:
        rows = slice(start, min(start + _BLOCK, len(vectors)))
        if principal is None:
            scores = vectors[rows] @ vectors.T
            members.leave_out(scores, rows)
            nearest, best = _largest(scores, count)
            return rows, nearest, np.isfinite(best)
        scores = principal[rows] @ principal.T
        members.leave_out(scores, rows)
        candidates, best = _largest(scores, max(CANDIDATES, count))
        exact = np.einsum("ijk,ik->ij", vectors[candidates], vectors[rows])
        exact[~np.isfinite(best)] = -np.inf
        places, best = _largest(exact, count)
        return rows, np.take_along_axis(candidates, places, axis=1), np.isfinite(best)

    # Blocks are worked on side by side, and threads within one would only wait for each other.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as threads:
        for each in threads.map(found, range(0, len(vectors), _BLOCK)):
            progress("asking neighbours", each[0].start, len(vectors))
            yield each


class _Members:
    """The rows of each group."""

    def __init__(self, groups: Rows) -> None:
        self._order = np.argsort(groups, kind="stable")
        ends = np.cumsum(np.bincount(groups))
        self._of = [slice(*each) for each in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]
        self._groups = groups

    def leave_out(self, scores: Floats, rows: slice) -> None:
        """Scores (b, n) of those rows: minus infinity for rows of the same group."""
        for own, group in zip(scores, self._groups[rows].tolist(), strict=True):
            own[self._order[self._of[group]]] = -np.inf


def _largest(scores: Floats, count: int) -> tuple[Rows, Floats]:
    """The columns (b, count or fewer) of the largest of (b, n), and these."""
    places = np.argpartition(scores, -min(count, scores.shape[1]), axis=1)[:, -count:]
    return places, np.take_along_axis(scores, places, axis=1)


def _principal(vectors: Floats) -> Floats:
    """float32 (n, `NUMBERS`): the vectors in their own principal directions."""
    return vectors @ right_singular(vectors[:: -(-len(vectors) // _DIRECTIONS_OF)], NUMBERS)

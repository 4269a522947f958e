"""Finds what is nearest in a trained space before anything is stored in it: the nearest of the stored space, reordered.

The `RERANKED` points that are nearest in the space of the stored vectors are asked for, their vectors read and put
through the head, as are those that the question starts from. So it needs no picture and no other collection; what the
stored space puts farther away is not found. Vectors of a trained space have length 1, its scores are cosines.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from recq.errors import RequestRefused, UsageError
from recq.index.nearest import ByEngine
from recq.index.ordering import Scope, needed, rows_in, within
from recq.index.plain_requests import Near
from recq.index.points import Points
from recq.index.ranking import Grown, Own, Row, first_limit, grown
from recq.index.schema import Item
from recq.index.similarity import Example, Liked, Question, Strategy
from recq.space import EmbeddingSpace

if TYPE_CHECKING:
    from recq.models.heads import Head

RERANKED = 1_000
"""Points that are put into the order of the trained space."""

_TOGETHER = 10
"""Questions whose stored vectors are read at the same time: some 50 MB."""

KEPT_FOR = 5.0
"""Seconds that trained vectors serve later questions as well: to read a thousand takes a hundred times as long as a
question without them. An item whose picture has just changed keeps its place for as long."""

MOST_KEPT = 16_000_000
"""Numbers of trained vectors that are kept: 64 MB."""

Floats = npt.NDArray[np.float32]


class Reranked:
    """Finds what is nearest in the trained `space`, that of the vectors that `head` makes of the stored ones."""

    def __init__(
        self,
        stored: ByEngine,
        points: Points,
        head: Head,
        space: EmbeddingSpace,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.space = space
        self._stored = stored
        self._points = points
        self._head = head
        self._clock = clock
        self._kept: dict[str, Floats] = {}
        self._kept_since = clock()

    def exact(self) -> Reranked:
        """The same, comparing with every point that matches in the stored space."""
        return Reranked(self._stored.exact(), self._points, self._head, self.space, self._clock)

    def ranked(self, questions: Sequence[Question], scope: Scope, owns: Sequence[Own]) -> list[Grown]:
        """The certain rows of each question; `cut` where more points match than are put into order.

        Raises UsageError for a strategy other than the average.
        """
        found: list[Grown] = []
        for start in range(0, len(questions), _TOGETHER):
            some = questions[start : start + _TOGETHER]
            _require_average(some)
            found += self._reordered(
                some, scope, owns[start : start + _TOGETHER], self._stored.near(some, _wide(scope))
            )
        return found

    def ranked_beside(self, item_id: str, scope: Scope, own: Callable[[Item], Own]) -> tuple[Item, Grown] | None:
        """An item and what `ranked` finds for it; None where there is no such item."""
        found = self._stored.near_beside(item_id, _wide(scope))
        if found is None:
            return None
        item, near = found
        return item, self._reordered([item_id], scope, [own(item)], [near])[0]

    def vectors(self, ids: Sequence[str]) -> Mapping[str, Floats]:
        """The vectors of the trained space, those that were made lately and the others from the stored ones."""
        now = self._clock()
        if now - self._kept_since >= KEPT_FOR or len(self._kept) * self.space.dim > MOST_KEPT:
            self._kept, self._kept_since = {}, now
        kept = self._kept
        kept |= self._made([item_id for item_id in dict.fromkeys(ids) if item_id not in kept])
        return {item_id: kept[item_id] for item_id in dict.fromkeys(ids) if item_id in kept}

    def _made(self, ids: Sequence[str]) -> dict[str, Floats]:
        """From the stored vectors. Equal ones are put through the head once: its products of equal rows of a batch may
        differ in a last bit, and copies would have an order."""
        stored = self._points.vectors(ids)
        row_of: dict[bytes, int] = {}
        distinct: list[np.ndarray] = []
        rows: dict[str, int] = {}
        for item_id, vector in stored.items():
            rows[item_id] = row_of.setdefault(hashlib.blake2b(vector.tobytes(), digest_size=16).digest(), len(distinct))
            if rows[item_id] == len(distinct):
                distinct.append(vector)
        made = self._through(distinct)
        return {item_id: made[row] for item_id, row in rows.items()}

    def _through(self, vectors: Sequence[np.ndarray]) -> Floats:
        """Stored vectors, each float32 (takes,), as rows of the trained space: float32 (n, dim)."""
        return self._head.apply(np.array(vectors, np.float32).reshape(len(vectors), self._head.takes))

    def _reordered(
        self, questions: Sequence[Question], scope: Scope, owns: Sequence[Own], nears: Sequence[Sequence[Near]]
    ) -> list[Grown]:
        examples = [each for question in questions for each in _examples_of(question)]
        named = [each for each in examples if isinstance(each, str)]
        found_ids = (point.id for near in nears for point in near if isinstance(point.id, str))  # others are not recq's
        vectors = self.vectors([*named, *found_ids])

        def vector(example: Example) -> Floats:
            if not isinstance(example, str):
                made: Floats = self._through([example])[0]
                return made
            if example not in vectors:
                raise RequestRefused(f"the item {example} has no vector any more: it was deleted, or has failed")
            return vectors[example]

        found = []
        for question, near, own in zip(questions, nears, owns, strict=True):
            points = within(_by_score(near, vectors, _starting(question, vector)), scope.parameters)
            found.append(self._grown(points, scope, own, more=len(near) >= RERANKED))
        return found

    def _grown(self, points: Sequence[Near], scope: Scope, own: Own, *, more: bool) -> Grown:
        """The certain rows of points in their order; `more`: others match as well, which were not looked at."""

        def fetch(limit: int) -> Sequence[Row]:
            part = replace(scope, limit=limit)
            first = points[:limit]
            records = self._points.records([str(point.id) for point in first], payload=part.payload)
            payloads = {str(record.id): record.payload for record in records}
            return rows_in([point._replace(payload=payloads.get(str(point.id))) for point in first], part)

        need = needed(scope.parameters)
        found = grown(
            fetch,
            fetch(first_limit(need, RERANKED)),
            need,
            keep_duplicates=scope.parameters.keep_duplicates,
            descending=True,
            own=own,
            deepest=RERANKED,
        )
        return Grown(found.rows, whole=False, cut=True) if more and found.whole else found


def _wide(scope: Scope) -> Scope:
    """All points that are put into order, whatever their score in the stored space."""
    parameters = replace(scope.parameters, min_score=None, max_distance=None)
    return replace(scope, parameters=parameters, limit=RERANKED, bare=True)


def _by_score(near: Iterable[Near], vectors: Mapping[str, Floats], start: Floats) -> list[Near]:
    """The points by their cosine to `start`, the highest first. One that has no vector any more is left out."""
    there = [point for point in near if str(point.id) in vectors]
    if not there:
        return []
    rows = np.stack([vectors[str(point.id)] for point in there]).astype(np.float64)
    scores = (rows @ start.astype(np.float64)).astype(np.float32)  # in 64 bits, so that equal rows score equally
    scored = [point._replace(score=score) for point, score in zip(there, scores.tolist(), strict=True)]
    return sorted(scored, key=lambda point: -point.score)


def _starting(question: Question, vector: Callable[[Example], Floats]) -> Floats:
    """What a question starts from, of length 1: mean(liked) + (mean(liked) - mean(disliked)), or the one example."""
    if not isinstance(question, Liked):
        return vector(question)
    start = np.stack([vector(each) for each in question.like]).astype(np.float64).mean(axis=0)
    if question.dislike:
        start = 2 * start - np.stack([vector(each) for each in question.dislike]).astype(np.float64).mean(axis=0)
    length = float(np.linalg.norm(start))
    return np.asarray(start / (length or 1.0), np.float32)


def _examples_of(question: Question) -> Sequence[Example]:
    return (*question.like, *question.dislike) if isinstance(question, Liked) else (question,)


def _require_average(questions: Sequence[Question]) -> None:
    for question in questions:
        if isinstance(question, Liked) and question.strategy is not Strategy.AVERAGE:
            raise UsageError(
                f"--strategy {question.strategy} needs the scores of all items, and --space puts the {RERANKED:,} "
                "nearest into another order: leave one of them out"
            )

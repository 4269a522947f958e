"""Finds the points that are nearest to questions: the certain rows of each ranking, by the engine's own vectors.

This is the part of a `Finder` that compares; what becomes of the rows (groups, copies, variety, pages) is the finder's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from qdrant_client import models

from recq.index.ordering import Scope, nearest_requests, needed, rows_in, within
from recq.index.plain_requests import Near
from recq.index.points import Points
from recq.index.ranking import Grown, Own, Row, grown
from recq.index.schema import Item
from recq.index.searching import Answered, Exactly, Searching
from recq.index.similarity import Question, metric_of
from recq.space import EmbeddingSpace


class Nearest(Protocol):
    """Finds what is nearest to questions. All methods raise only errors of `recq.errors`."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space that the scores are of."""

    def exact(self) -> Nearest:
        """The same, comparing with every point that matches."""

    def ranked(self, questions: Sequence[Question], scope: Scope, owns: Sequence[Own]) -> list[Grown]:
        """The certain rows of each question, which are enough where there are as many; `owns` do not count."""

    def ranked_beside(self, item_id: str, scope: Scope, own: Callable[[Item], Own]) -> tuple[Item, Grown] | None:
        """An item and what `ranked` finds for it, in fewer requests; None where there is no such item."""

    def vectors(self, ids: Sequence[str]) -> Mapping[str, np.ndarray]:
        """The vectors of those ids in this space, each float32 (dim,); failed and unknown items are absent."""


class ByEngine:
    """Finds what is nearest in the space of the stored vectors."""

    def __init__(self, space: EmbeddingSpace, points: Points, searching: Searching) -> None:
        self.space = space
        self._points = points
        self._searching = searching

    def exact(self) -> ByEngine:
        """The same, comparing with every point that matches."""
        return ByEngine(self.space, self._points, Exactly())

    def ranked(self, questions: Sequence[Question], scope: Scope, owns: Sequence[Own]) -> list[Grown]:
        """The certain rows of each question; the first requests are made together."""
        firsts = self.near(questions, scope)
        return [self._grown(*each, scope) for each in zip(questions, firsts, owns, strict=True)]

    def ranked_beside(self, item_id: str, scope: Scope, own: Callable[[Item], Own]) -> tuple[Item, Grown] | None:
        """An item and its ranking, the first rows of which come in the same request."""
        found = self.near_beside(item_id, scope)
        if found is None:
            return None
        item, first = found
        return item, self._grown(item_id, first, own(item), scope)

    def near(self, questions: Sequence[Question], scope: Scope) -> list[list[Near]]:
        """The first `scope.limit` points for each question, in one request."""
        return self._read(questions, scope, self._points.nearest(self._requests(questions, scope)))

    def near_beside(self, item_id: str, scope: Scope) -> tuple[Item, list[Near]] | None:
        """An item and the first `scope.limit` points for it, in one request; None where there is no such item."""
        (request,) = self._requests([item_id], scope)
        answer, item = self._points.nearest_beside(request, item_id)
        return None if item is None else (item, self._read([item_id], scope, [answer])[0])

    def vectors(self, ids: Sequence[str]) -> Mapping[str, np.ndarray]:
        """The stored vectors."""
        return self._points.vectors(ids)

    def _requests(self, questions: Sequence[Question], scope: Scope) -> list[models.QueryRequest]:
        searched = self._searching.params(scope.compiled, scope.limit)
        return nearest_requests(self.space, questions, scope, searched)

    def _read(self, questions: Sequence[Question], scope: Scope, answers: Sequence[Sequence[Near]]) -> list[list[Near]]:
        """The points of the answers. Those that a filter may have led astray are searched for again, all together."""
        found = [within(answer, scope.parameters) for answer in answers]
        again: dict[str, tuple[models.SearchParams, list[int]]] = {}
        for number, question in enumerate(questions):
            params = self._searching.again(scope.compiled, scope.limit, self._answered(question, scope, found[number]))
            if params is not None:
                again.setdefault(params.model_dump_json(), (params, []))[1].append(number)
        for params, numbers in again.values():
            asked = [questions[number] for number in numbers]
            better = self._points.nearest(nearest_requests(self.space, asked, scope, params))
            for number, answer in zip(numbers, better, strict=True):
                found[number] = within(answer, scope.parameters)
        return found

    def _answered(self, question: Question, scope: Scope, points: Sequence[Near]) -> Answered:
        parameters = scope.parameters
        bound = parameters.min_score if parameters.max_distance is None else parameters.max_distance
        first = points[: needed(parameters)]
        comparable = metric_of(question, self.space).name in ("cosine", "euclid")
        return Answered(len(points), first[-1].score if first else None, bound, comparable)

    def _grown(self, question: Question, first: Sequence[Near], own: Own, scope: Scope) -> Grown:
        def fetch(limit: int) -> Sequence[Row]:
            larger = replace(scope, limit=limit)
            return rows_in(self.near([question], larger)[0], larger)

        return grown(
            fetch,
            rows_in(first, scope),
            needed(scope.parameters),
            keep_duplicates=scope.parameters.keep_duplicates,
            descending=metric_of(question, self.space).higher_is_better,
            own=own,
        )

"""The two requests for points in an order: by nearness, by a field. The answers are small rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qdrant_client import models

from recq.index.diversity import candidates
from recq.index.parameters import Parameters, Sort
from recq.index.plain_requests import Near
from recq.index.points import Points
from recq.index.ranking import Row, first_limit, payload_keys, row_of
from recq.index.schema import VECTOR, payload_key
from recq.index.similarity import Example, Liked, Question, Strategy, metric_of
from recq.space import EmbeddingSpace

_FEW = 50
"""Points whose payloads are read with them: reading one takes some 20 us, a request of its own a millisecond."""

_STRATEGIES = {
    Strategy.AVERAGE: models.RecommendStrategy.AVERAGE_VECTOR,
    Strategy.BEST: models.RecommendStrategy.BEST_SCORE,
    Strategy.SUM: models.RecommendStrategy.SUM_SCORES,
}


def needed(parameters: Parameters) -> int:
    """How many rows of the ranking have to be certain."""
    return max(parameters.last, candidates(parameters.k)) if parameters.diversity else parameters.last


@dataclass(frozen=True)
class Scope:
    """Which points are looked at for every question alike: the first `limit` that `compiled` holds for (None: all).

    `parameters` say how near they have to be, and what is read of them: little, or with `bare` nothing but ids.
    """

    compiled: models.Filter | None
    parameters: Parameters
    limit: int
    bare: bool = False

    @classmethod
    def first(cls, compiled: models.Filter | None, parameters: Parameters) -> Scope:
        """As many points as usually make the rows certain that are needed."""
        return cls(compiled, parameters, first_limit(needed(parameters)))

    @property
    def read_whole(self) -> bool:
        """Whether payloads are read whole: of few points that costs less than another request for those of the page."""
        return self.limit <= _FEW and not self.bare

    @property
    def payload(self) -> bool | list[str]:
        """What is read of each payload."""
        if self.bare:
            return False
        return True if self.read_whole else payload_keys(self.parameters.group_by)


def nearest_requests(
    space: EmbeddingSpace, questions: Sequence[Question], scope: Scope, searched: models.SearchParams | None = None
) -> list[models.QueryRequest]:
    """The request of each question for its nearest points; `rows_in` reads its answer.

    `searched` is how a server looks for them, its own way when None (`recq.index.search_params`).
    """
    return [
        models.QueryRequest(
            query=_query_of(question),
            using=VECTOR,
            filter=scope.compiled,
            limit=scope.limit,
            score_threshold=_threshold(question, space, scope.parameters),
            params=searched,
            with_payload=scope.payload,
        )
        for question in questions
    ]


def within(answer: Sequence[Near], parameters: Parameters) -> list[Near]:
    """The points of an answer that reach `min_score`: not every engine keeps it."""
    least = -math.inf if parameters.min_score is None else parameters.min_score
    return [point for point in answer if point.score >= least]


def rows_in(answer: Sequence[Near], scope: Scope) -> list[Row]:
    """The rows of one question's answer; a row's value is the score."""
    group_by = scope.parameters.group_by
    return [row_of(point, point.score, group_by, whole=scope.read_whole) for point in answer]


def _threshold(question: Question, space: EmbeddingSpace, parameters: Parameters) -> float | None:
    """The bound that the engine is told. It takes every bound of a space of distances for the largest distance."""
    if metric_of(question, space).higher_is_better == space.higher_is_better:
        return parameters.min_score if parameters.max_distance is None else parameters.max_distance
    return None


def points_by_field(
    points: Points, sort: Sort, compiled: models.Filter, parameters: Parameters, limit: int
) -> list[Row]:
    """The first `limit` points that have a number or a date there; one with a list comes once for each element."""
    direction = models.Direction.DESC if sort.descending else models.Direction.ASC
    order_by = models.OrderBy(key=payload_key(sort.field), direction=direction)
    records = points.first(compiled, limit, payload=payload_keys(parameters.group_by), order_by=order_by)
    return [row_of(record, record.order_value, parameters.group_by) for record in records]


def _query_of(question: Question) -> models.Query:
    """As the client takes it. Items that are named by their id are never among the answers."""
    if not isinstance(question, Liked):
        return models.NearestQuery(nearest=_example(question))
    examples = models.RecommendInput(
        positive=[_example(each) for each in question.like],
        negative=[_example(each) for each in question.dislike],
        strategy=_STRATEGIES[question.strategy],
    )
    return models.RecommendQuery(recommend=examples)


def _example(example: Example) -> models.VectorInput:
    return example if isinstance(example, str) else example.tolist()

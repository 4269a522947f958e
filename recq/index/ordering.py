"""The two requests for points in an order: by nearness, by a field. The answers are small rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qdrant_client import models

from recq.index.parameters import Parameters, Sort
from recq.index.plain_requests import Near
from recq.index.points import Points
from recq.index.ranking import Row, payload_keys, row_of
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


def nearest_points(
    points: Points,
    space: EmbeddingSpace,
    questions: Sequence[Question],
    compiled: models.Filter | None,
    parameters: Parameters,
    limit: int,
    searched: models.SearchParams | None = None,
) -> list[list[Row]]:
    """The first `limit` points for each question, in one request; a row's value is the score.

    `searched` is how a server looks for them, its own way when None (`recq.index.search_params`). Few are read whole
    at once: that costs less than another request for those of the page.
    """
    requests = nearest_requests(space, questions, compiled, parameters, limit, searched)
    return [rows_in(answer, parameters, limit) for answer in points.nearest(requests)]


def nearest_requests(
    space: EmbeddingSpace,
    questions: Sequence[Question],
    compiled: models.Filter | None,
    parameters: Parameters,
    limit: int,
    searched: models.SearchParams | None = None,
) -> list[models.QueryRequest]:
    """The request of each question for its first `limit` points; `rows_in` reads its answer."""
    return [
        models.QueryRequest(
            query=_query_of(question),
            using=VECTOR,
            filter=compiled,
            limit=limit,
            score_threshold=_threshold(question, space, parameters),
            params=searched,
            with_payload=True if limit <= _FEW else payload_keys(parameters.group_by),
        )
        for question in questions
    ]


def rows_in(answer: Sequence[Near], parameters: Parameters, limit: int) -> list[Row]:
    """The rows of one question's answer."""
    least = -math.inf if parameters.min_score is None else parameters.min_score
    whole = limit <= _FEW
    return [row_of(point, point.score, parameters.group_by, whole=whole) for point in answer if point.score >= least]


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

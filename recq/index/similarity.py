"""What a ranking starts from: a vector, an item, or several liked and disliked ones. Pure.

Strategies are Qdrant's (its documentation, "Recommendation API"), computed by every engine alike:

    average   one vector, mean(liked) + (mean(liked) - mean(disliked)), and its neighbours
    best      x = cosine to the nearest liked, y to the nearest disliked; x > y ? s(x) : -s(y)
              with s(x) = (x / (1 + |x|) + 1) / 2; Euclidean: minus the squared distance in place of the cosine
    sum       the sum of the cosines to all liked minus the sum of those to all disliked; Euclidean likewise
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    from recq.space import EmbeddingSpace

Example: TypeAlias = "str | np.ndarray"
"""An item's id, or a vector, float32 (dim,)."""

MetricName = Literal["cosine", "euclid", "best_score", "sum_scores"]


class Strategy(StrEnum):
    """How several examples become one score."""

    AVERAGE = "average"
    BEST = "best"
    SUM = "sum"


@dataclass(frozen=True)
class Metric:
    """The kind of the scores."""

    name: MetricName
    higher_is_better: bool

    @property
    def most(self) -> float | None:
        """The highest score that there is; None where that depends on the question."""
        return 1.0 if self.name in ("cosine", "best_score") else None

    @property
    def told(self) -> str:
        """A score in messages."""
        return {"cosine": "a cosine", "best_score": "a best_score"}.get(self.name, f"a score ({self.name})")


@dataclass(frozen=True)
class Liked:
    """Examples to be near to, at least one, and examples to be far from."""

    like: tuple[Example, ...]
    dislike: tuple[Example, ...] = ()
    strategy: Strategy = Strategy.AVERAGE


Question: TypeAlias = "Example | Liked"


def metric_of(question: Question, space: EmbeddingSpace) -> Metric:
    """What the scores of that question's ranking are."""
    if isinstance(question, Liked):
        if question.strategy is Strategy.BEST:
            return Metric("best_score", True)
        if question.strategy is Strategy.SUM:
            return Metric("sum_scores", True)
    return Metric("cosine" if space.distance == "Cosine" else "euclid", space.higher_is_better)


def scale_of(question: Question) -> float:
    """How many similarities a score is the sum of."""
    if isinstance(question, Liked) and question.strategy is Strategy.SUM:
        return float(len(question.like) + len(question.dislike))
    return 1.0

"""What `recq evaluate --index` found: frozen records, and their JSON, which docs/quality.md documents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from recq.evaluate.drawn_filters import Shape
from recq.evaluate.metrics import LEVEL
from recq.evaluate.results import rounded

_NORMAL = 1.959964
"""The quantile of the normal distribution that leaves 5 % outside on both sides together (`LEVEL`)."""


@dataclass(frozen=True)
class Recalled:
    """The share of the exact answers that was given, mean over `queries`, and its interval; `perfect` of the queries
    were answered exactly.

    The interval is Wilson's (1927) for a share of `queries`: recalls lie between 0 and 1, so that they vary at most as
    much as yes and no do with the same mean, and where all answers were exact it still tells how few were asked for.
    """

    queries: int
    recall: float
    low: float
    high: float
    worst: float
    perfect: int

    @classmethod
    def of(cls, recalls: Sequence[float]) -> Self:
        """Of one query at least."""
        mean = sum(recalls) / len(recalls)
        low, high = wilson(mean, len(recalls))
        return cls(len(recalls), mean, low, high, min(recalls), sum(each == 1.0 for each in recalls))


def wilson(share: float, count: int) -> tuple[float, float]:
    """The interval of a share that was seen in `count` trials."""
    square = _NORMAL**2 / count
    middle = (share + square / 2) / (1 + square)
    half = _NORMAL / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class ShapeRecall:
    """One shape of filter and one band of selectivity.

    `filters` is how many different ones were asked, which hold for `least` to `most` of the items (shares, 0 to 1),
    `example` one of them. `ms` and `exact_ms` are the medians of how long an answer and the exact answer took; None
    where recq computed that.
    """

    shape: Shape
    filters: int
    least: float
    most: float
    example: str
    recalled: Recalled
    ms: float
    exact_ms: float | None


@dataclass(frozen=True)
class IndexEvaluation:
    """What `recq evaluate --index` found. `vectors` is how many the catalog has, `in_graphs` to how many of them a
    graph leads; where that is 0 every answer is exact, since the engine compares all that match.
    """

    catalog: str
    engine: str
    k: int
    seed: int
    items: int
    in_graphs: int
    overall: Recalled
    shapes: tuple[ShapeRecall, ...]
    took_ms: float

    @property
    def by_construction(self) -> bool:
        """Whether answers are exact because the engine approximates nothing."""
        return not self.in_graphs

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        overall = self.overall
        if self.by_construction:
            return (
                "answers are exact by construction: this engine has no graph and compares every item that matches; "
                f"{overall.perfect:,} of {overall.queries:,} answers are those that recq computed from all vectors"
            )
        return (
            f"of the true {self.k} nearest {100 * overall.recall:.2f} % were found; "
            f"{overall.perfect:,} of {overall.queries:,} answers were exact"
        )


def index_evaluation_json(evaluation: IndexEvaluation) -> dict[str, Any]:
    """The document that `recq evaluate --index --format json` prints."""
    return {
        "catalog": evaluation.catalog,
        "engine": evaluation.engine,
        "exact_by_construction": evaluation.by_construction,
        "k": evaluation.k,
        "items": evaluation.items,
        "in_graphs": evaluation.in_graphs,
        **_recalled(evaluation.overall),
        "shapes": [
            {
                "shape": str(each.shape),
                "filters": each.filters,
                "share": [rounded(each.least), rounded(each.most)],
                "example": each.example,
                **_recalled(each.recalled),
                "ms": round(each.ms, 2),
                "exact_ms": None if each.exact_ms is None else round(each.exact_ms, 2),
            }
            for each in evaluation.shapes
        ],
        "seed": evaluation.seed,
        "took_ms": round(evaluation.took_ms, 1),
    }


def _recalled(recalled: Recalled) -> dict[str, Any]:
    return {
        "queries": recalled.queries,
        "recall": rounded(recalled.recall),
        "interval": [rounded(recalled.low), rounded(recalled.high)],
        "worst": rounded(recalled.worst),
        "perfect": recalled.perfect,
    }


assert LEVEL == 0.95, "_NORMAL is for 95 %"

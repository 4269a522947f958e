"""The records of an evaluation, frozen, and their JSON, which docs/quality.md documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recq.evaluate.metrics import Confusion, Measures
from recq.search.results import Trained

if TYPE_CHECKING:
    from recq.space import EmbeddingSpace


@dataclass(frozen=True)
class LeftOut:
    """What was not measured: items without the label, items that are not in every catalog, queries that nothing in the
    gallery shares a label with, and pairs of query and gallery item that have the same bytes."""

    unlabelled: int
    elsewhere: int
    alone: int
    copies: int


@dataclass(frozen=True)
class Interval:
    """The ends of the interval of each measure."""

    low: Measures
    high: Measures


@dataclass(frozen=True)
class ClassMeasures:
    """One label: how many gallery items and how many queries have it, and the means over those queries."""

    label: str
    items: int
    queries: int
    measures: Measures | None


@dataclass(frozen=True)
class Compared:
    """Another catalog on the same queries and gallery; `difference` is its measures minus those of the first.

    `trained` is the trained space that was measured, None for the catalog's own.
    """

    catalog: str
    space: EmbeddingSpace
    measures: Measures
    interval: Interval
    difference: Measures
    difference_interval: Interval
    trained: Trained | None = None


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation; numbers from 0 to 1. `items` counts the gallery, `queries` those of the means."""

    catalog: str
    space: EmbeddingSpace
    label: str
    ks: tuple[int, ...]
    seed: int
    items: int
    queries: int
    left_out: LeftOut
    measures: Measures
    interval: Interval
    per_class: tuple[ClassMeasures, ...]
    confusion: tuple[Confusion, ...]
    against: tuple[Compared, ...]
    took_ms: float


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """The document that `recq evaluate --format json` prints."""
    return {
        "catalog": evaluation.catalog,
        "space": space_json(evaluation.space),
        "label": evaluation.label,
        "k": list(evaluation.ks),
        "items": evaluation.items,
        "queries": evaluation.queries,
        "left_out": vars(evaluation.left_out),
        **_measures(evaluation.measures),
        "interval": _interval(evaluation.interval),
        "per_class": {
            each.label: {"items": each.items, "queries": each.queries}
            | (_measures(each.measures) if each.measures else {})
            for each in evaluation.per_class
        },
        "confusion": [vars(each) | {"share": rounded(each.share)} for each in evaluation.confusion],
        "against": [
            {
                "catalog": each.catalog,
                "space": space_json(each.space, each.trained),
                **_measures(each.measures),
                "interval": _interval(each.interval),
                "difference": _measures(each.difference) | {"interval": _interval(each.difference_interval)},
            }
            for each in evaluation.against
        ],
        "seed": evaluation.seed,
        "took_ms": round(evaluation.took_ms, 1),
    }


def space_json(space: EmbeddingSpace, trained: Trained | None = None) -> dict[str, Any]:
    """A space, and the trained space that was measured in its place."""
    return {**space.summary(), "label": space.label} | ({} if trained is None else {"trained": trained.to_json()})


def rounded(number: float) -> float:
    """A measure as JSON has it."""
    return round(number, 6)


def _measures(measures: Measures) -> dict[str, Any]:
    return {
        "map": rounded(measures.map),
        "precision": {str(k): rounded(value) for k, value in measures.precision.items()},
        "recall": {str(k): rounded(value) for k, value in measures.recall.items()},
    }


def _interval(interval: Interval) -> dict[str, Any]:
    low, high = _measures(interval.low), _measures(interval.high)
    return {
        "map": [low["map"], high["map"]],
        **{name: {k: [low[name][k], high[name][k]] for k in low[name]} for name in ("precision", "recall")},
    }

"""What held-out items tell beside means: how far probabilities can be believed, which classes are taken for which, how
each label ranks, and what more labels are worth. Of several seeds, with intervals. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from recq.evaluate.metrics import Measures, average_precisions
from recq.learn.calibration import BINS, confidence_of
from recq.models.heads import Floats

Name = TypeVar("Name")
Truth = npt.NDArray[np.bool_]

LABELS_PER_CLASS = (5, 10, 20, 50, 100, 200)
"""Points of the learning curve, as far as the data go."""


@dataclass(frozen=True)
class Spread:
    """A measure from 0 to 1 over the seeds: the mean, and the 95 % interval of the mean (Student's t).

    Of a single seed the ends are NaN.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one value for each seed."""
        from scipy.special import stdtrit

        mean, half = float(np.mean(values)), float("nan")
        if len(values) > 1:
            half = float(stdtrit(len(values) - 1, 0.975) * np.std(values, ddof=1)) / len(values) ** 0.5
        return cls(mean, max(mean - half, 0.0), min(mean + half, 1.0))

    def to_json(self) -> dict[str, float | None]:
        """As plain JSON, which has no NaN."""
        return {name: None if np.isnan(value) else round(value, 4) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Bin:
    """Predictions of about one probability, over all seeds: how many, their mean `confidence`, and the share that is
    `right`."""

    count: int
    confidence: float
    right: float

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"count": self.count, "confidence": round(self.confidence, 4), "right": round(self.right, 4)}


def bins_of(predictions: Sequence[tuple[Floats, Truth]], *, several: bool) -> tuple[Bin, ...]:
    """The bins of `calibration_error` that are not empty, all seeds together."""
    parts = [confidence_of(*each, several=several) for each in predictions]
    confidence, right = (np.concatenate(each) for each in zip(*parts, strict=True))
    numbers = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(numbers, minlength=BINS)
    sums = np.bincount(numbers, confidence, BINS), np.bincount(numbers, right, BINS)
    return tuple(
        Bin(int(counts[n]), *(float(each[n] / counts[n]) for each in sums)) for n in np.flatnonzero(counts).tolist()
    )


@dataclass(frozen=True)
class Taken:
    """Held-out items that have the label `label` and were predicted as `as_`, over all seeds; `as_` may be the same."""

    label: str
    as_: str
    count: int

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"label": self.label, "predicted": self.as_, "count": self.count}


def taken_for(classes: Sequence[str], predictions: Sequence[tuple[Sequence[str], Floats, Truth]]) -> tuple[Taken, ...]:
    """Which class the most probable one was, of items with one label each: pairs that occur, in the order of `classes`.

    Each prediction names its own classes, then (n, classes) of probabilities and of truth.
    """
    number = {name: n for n, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), np.int64)
    for names, probabilities, truth in predictions:
        of = np.array([number[name] for name in names], np.int64)
        known = truth.any(axis=1)
        np.add.at(counts, (of[truth[known].argmax(axis=1)], of[probabilities[known].argmax(axis=1)]), 1)
    return tuple(
        Taken(classes[row], classes[column], int(counts[row, column])) for row, column in np.argwhere(counts).tolist()
    )


@dataclass(frozen=True)
class LabelPrecision:
    """One label of several: the average precision of its ranking of held-out items, and the share that has it."""

    label: str
    average_precision: float
    base_rate: float

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "label": self.label,
            "average_precision": round(self.average_precision, 4),
            "base_rate": round(self.base_rate, 4),
        }


def label_precisions(predictions: Sequence[tuple[Sequence[str], Floats, Truth]]) -> tuple[LabelPrecision, ...]:
    """The means over the seeds in which some held-out items have the label, and others have not; by name."""
    found: dict[str, list[tuple[float, float]]] = {}
    for names, probabilities, truth in predictions:
        for label, each in precisions_of(names, probabilities, truth).items():
            found.setdefault(label, []).append(each)
    means = {label: np.mean(each, axis=0).tolist() for label, each in sorted(found.items())}
    return tuple(LabelPrecision(label, *each) for label, each in means.items())


def precisions_of(names: Sequence[Name], probabilities: Floats, truth: Truth) -> dict[Name, tuple[float, float]]:
    """The average precision of each label's ranking, and the share that has it, of (n, classes) each.

    Labels that all items have, or none, cannot be ranked, and are left out.
    """
    shares = truth.mean(axis=0)
    told = np.flatnonzero((shares > 0) & (shares < 1))
    if not len(told):
        return {}
    order = np.argsort(-probabilities[:, told], axis=0, kind="stable")
    ranked = np.take_along_axis(truth[:, told], order, axis=0).T.astype(np.float64)
    precisions = average_precisions(ranked).tolist()
    return {names[n]: (each, float(shares[n])) for n, each in zip(told.tolist(), precisions, strict=True)}


@dataclass(frozen=True)
class CurvePoint:
    """mAP and precision at 5 of held-out items where so many items of each class, None for all, were learned from;
    0 for the vectors as they are."""

    labels: int | None
    map: Spread
    precision_at_5: Spread

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"labels_per_class": self.labels, "map": self.map.to_json(), "p@5": self.precision_at_5.to_json()}


def curve_of(seeds: Sequence[Mapping[int | None, Measures]]) -> tuple[CurvePoint, ...]:
    """The points that all seeds have, in their order."""
    counts = [count for count in seeds[0] if all(count in each for each in seeds)]
    return tuple(
        CurvePoint(
            count,
            Spread.of([each[count].map for each in seeds]),
            Spread.of([each[count].precision[5] for each in seeds]),
        )
        for count in counts
    )


def counts_of(sizes: Sequence[int]) -> tuple[int, ...]:
    """How many items of each class a curve has points for: at least half of the classes must have more."""
    middle = float(np.median(sizes))
    return tuple(count for count in LABELS_PER_CLASS if count < middle)


def some_of_each(indicators: Truth, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Rows with about `count` items of each class (n, classes), at random; of items with several labels each counts for
    all of them, and none is taken for a label that has enough."""
    order = np.random.default_rng(seed).permutation(len(indicators))
    missing = np.full(indicators.shape[1], count)
    rows = []
    for row in order.tolist():
        own = indicators[row]
        if (missing[own] > 0).any():
            rows.append(row)
            missing[own] -= 1
    return np.sort(np.array(rows, np.int64))

"""What the scores of a classifier are worth: probabilities that can be taken at their word, and an honest "unknown".

All of it is learned from items that the classifier had not seen (`OutOfFold`), and applied with numpy alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from recq.learn.prediction import UNKNOWN as UNKNOWN
from recq.models.heads import Floats, probabilities_of

BINS = 15
"""Of the expected calibration error: equally wide, from 0 to 1 (Guo et al. 2017)."""

GOOD_ERROR = 0.05
"""The expected calibration error up to which probabilities may be taken at their word."""

NEIGHBOURS = 5
"""Labelled items whose mean cosine says whether a picture is of a known kind at all."""

COVERAGE = 0.9
"""Share of items whose true label is in their label set."""

_DRAWS = 50
_LEVELS = np.linspace(0, 1, 101)
_TEMPERATURES = (0.02, 50.0)


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Scores (n, classes) of items by a classifier that had not seen them, which labels they have, and the mean cosine
    (n,) to their `NEIGHBOURS` nearest of what it had seen, in the network's space and in the `trained` one (where there
    is one, else empty)."""

    scores: Floats
    truth: npt.NDArray[np.bool_]
    nearness: Floats
    trained: Floats


@dataclass(frozen=True, eq=False)
class Calibration:
    """`scale` and `offset` (classes,) of the scores; the least probability of a label set; quantiles of nearness, in
    the network's space and in the `trained` one."""

    scale: Floats
    offset: Floats
    least: float
    nearness: Floats
    trained: Floats

    def probabilities(self, scores: Floats, *, several: bool) -> Floats:
        """Scores (n, classes) -> probabilities that are right as often as they say."""
        return probabilities_of(scores * self.scale + self.offset, several=several)

    def of_classes(self, own: Sequence[str], wanted: Sequence[str]) -> Calibration:
        """The same for `wanted` classes, where it was learned of `own`: one that is not among those gets what is usual,
        which of one temperature for all is exact."""
        number = {name: n for n, name in enumerate(own)}
        rows = [number.get(name) for name in wanted]
        scale, offset = (
            np.array([np.median(each) if n is None else each[n] for n in rows], np.float32)
            for each in (self.scale, self.offset)
        )
        return replace(self, scale=scale, offset=offset)

    def known(self, nearness: float, *, trained: bool = False) -> float:
        """The share of labelled items that lie no nearer to others than this: 0 to 1, a conformal p-value.

        Among pictures of the labelled kinds it is below `UNKNOWN` for that share of them. `trained`: the nearness is
        one in the trained space.
        """
        levels, quantiles = np.concatenate([[0.0], _LEVELS]), self.trained if trained else self.nearness
        return float(np.interp(nearness, np.concatenate([[quantiles[0] - 1e-6], quantiles]), levels))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "scale": _numbers(self.scale),
            "offset": _numbers(self.offset),
            "least": round(self.least, 6),
            "nearness": _numbers(self.nearness),
            "trained": _numbers(self.trained),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        scale, offset, nearness = (np.asarray(data[name], np.float32) for name in ("scale", "offset", "nearness"))
        return cls(scale, offset, float(data["least"]), nearness, np.asarray(data.get("trained", ()), np.float32))


def calibrated(seen: OutOfFold, *, several: bool) -> Calibration:
    """Learned from those items: one temperature for all classes, or a line for each label where there are several."""
    scale, offset = lines_of(seen.scores, seen.truth, several=several)
    probabilities = probabilities_of(seen.scores * scale + offset, several=several)
    true = np.where(seen.truth, probabilities, 1.0).min(axis=1)  # of several labels the least probable one
    # Split conformal prediction (Vovk et al. 2005): the rank is that of n + 1 items, the new one among them.
    rank = int(np.floor((1 - COVERAGE) * (len(true) + 1)))
    least = float(np.sort(true)[rank - 1]) if rank else 0.0
    return Calibration(scale, offset, least, levels_of(seen.nearness), levels_of(seen.trained))


def levels_of(nearness: Floats) -> Floats:
    """The quantiles at `_LEVELS` of nearness (n,), as `Calibration` has them; none of what was not measured."""
    return np.quantile(nearness, _LEVELS).astype(np.float32) if nearness.size else nearness


def lines_of(scores: Floats, truth: npt.NDArray[np.bool_], *, several: bool) -> tuple[Floats, Floats]:
    """Scale and offset (classes,) of scores (n, classes) that were not learned from, after which the probabilities are
    right as often as they say: one temperature for all classes, or a line for each label where there are `several`."""
    return _lines(scores, truth) if several else _temperature(scores, truth)


def _temperature(scores: Floats, truth: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The temperature of least negative log likelihood."""
    from scipy.optimize import minimize_scalar

    def loss(logarithm: float) -> float:
        probabilities = probabilities_of(scores, float(np.exp(logarithm)))
        return -float(np.log(np.maximum(probabilities[truth], 1e-12)).mean())

    found = minimize_scalar(loss, bounds=tuple(np.log(_TEMPERATURES)), method="bounded")
    classes = scores.shape[1]
    return np.full(classes, 1 / np.exp(found.x), np.float32), np.zeros(classes, np.float32)


def _lines(scores: Floats, truth: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """A logistic line for each label's scores (Platt 1999); a label that nobody or everybody has keeps its scores."""
    from sklearn.linear_model import LogisticRegression

    scale, offset = np.ones(scores.shape[1], np.float32), np.zeros(scores.shape[1], np.float32)
    for label in range(len(scale)):
        own = truth[:, label]
        if own.any() and not own.all():
            fitted = LogisticRegression(C=1.0).fit(scores[:, [label]], own)
            scale[label], offset[label] = fitted.coef_[0, 0], fitted.intercept_[0]
    return scale, offset


def calibration_error(probabilities: Floats, truth: npt.NDArray[np.bool_], *, several: bool) -> float:
    """The expected calibration error over `BINS`: of the most probable class, of every label where there are several.

    The distance of mean probability and share of right ones in each bin, weighted by the bin's size (Guo et al. 2017).
    """
    return _error(*confidence_of(probabilities, truth, several=several))


def calibration_error_by_chance(probabilities: Floats, *, several: bool) -> float:
    """The `calibration_error` that probabilities (n, classes) show on average if each of them is exactly right.

    With few items a bin is off by chance alone. Consistency resampling (Bröcker and Smith 2007): what is right is drawn
    of the probabilities themselves, `_DRAWS` times.
    """
    confidence = probabilities.ravel() if several else probabilities.max(axis=1)
    random = np.random.default_rng(0)
    return float(np.mean([_error(confidence, random.random(len(confidence)) < confidence) for _ in range(_DRAWS)]))


def beyond_chance(error: float, by_chance: float) -> float:
    """What of a calibration error is not chance: about the root of the difference of the squares, of independent
    parts."""
    return float(np.sqrt(max(0.0, error**2 - by_chance**2)))


def _error(confidence: Floats, right: npt.NDArray[np.bool_]) -> float:
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, confidence, BINS) - np.bincount(bins, right, BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def confidence_of(
    probabilities: Floats, truth: npt.NDArray[np.bool_], *, several: bool
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """How probable each prediction is, and whether it is right: the most probable class, or every label of several."""
    if several:
        return probabilities.ravel(), truth.ravel()
    best = probabilities.argmax(axis=1)
    return probabilities.max(axis=1), truth[np.arange(len(best)), best]


def nearness_of(vectors: Floats, known: Floats) -> Floats:
    """float32 (n,): the mean cosine of each of (n, d) to its `NEIGHBOURS` nearest among (m, d)."""
    wanted = min(NEIGHBOURS, len(known))
    found = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), 1_024):
        scores = vectors[start : start + 1_024] @ known.T
        found[start : start + 1_024] = np.partition(scores, -wanted, axis=1)[:, -wanted:].mean(axis=1)
    return found


def _numbers(array: Floats) -> list[float]:
    return [float(f"{each:.7g}") for each in array.tolist()]

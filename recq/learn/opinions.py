"""What others say of each labelled item: a classifier that has not seen it nor its group, and its neighbours.

Both say for each label how probable it is. Of a label that all items with it share a group nobody else can say
anything: those are not `judged`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recq.errors import UsageError
from recq.learn.calibration import Calibration, OutOfFold, calibrated, nearness_of
from recq.learn.examples import Examples, Floats, Rows
from recq.learn.fits import Fit
from recq.learn.neighbours import nearest_others
from recq.learn.selection import LARGEST_SELECTION, dealt, scores_of
from recq.progress import Progress, silent

FOLDS = 5

VOTERS = 10
"""Nearest items of other groups that have a vote."""


@dataclass(frozen=True, eq=False)
class Opinions:
    """Of each item and label, (n, classes): the calibrated `probabilities`, and where they mean anything."""

    probabilities: Floats
    judged: npt.NDArray[np.bool_]


def opinions(examples: Examples, progress: Progress = silent) -> Opinions:
    """The mean of what classifiers and neighbours say."""
    seen, judged = out_of_fold(examples, progress)
    calibration = calibrated(seen, several=examples.several)
    probabilities = calibration.probabilities(seen.scores, several=examples.several)
    return Opinions(np.asarray((probabilities + votes(examples, progress)) / 2, np.float32), judged)


def calibration_of(examples: Examples, progress: Progress = silent) -> Calibration:
    """What the scores of a classifier of these examples are worth. Raises UsageError where nobody can tell."""
    seen, judged = out_of_fold(examples, progress)
    if not judged.any():
        raise UsageError("all items of a label are views of one thing: nobody can tell what guesses are worth")
    return calibrated(seen, several=examples.several)


def out_of_fold(examples: Examples, progress: Progress = silent) -> tuple[OutOfFold, npt.NDArray[np.bool_]]:
    """The scores of every item, in the order of the examples, and bool (n, classes): which of them were learned.

    A classifier learns from `LARGEST_SELECTION` items at most.
    """
    from threadpoolctl import threadpool_limits

    classes = examples.classes
    scores = np.zeros((len(examples), len(classes)), np.float32)
    nearness = np.zeros(len(examples), np.float32)
    judged = np.zeros(scores.shape, bool)
    splits = [split for split in _splits(examples) if len(split[0]) and len(split[1].classes) > 1]

    def measured(split: tuple[Rows, Examples]) -> tuple[Floats, Floats, list[bool]]:
        held, part = split
        fit = Fit(part, quick=True)
        vectors = examples.vectors[held]
        learned = set(part.classes)
        own = nearness_of(vectors, part.vectors)
        return scores_of(fit, vectors, classes), own, [name in learned for name in classes]

    progress("fitting", 0, len(splits))
    # Folds are worked on side by side, and threads within one would only wait for each other.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as threads:
        for n, ((held, _), found) in enumerate(zip(splits, threads.map(measured, splits), strict=True), start=1):
            scores[held], nearness[held], judged[held] = found
            progress("fitting", n, len(splits))
    return OutOfFold(scores, examples.indicators(), nearness, np.empty(0, np.float32)), judged


def _splits(examples: Examples) -> Iterator[tuple[Rows, Examples]]:
    """For each fold the rows that are judged, and the examples that are learned from: of many those of one layer."""
    folds = min(FOLDS, len(np.unique(examples.groups)))
    if folds < 2:
        return
    layers = -(-len(examples) * (folds - 1) // (folds * LARGEST_SELECTION))
    layer, fold = np.divmod(dealt(examples, layers * folds, 0), folds)
    for number in range(folds):
        held = fold == number
        yield np.flatnonzero(held), examples.at(np.flatnonzero((layer == number % layers) & ~held))


def votes(examples: Examples, progress: Progress = silent, voters: int = VOTERS) -> Floats:
    """float32 (n, classes): which share of the nearest items of other groups has each label."""
    truth = examples.indicators()
    found = np.zeros(truth.shape, np.float32)
    for rows, nearest, there in nearest_others(examples.vectors, examples.groups, voters, progress):
        found[rows] = (truth[nearest] & there[:, :, None]).sum(axis=1) / np.maximum(there.sum(axis=1), 1)[:, None]
    return found

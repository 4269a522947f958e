"""Which items without a label to look at first: the least certain ones, with the label that each probably has.

An item teaches where the classifier is uncertain: the two most probable labels are nearly as probable. Of the most
uncertain items those are chosen that are farthest from each other (k-centre, Gonzalez 1985), since near ones teach the
same. Of what was tried on two packs (margin or entropy alone, BADGE, random ones) this taught most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recq.learn.calibration import UNKNOWN, nearness_of
from recq.learn.examples import NEAR_DUPLICATE, Examples, Floats
from recq.learn.fits import Fit
from recq.learn.label_findings import Change
from recq.learn.opinions import calibration_of
from recq.progress import Progress, silent

LIKELY = 0.5
"""Probability from which a label of a list is suggested; the most probable one in any case."""

CANDIDATES, FEWEST_CANDIDATES = 5, 100
"""How many uncertain items there are to choose from for each that is wanted, and at least. With 2 to 8 for each the
same was learned within what another seed changes."""


def changes_of(
    examples: Examples, ids: Sequence[str], vectors: Floats, limit: int, progress: Progress = silent
) -> list[Change]:
    """The items to label, by what the examples teach already; `vectors` (n, dim) are theirs."""
    calibration = calibration_of(examples, progress)
    classifier = Fit(examples).classifier
    probabilities = calibration.probabilities(classifier.scores(vectors), several=examples.several)
    rows = teaching_order(probabilities, vectors, limit, several=examples.several)
    near = nearness_of(vectors[rows], examples.vectors)
    changes = []
    for row, nearness in zip(rows, near.tolist(), strict=True):
        own = probabilities[row]
        order = np.argsort(-own, kind="stable").tolist()
        likely = [n for n in order if own[n] >= LIKELY] if examples.several else []
        chosen = likely or order[:1]
        added = tuple(classifier.classes[n] for n in chosen)
        unknown = calibration.known(nearness) < UNKNOWN
        changes.append(Change(ids[row], (), added, float(own[chosen[-1]]), unknown))
    return changes


def teaching_order(probabilities: Floats, vectors: Floats, count: int, *, several: bool) -> list[int]:
    """At most `count` rows of (n, classes) and (n, dim), the first one the most uncertain; none two near-duplicates.

    Fewer where the others are near-duplicates of those.
    """
    order = np.argsort(-uncertainty(probabilities, several=several), kind="stable").tolist()
    candidates = _apart(order, vectors, max(CANDIDATES * count, FEWEST_CANDIDATES))
    chosen, nearest = [0], np.full(len(candidates), -np.inf)
    while len(chosen) < min(count, len(candidates)):
        nearest = np.maximum(nearest, vectors[candidates] @ vectors[candidates[chosen[-1]]])
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
    return [candidates[each] for each in chosen]


def uncertainty(probabilities: Floats, *, several: bool) -> Floats:
    """float32 (n,): of (n, classes) minus the margin between the two most probable; of lists the expected number of
    labels that a guess gets wrong."""
    if several:
        return np.asarray(np.minimum(probabilities, 1 - probabilities).sum(axis=1), np.float32)
    first = np.partition(probabilities, -2, axis=1)[:, -2:]
    return np.asarray(first[:, 0] - first[:, 1], np.float32)


def _apart(order: Sequence[int], vectors: Floats, most: int) -> list[int]:
    """The first `most` of the rows in that order of which none is a near-duplicate of one before."""
    found: list[int] = []
    taken = np.empty((min(most, len(order)), vectors.shape[1]), np.float32)
    for row in order:
        if len(found) == len(taken):
            break
        if not found or (taken[: len(found)] @ vectors[row]).max() < NEAR_DUPLICATE:
            taken[len(found)] = vectors[row]
            found.append(row)
    return found

"""Which items without a label to look at first: the order that teaches most, with the label that each probably has.

    found = suggest(session, "category", limit=20)
    for each in found.findings:
        print(each.result.within, each.added, each.certainty)

An item teaches where the classifier is uncertain, and where nothing like it is learned already. Both are in the
gradient that its label would give (BADGE: Ash, Zhang, Krishnamurthy, Langford and Agarwal, 2020): the errors of the
probabilities times the vector. Items whose gradients are far from each other are chosen one after the other, as
k-means++ chooses its seeds (Arthur and Vassilvitskii, 2007).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recq.errors import UsageError
from recq.learn.audit import own_field
from recq.learn.calibration import UNKNOWN, nearness_of
from recq.learn.examples import (
    NEAR_DUPLICATE,
    Examples,
    Floats,
    read_examples,
    read_unlabelled,
    require_cosines,
    with_near_duplicates,
)
from recq.learn.fits import Fit, require_scikit_learn
from recq.learn.label_findings import Change, LabelFindings, Question, findings_of
from recq.learn.labels import LabelRules
from recq.learn.opinions import calibration_of
from recq.learn.selection import LARGEST_SELECTION, sampled
from recq.progress import Progress, silent
from recq.search.session import Session

MOST_UNLABELLED = 50_000
"""Items without a label that are chosen from, at random where there are more: some 250 MB of vectors."""

LIKELY = 0.5
"""Probability from which a label of a list is suggested; the most probable one in any case."""

_LOOKED_AT = 100  # labelled items that tell whether the field holds lists


def suggest(
    session: Session,
    label: str,
    rules: LabelRules | None = None,
    *,
    filters: Sequence[str] = (),
    group_by: str | None = None,
    limit: int = 20,
    progress: Progress = silent,
) -> LabelFindings:
    """The `limit` items without any value in the field `label` whose labels would teach most, in that order.

    Raises UsageError where nothing can be learned, nothing lacks a label or scikit-learn is missing, FilterError for
    an unknown field.
    """
    rules = rules or LabelRules()
    require_scikit_learn()
    started = time.perf_counter()
    with session.opened() as catalog:
        require_cosines(catalog.space)
        label = own_field(label, catalog.fields.types())
        every = read_examples(catalog, label, rules, filters=filters, group_by=group_by, progress=progress)
        ids, vectors = read_unlabelled(catalog, label, filters=filters, most=MOST_UNLABELLED, progress=progress)
        if not ids:
            raise UsageError(f"every embedded item has a {label}: there is nothing to suggest")
        known = catalog.lookups.get_many(every.ids[:_LOOKED_AT]).values()
        as_lists = any(isinstance(item.metadata.get(label), list) for item in known)
    examples = with_near_duplicates(sampled(every, LARGEST_SELECTION), progress)
    changes = changes_of(examples, ids, vectors, limit, progress)
    with session.opened() as catalog:
        findings = tuple(findings_of(catalog, label, rules, changes))
    return LabelFindings(
        question=Question.SUGGEST,
        field=label,
        rules=rules,
        several=every.several,
        as_lists=as_lists,
        items=len(ids),
        unjudged=0,
        total=len(ids),
        findings=findings,
        took_ms=(time.perf_counter() - started) * 1000,
        filters=tuple(filters),
    )


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


def teaching_order(
    probabilities: Floats, vectors: Floats, count: int, *, several: bool, seed: int = 0
) -> npt.NDArray[np.int64]:
    """At most `count` rows of (n, classes) and (n, dim), the first one the most uncertain; none two near-duplicates.

    The labels that the classifier would give itself are taken for true, for a gradient of each row. The next row is
    drawn with a probability that grows with the square of the distance to the nearest gradient chosen before.
    """
    random = np.random.default_rng(seed)
    given = probabilities >= LIKELY if several else probabilities == probabilities.max(axis=1, keepdims=True)
    errors = probabilities - given
    lengths = np.einsum("nc,nc->n", errors, errors).astype(np.float64)
    left = lengths.copy()
    chosen: list[int] = []
    row = int(lengths.argmax())
    while True:
        chosen.append(row)
        near = vectors @ vectors[row]
        left = np.minimum(left, lengths + lengths[row] - 2 * (errors @ errors[row]) * near)
        left[near >= NEAR_DUPLICATE] = 0
        left[row] = 0
        left = np.maximum(left, 0)
        if len(chosen) >= count or not left.any():
            return np.array(chosen, np.int64)
        row = int(random.choice(len(left), p=left / left.sum()))

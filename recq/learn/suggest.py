"""Which items without a label to look at first: the least certain ones, with the label that each probably has.

    found = suggest(session, "category", limit=20)
    for each in found.findings:
        print(each.result.within, each.added, each.certainty)

An item teaches where the classifier is uncertain: the two most probable labels are nearly as probable. Of the most
uncertain items those are chosen that are farthest from each other (k-centre, Gonzalez 1985), since near ones teach the
same. Of what was tried on two packs (margin or entropy alone, BADGE, random ones) this taught most.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from recq.errors import UsageError
from recq.learn.audit import own_field
from recq.learn.calibration import UNKNOWN, nearness_of
from recq.learn.examples import (
    NEAR_DUPLICATE,
    Examples,
    Floats,
    read_examples,
    read_unlabelled,
    require_own_vectors,
    with_views,
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

CANDIDATES, FEWEST_CANDIDATES = 5, 100
"""How many uncertain items there are to choose from for each that is wanted, and at least. With 2 to 8 for each the
same was learned within what another seed changes."""

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
    """The `limit` items without any value in the field `label` that are least certain, no two near-duplicates.

    Raises UsageError where nothing can be learned, nothing lacks a label or scikit-learn is missing, FilterError for
    an unknown field.
    """
    rules = rules or LabelRules()
    require_scikit_learn()
    started = time.perf_counter()
    with session.opened() as catalog:
        space = catalog.space
        require_own_vectors(catalog)
        label = own_field(label, catalog.fields.types())
        every = read_examples(catalog, label, rules, filters=filters, group_by=group_by, progress=progress)
        ids, vectors = read_unlabelled(catalog, label, filters=filters, most=MOST_UNLABELLED, progress=progress)
        if not ids:
            raise UsageError(f"every embedded item has a {label}: there is nothing to suggest")
        known = catalog.lookups.get_many(every.ids[:_LOOKED_AT]).values()
        as_lists = any(isinstance(item.metadata.get(label), list) for item in known)
    examples = with_views(sampled(every, LARGEST_SELECTION), space, progress)
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

"""Which labels are likely mistakes: those that neither a classifier nor the neighbours would have given.

    found = audit(session, "category", limit=20)
    for each in found.findings:
        print(each.result.within, each.removed, each.added, each.certainty)

Items are in the order of what the others give their own label, the least first (self-confidence out of fold, as in
confident learning: Northcutt, Jiang and Chuang, 2021). Of lists each label is judged by itself: it may be wrong, or
missing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from recq.errors import UsageError
from recq.index.field_types import FieldTypes
from recq.index.filters import known_name, require_field
from recq.index.schema import field_problem
from recq.learn.examples import Examples, read_examples, require_own_vectors, with_views
from recq.learn.fits import require_scikit_learn
from recq.learn.label_findings import Change, LabelFindings, Question, findings_of
from recq.learn.labels import LabelRules
from recq.learn.opinions import Opinions, opinions
from recq.progress import Progress, silent
from recq.search.session import Session

DOUBTED = 0.5
"""A label of a list is doubted where the others find the contrary more probable than this."""


def audit(
    session: Session,
    label: str,
    rules: LabelRules | None = None,
    *,
    filters: Sequence[str] = (),
    group_by: str | None = None,
    limit: int = 20,
    progress: Progress = silent,
) -> LabelFindings:
    """The `limit` most certain mistakes in the field `label`, most certain first.

    Raises UsageError where nothing can be learned or scikit-learn is missing, FilterError for an unknown field.
    """
    rules = rules or LabelRules()
    require_scikit_learn()
    started = time.perf_counter()
    with session.opened() as catalog:
        space = catalog.space
        require_own_vectors(catalog)
        label = own_field(label, catalog.fields.types())
        read = read_examples(catalog, label, rules, filters=filters, group_by=group_by, progress=progress)
    examples = with_views(read, space, progress)
    said = opinions(examples, progress)
    changes = changes_of(examples, said)
    with session.opened() as catalog:
        findings = tuple(findings_of(catalog, label, rules, changes[:limit]))
    return LabelFindings(
        question=Question.AUDIT,
        field=label,
        rules=rules,
        several=examples.several,
        as_lists=any(isinstance(each.result.value(label), list) for each in findings),
        items=len(examples),
        unjudged=int((examples.indicators() & ~said.judged).any(axis=1).sum()),
        total=len(changes),
        findings=findings,
        took_ms=(time.perf_counter() - started) * 1000,
        filters=tuple(filters),
    )


def own_field(label: str, types: FieldTypes) -> str:
    """The field as the catalog writes it. Raises FilterError for an unknown one, UsageError for one of recq's own."""
    require_field(label, types)
    label = known_name(label, types)
    if field_problem(label) is not None:
        raise UsageError(f"{label} is recq's own field: only labels that people give can be audited or suggested")
    return label


def changes_of(examples: Examples, said: Opinions) -> list[Change]:
    """What should be changed in the opinion of the others, most certain first."""
    changes = _label_by_label(examples, said) if examples.several else _one_for_another(examples, said)
    return sorted(changes, key=lambda each: -each.certainty)


def _one_for_another(examples: Examples, said: Opinions) -> list[Change]:
    """Where another label is more probable than an item's own."""
    rows = np.arange(len(examples))
    own, best = examples.numbers(), said.probabilities.argmax(axis=1)
    certain = 1 - said.probabilities[rows, own]
    classes = examples.classes
    return [
        Change(examples.ids[row], (classes[own[row]],), (classes[best[row]],), float(certain[row]))
        for row in np.flatnonzero((best != own) & said.judged[rows, own]).tolist()
    ]


def _label_by_label(examples: Examples, said: Opinions) -> list[Change]:
    """Labels that an item has and should not, and those that it lacks."""
    has, classes = examples.indicators(), examples.classes
    certain = np.where(has, 1 - said.probabilities, said.probabilities)
    return [
        Change(
            examples.ids[row],
            (classes[column],) if has[row, column] else (),
            () if has[row, column] else (classes[column],),
            float(certain[row, column]),
        )
        for row, column in np.argwhere((certain > DOUBTED) & said.judged).tolist()
    ]

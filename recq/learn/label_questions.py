"""What is asked about the labels of a field: which are likely mistakes, and which items to label first.

    found = ask(session, Question.AUDIT, "category", limit=20)
    for each in found.findings:
        print(each.result.within, each.removed, each.added, each.certainty)

Both questions read the same, and both answers are changes; `recq.learn.audit` and `recq.learn.suggest` decide which.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recq.errors import UsageError
from recq.index.filters import known_name, require_field
from recq.index.schema import field_problem
from recq.learn import audit, suggest
from recq.learn.examples import Examples, Floats, read_examples, read_unlabelled, require_own_vectors, with_views
from recq.learn.fits import require_scikit_learn
from recq.learn.label_findings import Change, LabelFindings, Question, findings_of
from recq.learn.labels import LabelRules
from recq.learn.opinions import opinions
from recq.learn.selection import LARGEST_SELECTION, sampled
from recq.progress import Progress, silent
from recq.search.session import Session

if TYPE_CHECKING:
    from recq.index.field_types import FieldTypes

MOST_UNLABELLED = 50_000
"""Items without a label that are chosen from, at random where there are more: some 250 MB of vectors."""

_LOOKED_AT = 100  # labelled items that tell whether the field holds lists


@dataclass(frozen=True)
class _Answer:
    """The `changes` of which findings are made, the first of `total`; of how many `items`, `unjudged` among them."""

    changes: Sequence[Change]
    total: int
    items: int
    unjudged: int = 0


def ask(
    session: Session,
    question: Question,
    label: str,
    rules: LabelRules | None = None,
    *,
    filters: Sequence[str] = (),
    group_by: str | None = None,
    limit: int = 20,
    progress: Progress = silent,
) -> LabelFindings:
    """The first `limit` answers about the field `label`: the most certain mistakes, or the items to label first.

    Raises UsageError where nothing can be learned, nothing lacks a label that could be suggested or scikit-learn is
    missing, FilterError for an unknown field.
    """
    rules = rules or LabelRules()
    require_scikit_learn()
    started = time.perf_counter()
    with session.opened() as catalog:
        space = catalog.space
        require_own_vectors(catalog)
        label = _own_field(label, catalog.fields.types())
        examples = read_examples(catalog, label, rules, filters=filters, group_by=group_by, progress=progress)
        known = catalog.lookups.get_many(examples.ids[:_LOOKED_AT]).values()
        as_lists = any(isinstance(item.metadata.get(label), list) for item in known)
        unlabelled = None
        if question is Question.SUGGEST:
            unlabelled = read_unlabelled(catalog, label, filters=filters, most=MOST_UNLABELLED, progress=progress)
            if not unlabelled[0]:
                raise UsageError(f"every embedded item has a {label}: there is nothing to suggest")
            examples = sampled(examples, LARGEST_SELECTION)
    examples = with_views(examples, space, progress)
    answer = (
        _audited(examples, limit, progress)
        if unlabelled is None
        else _suggested(examples, *unlabelled, limit, progress)
    )
    with session.opened() as catalog:
        findings = tuple(findings_of(catalog, label, rules, answer.changes))
    return LabelFindings(
        question=question,
        field=label,
        rules=rules,
        several=examples.several,
        as_lists=as_lists or any(isinstance(each.result.value(label), list) for each in findings),
        items=answer.items,
        unjudged=answer.unjudged,
        total=answer.total,
        findings=findings,
        took_ms=(time.perf_counter() - started) * 1000,
        filters=tuple(filters),
    )


def _audited(examples: Examples, limit: int, progress: Progress) -> _Answer:
    said = opinions(examples, progress)
    changes = audit.changes_of(examples, said)
    unjudged = int((examples.indicators() & ~said.judged).any(axis=1).sum())
    return _Answer(changes[:limit], len(changes), len(examples), unjudged)


def _suggested(examples: Examples, ids: Sequence[str], vectors: Floats, limit: int, progress: Progress) -> _Answer:
    return _Answer(suggest.changes_of(examples, ids, vectors, limit, progress), len(ids), len(ids))


def _own_field(label: str, types: FieldTypes) -> str:
    """The field as the catalog writes it. Raises FilterError for an unknown one, UsageError for one of recq's own."""
    require_field(label, types)
    label = known_name(label, types)
    if field_problem(label) is not None:
        raise UsageError(f"{label} is recq's own field: only labels that people give can be audited or suggested")
    return label

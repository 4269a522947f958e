"""Measures how often the nearest items have the same label: leave-one-out precision, recall and mAP of catalogs.

    evaluation = evaluate(session, "category", ks=(1, 5, 10), against=["images-old"])
    evaluation.measures.map, evaluation.interval.low.map

The index is read first (ids and labels, then vectors into a temporary file) and released before anything is ranked.
docs/quality.md defines every number.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from recq.commands import command
from recq.errors import UsageError
from recq.evaluate.gallery import DEFAULT_KS, PAGE, Measured, asked_of, checked_ks
from recq.evaluate.metrics import LabelSets, Measures, Rows, bootstrap, confusions, measure
from recq.evaluate.results import ClassMeasures, Compared, Evaluation, Interval, LeftOut
from recq.index.field_value import field_value
from recq.index.filters import known_name, require_field
from recq.index.grammar import Condition
from recq.index.schema import FILE_FIELDS, UNINDEXED_FIELDS, Item, elements
from recq.progress import Progress, silent
from recq.search.no_results import NoResults, why_no_items
from recq.search.session import Session
from recq.search.vector_file import VectorFile

if TYPE_CHECKING:
    from recq.index.catalog import Catalog


@dataclass(frozen=True)
class _Facts:
    """The facts of an item that are held: a few hundred bytes."""

    id: str
    place: tuple[str, str]
    digest: str | None
    labels: tuple[str, ...]


@dataclass(frozen=True)
class _Passed:
    """Ids of items that are left out: without the label, or not in every catalog."""

    unlabelled: set[str] = field(default_factory=set)
    elsewhere: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Plan:
    """Which items are compared: `facts` in the order of paths, the gallery first; `queries` are rows of it."""

    facts: Sequence[_Facts]
    gallery: int
    queries: Rows
    passed: _Passed


@dataclass(frozen=True)
class _Ranked:
    """One catalog's answers: a row of measures for each query in `answered`, and their first neighbours."""

    values: np.ndarray
    answered: Rows
    neighbours: list[Rows]
    copies: int


def evaluate(
    session: Session,
    label: str,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    against: Sequence[str] = (),
    sample: int | None = None,
    seed: int = 0,
    query_filters: Sequence[str | Condition] = (),
    gallery_filters: Sequence[str | Condition] = (),
    progress: Progress = silent,
) -> Evaluation:
    """Measure the session's catalog by the field `label`, and the catalogs `against` on the same items.

    `CATALOG@NAME` and `@NAME` among these are trained spaces: all stored vectors are put through their heads.

    Every item is a query; `query_filters` choose the queries and `gallery_filters` the possible results, `sample`
    takes that many of the queries at random. Raises UsageError, FilterError for an unknown field, TargetNotFound for an
    unknown catalog.
    """
    from recq.index.catalog import Catalog

    started = time.perf_counter()
    chosen = checked_ks(ks)
    own = session.settings.catalog
    asked = asked_of(own, against)
    with ExitStack() as files:
        with session.client() as client:
            opened = {name: Catalog.open(client, name) for name, _ in asked}
            measured = [Measured.of(opened[name], space) for name, space in asked]
            plan = _plan([*opened.values()], label, query_filters, gallery_filters, sample, seed, progress)
            stored = [files.enter_context(VectorFile(each.space.dim, each.space.distance)) for each in measured]
            for each, file in zip(measured, stored, strict=True):
                each.store([one.id for one in plan.facts], file, progress)
        labels = LabelSets([each.labels for each in plan.facts])
        ranked = [
            _ranked(plan, labels, file, chosen, f"ranking {each.name}", progress)
            for each, file in zip(measured, stored, strict=True)
        ]
    if not len(ranked[0].answered):
        raise UsageError(
            f"no query has another item with the same {label}: choose a field whose values repeat "
            f"({command('recq', 'facets', label)} counts them)"
        )
    first = ranked[0]
    return Evaluation(
        own,
        measured[0].space,
        label,
        chosen,
        seed,
        plan.gallery,
        len(first.answered),
        LeftOut(
            len(plan.passed.unlabelled),
            len(plan.passed.elsewhere),
            len(plan.queries) - len(first.answered),
            first.copies,
        ),
        *_means(first.values, chosen, seed),
        _per_class(plan, labels, first, chosen),
        tuple(confusions(labels, first.answered, first.neighbours)),
        tuple(
            Compared(
                other.name,
                other.space,
                *_means(each.values, chosen, seed),
                *_means(each.values - first.values, chosen, seed),
                trained=other.trained,
            )
            for other, each in zip(measured[1:], ranked[1:], strict=True)
        ),
        (time.perf_counter() - started) * 1000,
    )


def _plan(
    catalogs: Sequence[Catalog],
    label: str,
    query_filters: Sequence[str | Condition],
    gallery_filters: Sequence[str | Condition],
    sample: int | None,
    seed: int,
    progress: Progress,
) -> _Plan:
    """The queries and the gallery. Labels, filters and bytes are those of the first catalog."""
    catalog = catalogs[0]
    require_field(label, catalog.fields.types())
    label = known_name(label, catalog.fields.types())
    common: set[str] | None = None
    for other in catalogs[1:]:
        ids = {item.id for item in other.items.rows()}
        common = ids if common is None else common & ids
    gallery, passed = _facts(catalog, label, gallery_filters, common, progress)
    alike = list(query_filters) == list(gallery_filters)
    asking, also = (gallery, passed) if alike else _facts(catalog, label, query_filters, common, progress)
    for what, found, without in (("gallery", gallery, passed), ("query", asking, also)):
        if not found:
            why = why_no_items(catalog, gallery_filters if what == "gallery" else query_filters)
            raise UsageError(_nothing(what, label, without, why))
    chosen = sorted(asking.values(), key=_by_place)
    if sample is not None and sample < len(chosen):
        drawn = np.random.default_rng(seed).choice(len(chosen), sample, replace=False)
        chosen = [chosen[n] for n in sorted(drawn.tolist())]
    facts = sorted(gallery.values(), key=_by_place)
    facts += [each for each in chosen if each.id not in gallery]
    row = {each.id: n for n, each in enumerate(facts)}
    queries = np.array([row[each.id] for each in chosen], np.int64)
    return _Plan(
        facts, len(gallery), queries, _Passed(passed.unlabelled | also.unlabelled, passed.elsewhere | also.elsewhere)
    )


def _nothing(what: str, label: str, passed: _Passed, why: NoResults | None) -> str:
    if passed.elsewhere:
        return f"no {what} item is in every catalog: --against compares catalogs of the same files"
    if passed.unlabelled:
        return f"no {what} item has a {label}: choose another --label or --{what}-filter"
    causes = "; ".join(cause.text for cause in why.causes) if why is not None else "the catalog is empty"
    return f"nothing to evaluate: no item fits the --{what}-filter: {causes}"


def _facts(
    catalog: Catalog,
    label: str,
    filters: Sequence[str | Condition],
    common: set[str] | None,
    progress: Progress,
) -> tuple[dict[str, _Facts], _Passed]:
    """The items that match the filters, by id, and those of them that have no label or are not in `common`."""
    found: dict[str, _Facts] = {}
    passed = _Passed()
    total = catalog.items.count(filters)
    own = label in FILE_FIELDS or label in UNINDEXED_FIELDS
    for n, item in enumerate(catalog.items.rows(filters, [] if own else [label])):
        if n % PAGE == 0:
            progress("reading labels", n, total)
        labels = labels_of(item, label)
        if not labels:
            passed.unlabelled.add(item.id)
        elif common is not None and item.id not in common:
            passed.elsewhere.add(item.id)
        else:
            found[item.id] = _Facts(item.id, (item.file.path, item.file.source), item.file.sha256, labels)
    return found, passed


def labels_of(item: Item, field: str) -> tuple[str, ...]:
    """The item's values of a metadata field or one of `file.*`, as text; empty where it has none."""
    value = field_value(item.to_payload(), field)
    if value is None:
        return ()
    texts = (str(each).lower() if isinstance(each, bool) else str(each) for each in elements(value))
    return tuple(text for text in texts if text)


def _by_place(facts: _Facts) -> tuple[str, str]:
    return facts.place


def _ranked(
    plan: _Plan, labels: LabelSets, file: VectorFile, ks: tuple[int, ...], what: str, progress: Progress
) -> _Ranked:
    numbers: dict[str, int] = {}  # equal bytes have equal numbers; an item of unknown bytes has a number of its own
    digests = np.array([numbers.setdefault(each.digest or each.id, len(numbers)) for each in plan.facts], np.int64)
    values, answered, neighbours, copies = [], [], [], 0
    for n, (query, order) in enumerate(
        zip(plan.queries.tolist(), file.ranked(plan.queries, plan.gallery), strict=True)
    ):
        if n % 16 == 0:
            progress(what, n, len(plan.queries))
        others = order[digests[order] != digests[query]]
        copies += len(order) - len(others) - (query < plan.gallery)
        ranked = labels.gains(query)[others]
        if not ranked.any():
            continue
        values.append(measure(ranked, ks))
        answered.append(query)
        neighbours.append(others[: ks[-1]].copy())
    progress(what, len(plan.queries), len(plan.queries))
    return _Ranked(
        np.array(values).reshape(len(values), 1 + 2 * len(ks)), np.array(answered, np.int64), neighbours, copies
    )


def _means(values: np.ndarray, ks: tuple[int, ...], seed: int) -> tuple[Measures, Interval]:
    low, high = bootstrap(values, seed)
    ends = Interval(Measures.of_columns(low.tolist(), ks), Measures.of_columns(high.tolist(), ks))
    return Measures.of_columns(values.mean(axis=0).tolist(), ks), ends


def _per_class(plan: _Plan, labels: LabelSets, ranked: _Ranked, ks: tuple[int, ...]) -> tuple[ClassMeasures, ...]:
    """Every label, alphabetically."""
    row = np.full(len(plan.facts), -1, np.int64)
    row[ranked.answered] = np.arange(len(ranked.answered))
    found = []
    for number, name in enumerate(labels.names):
        members = labels.members(number)
        own = row[members]
        own = own[own >= 0]
        means = Measures.of_columns(ranked.values[own].mean(axis=0).tolist(), ks) if len(own) else None
        found.append(ClassMeasures(name, int((members < plan.gallery).sum()), len(own), means))
    return tuple(found)

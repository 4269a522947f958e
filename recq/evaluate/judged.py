"""Measures catalogs by what people judged: nDCG of the judged items, and of the first of all.

    found = evaluate_judgements(session, read_judgements(Path("likes.jsonl")), against=["@category"])
    found.first.order.mean, found.against[0].less.interval

The index is read first and released before anything is ranked. docs/quality.md defines every number.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np

from recq.errors import TargetNotFound, UsageError
from recq.evaluate.gallery import DEFAULT_KS, PAGE, Measured, asked_of, checked_ks
from recq.evaluate.judged_results import Gain, Gained, JudgedEvaluation, JudgedIn, NotUsed
from recq.evaluate.judgements import Judgement
from recq.evaluate.metrics import Rows, ndcg
from recq.index.catalog import Catalog
from recq.index.lookups import Lookups
from recq.paths import printable
from recq.progress import Progress, silent
from recq.search.session import Session
from recq.search.target import IndexedName, IndexedTarget, resolve
from recq.search.vector_file import VectorFile

NAMED = 20
"""Items that are not in the index that are named."""


@dataclass
class _Plan:
    """The items that may be results, in the order of their paths: ids, and which have the same bytes.

    `gains` has of each query (row) the judged items (rows) with what they are worth.
    """

    ids: Sequence[str]
    bytes: Rows
    gains: Mapping[int, Mapping[int, float]]
    not_used: NotUsed
    names: Sequence[str]


@dataclass
class _Values:
    """nDCG of each query: of the judged items' order, and of the first k."""

    order: list[float] = field(default_factory=list)
    at: dict[int, list[float]] = field(default_factory=dict)


def evaluate_judgements(
    session: Session,
    judgements: Sequence[Judgement],
    *,
    ks: Sequence[int] = DEFAULT_KS,
    against: Sequence[str] = (),
    seed: int = 0,
    progress: Progress = silent,
) -> JudgedEvaluation:
    """Measure the session's catalog, and those `against` on the same items, by the judgements.

    Raises UsageError where no judgement can be used, TargetNotFound for an unknown catalog or trained space,
    AmbiguousTarget for a name that several items have.
    """
    started = time.perf_counter()
    chosen = checked_ks(ks)
    own = session.settings.catalog
    asked = asked_of(own, against)
    with ExitStack() as files:
        with session.client() as client:
            opened = {name: Catalog.open(client, name) for name, _ in asked}
            measured = [Measured.of(opened[name], space) for name, space in asked]
            plan = _plan([*opened.values()], judgements, progress)
            stored = [files.enter_context(VectorFile(each.space.dim, each.space.distance)) for each in measured]
            for each, file in zip(measured, stored, strict=True):
                each.store(plan.ids, file, progress)
        values = [
            _values(plan, file, chosen, f"ranking {each.name}", progress)
            for each, file in zip(measured, stored, strict=True)
        ]
    first, *others = [
        JudgedIn(
            each.name,
            each.space,
            Gained.of(found.order),
            {k: gained for k, of in found.at.items() if (gained := Gained.of(of)) is not None},
            trained=each.trained,
        )
        for each, found in zip(measured, values, strict=True)
    ]
    compared = tuple(
        replace(
            each,
            less=Gain.of(found.order, values[0].order, seed),
            less_at={k: gain for k, of in found.at.items() if (gain := Gain.of(of, values[0].at[k], seed)) is not None},
        )
        for each, found in zip(others, values[1:], strict=True)
    )
    worth = [gain for gains in plan.gains.values() for gain in gains.values()]
    return JudgedEvaluation(
        first,
        compared,
        chosen,
        len(plan.ids),
        len(plan.gains),
        sum(gain > 0 for gain in worth),
        sum(gain == 0 for gain in worth),
        plan.not_used,
        tuple(plan.names[:NAMED]),
        seed,
        (time.perf_counter() - started) * 1000,
    )


def _plan(catalogs: Sequence[Catalog], judgements: Sequence[Judgement], progress: Progress) -> _Plan:
    catalog = catalogs[0]
    named = list(dict.fromkeys(name for each in judgements for name in (each.query, each.item)))
    ids = _ids_of(catalog.lookups, named)
    common: set[str] | None = None
    for other in catalogs[1:]:
        there = {item.id for item in other.items.rows()}
        common = there if common is None else common & there
    total = catalog.items.count()
    rows: dict[str, tuple[str, str, str]] = {}
    embedded: set[str] = set()
    for n, item in enumerate(catalog.items.rows()):
        if n % PAGE == 0:
            progress("reading items", n, total)
        embedded.add(item.id)
        if common is None or item.id in common:
            rows[item.id] = item.file.path, item.file.source, item.file.sha256 or item.id
    order = sorted(rows, key=lambda each: rows[each][:2])
    row = {each: n for n, each in enumerate(order)}
    numbers: dict[str, int] = {}
    same = np.array([numbers.setdefault(rows[each][2], len(numbers)) for each in order], np.int64)

    unknown = unembedded = elsewhere = copies = repeated = 0
    gains: dict[int, dict[int, float]] = {}
    for each in judgements:
        asks, answers = ids.get(each.query), ids.get(each.item)
        if asks is None or answers is None:
            unknown += 1
        elif not {asks, answers} <= embedded:
            unembedded += 1
        elif asks not in row or answers not in row:
            elsewhere += 1
        elif same[row[asks]] == same[row[answers]]:
            copies += 1
        else:
            of = gains.setdefault(row[asks], {})
            repeated += row[answers] in of
            of[row[answers]] = each.gain
    answerable = {query: of for query, of in gains.items() if any(gain > 0 for gain in of.values())}
    not_used = NotUsed(unknown, unembedded, elsewhere, copies, repeated, len(gains) - len(answerable))
    names = [printable(name) for name in named if name not in ids]
    if not answerable:
        raise UsageError(_nothing(not_used, names))
    return _Plan(order, same, answerable, not_used, names)


def _nothing(not_used: NotUsed, names: Sequence[str]) -> str:
    if not_used.unanswerable:
        return "nothing to measure: no query has an item that was liked, and dislikes alone have no best order"
    named = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
    missing = f"{named} {'is' if len(names) == 1 else 'are'} not in the catalog"
    what = missing if names else "their items have no vectors, are copies, or are not in every catalog"
    return f"none of the judgements can be used: {what}"


def _ids_of(lookups: Lookups, names: Sequence[str]) -> dict[str, str]:
    """The ids of the items that there are, by the names that were given. Raises AmbiguousTarget."""
    ids = [each for each in names if _is_id(each)]
    found = {each: each for start in range(0, len(ids), PAGE) for each in lookups.get_many(ids[start : start + PAGE])}
    for name in names:
        if name in found or _is_id(name):
            continue
        try:
            target = resolve(lookups, IndexedName(name))
        except TargetNotFound:
            continue
        if isinstance(target, IndexedTarget):
            found[name] = target.item.id
    return found


def _is_id(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _values(plan: _Plan, file: VectorFile, ks: Sequence[int], what: str, progress: Progress) -> _Values:
    """nDCG of each query in one catalog, in the order of the plan."""
    found = _Values(at={k: [] for k in ks})
    queries = np.array(list(plan.gains), np.int64)
    for n, (query, order) in enumerate(zip(plan.gains, file.ranked(queries, len(plan.ids)), strict=True)):
        if n % 16 == 0:
            progress(what, n, len(queries))
        worth = np.full(len(plan.ids), np.nan)
        judged = plan.gains[query]
        worth[list(judged)] = list(judged.values())
        ranked = worth[order[plan.bytes[order] != plan.bytes[query]]]
        alone = ranked[~np.isnan(ranked)]
        if len(np.unique(alone)) > 1:  # any order of equal ones is the best
            found.order.append(ndcg(alone))
        all_ = np.nan_to_num(ranked)
        for k in ks:
            found.at[k].append(ndcg(all_, k))
    progress(what, len(queries), len(queries))
    return found

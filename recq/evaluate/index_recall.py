"""How much of the exact answer the index gives, without a filter and under filters of every shape and selectivity.

A server with many items looks for the nearest in a graph, which may miss some. Random items are queries,
under filters drawn from the catalog's own values (`recq.evaluate.drawn_filters`): once as `recq similar` does, once for
the exact answer. On a server that is the same request with `exact`; an engine without a graph compares
everything anyway, so there recq computes the exact answer itself, from all vectors.

An answer is right when it is no farther away than the last of the exact ones: of equal ones any will do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Protocol

import numpy as np

from recq.errors import RequestRefused, UsageError
from recq.evaluate.drawn_filters import DrawnFilter, Shape, draw, spread
from recq.evaluate.index_results import IndexEvaluation, Recalled, ShapeRecall
from recq.index.grammar import Where, parse_all
from recq.index.parameters import Parameters
from recq.index.schema import Item
from recq.progress import Progress, silent
from recq.search.session import Session
from recq.search.vector_file import VectorFile

if TYPE_CHECKING:
    from recq.index.catalog import Catalog

LARGEST_K = 1_000
"""The most answers of a query that are compared."""

DRAWN = 40
"""Filters of each shape that are drawn and counted."""

_PAGE = 256
_ROUNDING = 1e-5  # cosines of one pair that an engine and recq compute differ by less


@dataclass(frozen=True)
class _Plan:
    """The query items, and their filters."""

    asking: Sequence[Item]
    groups: Sequence[tuple[Shape, Sequence[DrawnFilter]]]


@dataclass
class _Measured:
    """What was measured under the filters of one shape; seconds."""

    recalls: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    exact_took: list[float] = field(default_factory=list)
    asked: set[DrawnFilter] = field(default_factory=set)

    def note(self, chosen: DrawnFilter, recall: float, took: float, exact_took: float) -> None:
        """One query."""
        self.recalls.append(recall)
        self.took.append(took)
        self.exact_took.append(exact_took)
        self.asked.add(chosen)


class _Truth(Protocol):
    """Knows the exact scores of the first `k`, best first."""

    def scores(self, item: Item, parameters: Parameters) -> list[float]:
        """Among the items that match the filters, without the item itself."""


def evaluate_index(
    session: Session,
    *,
    k: int = 10,
    sample: int = 100,
    seed: int = 0,
    filters: Sequence[Where] = (),
    progress: Progress = silent,
) -> IndexEvaluation:
    """Measure the recall of the session's catalog at `k`, for each shape and band of selectivity by `sample` queries.

    `filters` are measured as one more shape. Raises UsageError, FilterError, TargetNotFound.
    """
    started = time.perf_counter()
    if not 1 <= k <= LARGEST_K:
        raise UsageError(f"-k {k} cannot be measured: give a number from 1 to {LARGEST_K:,}")
    with ExitStack() as files, session.opened() as catalog:
        random = Random(seed)
        items = catalog.items.count()
        plan = _plan(catalog, items, sample, filters, random, progress)
        in_graphs = catalog.in_graphs()
        truth: _Truth = _Asked(catalog) if in_graphs else _Computed(catalog, files, progress)
        measured = [_Measured() for _ in plan.groups]
        total = len(plan.groups) * len(plan.asking)
        for n, item in enumerate(plan.asking):
            for number, (_, drawn) in enumerate(plan.groups):
                progress("asking", n * len(plan.groups) + number, total)
                chosen = drawn[n % len(drawn)]
                parameters = Parameters(k=k, filters=chosen.conditions, keep_duplicates=True)
                try:
                    exact, exact_seconds = _timed(lambda p=parameters, i=item: truth.scores(i, p))  # type: ignore[misc]
                    found, seconds = _timed(lambda p=parameters, i=item: _scores(catalog, i, p))  # type: ignore[misc]
                except RequestRefused:
                    if catalog.items.vectors([item.id]):
                        raise
                    break  # it was deleted meanwhile
                if exact:
                    of = recall(found, exact, higher_is_better=catalog.space.higher_is_better)
                    measured[number].note(chosen, of, seconds, exact_seconds)
        progress("asking", total, total)
    every = [each for one in measured for each in one.recalls]
    if not every:
        raise UsageError("nothing to evaluate: the index needs at least two indexed items")
    return IndexEvaluation(
        session.settings.catalog,
        "server" if session.settings.url is not None else "embedded",
        k,
        seed,
        items,
        in_graphs,
        Recalled.of(every),
        tuple(
            _of(shape, one, timed=bool(in_graphs))
            for (shape, _), one in zip(plan.groups, measured, strict=True)
            if one.recalls
        ),
        (time.perf_counter() - started) * 1000,
    )


def recall(found: Sequence[float], exact: Sequence[float], *, higher_is_better: bool) -> float:
    """The share of the exact answers that was given, from the scores of both, best first; of one exact one at least."""
    sign = 1.0 if higher_is_better else -1.0
    bound = sign * exact[-1] - _ROUNDING * max(1.0, abs(exact[-1]))
    return min(len(exact), sum(sign * score >= bound for score in found)) / len(exact)


def _of(shape: Shape, measured: _Measured, *, timed: bool) -> ShapeRecall:
    asked = sorted(measured.asked, key=lambda one: one.share)
    return ShapeRecall(
        shape,
        len(asked),
        asked[0].share,
        asked[-1].share,
        " AND ".join(one.text for one in asked[len(asked) // 2].conditions),
        Recalled.of(measured.recalls),
        1000 * median(measured.took),
        1000 * median(measured.exact_took) if timed else None,
    )


def _plan(
    catalog: Catalog, items: int, sample: int, filters: Sequence[Where], random: Random, progress: Progress
) -> _Plan:
    progress("drawing", 0, sample)
    asking = catalog.items.drawn(sample, random)
    progress("drawing", sample, sample)
    if len(asking) < 2:
        return _Plan((), ())
    drawn = draw(asking, catalog.fields.types(), DRAWN, random)
    counted = []
    for n, one in enumerate(drawn):
        progress("counting", n, len(drawn))
        matching = catalog.items.count(one.conditions)
        if matching:
            counted.append(replace(one, share=min(1.0, matching / items)))
    progress("counting", len(drawn), len(drawn))
    groups = [(shape, those) for shape, _, those in spread(counted)]
    if filters:
        given = DrawnFilter(Shape.GIVEN, tuple(parse_all(list(filters))))
        matching = catalog.items.count(given.conditions)
        if not matching:
            texts = " AND ".join(one.text for one in given.conditions)
            raise UsageError(f"no item matches {texts}: there is nothing to measure under this filter")
        given = replace(given, share=min(1.0, matching / items))
        groups.append((Shape.GIVEN, [given]))
    return _Plan(asking, [(Shape.NONE, [DrawnFilter(Shape.NONE, ())]), *groups])


def _scores(catalog: Catalog, item: Item, parameters: Parameters) -> list[float]:
    return [hit.score for hit in catalog.finder.rank(item.id, parameters).hits]


class _Asked:
    """The exact answer of an engine that compares everything on request."""

    def __init__(self, catalog: Catalog) -> None:
        self._finder = catalog.finder.exact()

    def scores(self, item: Item, parameters: Parameters) -> list[float]:
        """One request."""
        return [hit.score for hit in self._finder.rank(item.id, parameters).hits]


class _Computed:
    """The truth as recq computes it from all vectors, which are read once."""

    def __init__(self, catalog: Catalog, files: ExitStack, progress: Progress) -> None:
        self._catalog = catalog
        self._file = files.enter_context(VectorFile(catalog.space.dim, catalog.space.distance))
        self._rows: dict[str, int] = {}
        self._matching: dict[str, np.ndarray] = {}
        self._compared: tuple[str, np.ndarray] = ("", np.empty(0))
        items = catalog.items.count()
        page: list[np.ndarray] = []
        for entry in catalog.items.entries(()):
            if entry.vector is None:
                continue
            if len(self._rows) % _PAGE == 0:
                progress("reading vectors", len(self._rows), items)
                self._keep(page)
            self._rows[entry.item.id] = len(self._rows)
            page.append(entry.vector)
        self._keep(page)
        progress("reading vectors", items, items)

    def _keep(self, page: list[np.ndarray]) -> None:
        if page:
            self._file.append(np.stack(page))
            page.clear()

    def scores(self, item: Item, parameters: Parameters) -> list[float]:
        """The engine is queried only for which items match."""
        own = self._rows.get(item.id)
        if own is None:
            return []  # it is newer than the vectors that were read
        if self._compared[0] != item.id:
            self._compared = item.id, self._file.compared(own)
        among = self._among(parameters).copy()
        among[own] = False
        ordered = np.sort(self._compared[1][among])
        best = ordered[::-1] if self._catalog.space.higher_is_better else ordered
        return [float(score) for score in best[: parameters.k]]

    def _among(self, parameters: Parameters) -> np.ndarray:
        """Which rows match, bool (items,)."""
        key = " ".join(one.text for one in parameters.conditions)
        if key not in self._matching:
            among = np.zeros(len(self._rows), bool)
            among[
                [
                    self._rows[each.id]
                    for each in self._catalog.items.rows(parameters.conditions)
                    if each.id in self._rows
                ]
            ] = True
            self._matching[key] = among
        return self._matching[key]


def _timed(action: Callable[[], list[float]]) -> tuple[list[float], float]:
    start = time.perf_counter()
    found = action()
    return found, time.perf_counter() - start

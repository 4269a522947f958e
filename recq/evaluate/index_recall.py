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
from dataclasses import dataclass, replace
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Protocol

import numpy as np

from recq.errors import UsageError
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
        shapes, every = [], []
        total = len(plan.groups) * len(plan.asking)
        done = 0
        for shape, drawn in plan.groups:
            recalls, took, exact_took, asked = [], [], [], set()
            for n, item in enumerate(plan.asking):
                progress("asking", done + n, total)
                chosen = drawn[n % len(drawn)]
                parameters = Parameters(k=k, filters=chosen.conditions, keep_duplicates=True)
                exact, exact_seconds = _timed(lambda p=parameters, i=item: truth.scores(i, p))  # type: ignore[misc]
                found, seconds = _timed(lambda p=parameters, i=item: _scores(catalog, i, p))  # type: ignore[misc]
                if exact:
                    recalls.append(recall(found, exact, higher_is_better=catalog.space.higher_is_better))
                    took.append(seconds)
                    exact_took += [exact_seconds] if in_graphs else []
                    asked.add(chosen)
            done += len(plan.asking)
            if recalls:
                every += recalls
                shapes.append(_of(shape, sorted(asked, key=lambda one: one.share), recalls, took, exact_took))
        progress("asking", total, total)
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
        tuple(shapes),
        (time.perf_counter() - started) * 1000,
    )


def recall(found: Sequence[float], exact: Sequence[float], *, higher_is_better: bool) -> float:
    """The share of the exact answers that was given, from the scores of both, best first; of one exact one at least."""
    sign = 1.0 if higher_is_better else -1.0
    bound = sign * exact[-1] - _ROUNDING * max(1.0, abs(exact[-1]))
    return min(len(exact), sum(sign * score >= bound for score in found)) / len(exact)


def _of(
    shape: Shape, asked: Sequence[DrawnFilter], recalls: list[float], took: list[float], exact_took: list[float]
) -> ShapeRecall:
    example = asked[len(asked) // 2]
    return ShapeRecall(
        shape,
        len(asked),
        asked[0].share,
        asked[-1].share,
        " AND ".join(one.text for one in example.conditions),
        Recalled.of(recalls),
        1000 * median(took),
        1000 * median(exact_took) if exact_took else None,
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
        given = replace(given, share=min(1.0, catalog.items.count(given.conditions) / items))
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
        self._compared: dict[int, np.ndarray] = {}
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
        own = self._rows[item.id]
        if own not in self._compared:
            self._compared[own] = self._file.compared(own)
        scores, rows = self._compared[own], self._rows_of(parameters)
        rows = rows[rows != own]
        ordered = np.sort(scores[rows])
        best = ordered[::-1] if self._catalog.space.higher_is_better else ordered
        return [float(score) for score in best[: parameters.k]]

    def _rows_of(self, parameters: Parameters) -> np.ndarray:
        key = " ".join(one.text for one in parameters.conditions)
        if key not in self._matching:
            ids = [item.id for item in self._catalog.items.rows(parameters.conditions)]
            self._matching[key] = np.array([self._rows[each] for each in ids if each in self._rows], np.int64)
        return self._matching[key]


def _timed(action: Callable[[], list[float]]) -> tuple[list[float], float]:
    start = time.perf_counter()
    found = action()
    return found, time.perf_counter() - start

"""Groups of items that are the same picture: the same bytes, or vectors so near that only a copy explains them.

    found = duplicates_in(settings, min_score=0.95)
    for group in found.groups:
        keep, *others = group.results

Bytes are compared by their SHA-256. One vector for each distinct content waits in a temporary file and is compared
with all others there, block by block. Two pictures are in one group when a chain of near ones leads from one to the
other. The first of a group has the most pixels: the one to keep.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from query.progress import Progress, silent
from query.results import SCORE_DIGITS, Result, result_of, space_json
from query.search import opened
from query.vector_file import Rows, VectorFile
from recq.errors import UsageError
from recq.settings import Settings
from recq.space import EmbeddingSpace

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.index.grammar import Condition
    from recq.index.schema import Item

UNLIKE = 0.99
"""The share of random pairs that are surely different pictures, however many copies a catalog has."""

NEAR = 0.15
"""How near a copy is: at most this part of the way from the same picture to the nearest of those pairs. With either
shipped network that is a cosine of 0.95: a photograph that was recompressed to quality 60 or halved in size keeps 0.96
and more, one that lost 3 % at each side 0.93; different things of one kind stay below 0.85 (54 sample photographs)."""

COSINE = 0.95
"""The limit where there are too few items for random pairs."""

_PAGE = 256  # items whose vectors are asked for at a time


@dataclass(frozen=True)
class Group:
    """The same picture several times, the one with the most pixels first (then bytes, then by path).

    `exact`: all have the same bytes. A result's `score` is how near its nearest in the group is.
    """

    results: tuple[Result, ...]
    exact: bool

    def to_json(self) -> dict[str, Any]:
        """One element of `groups`, one line of jsonl."""
        return {"exact": self.exact, "results": [result.to_json() for result in self.results]}


@dataclass(frozen=True)
class Duplicates:
    """All groups, largest first. `items` were looked at; `limit` is the score from which two were taken for one.

    `limit` is None where only bytes were compared.
    """

    space: EmbeddingSpace
    groups: tuple[Group, ...]
    items: int
    limit: float | None
    took_ms: float

    @property
    def superfluous(self) -> int:
        """Items that are not the first of their group."""
        return sum(len(group.results) - 1 for group in self.groups)

    def to_json(self) -> dict[str, Any]:
        """The document that `--format json` prints."""
        return {
            "space": space_json(self.space),
            "items": self.items,
            "limit": None if self.limit is None else round(self.limit, SCORE_DIGITS),
            "groups": [group.to_json() for group in self.groups],
            "took_ms": round(self.took_ms, 1),
        }


@dataclass(frozen=True)
class _Facts:
    """What is kept of an item while all are compared: a few hundred bytes."""

    id: str
    digest: str
    rank: tuple[int, int, str, str]  # the smallest of a group comes first


def duplicates_in(
    settings: Settings,
    *,
    min_score: float | None = None,
    max_distance: float | None = None,
    exact: bool = False,
    filters: Sequence[str | Condition] = (),
    progress: Progress = silent,
) -> Duplicates:
    """`duplicates` in the catalog that the settings name."""
    with opened(settings) as catalog:
        return duplicates(
            catalog, min_score=min_score, max_distance=max_distance, exact=exact, filters=filters, progress=progress
        )


def duplicates(
    catalog: Catalog,
    *,
    min_score: float | None = None,
    max_distance: float | None = None,
    exact: bool = False,
    filters: Sequence[str | Condition] = (),
    progress: Progress = silent,
) -> Duplicates:
    """Groups among the items that all filters hold for; `exact` compares bytes alone.

    `min_score` is a cosine, `max_distance` for catalogs that compare by distance; without either the catalog's random
    pairs decide, see `NEAR`. Raises UsageError, FilterError.
    """
    started = time.perf_counter()
    limit = None if exact else _limit(catalog, min_score, max_distance)
    total = catalog.count(filters)
    facts = []
    for item in catalog.rows(filters):
        facts.append(_facts(item))
        progress("reading items", len(facts), total)
    first = _first_of_each_content(facts)
    rows = sorted(first.values())
    sets = DisjointSets(len(facts))
    for row, fact in enumerate(facts):
        if first[fact.digest] != row:
            sets.join(np.array([first[fact.digest], row]))
    nearest = np.full(len(facts), np.nan)
    if limit is not None:
        for some, scores in _near(catalog, facts, rows, limit, progress):
            sets.join(some)
            better = np.fmin if not catalog.space.higher_is_better else np.fmax
            nearest[some[0]] = better(nearest[some[0]], better.reduce(scores))
            nearest[some[1:]] = better(nearest[some[1:]], scores)
    groups = _groups(catalog, facts, sets, nearest)
    return Duplicates(catalog.space, tuple(groups), len(facts), limit, (time.perf_counter() - started) * 1000)


class DisjointSets:
    """Which of n rows belong together. Rows of a set share the smallest row of it as their root."""

    def __init__(self, count: int) -> None:
        self._parents = np.arange(count)

    def join(self, rows: Rows) -> None:
        """Make one set of all sets of these rows."""
        roots = self.roots(rows)
        self._parents[roots] = roots.min()

    def roots(self, rows: Rows) -> Rows:
        """The root of each row; the ways there are shortened."""
        found = self._parents[rows]
        while not np.array_equal(further := self._parents[found], found):
            found = further
        self._parents[rows] = found
        return found

    def sets(self) -> list[Rows]:
        """The sets of more than one row, each ascending, in the order of their roots."""
        roots = self.roots(np.arange(len(self._parents)))
        order = np.argsort(roots, kind="stable")
        edges = np.flatnonzero(np.diff(roots[order])) + 1
        return [part for part in np.split(order, edges) if len(part) > 1]


def _limit(catalog: Catalog, min_score: float | None, max_distance: float | None) -> float:
    cosine = catalog.space.higher_is_better
    said, other = (min_score, max_distance) if cosine else (max_distance, min_score)
    if other is not None:
        wanted, wrong = ("--min-score", "--max-distance") if cosine else ("--max-distance", "--min-score")
        raise UsageError(f"catalog {catalog.name!r} compares by {catalog.space.distance}: say {wanted}, not {wrong}")
    if said is not None:
        if not math.isfinite(said):
            raise UsageError(f"{said} is no limit: give a number such as --min-score 0.95")
        return said
    background = catalog.background()
    if background is None and not cosine:
        raise UsageError("of so few pictures recq cannot say which distance is small: give one with --max-distance")
    if background is None:
        return COSINE
    same = 1.0 if cosine else 0.0
    return same + NEAR * (background.score_at(UNLIKE) - same)


def _facts(item: Item) -> _Facts:
    file = item.file
    pixels = (file.width or 0) * (file.height or 0)
    return _Facts(item.id, file.sha256 or item.id, (-pixels, -file.size, file.path, file.source))


def _first_of_each_content(facts: Sequence[_Facts]) -> dict[str, int]:
    """The row of the first item with each SHA-256."""
    first: dict[str, int] = {}
    for row, fact in enumerate(facts):
        first.setdefault(fact.digest, row)
    return first


def _near(
    catalog: Catalog, facts: Sequence[_Facts], rows: Sequence[int], limit: float, progress: Progress
) -> Iterator[tuple[Rows, np.ndarray]]:
    """A row and the later ones near to it, with the scores of those."""
    numbers: list[int] = []  # of the rows whose vectors are in the file: an item may have gone meanwhile
    with VectorFile(catalog.space.dim, catalog.space.distance) as file:
        for start in range(0, len(rows), _PAGE):
            page = {facts[row].id: row for row in rows[start : start + _PAGE]}
            vectors = catalog.vectors(list(page))
            if vectors:
                file.append(np.stack(list(vectors.values())))
            numbers += [page[id_] for id_ in vectors]
            progress("reading vectors", min(start + _PAGE, len(rows)), len(rows))
        places = np.array(numbers, dtype=np.int64)
        for row, near, scores in file.close_pairs(limit):
            progress("comparing", row, len(places))
            yield places[np.concatenate(([row], near))], scores
        progress("comparing", len(places), len(places))


def _groups(catalog: Catalog, facts: Sequence[_Facts], sets: DisjointSets, nearest: np.ndarray) -> Iterator[Group]:
    """The groups as results, largest first, then by the path of their first."""
    members = [sorted(rows.tolist(), key=lambda row: facts[row].rank) for rows in sets.sets()]
    members.sort(key=lambda rows: (-len(rows), facts[rows[0]].rank[2:]))
    sources = catalog.sources()
    same = 1.0 if catalog.space.higher_is_better else 0.0
    for rows in members:
        found = catalog.get_many([facts[row].id for row in rows])
        counted = Counter(facts[row].digest for row in rows)
        results: list[Result] = []
        for row in rows:
            item = found.get(facts[row].id)
            if item is not None:  # else it has just gone
                score = same if counted[facts[row].digest] > 1 else float(nearest[row])
                results.append(result_of(len(results) + 1, item, score, catalog.absolute_path(item, sources)))
        if len(results) > 1:
            yield Group(tuple(results), exact=len(counted) == 1)

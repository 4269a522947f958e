"""Groups of items that are the same picture: the same bytes, or one that was resized, recompressed, cropped, mirrored.

    found = duplicates(session, kinds={Kind.COPY, Kind.CROP})
    for group in found.groups:
        keep, *others = group.results

Vectors name the candidates, pictures decide. For each distinct content the nearest few are found, in a temporary
file of vectors; the thumbnails of a pair are then aligned and compared (`recq.duplicates.same_picture`). Whether two
pictures are the same depends only on the two. A group is the picture that is kept, with all that are the same as it
(`recq.duplicates.stars`).
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from recq import paths
from recq.duplicates.alignment import View
from recq.duplicates.kinds import Kind
from recq.duplicates.same_picture import Relation, relation
from recq.duplicates.stars import Star, stars
from recq.errors import UsageError
from recq.progress import Progress, silent
from recq.search.no_results import NoResults, why_no_items
from recq.search.results import SCORE_DIGITS, Result, result_of
from recq.search.session import Session
from recq.search.vector_file import Rows, VectorFile
from recq.settings import Settings
from recq.space import EmbeddingSpace

if TYPE_CHECKING:
    from recq.images.indexed_files import Place, Unread
    from recq.index.catalog import Catalog
    from recq.index.grammar import Condition
    from recq.index.schema import Item
    from recq.index.sources import Source

LEAST_COSINE = 0.6
"""Pictures that are farther apart are not compared. Copies cropped by a tenth a side keep 0.75 and more with the
shipped networks, those cropped, halved and compressed at once 0.65 (docs/quality.md). A constant: a scale taken from
the catalog would depend on what is filtered out."""

NEIGHBOURS = 12
"""How many of the nearest items are compared with each picture. In four packs with colour variants and views, the
original of a crop by a tenth a side is at most the second nearest."""

_PAGE = 256  # items whose vectors are asked for at a time
_VIEWS = 512  # thumbnails that are prepared for comparison at once: 0.4 MB each at most


class Why(StrEnum):
    """Why the first of a group is the one to keep."""

    UNCROPPED = "not cropped"
    PIXELS = "most pixels"
    COLOURS = "more colours"
    BYTES = "most bytes"
    PATH = "first by path"


@dataclass(frozen=True)
class Group:
    """Items that are the same picture: the one to keep first, for the reason `why`; the others by pixels, then bytes,
    then path.

    `kinds` has the relation of each to the first, which is EXACT to itself. A result's `score` compares it with the
    first.
    """

    results: tuple[Result, ...]
    kinds: tuple[Kind, ...]
    why: Why

    @property
    def exact(self) -> bool:
        """Whether all have the same bytes."""
        return set(self.kinds) == {Kind.EXACT}

    def counted(self) -> dict[Kind, int]:
        """How many of the others are of each kind."""
        return {kind: count for kind in Kind if (count := self.kinds[1:].count(kind))}

    def to_json(self) -> dict[str, Any]:
        """One element of `groups`, one line of jsonl."""
        return {
            "exact": self.exact,
            "reason": str(self.why),
            "results": [
                {
                    **result.to_json(),
                    "kind": "kept" if result.rank == 1 else str(kind),
                    "pixels": pixels_of(result),
                    "bytes": result.payload["file"]["size"],
                }
                for result, kind in zip(self.results, self.kinds, strict=True)
            ],
        }


def pixels_of(result: Result) -> int | None:
    """Width by height of a result's file; None where they are not on record."""
    file = result.payload["file"]
    return file["width"] * file["height"] if "width" in file and "height" in file else None


@dataclass(frozen=True)
class Duplicates:
    """All groups, largest first. `items` is the number of items compared, for those `kinds` besides the same bytes.

    `limit` is the score from which two were compared, None for any of the nearest, or for only bytes. `unread` counts
    by reason the pictures that had candidates but could not be read here: only their bytes were compared.
    """

    space: EmbeddingSpace
    groups: tuple[Group, ...]
    items: int
    kinds: frozenset[Kind]
    limit: float | None
    took_ms: float
    unread: Mapping[Unread, int] = field(default_factory=dict)
    no_items: NoResults | None = None
    """Why there are no items to compare; None where there are some."""

    @property
    def superfluous(self) -> int:
        """Items that are not the first of their group."""
        return sum(len(group.results) - 1 for group in self.groups)

    def to_json(self) -> dict[str, Any]:
        """The document that `--format json` prints."""
        return {
            "space": self.space.summary(),
            "items": self.items,
            "kinds": [str(kind) for kind in Kind if kind is Kind.EXACT or kind in self.kinds],
            "limit": None if self.limit is None else round(self.limit, SCORE_DIGITS),
            "unread": sum(self.unread.values()),
            "groups": [group.to_json() for group in self.groups],
            "took_ms": round(self.took_ms, 1),
        }


def duplicates(
    session: Session,
    *,
    kinds: Collection[Kind],
    min_score: float | None = None,
    max_distance: float | None = None,
    filters: Sequence[str | Condition] = (),
    progress: Progress = silent,
) -> Duplicates:
    """Groups among the items that match all filters: the same bytes, and the `kinds` (empty: only bytes).

    `min_score` is the cosine from which two are compared (else `LEAST_COSINE`), `max_distance` the distance in catalogs
    that compare by it (else any). The index is released while pictures are read; where the catalog moves to another
    space meanwhile, the answer is of the vectors that were read, as its `space` says. Raises UsageError, FilterError.
    """
    started = time.perf_counter()
    with ExitStack() as stack:
        with session.opened() as catalog:
            limit = _limit(catalog, kinds, min_score, max_distance)
            reading = stack.enter_context(_Reading.of(catalog, filters, limit, vectors=bool(kinds), progress=progress))
        found, unread = _stars(reading, session.settings, kinds, progress)
        with session.opened() as catalog:
            groups = tuple(_groups(catalog, reading, found))
            why = None if reading.facts else why_no_items(catalog, filters)
    return _duplicates(reading, groups, kinds, limit, unread, started, why)


def _duplicates(
    reading: _Reading,
    groups: tuple[Group, ...],
    kinds: Collection[Kind],
    limit: float | None,
    unread: Mapping[Unread, int],
    started: float,
    why: NoResults | None,
) -> Duplicates:
    took_ms = (time.perf_counter() - started) * 1000
    wanted = frozenset(kinds) - {Kind.EXACT}
    return Duplicates(reading.space, groups, len(reading.facts), wanted, limit, took_ms, unread, why)


def _limit(
    catalog: Catalog, kinds: Collection[Kind], min_score: float | None, max_distance: float | None
) -> float | None:
    cosine = catalog.space.higher_is_better
    said, other = (min_score, max_distance) if cosine else (max_distance, min_score)
    if other is not None:
        wanted, wrong = ("--min-score", "--max-distance") if cosine else ("--max-distance", "--min-score")
        raise UsageError(f"catalog {catalog.name!r} compares by {catalog.space.distance}: give {wanted}, not {wrong}")
    if said is not None and not math.isfinite(said):
        raise UsageError(f"{said} is no limit: give a number such as --min-score 0.95")
    if cosine and said is not None and said > 1:
        raise UsageError(f"--min-score {said:g} cannot be reached: a cosine is at most 1")
    if not kinds:
        return None
    return LEAST_COSINE if said is None and cosine else said


Rank = tuple[int, bool, int, str, str]
"""The order of what is kept: pixels, negative; whether the format has few colours; bytes, negative; path, source."""

_FEW_COLOURS = frozenset({"GIF"})
"""Formats in which a photograph loses most of its colours although its file grows: others are kept first."""


@dataclass(frozen=True)
class _Facts:
    """The facts of an item that are held while all are compared: a few hundred bytes."""

    rank: Rank
    id: str
    digest: str
    encoded: bool

    @property
    def pixels(self) -> int:
        """Width by height."""
        return -self.rank[0]

    @classmethod
    def of(cls, item: Item) -> Self:
        """Those of an item."""
        file = item.file
        few_colours = file.format in _FEW_COLOURS
        rank = -(file.width or 0) * (file.height or 0), few_colours, -file.size, file.path, file.source
        return cls(rank, item.id, file.sha256 or item.id, file.encoded)

    def place(self, sources: Mapping[str, Source]) -> Place:
        """Where the file is."""
        from recq.images.indexed_files import Place

        *_, path, name = self.rank
        root = source.any_root() if (source := sources.get(name)) is not None else None
        return Place(None if root is None else root / paths.from_text(path, self.encoded), self.digest)


class _Reading:
    """What is read from the index before it is released: a context manager.

    `contents` has, for each distinct content, the numbers of its items, what to keep first; contents are in that order,
    too, and are the rows of what is compared. `edges` are pairs of rows that may be the same picture, each both ways.
    """

    def __init__(self, space: EmbeddingSpace, facts: list[_Facts], sources: Mapping[str, Source]) -> None:
        self.space = space
        self.facts = facts
        self.sources = sources
        by_digest: dict[str, list[int]] = defaultdict(list)
        for number, fact in enumerate(facts):
            by_digest[fact.digest].append(number)
        self.contents = list(by_digest.values())
        self._edges = np.empty((0, 2), np.int64)
        self._places: dict[int, int] = {}  # row: where its vector is in the file
        self._file: VectorFile | None = None

    @classmethod
    def of(
        cls,
        catalog: Catalog,
        filters: Sequence[str | Condition],
        limit: float | None,
        *,
        vectors: bool,
        progress: Progress,
    ) -> Self:
        """Read a catalog; with `vectors` also look for candidates."""
        total = catalog.items.count(filters)
        facts = []
        for item in catalog.items.rows(filters):
            facts.append(_Facts.of(item))
            progress("reading items", len(facts), total)
        facts.sort(key=lambda fact: fact.rank)
        reading = cls(catalog.space, facts, catalog.sources.all())
        if vectors:
            reading._look_for_candidates(catalog, limit, progress)
        return reading

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.__exit__(kind, error, traceback)

    def _look_for_candidates(self, catalog: Catalog, limit: float | None, progress: Progress) -> None:
        self._file = file = VectorFile(catalog.space.dim, catalog.space.distance)
        rows: list[int] = []  # of the vectors in the file: an item may have gone meanwhile
        for start in range(0, len(self.contents), _PAGE):
            page = {
                self.facts[numbers[0]].id: row
                for row, numbers in enumerate(self.contents[start : start + _PAGE], start=start)
            }
            found = catalog.items.vectors(list(page))
            if found:
                file.append(np.stack(list(found.values())))
            rows += [page[id_] for id_ in found]
            progress("reading vectors", min(start + _PAGE, len(self.contents)), len(self.contents))
        self._places = {row: place for place, row in enumerate(rows)}
        numbered = np.array(rows, np.int64)
        edges = []
        for place, near in file.neighbours(NEIGHBOURS, limit):
            edges.append(np.stack([np.full(len(near), numbered[place]), numbered[near]], axis=1))
            progress("comparing vectors", place, len(rows))
        progress("comparing vectors", len(rows), len(rows))
        if edges:
            one_way = np.concatenate(edges)
            self._edges = np.unique(np.concatenate([one_way, one_way[:, ::-1]]), axis=0)

    @property
    def candidates(self) -> list[int]:
        """The rows that may be the same picture as another."""
        return [int(row) for row in np.unique(self._edges[:, 0])]

    def neighbours(self, row: int) -> list[int]:
        """The rows that may be the same picture as that one, what to keep first."""
        first, last = np.searchsorted(self._edges[:, 0], [row, row + 1])
        found: Rows = self._edges[first:last, 1]
        return [int(each) for each in found]

    def places(self, row: int) -> list[Place]:
        """Where that content may be read."""
        return [self.facts[number].place(self.sources) for number in self.contents[row]]

    def pixels(self, row: int) -> int:
        """Of that content."""
        return self.facts[self.contents[row][0]].pixels

    def score(self, row: int, other: int) -> float:
        """How near two contents are."""
        if row == other or self._file is None:
            return 1.0 if self.space.higher_is_better else 0.0
        return self._file.score(self._places[row], self._places[other])


def _stars(
    reading: _Reading, settings: Settings, kinds: Collection[Kind], progress: Progress
) -> tuple[list[Star], Mapping[Unread, int]]:
    """The contents that are the same picture, also single ones with several items; and what could not be read."""
    rows = reading.candidates
    found: list[Star] = []
    unread: Mapping[Unread, int] = {}
    if rows:
        from threadpoolctl import threadpool_limits

        from recq.duplicates.thumbnails import Thumbnails

        with Thumbnails(settings) as thumbnails:
            thumbnails.read([(row, reading.places(row)) for row in rows], progress)
            unread = thumbnails.unread

            @lru_cache(maxsize=_VIEWS)
            def view(row: int) -> View:
                return View(thumbnails.rgb(row))

            @lru_cache(maxsize=_VIEWS)
            def mirrored(row: int) -> View:
                return view(row).mirrored()

            def relate(row: int, other: int) -> Relation | None:
                if row not in thumbnails or other not in thumbnails:
                    return None
                wanted = mirrored(row) if Kind.MIRROR in kinds else None
                related = relation(view(row), view(other), mirrored=wanted)
                return related if related is not None and related.kind in kinds else None

            with threadpool_limits(1, user_api="blas"):  # threads cost more than they bring for such small matrices
                found = stars(
                    rows,
                    {row: reading.pixels(row) for row in rows},
                    reading.neighbours,
                    relate,
                    lambda count: progress("comparing pictures", count, len(rows)),
                )
    placed = {row for star in found for row in (star.kept, *star.others)}
    alone = [Star(row, {}, uncropped=False) for row, numbers in enumerate(reading.contents)
             if len(numbers) > 1 and row not in placed]  # fmt: skip
    return found + alone, unread


def _groups(catalog: Catalog, reading: _Reading, found: Sequence[Star]) -> Iterator[Group]:
    """The groups as results, largest first, then by the path of their first."""
    facts = reading.facts
    members = []
    for star in found:
        rows = (star.kept, *sorted(star.others))
        members.append((star, [(row, number) for row in rows for number in reading.contents[row]]))
    members.sort(key=lambda each: (-len(each[1]), facts[each[1][0][1]].rank[-2:]))
    sources = catalog.sources.all()
    for star, numbered in members:
        items = catalog.ledger.get_many([facts[number].id for _, number in numbered])
        results: list[Result] = []
        kinds: list[Kind] = []
        for row, number in numbered:
            item = items.get(facts[number].id)
            if item is not None:  # else it was just deleted
                location = catalog.sources.path_of(item, sources)
                score = reading.score(row, star.kept)
                results.append(result_of(len(results) + 1, item, score, location, catalog=catalog.name))
                kinds.append(Kind.EXACT if row == star.kept else star.others[row].kind)
        if len(results) > 1 and results[0].id == facts[numbered[0][1]].id:
            ranks = [facts[number].rank for _, number in numbered]
            yield Group(tuple(results), tuple(kinds), Why.UNCROPPED if star.uncropped else _why(ranks))


def _why(ranks: Sequence[Rank]) -> Why:
    """The first property in which the first is better than all others."""
    first, *others = ranks
    reasons = (Why.PIXELS, Why.COLOURS, Why.BYTES)
    ahead = (why for n, why in enumerate(reasons, start=1) if all(first[:n] < other[:n] for other in others))
    return next(ahead, Why.PATH)

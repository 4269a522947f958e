"""Which of the pictures that are new match a rule. The index is asked; the file of a picture is read for copies alone.

A picture is compared with what was there before it, by the numbers of their first writes: of two that come together,
the second one is a copy of the first, and the first one is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from recq import paths
from recq.duplicates.groups import LEAST_COSINE, NEIGHBOURS
from recq.duplicates.kinds import Kind
from recq.errors import UsageError
from recq.index.background import FEWEST_ITEMS
from recq.index.changes import Change
from recq.index.grammar import Condition, Where
from recq.index.operators import Op
from recq.index.parameters import Parameters
from recq.search.results import SCORE_DIGITS, result_of
from recq.search.session import Session
from recq.watch.rules import Rule, RuleKind

if TYPE_CHECKING:
    from recq.duplicates.alignment import View
    from recq.images.indexed_files import Place
    from recq.index.catalog import Catalog
    from recq.index.finder import Hit
    from recq.index.schema import Item
    from recq.index.sources import Source

_COMPARED = 50  # nearest items at first, of which those that are newer do not count
_MORE = 4  # times as many where all of them are newer
_MOST_COMPARED = 12_800


@dataclass(frozen=True)
class Match:
    """A new picture that matches. `score` is what decided, `like` the target that it is like, `of` what it is a copy of
    and `copy` how."""

    item: Item
    score: float | None = None
    like: str | None = None
    of: Item | None = None
    copy: Kind | None = None


@dataclass(frozen=True)
class _Likes:
    """The vectors of a rule's targets, float32 (targets, dim), in the space of a collection."""

    collection: str
    vectors: np.ndarray


class Matcher:
    """Holds new pictures of a catalog against a rule. For one thread."""

    def __init__(self, session: Session, rule: Rule) -> None:
        self._session = session
        self._rule = rule
        self._likes: _Likes | None = None

    def require_sane(self) -> None:
        """Raise what is wrong with the rule in this catalog: targets, filters, a score that it cannot have."""
        with self._session.opened() as catalog:
            catalog.items.compiled(self._rule.filters)
            if self._rule.kind is not RuleKind.COPY and self._rule.min_score is not None:
                self._limit(catalog)
        if self._rule.kind is RuleKind.LIKE:
            self._targets()

    def events(self, changes: Sequence[Change]) -> Iterator[dict[str, Any]]:
        """What is to be delivered of these changes: of each item that matches, one event."""
        if not changes:
            return
        if self._rule.kind is RuleKind.LIKE:
            self._targets()  # a network may be loaded for them, with the index released
        with self._session.opened() as catalog:
            items = self._fitting(catalog, changes)
            sources = catalog.sources.all()
            found = self._copies(catalog, items, sources) if self._rule.kind is RuleKind.COPY else None
            matches = found if found is not None else self._matches(catalog, items)
            at = {change.id: change.at for change in changes}
            events = [self._event(catalog, match, at[match.item.id], sources) for match in matches]
        yield from events

    # -- which --------------------------------------------------------------------------------------------------------

    def _fitting(self, catalog: Catalog, changes: Sequence[Change]) -> list[Item]:
        """The items that are still there, were embedded, and match the rule's filters, in the order of the changes."""
        stored = catalog.ledger.get_many([change.id for change in changes])
        items = [item for change in changes if (item := stored.get(change.id)) is not None and item.error is None]
        if not self._rule.filters:
            return items
        fitting: set[str] = set()
        for source in {item.file.source for item in items}:
            named = tuple(item.file.path for item in items if item.file.source == source)
            where: list[Where] = [
                Condition("file.source", Op.EQ, (source,)),
                Condition("file.path", Op.EQ, named),
                *self._rule.filters,
            ]
            fitting |= {item.id for item in catalog.items.rows(where)}
        return [item for item in items if item.id in fitting]

    def _matches(self, catalog: Catalog, items: Sequence[Item]) -> Iterator[Match]:
        if not items:
            return
        limit = self._limit(catalog)
        if self._rule.kind is RuleKind.NOVELTY:
            for item in items:
                older = _older(catalog, item, _COMPARED, lambda score: _reaches(catalog, score, limit), wanted=1)
                nearest = next(iter(older), None)
                if nearest is None or not _reaches(catalog, nearest.score, limit):
                    score, of = (None, None) if nearest is None else (nearest.score, nearest.item)
                    yield Match(item, score, of=of)
            return
        likes = self._targets()
        if likes.collection != catalog.collection:  # it has just moved: the next look has the targets of this one
            return
        vectors = catalog.items.vectors([item.id for item in items])
        for item in items:
            if (vector := vectors.get(item.id)) is None:
                continue
            scores = _scores(catalog, vector, likes.vectors)
            best = int(np.argmax(scores) if catalog.space.higher_is_better else np.argmin(scores))
            if _reaches(catalog, float(scores[best]), limit):
                yield Match(item, float(scores[best]), like=self._rule.like[best])

    def _limit(self, catalog: Catalog) -> float:
        """The score that is wanted. Raises UsageError."""
        if self._rule.min_score is None:
            background = catalog.background_at_opening()
            if background is None:
                raise UsageError(
                    f"rule {self._rule.name!r}: min_score = 'auto' needs {FEWEST_ITEMS} items, and catalog "
                    f"{catalog.name!r} has fewer: give a number"
                )
            return background.unusual
        most = 1.0 if catalog.space.higher_is_better else float("inf")
        if not -1.0 <= self._rule.min_score <= most:
            raise UsageError(
                f"rule {self._rule.name!r}: min_score = {self._rule.min_score:g} is no {catalog.space.distance} score"
            )
        return self._rule.min_score

    def _targets(self) -> _Likes:
        """The vectors of the rule's targets. Raises what a target raises that cannot be used."""
        with self._session.opened() as catalog:
            collection = catalog.collection
        if self._likes is None or self._likes.collection != collection:
            with self._session.prepared(list(self._rule.like), lambda _: None) as (catalog, queries):
                ids = [query.example for query in queries if isinstance(query.example, str)]
                stored = catalog.items.vectors(ids)
                vectors = [stored[each] if isinstance(each := query.example, str) else each for query in queries]
                self._likes = _Likes(catalog.collection, np.stack(vectors).astype(np.float32))
        return self._likes

    # -- copies -------------------------------------------------------------------------------------------------------

    def _copies(self, catalog: Catalog, items: Sequence[Item], sources: Mapping[str, Source]) -> list[Match]:
        """The items that are the same picture as an older one: the same bytes, resized, compressed again or cropped."""
        found: dict[str, Match] = {}
        asked: list[tuple[Item, Hit]] = []
        for item in items:
            near = _older(catalog, item, NEIGHBOURS, _may_be_copy(catalog), wanted=NEIGHBOURS)
            exact = next((hit for hit in near if hit.item.file.sha256 == item.file.sha256), None)
            if exact is not None:
                found[item.id] = Match(item, exact.score, of=exact.item, copy=Kind.EXACT)
            elif catalog.space.higher_is_better:
                asked += [(item, hit) for hit in near if hit.score >= LEAST_COSINE]
            else:
                asked += [(item, hit) for hit in near]
        for item, hit, kind in self._related(asked, sources):
            found.setdefault(item.id, Match(item, hit.score, of=hit.item, copy=kind))
        return [found[item.id] for item in items if item.id in found]

    def _related(
        self, asked: Sequence[tuple[Item, Hit]], sources: Mapping[str, Source]
    ) -> Iterator[tuple[Item, Hit, Kind]]:
        """The pairs that are the same picture by their pixels, where both files can be read here."""
        if not asked:
            return
        from threadpoolctl import threadpool_limits

        from recq.duplicates.alignment import View
        from recq.duplicates.same_picture import relation
        from recq.duplicates.thumbnails import Thumbnails

        items = {each.id: each for item, hit in asked for each in (item, hit.item)}
        rows = {id_: row for row, id_ in enumerate(items)}
        with ExitStack() as stack:
            thumbnails = stack.enter_context(Thumbnails(self._session.settings))
            thumbnails.read([(rows[id_], [_place(item, sources)]) for id_, item in items.items()])
            stack.enter_context(threadpool_limits(1, user_api="blas"))

            @lru_cache(maxsize=len(items))
            def view(row: int) -> View:
                return View(thumbnails.rgb(row))

            for item, hit in asked:
                one, other = rows[item.id], rows[hit.item.id]
                if one in thumbnails and other in thumbnails:
                    related = relation(view(one), view(other))
                    if related is not None and related.kind in (Kind.COPY, Kind.CROP):
                        yield item, hit, related.kind

    # -- what is told -------------------------------------------------------------------------------------------------

    def _event(self, catalog: Catalog, match: Match, at: str, sources: Mapping[str, Source]) -> dict[str, Any]:
        def told(item: Item | None) -> dict[str, Any] | None:
            if item is None:
                return None
            shown = result_of(1, item, None, catalog.sources.path_of(item, sources)).to_json()
            return {key: shown[key] for key in ("id", "source", "path", "name", "payload")}

        return {
            "delivery": delivery_id(self._rule, match.item),
            "rule": self._rule.name,
            "kind": self._rule.kind.value,
            "catalog": catalog.name,
            "at": at,
            "item": told(match.item),
            "score": None if match.score is None else round(match.score, SCORE_DIGITS),
            "like": None if match.like is None else paths.to_text(match.like)[0],
            "of": told(match.of),
            "copy": None if match.copy is None else str(match.copy),
        }


def delivery_id(rule: Rule, item: Item) -> str:
    """The id of what a rule delivers of a picture: the same for the same bytes, whatever their path."""
    return f"{rule.name}.{item.file.sha256 or item.id}"


def _older(catalog: Catalog, item: Item, count: int, matters: Callable[[float], bool], *, wanted: int) -> list[Hit]:
    """The nearest items whose bytes were indexed before those of the item, best first, `wanted` at the most.

    They are looked for among the `count` nearest, and among more while there are fewer and the score of the farthest
    one still `matters`: many that are alike may have come together.
    """
    born = _born([item])[item.id]
    while True:
        hits = catalog.finder.rank(item.id, Parameters(k=count, keep_duplicates=True)).hits
        known = _born(hit.item for hit in hits)
        older = [hit for hit in hits if known[hit.item.id] < born][:wanted]
        enough = len(older) == wanted or len(hits) < count or not matters(hits[-1].score)
        if enough or count >= _MOST_COMPARED:
            return older
        count = min(_MORE * count, _MOST_COMPARED)


def _may_be_copy(catalog: Catalog) -> Callable[[float], bool]:
    """Whether an item of that score may be the same picture; in a space of distances they do not tell."""
    return lambda score: catalog.space.higher_is_better and score >= LEAST_COSINE


def _born(items: Iterable[Item]) -> dict[str, int]:
    return {item.id: 0 if item.stamp is None else item.stamp.born for item in items}


def _reaches(catalog: Catalog, score: float, limit: float) -> bool:
    return score >= limit if catalog.space.higher_is_better else score <= limit


def _scores(catalog: Catalog, vector: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How near a vector is to others: cosines, or Euclidean distances."""
    if not catalog.space.higher_is_better:
        return np.asarray(np.linalg.norm(others - vector, axis=1))
    lengths = np.linalg.norm(others, axis=1) * np.linalg.norm(vector)
    return np.asarray(others @ vector / lengths)


def _place(item: Item, sources: Mapping[str, Source]) -> Place:
    from recq.images.indexed_files import Place

    root = source.any_root() if (source := sources.get(item.file.source)) is not None else None
    path = None if root is None else root / paths.from_text(item.file.path, item.file.encoded)
    return Place(path, item.file.sha256 or "")

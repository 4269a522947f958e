"""Questions that are answered with items in an order: what is near, what matches; the same on every engine.

Engines are asked for ids and little more, in growing numbers, until the rows of the answer are certain
(`recq.index.ranking`); only those are read whole. Grouping, folding and variety are done here and not by the engines,
of which one has no groups and none folds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from qdrant_client import models

from recq.errors import UsageError
from recq.index.diversity import candidates, diversified
from recq.index.field_value import field_value
from recq.index.fields import Fields
from recq.index.filters import require_field, without_own
from recq.index.items import Items
from recq.index.nearest import Nearest
from recq.index.ordering import Scope, needed, points_by_field
from recq.index.parameters import Parameters, Sort
from recq.index.plain_requests import Stored
from recq.index.points import PAGE, Points, item_in
from recq.index.ranking import (
    DEEPEST,
    NOTHING_OWN,
    Folded,
    Grown,
    Own,
    Row,
    first_limit,
    fold,
    grown,
    ordered,
    payload_keys,
    row_of,
    sort_value,
)
from recq.index.schema import UNINDEXED_FIELDS, FieldType, Item
from recq.index.similarity import Metric, Question, metric_of, scale_of
from recq.space import EmbeddingSpace

ASKED_AT_ONCE = 100
"""Questions whose requests are made together: a thousand on a large index would take longer than a request may."""


@dataclass(frozen=True)
class Hit:
    """One row of an answer: an item and how many of the same bytes it stands for.

    `score` is what the question's metric says (`recq.index.similarity.metric_of`), NaN where nothing was compared.
    """

    item: Item
    score: float
    copies: int = 1


@dataclass(frozen=True)
class Found:
    """The rows asked for.

    `total` of a search is how many rows there are in all, or how many items match where more than `DEEPEST` do.
    `cut`: rows are missing because only the nearest `DEEPEST` points were looked at. `copies` were skipped since
    they have the bytes of an example, or of a newer item (`recq.index.latest`).
    """

    hits: tuple[Hit, ...]
    total: int | None = None
    cut: bool = False
    copies: int = 0


@dataclass(frozen=True)
class _Ranking:
    """Folded rows, the first ones certain; `whole` when there are no more."""

    rows: list[Folded]
    whole: bool
    cut: bool = False
    copies: int = 0


class Finder:
    """The reads of a catalog that put items into an order. All methods raise only errors of `recq.errors`.

    `nearest` finds what questions start from; the other parts read.
    """

    def __init__(self, nearest: Nearest, points: Points, fields: Fields, items: Items) -> None:
        self._nearest = nearest
        self._points = points
        self._fields = fields
        self._items = items

    @property
    def space(self) -> EmbeddingSpace:
        """The space that the scores of its rankings are of."""
        return self._nearest.space

    def exact(self) -> Finder:
        """The same, comparing with every item that matches: what its answers are measured by."""
        return Finder(self._nearest.exact(), self._points, self._fields, self._items)

    def vectors(self, ids: Sequence[str]) -> Mapping[str, np.ndarray]:
        """The vectors of those ids in that space, each float32 (dim,); failed and unknown items are absent."""
        return self._nearest.vectors(ids)

    def rank(self, question: Question, parameters: Parameters, *, own: Own = NOTHING_OWN) -> Found:
        """The rows nearest to what the question starts from, which is never among them; ties by path.

        Nor is what is its `own`. Raises FilterError.
        """
        return self.rank_many([question], parameters, own=[own])[0]

    def rank_many(
        self,
        questions: Sequence[Question],
        parameters: Parameters,
        *,
        own: Sequence[Own] | None = None,
    ) -> list[Found]:
        """`rank` of several questions, whose requests are made together as far as possible; `own` is of each."""
        owns = [NOTHING_OWN] * len(questions) if own is None else own
        scope, rankings = self._scope(questions, parameters), list[Grown]()
        for first in range(0, len(questions), ASKED_AT_ONCE):
            some = slice(first, first + ASKED_AT_ONCE)
            rankings += self._nearest.ranked(questions[some], scope, owns[some])
        return self._found(questions, parameters, rankings, owns)

    def rank_from(self, item_id: str, parameters: Parameters, own: Callable[[Item], Own]) -> tuple[Item, Found] | None:
        """An item and what `rank` finds nearest to it, in one request; `own` is of the item. None where there is none.

        It is the fast way where all is well: what is missing or wrong is an error of the engine's here, which says less
        than looking the item up does.
        """
        found = self._nearest.ranked_beside(item_id, self._scope([item_id], parameters), own)
        if found is None:
            return None
        item, ranking = found
        return item, self._found([item_id], parameters, [ranking], [own(item)])[0]

    def _scope(self, questions: Sequence[Question], parameters: Parameters) -> Scope:
        """What the filters mean, without recq's own conditions: what fails has no vector, and foreign points are
        skipped (`fold`). An engine would look both up in the payload of each point that it comes across.

        Raises FilterError or UsageError for what cannot be asked for.
        """
        for question in questions:
            _require_reachable(parameters, metric_of(question, self.space))
        self._require_fields(parameters)
        return Scope.first(without_own(self._items.compiled(parameters.conditions)), parameters)

    def _found(
        self,
        questions: Sequence[Question],
        parameters: Parameters,
        certain: Sequence[Grown],
        owns: Sequence[Own],
    ) -> list[Found]:
        """The answers that those rows are."""
        rankings = [
            self._ranking(question, parameters, rows, own)
            for question, rows, own in zip(questions, certain, owns, strict=True)
        ]
        pages = [_page_of(ranking, parameters) for ranking in rankings]
        items = self._whole([folded.row for page in pages for folded in page])
        return [
            Found(
                self._sorted(_hits(page, items), parameters.sort),
                cut=ranking.cut and len(page) < parameters.k,
                copies=ranking.copies,
            )
            for ranking, page in zip(rankings, pages, strict=True)
        ]

    def find(self, parameters: Parameters) -> Found:
        """The items that all filters hold for, in the order of paths or of a field.

        Where more than `DEEPEST` match, only a number or a date can be sorted by; without `sort` the rows are then any
        of them, always the same, since to find the first by path would mean reading every row. Raises FilterError,
        UsageError.
        """
        if parameters.sort is not None and parameters.diversity:
            raise UsageError("--sort and --diversity both decide the order of a search: give one of them")
        self._require_fields(parameters)
        compiled = self._items.compiled(parameters.conditions)
        matching = self._points.count(compiled)
        if parameters.sort is not None:
            ranking = self._by_field(parameters, parameters.sort, compiled, matching)
        else:
            ranking = self._by_path(parameters, compiled, matching)
        total = len(ranking.rows) if ranking.whole else matching
        page = _page_of(self._varied(ranking, parameters, None), parameters)
        if not ranking.whole and parameters.sort is None:
            page = sorted(page, key=lambda folded: folded.row.place)
        hits = _hits(page, self._whole([folded.row for folded in page]))
        return Found(tuple(replace(hit, score=math.nan) for hit in hits), total)

    def check(self, parameters: Parameters, metric: Metric) -> None:
        """Raise FilterError or UsageError where `rank` would, whatever the target is."""
        _require_reachable(parameters, metric)
        self._require_fields(parameters)
        self._items.compiled(parameters.conditions)

    # -- parts ----------------------------------------------------------------------------------------------------

    def _require_fields(self, parameters: Parameters) -> None:
        """Raise FilterError for fields that nobody has."""
        sort = (parameters.sort.field,) if parameters.sort is not None else ()
        group = (parameters.group_by,) if parameters.group_by is not None else ()
        for field in (*group, *sort, *(parameters.fields or ())):
            require_field(field, self._fields.types())
        self._fields.require_in_schema((*group, *sort))

    def _ranking(self, question: Question, parameters: Parameters, certain: Grown, own: Own) -> _Ranking:
        copies = sum(row.sha256 in own.digests for row in certain.rows)
        folded = fold(certain.rows, keep_duplicates=parameters.keep_duplicates, own=own)
        sign = 1.0 if metric_of(question, self.space).higher_is_better else -1.0
        return self._varied(_Ranking(folded, certain.whole, certain.cut, copies), parameters, sign / scale_of(question))

    def _by_path(self, parameters: Parameters, compiled: models.Filter, matching: int) -> _Ranking:
        """Matching rows in the order of paths; of too many the first ones in the order of ids."""
        stream = (row_of(each, 0, parameters.group_by) for each in self._light(parameters, compiled))
        if matching <= DEEPEST:
            rows = ordered(stream, descending=False)
            return _Ranking(fold(rows, keep_duplicates=parameters.keep_duplicates), whole=True)
        some: list[Row] = []
        folded: list[Folded] = []
        more = first_limit(needed(parameters))
        while len(folded) < needed(parameters) and len(some) < DEEPEST:
            read = list(islice(stream, more))
            if not read:  # some have gone since they were counted
                break
            some += read
            folded = fold(some, keep_duplicates=parameters.keep_duplicates)
            more = len(some)  # of a picture there may be very many copies: folded anew for twice as many each time
        return _Ranking(folded, whole=False)

    def _by_field(self, parameters: Parameters, sort: Sort, compiled: models.Filter, matching: int) -> _Ranking:
        """Matching rows in the order of a field, those without a value last: by the engine, or by reading all."""
        field_type = require_field(sort.field, self._fields.types())
        if sort.field not in UNINDEXED_FIELDS and (field_type.is_number or field_type is FieldType.DATE):
            self._fields.require_made([(sort.field, False)])
            found = self._by_engine(parameters, sort, compiled)
            if not found.whole:
                return _Ranking(fold(found.rows, keep_duplicates=parameters.keep_duplicates), whole=False)
            known = {row.id for row in found.rows}
            stream = (row_of(each, 0, parameters.group_by) for each in self._light(parameters, compiled))
            others = [row for row in islice(stream, DEEPEST) if row.id not in known]
            rows = [*found.rows, *ordered(others, descending=False)]
        elif matching > DEEPEST:
            raise UsageError(
                f"--sort {sort.field}: {matching:,} items match, and by such a field {DEEPEST:,} can be put in order: "
                "narrow them down with --filter, or sort by a number or a date"
            )
        else:
            rows = self._by_reading(parameters, sort, compiled, field_type)
        return _Ranking(fold(rows, keep_duplicates=parameters.keep_duplicates), whole=matching <= DEEPEST)

    def _by_reading(
        self, parameters: Parameters, sort: Sort, compiled: models.Filter, field_type: FieldType
    ) -> list[Row]:
        """All matching rows in the order of a field that no engine has an order for."""
        first: list[Row] = []
        others: list[Row] = []
        for record in self._light(parameters, compiled, sort.field):
            value = field_value(record.payload or {}, sort.field)
            key = sort_value(value, field_type, descending=sort.descending)
            (others if key is None else first).append(row_of(record, 0 if key is None else key, parameters.group_by))
        return [*ordered(first, descending=sort.descending), *ordered(others, descending=False)]

    def _by_engine(self, parameters: Parameters, sort: Sort, compiled: models.Filter) -> Grown:
        def fetch(limit: int) -> Sequence[Row]:
            return points_by_field(self._points, sort, compiled, parameters, limit)

        need = needed(parameters)
        first = fetch(first_limit(need))
        return grown(fetch, first, need, keep_duplicates=parameters.keep_duplicates, descending=sort.descending)

    def _light(self, parameters: Parameters, compiled: models.Filter, *fields: str) -> Iterator[Stored]:
        """Every matching point, little more than its id, in the order of ids."""
        return self._points.scroll(compiled, payload=payload_keys(parameters.group_by, *fields), page=10 * PAGE)

    def _varied(self, ranking: _Ranking, parameters: Parameters, sign: float | None) -> _Ranking:
        """The first rows in another order, where variety is asked for; `sign` makes a score a relevance."""
        size = candidates(parameters.k)
        if not parameters.diversity or parameters.offset >= size:
            return ranking
        vectors = self._nearest.vectors([folded.row.id for folded in ranking.rows[:size]])
        pool = [folded for folded in ranking.rows[:size] if folded.row.id in vectors]  # not gone meanwhile
        if not pool:
            return ranking
        relevance = np.array([0.0 if sign is None else sign * folded.row.value for folded in pool])
        matrix = np.stack([vectors[folded.row.id] for folded in pool])
        order = diversified(relevance, matrix, parameters.diversity, self.space.distance, parameters.last)
        chosen = set(order)
        rest = [folded for number, folded in enumerate(pool) if number not in chosen]
        return replace(ranking, rows=[*(pool[n] for n in order), *rest, *ranking.rows[size:]])

    def _whole(self, rows: Sequence[Row]) -> dict[str, Item]:
        """The whole items of a page, of those that are still there."""
        read = {row.id: item_in(row.payload) for row in rows if row.payload is not None}
        items = {item_id: item for item_id, item in read.items() if item is not None}
        ids = [row.id for row in rows if row.payload is None]
        for start in range(0, len(ids), PAGE):
            items |= self._points.items(ids[start : start + PAGE])
        return items

    def _sorted(self, hits: Sequence[Hit], sort: Sort | None) -> tuple[Hit, ...]:
        """A page in the order of a field; the order it had decides where values are equal or missing."""
        if sort is None:
            return tuple(hits)
        field_type = require_field(sort.field, self._fields.types())
        keyed = [
            (sort_value(field_value(hit.item.to_payload(), sort.field), field_type, descending=sort.descending), hit)
            for hit in hits
        ]
        first = sorted(
            (pair for pair in keyed if pair[0] is not None), key=lambda pair: pair[0], reverse=sort.descending
        )
        return tuple(hit for _, hit in [*first, *(pair for pair in keyed if pair[0] is None)])


def _require_reachable(parameters: Parameters, metric: Metric) -> None:
    """Raise UsageError for a limit that no score of this metric is within."""
    if metric.higher_is_better and parameters.max_distance is not None:
        raise UsageError(f"--max-distance is for distances, scores here are none ({metric.name}): use --min-score")
    if not metric.higher_is_better and parameters.min_score is not None:
        raise UsageError("--min-score is for scores where more is nearer; here they are distances: use --max-distance")
    if metric.most is not None and parameters.min_score is not None and parameters.min_score > metric.most:
        raise UsageError(
            f"--min-score {parameters.min_score:g} cannot be reached: {metric.told} is {metric.most:g} at the most"
        )


def _page_of(ranking: _Ranking, parameters: Parameters) -> list[Folded]:
    return ranking.rows[parameters.offset : parameters.last]


def _hits(page: Sequence[Folded], items: Mapping[str, Item]) -> list[Hit]:
    return [Hit(items[f.row.id], f.row.value, f.copies) for f in page if f.row.id in items]

"""How each query of a collection is searched: fetches and caches the numbers that `recq.index.search_params` needs.

`Fields` reads the collection's state anyway, so an embedded engine, which has no graph, gets no further request.
The number of points that match a filter is counted once in `REMEMBERED` seconds for a connection. The counts decide how
long an answer takes and how reliable it is, never what may be in it, so an older count does no harm.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol
from weakref import WeakKeyDictionary

from qdrant_client import QdrantClient, models

from recq.index import background
from recq.index.errors import translated
from recq.index.fields import Fields
from recq.index.filters import alternatives_of, conditions_of
from recq.index.quantisation import Quantised
from recq.index.search_params import Graph, is_compared, search_params, thorough, went_astray
from recq.index.server_version import numbers_of, server_version

REMEMBERED = 30.0
"""Seconds that a count, and what the collection has, are kept."""

MOST_COUNTS = 1_000
"""Filters whose counts are remembered of a connection; those asked for longest ago are forgotten first."""


@dataclass(frozen=True)
class Answered:
    """What an answer shows of the walk that found it: how many rows, the score of the last one that is needed, and the
    bound given to it.

    The scores are the space's own; `comparable` is False for any other.
    """

    rows: int
    last: float | None
    bound: float | None = None
    comparable: bool = True


class Searching(Protocol):
    """Decides how the points of a query are searched for."""

    def params(self, compiled: models.Filter | None, limit: int) -> models.SearchParams | None:
        """For the first `limit` points that match what was asked for (None: all); None for the engine's own way."""

    def again(self, compiled: models.Filter | None, limit: int, answer: Answered) -> models.SearchParams | None:
        """How to search again where an answer cannot be trusted; None where it can."""


class Exactly:
    """Compare every match, whatever that costs: the exact answer that others are measured against."""

    def params(self, compiled: models.Filter | None, limit: int) -> models.SearchParams | None:  # noqa: ARG002
        """`exact`, always."""
        return models.SearchParams(exact=True)

    def again(self, compiled: models.Filter | None, limit: int, answer: Answered) -> None:
        """Never."""


class Counts:
    """Numbers by key, each for `REMEMBERED` seconds, `MOST_COUNTS` at most. Several threads may use it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, key: str, count: Callable[[], int]) -> int:
        """What is remembered, else what `count` gives; two threads that miss it at once both count."""
        with self._guard:
            known = self._kept.get(key)
            if known is not None and self._clock() - known[0] < REMEMBERED:
                self._kept.move_to_end(key)
                return known[1]
        counted = count()
        with self._guard:
            self._kept[key] = self._clock(), counted
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_COUNTS:
                self._kept.popitem(last=False)
        return counted


_counts: WeakKeyDictionary[QdrantClient, Counts] = WeakKeyDictionary()
"""Of each connection: a catalog is opened anew for each question, its connection is kept."""


class ByMatches:
    """As `search_params` decides, by how many points match."""

    def __init__(
        self, client: QdrantClient, collection: str, fields: Fields, dim: int, *, higher_is_better: bool = True
    ) -> None:
        self._client = client
        self._collection = collection
        self._fields = fields
        self._dim = dim
        self._higher_is_better = higher_is_better
        self._counts = _counts.setdefault(client, Counts())

    @translated
    def params(self, compiled: models.Filter | None, limit: int) -> models.SearchParams | None:
        """Raises what counting raises."""
        graph = self._graph()
        if not graph.in_graphs:
            return None
        return search_params(graph, None if compiled is None else self._matches(compiled, graph, limit), limit)

    @translated
    def again(self, compiled: models.Filter | None, limit: int, answer: Answered) -> models.SearchParams | None:
        """Only a filter leads a walk astray. Raises what counting raises."""
        graph = self._graph()
        if compiled is None or not graph.in_graphs:
            return None
        matches = self._matches(compiled, graph, limit)
        if is_compared(graph, matches, limit):
            return None
        wanted = min(limit, matches)
        if answer.comparable:
            cut = answer.rows < wanted and answer.bound is not None  # the others are farther than the bound, if near
            last = answer.bound if cut else answer.last
            if not went_astray(wanted if cut else answer.rows, wanted, self._share_below(last)):
                return None
        return thorough(graph, matches, limit)

    def _share_below(self, score: float | None) -> float | None:
        """The share of random pairs that are less alike than this."""
        if score is None:
            return None
        info = self._fields.collection(REMEMBERED)
        better = self._higher_is_better
        scale = background.current(self._client, self._collection, higher_is_better=better, info=info)
        return None if scale is None else scale.share_below(score)

    def _graph(self) -> Graph:
        """What the collection has; the server's version is requested only if the collection has a graph."""
        info = self._fields.collection(REMEMBERED)
        in_graphs = info.indexed_vectors_count or 0
        strict = info.config.strict_mode_config
        if strict is not None and not strict.enabled:
            strict = None
        quantised = Quantised.of(info) if in_graphs else None
        return Graph(
            points=info.points_count or 0,
            in_graphs=in_graphs,
            dim=self._dim,
            version=numbers_of(server_version(self._client)) if in_graphs else (),
            exact=strict is None or strict.search_allow_exact is not False,
            longest=None if strict is None else strict.search_max_hnsw_ef,
            oversampling=None if quantised is None else quantised.oversampling,
        )

    def _matches(self, asked: models.Filter, graph: Graph, limit: int) -> int:
        """How many points match.

        A server estimates that from its payload indexes, an AND by multiplying shares, as if its conditions had nothing
        to do with each other. Where they do (shoes AND size 42, shoes AND dress), the estimate may be far too low,
        which only makes the search exact, or far too high, which would lose answers: then it is counted. So it is where
        a field has no index: of those it takes half of all points.
        """
        text = f"{self._collection} {asked.model_dump_json(exclude_none=True)}"
        key = blake2b(text.encode("utf-8", "surrogatepass")).hexdigest()  # a filter may have thousands of values
        estimated = self._counts.of(f"estimated {key}", lambda: self._count(asked, exact=False))
        if is_compared(graph, estimated, limit) or _is_estimated_well(asked, self._indexed()):
            return estimated
        return self._counts.of(f"counted {key}", lambda: self._count(asked, exact=True))

    def _indexed(self) -> Collection[str]:
        """The keys that have a payload index."""
        return self._fields.collection(REMEMBERED).payload_schema

    def _count(self, asked: models.Filter, *, exact: bool) -> int:
        return self._client.count(self._collection, count_filter=asked, exact=exact).count


def _is_estimated_well(asked: models.Filter, indexed: Collection[str]) -> bool:
    """Whether it is no AND: one condition on an indexed field, or alternatives of such."""
    conditions = [*conditions_of(asked), *alternatives_of(asked)]
    if len(conditions_of(asked)) + bool(alternatives_of(asked)) != 1:
        return False
    return all(_is_one(each, indexed) for each in conditions)


def _is_one(condition: models.Condition, indexed: Collection[str]) -> bool:
    match condition:
        case models.Filter():
            return _is_estimated_well(condition, indexed)
        case models.FieldCondition(key=key, match=models.MatchText(text=text)):
            return key in indexed and len(text.split()) == 1
        case models.FieldCondition(key=key):
            return key in indexed
        case models.IsEmptyCondition(is_empty=field):
            return field.key in indexed
        case _:
            return False

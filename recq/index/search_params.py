"""How a server searches for the nearest points: in its graph, or by comparing all points that match. Pure.

A server with many points has a graph (HNSW) for each segment. A search walks along it, and a filter removes points
from it: the rest may be disconnected, and the walk ends at points that are not the nearest. A server itself compares
all matches if they are few (`full_scan_threshold`, 10,000 KB of vectors in a segment: 2,000 of 1,280 numbers), and
uses the graph otherwise. Two things go wrong between: few matches leave a graph that does not hold together, most of
all where the field's index came after the graph; and matches that all lie far from the query are not met by a walk that
goes where the query is. docs/reliability.md has the figures (`benchmarks/filters.py`).

So few matches are all compared (`search_params`), and for more the walk is longer than a server's own. Its answer shows
the second case: what it found is hardly more alike than random pairs are. Then all matches are compared after all
(`thorough`), which takes ten times as long, and is asked for by those questions alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from qdrant_client import models

from recq.index.server_features import SINCE, Feature

EXACT_NUMBERS = 32_000_000
"""Numbers that are compared at most where a filter holds for few: 25,000 vectors of 1,280 numbers, 130 MB."""

COMPARED_ANYWAY = 2_560_000
"""Numbers that a server compares rather than walk, unless it was told otherwise: 2,000 vectors of 1,280 numbers
(`full_scan_threshold`). Not to trust what it found so would only have all of them compared again."""

FEW = 0.08
"""The share of all points up to which a filter leaves too little of a graph: there as many as that are compared."""

EXACT_SHARE = 0.04
"""Of more points than that all matches are compared where the answer is such a share of them: its walk would be as
long."""

WALK = 128
"""`hnsw_ef`, with a filter or without; a server's own is 100. With filters 200 found no more (recall 0.998 or more for
each shape of `benchmarks/filters.py` at 300,000 points, by queries of another seed), in up to 1.3 times the time."""

THOROUGH_NUMBERS = 256_000_000
"""Numbers that are compared at most where a walk went astray: 200,000 vectors of 1,280 numbers, 1 GB. ACORN takes as
long among as many (289 ms, 273 ms), and three times as long among fewer."""

THOROUGH_WALK = 400
"""`hnsw_ef` with ACORN, or without a filter, where a walk went astray and more points would have to be compared."""

TRUSTED = 0.985
"""The share of random pairs that are less alike than each row of an answer that is trusted: what a walk missed lay
below it nearly always, and of questions whose matches are anywhere some 7 % are asked again."""


@dataclass(frozen=True)
class Graph:
    """What a collection has and its server can.

    `points` is how many points there are, `in_graphs` how many of their vectors a graph leads to, `dim` the numbers of
    a vector. A server can be told to refuse exact searches (`exact`) and longer walks than `longest` (strict mode).
    `oversampling` is by how much more candidates a quantised collection asks its originals about; None where it is not.
    """

    points: int
    in_graphs: int
    dim: int
    version: tuple[int, ...] = SINCE[Feature.ACORN]
    exact: bool = True
    longest: int | None = None
    oversampling: float | None = None

    @property
    def acorn(self) -> bool:
        """Whether the server knows ACORN."""
        return self.version >= SINCE[Feature.ACORN]


def is_compared(graph: Graph, among: int, limit: int) -> bool:
    """Whether all of `among` points are compared for the first `limit` of them."""
    numbers = among * graph.dim
    few = numbers <= COMPARED_ANYWAY or (among <= FEW * graph.points and numbers <= EXACT_NUMBERS)
    return graph.exact and (few or limit >= EXACT_SHARE * among)


def search_params(graph: Graph, matches: int | None, limit: int) -> models.SearchParams | None:
    """How to search for the first `limit` of `matches` points; None for the server's own way.

    `matches` is None where there is no filter.
    """
    if not graph.in_graphs:
        return None  # every engine compares all of them
    if is_compared(graph, graph.points if matches is None else matches, limit):
        return models.SearchParams(exact=True)
    return models.SearchParams(
        hnsw_ef=_walk(graph, max(WALK, limit)),
        quantization=_rescored(graph),
    )


def thorough(graph: Graph, matches: int | None, limit: int) -> models.SearchParams:
    """How to search again where the answer of a walk cannot be trusted."""
    among = graph.points if matches is None else matches
    if graph.exact and (among * graph.dim <= THOROUGH_NUMBERS or limit >= EXACT_SHARE * among):
        return models.SearchParams(exact=True)
    stepping = matches is not None and graph.acorn
    return models.SearchParams(
        hnsw_ef=_walk(graph, max(THOROUGH_WALK, limit)),
        acorn=models.AcornSearchParams(enable=True, max_selectivity=1.0) if stepping else None,
        quantization=_rescored(graph),
    )


def went_astray(found: int, wanted: int, last: float | None) -> bool:
    """Whether a walk's answer cannot be trusted: fewer rows than there are, or rows hardly better than chance.

    `found` of `wanted` rows; `last` is the share of random pairs that are less alike than the last row, None where
    nobody knows.
    """
    return found < wanted or (last is not None and last < TRUSTED)


def _rescored(graph: Graph) -> models.QuantizationSearchParams | None:
    """How a walk over quantised vectors is corrected; an exact search reads the originals anyway."""
    if graph.oversampling is None:
        return None
    return models.QuantizationSearchParams(rescore=True, oversampling=graph.oversampling)


def _walk(graph: Graph, length: int) -> int:
    return length if graph.longest is None else min(length, graph.longest)

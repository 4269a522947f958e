"""How a server searches for the nearest points: in its graph, or by comparing all points that match. Pure.

A server with many points has a graph (HNSW) for each segment. A search walks along it, and a filter removes points
from it: the rest may be disconnected, and the walk ends at points that are not the nearest. A server itself compares
all matches if they are few (`full_scan_threshold`, 10,000 KB of vectors in a segment: 2,000 of 1,280 numbers), and
uses the graph otherwise. Answers are lost between some thousand matches and a large share of all points:
docs/reliability.md has the figures (`benchmarks/filters.py`).

So the number of matching points decides for each query: few are all compared (`exact`); for more the walk skips points
that do not match (ACORN, Qdrant 1.16); where most match, or there is no filter, the walk is only longer (`hnsw_ef`).
"""

from __future__ import annotations

from dataclasses import dataclass

from qdrant_client import models

EXACT_NUMBERS = 80_000_000
"""Numbers that are compared at most where a filter holds for few: 62,500 vectors of 1,280 numbers, 320 MB. That takes
about as long as ACORN does among as many, and is never wrong."""

EXACT_SHARE = 0.04
"""Of more points than that all matches are compared where the answer is such a share of them: its walk would be as
long."""

WALK = 256
"""`hnsw_ef` of a query without a filter; a server's own is 100."""

STEPPING_WALK = 128
"""`hnsw_ef` with ACORN."""

ACORN_SHARE = 0.6
"""The largest share of matching points for which ACORN is requested: even where half of all points match, the graph
misses answers when the matches are far from the query (0.93 found in the server's own way). ACORN takes two to four
times as long as a walk."""

FILTERED_WALK = 400
"""`hnsw_ef` where a filter holds for more."""

ACORN_SINCE = (1, 16)
"""The version of a server that brought it; an older one would ignore it silently."""


@dataclass(frozen=True)
class Graph:
    """What a collection has and its server can.

    `points` is how many points there are, `in_graphs` how many of their vectors a graph leads to, `dim` the numbers of
    a vector. A server can be told to refuse exact searches (`exact`) and longer walks than `longest` (strict mode).
    """

    points: int
    in_graphs: int
    dim: int
    version: tuple[int, ...] = ACORN_SINCE
    exact: bool = True
    longest: int | None = None

    @property
    def acorn(self) -> bool:
        """Whether the server knows ACORN."""
        return self.version >= ACORN_SINCE


def is_compared(graph: Graph, among: int, limit: int) -> bool:
    """Whether all of `among` points are compared for the first `limit` of them."""
    return graph.exact and (among * graph.dim <= EXACT_NUMBERS or limit >= EXACT_SHARE * among)


def search_params(graph: Graph, matches: int | None, limit: int) -> models.SearchParams | None:
    """How to search for the first `limit` of `matches` points; None for the server's own way.

    `matches` is None where there is no filter.
    """
    if not graph.in_graphs:
        return None  # every engine compares all of them
    among = graph.points if matches is None else matches
    if is_compared(graph, among, limit):
        return models.SearchParams(exact=True)
    stepping = matches is not None and graph.acorn and among <= ACORN_SHARE * graph.points
    walk = max(WALK if matches is None else STEPPING_WALK if stepping else FILTERED_WALK, limit)
    return models.SearchParams(
        hnsw_ef=walk if graph.longest is None else min(walk, graph.longest),
        acorn=models.AcornSearchParams(enable=True, max_selectivity=1.0) if stepping else None,
    )

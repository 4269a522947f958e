"""Maximal marginal relevance: an order in which each row is near the target and unlike those before it. Pure.

Carbonell and Goldstein, "The use of MMR, diversity-based reranking", SIGIR 1998: the next one is

    argmax  lambda * sim(candidate, query) - (1 - lambda) * max over chosen of sim(candidate, chosen)

with lambda = 1 - diversity. The first is the first of the ranking, ties go to the earlier one.
"""

from __future__ import annotations

import numpy as np

from recq.space import Distance

LEAST_CANDIDATES = 100
PER_RESULT = 10
MOST_CANDIDATES = 1_000
"""Each row that is chosen is compared with all candidates: a thousand of a thousand take a second at 1,280 numbers."""

_AT_ONCE = 65_536  # numbers of the differences of two vectors that are held at a time


def candidates(k: int) -> int:
    """How many of the first rows are put into a new order for pages of k: 10 a result, from 100 to 1,000."""
    return min(max(LEAST_CANDIDATES, PER_RESULT * k), MOST_CANDIDATES)


def comparisons(k: int, last: int) -> int:
    """How many pairs of candidates are compared for the rows up to the place `last`, in pages of k."""
    return min(last, candidates(k)) * candidates(k)


def diversified(
    relevance: np.ndarray, vectors: np.ndarray, diversity: float, distance: Distance, count: int
) -> list[int]:
    """The numbers of the first `count` candidates in the order of maximal marginal relevance.

    `relevance` is float (n,), higher is better, in the ranking's order; `vectors` float32 (n, dim). Two candidates are
    as similar as their cosine, or minus their Euclidean distance.
    """
    if not len(relevance):
        return []
    weight = 1.0 - diversity
    prepared = _normalised(vectors) if distance == "Cosine" else np.asarray(vectors, np.float32)
    left = np.ones(len(relevance), bool)
    chosen = [0]
    left[0] = False
    closest = _similarity(prepared, 0, distance)
    while len(chosen) < min(count, len(relevance)):
        marginal = np.where(left, weight * relevance - diversity * closest, -np.inf)
        best = int(np.argmax(marginal))
        chosen.append(best)
        left[best] = False
        closest = np.maximum(closest, _similarity(prepared, best, distance))
    return chosen


def _similarity(vectors: np.ndarray, one: int, distance: Distance) -> np.ndarray:
    """Of all vectors to one of them."""
    if distance == "Cosine":
        return np.asarray(vectors @ vectors[one])
    squares = np.empty(len(vectors), np.float32)
    rows = max(1, _AT_ONCE // vectors.shape[1])
    for start in range(0, len(vectors), rows):  # the differences of all would be as large as the vectors
        apart = vectors[start : start + rows] - vectors[one]
        squares[start : start + rows] = np.einsum("ij,ij->i", apart, apart)
    return -np.sqrt(squares)


def _normalised(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), np.float32)

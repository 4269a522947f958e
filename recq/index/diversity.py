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
MOST_CANDIDATES = 10_000


def candidates(k: int) -> int:
    """How many of the first rows are put into a new order for pages of k: 10 a result, from 100 to 10,000."""
    return min(max(LEAST_CANDIDATES, PER_RESULT * k), MOST_CANDIDATES)


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
    prepared = _normalised(vectors) if distance == "Cosine" else vectors.astype(np.float32)
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
    if distance == "Cosine":
        return np.asarray(vectors @ vectors[one])
    return np.asarray(-np.linalg.norm(vectors - vectors[one], axis=1))


def _normalised(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), np.float32)

"""Of several liked pictures, which one each result is nearest to, on the scale of pairs: a recommendation has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recq.search.session import Session
from recq.search.target import Given


@dataclass(frozen=True)
class NearestLiked:
    """`liked` is its place among the liked pictures, `score` that of the pair; `share`, 0 to 1, is the share of the
    catalog's random pairs that are less alike, None where nobody knows."""

    liked: int
    score: float
    share: float | None


def nearest_liked(session: Session, like: Sequence[Given], results: Sequence[str]) -> Mapping[str, NearestLiked]:
    """By the id of each result that has a vector. Raises what `recq.search.recommend.recommend` raises."""
    with session.prepared(like, lambda _: None) as (catalog, queries):
        named = [query.example for query in queries if isinstance(query.example, str)]
        vectors = catalog.finder.vectors([*results, *named])
        background = catalog.background_at_opening()
        examples = [vectors.get(each.example) if isinstance(each.example, str) else each.example for each in queries]
    there = [(place, vector) for place, vector in enumerate(examples) if vector is not None]
    ids = [each for each in dict.fromkeys(results) if each in vectors]
    if not there or not ids:
        return {}
    closer = catalog.space.higher_is_better
    scores = scores_of(np.stack([vectors[each] for each in ids]), np.stack([v for _, v in there]), cosine=closer)
    best = scores.argmax(axis=1) if closer else scores.argmin(axis=1)
    found = {}
    for item, place, row in zip(ids, best, scores, strict=True):
        score = float(row[place])
        share = None if background is None else background.share_below(score)
        found[item] = NearestLiked(there[int(place)][0], score, share)
    return found


def scores_of(some: np.ndarray, others: np.ndarray, *, cosine: bool) -> np.ndarray:
    """The cosine, or the distance, of each of some vectors (n, dim) to each of others (m, dim): float (n, m)."""
    if cosine:
        units = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (some, others)]
        return np.asarray(units[0] @ units[1].T)
    return np.asarray(np.linalg.norm(some[:, np.newaxis] - others[np.newaxis], axis=2))

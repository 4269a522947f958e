"""How alike two unrelated pictures of a catalog are: the scale of its scores.

A cosine of 0.8 alone means little: it is a twin in one catalog and any two pictures in another. So random pairs of
different items are compared, and their scores are stored with the collection as quantiles. A score is then shown as the
share of those pairs that it exceeds.

The daemon measures when nothing was written for a moment, and now and then while a catalog grows. Who only asks
measures a catalog that has grown without one, but not again and again: a scale serves for `SERVES` at least.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from recq.index.filters import compile_filters
from recq.index.plain_requests import stored_vectors
from recq.index.schema import VECTOR

Places = npt.NDArray[np.int64]

KEY = "background"
"""The collection-metadata key that it is stored under."""

PAIRS = 10_000
"""Pairs that are compared; all of them where a catalog has fewer."""

FEWEST_ITEMS = 50
"""With fewer items no share is shown: too few pairs to know one in a thousand."""

DRIFT = 0.2
"""How far a catalog may grow or shrink, as a share of its size, before the pairs are drawn again."""

SERVES = 60.0
"""Seconds that a scale serves questions, however much the catalog has grown meanwhile. A fast backlog grows by `DRIFT`
every few seconds, and to compare the pairs holds up all other questions for a third of a second."""

UNUSUAL = 0.95
"""The share of pairs that an unusual score exceeds: `--min-score auto` leaves out what is below it.

Over photographs of clothing, furniture, products and posters (the default network), 70 to 92 % of those among the five
nearest that have the query's category are above it, and no furniture is among clothing or the reverse;
at 0.99 it would be 36 to 64 %."""

LEVELS = (*(n / 100 for n in range(100)), *(0.99 + n / 1000 for n in range(1, 10)), *(0.999 + n / 1e4 for n in range(1, 10)), 1.0)  # fmt: skip # noqa: E501
"""The shares whose scores are stored: every hundredth, and finer steps near 1."""

_SAMPLE = 500
"""Items that the pairs are drawn from, some forty with each."""


@dataclass(frozen=True)
class Background:
    """The scores of random pairs. `scores` has one for each of `LEVELS`, the least alike first.

    `items` is the number of all items at that time, failed ones included, `pairs` the number of pairs compared, `at`
    when that was, in seconds since 1970.
    """

    items: int
    pairs: int
    scores: tuple[float, ...]
    higher_is_better: bool = True
    at: int = 0

    def share_below(self, score: float) -> float:
        """The share of pairs, 0 to 1, that are less alike than two pictures with this score."""
        ascending = self._ascending
        wanted = score if self.higher_is_better else -score
        above = bisect_left(ascending, wanted)
        if above == 0:
            return 0.0
        if above == len(ascending):
            return 1.0
        low, high = ascending[above - 1], ascending[above]
        part = (wanted - low) / (high - low)  # high > low, since bisect_left put `wanted` above `low`
        return LEVELS[above - 1] + part * (LEVELS[above] - LEVELS[above - 1])

    @cached_property
    def _ascending(self) -> Sequence[float]:
        """The scores, negative where less is nearer."""
        return self.scores if self.higher_is_better else [-each for each in self.scores]

    @property
    def unusual(self) -> float:
        """The score from which a pair is unusual, see `UNUSUAL`."""
        return self.score_at(UNUSUAL)

    def score_at(self, level: float) -> float:
        """The score that this share of the pairs, one of `LEVELS`, does not reach."""
        return self.scores[LEVELS.index(level)]

    def is_stale(self, items: int) -> bool:
        """Whether a catalog with `items` items needs new pairs."""
        return abs(items - self.items) > DRIFT * self.items

    def serves(self, items: int, now: float, seconds: float) -> bool:
        """Whether it can be used at `now` for a catalog with `items` items: it is not stale, or no older than that. An
        age below 0 is another machine's clock."""
        return not self.is_stale(items) or 0 <= now - self.at < seconds

    def to_json(self) -> dict[str, Any]:
        """The value stored with the collection."""
        scores = [round(score, 6) for score in self.scores]
        return {"items": self.items, "pairs": self.pairs, "scores": scores, "at": self.at}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, higher_is_better: bool) -> Self | None:
        """The value that `to_json` wrote; None for a value of another version."""
        scores = tuple(map(float, data.get("scores", ())))
        if len(scores) != len(LEVELS):
            return None
        return cls(int(data["items"]), int(data["pairs"]), scores, higher_is_better, int(data.get("at", 0)))

    @classmethod
    def of(cls, scores: Sequence[float], items: int, *, higher_is_better: bool) -> Self:
        """The quantiles of those pairs' scores, which may be in any order (one at least)."""
        ranked = sorted(scores, reverse=not higher_is_better)
        scores = tuple(_quantile(ranked, level) for level in LEVELS)
        return cls(items, len(ranked), scores, higher_is_better, int(time.time()))


def draw_pairs(count: int) -> tuple[Places, Places]:
    """Random pairs of two different ones of `count` items, none twice: the places of one and of the other, int64 (n,).

    There are `PAIRS` of them, or all pairs where there are fewer. The same count gives the same pairs.
    """
    every = math.comb(count, 2)
    numbers = np.random.default_rng(0).choice(every, min(PAIRS, every), replace=False, shuffle=False)
    later = (1 + np.sqrt(1 + 8 * numbers).astype(np.int64)) // 2  # pairs as (0, 1) (0, 2) (1, 2) (0, 3) (1, 3) ...
    return later, numbers - later * (later - 1) // 2


_measured: WeakKeyDictionary[QdrantClient, dict[str, Background]] = WeakKeyDictionary()
"""What a client has measured, by collection: `info` may be older, and with a key that only reads it is not stored."""


def current(
    client: QdrantClient,
    collection: str,
    *,
    higher_is_better: bool,
    info: models.CollectionInfo | None = None,
    serves: float = SERVES,
) -> Background | None:
    """The stored scale; measured anew where the collection has grown or shrunk by `DRIFT` and it is older than `serves`
    seconds. None: too few items.

    `info` is the collection as it was described, asked for where it is None. Raises the client's errors, IndexRefused
    for an answer that is none.
    """
    info = info or client.get_collection(collection)
    items = info.points_count or 0
    if items < FEWEST_ITEMS:
        return None
    stored = (info.config.metadata or {}).get(KEY)
    read = Background.from_json(stored, higher_is_better=higher_is_better) if stored else None
    known = [each for each in (read, _measured.get(client, {}).get(collection)) if each is not None]
    now = time.time()
    for kept in sorted(known, key=lambda each: each.at, reverse=True):
        if kept.serves(items, now, serves):
            return kept
    fresh = measure(client, collection, compile_filters((), {}), items, higher_is_better=higher_is_better)
    if fresh is not None:
        _measured.setdefault(client, {})[collection] = fresh
        with suppress(UnexpectedResponse):  # the key may only read
            client.update_collection(collection, metadata={KEY: fresh.to_json()})
    return fresh


def measure(
    client: QdrantClient, collection: str, embedded: models.Filter, items: int, *, higher_is_better: bool
) -> Background | None:
    """Compare random pairs of a collection's `embedded` items; None below `FEWEST_ITEMS` of those.

    `items` is the catalog's present size, see `Background`. Raises the client's errors.

    The vectors are read and compared here: as queries of an engine they took three times as long, in which a
    daemon did nothing else. Ids are hashes of paths, so the first ones in their order are a random sample.
    """
    records, _ = client.scroll(collection, scroll_filter=embedded, limit=_SAMPLE, with_payload=False)
    ids = [record.id for record in records if isinstance(record.id, str)]  # numeric ids are not recq's
    vectors = stored_vectors(client, collection, ids, VECTOR) if len(ids) >= FEWEST_ITEMS else {}
    if len(vectors) < FEWEST_ITEMS:  # some may have gone meanwhile
        return None
    rows = np.stack([vectors[each] for each in sorted(vectors)])
    first, second = draw_pairs(len(rows))
    if higher_is_better:
        scores = (rows @ rows.T)[first, second]  # cosines: all have length 1
    else:
        rows = rows.astype(np.float64)  # the difference of two large numbers
        squares = np.einsum("ij,ij->i", rows, rows)
        scores = np.sqrt(np.maximum(squares[first] + squares[second] - 2 * (rows @ rows.T)[first, second], 0))
    return Background.of(scores.tolist(), items, higher_is_better=higher_is_better)


def _quantile(ranked: Sequence[float], level: float) -> float:
    """Linear between the two nearest ranks."""
    place = level * (len(ranked) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (place - below) * (ranked[above] - ranked[below])

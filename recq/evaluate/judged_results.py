"""What `recq evaluate --judgements` found: frozen records, and their JSON, which docs/quality.md documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from recq.evaluate.index_results import wilson
from recq.evaluate.metrics import bootstrap
from recq.evaluate.results import rounded, space_json
from recq.search.results import Trained
from recq.space import EmbeddingSpace

FEWEST = 10
"""Queries from which on a difference has an interval: fewer that are drawn again and again tell too little."""


_NAMED = 3  # unknown items that a remark names


@dataclass(frozen=True)
class Gained:
    """The mean nDCG of `queries`, and its interval: Wilson's, which still tells how few were asked where all are 1."""

    queries: int
    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """Of each query; None where there is none."""
        if not values:
            return None
        mean = float(np.mean(values))
        return cls(len(values), mean, *wilson(mean, len(values)))


@dataclass(frozen=True)
class Gain:
    """How much more the mean is than another; the paired interval is None for fewer than `FEWEST` queries."""

    mean: float
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, values: Sequence[float], others: Sequence[float], seed: int) -> Self | None:
        """Of the same queries in two catalogs; None where there is none."""
        if not values:
            return None
        less = np.array(values) - np.array(others)
        interval = None
        if len(less) >= FEWEST:
            low, high = bootstrap(less.reshape(-1, 1), seed)
            interval = float(low[0]), float(high[0])
        return cls(float(less.mean()), interval)


@dataclass(frozen=True)
class NotUsed:
    """Judgements that were not used: of items that are not in the index (`unknown`), that have no vector
    (`unembedded`), or that another catalog lacks (`elsewhere`); of `copies` of the query; `repeated` ones, of which
    the last counts. `unanswerable`: queries of which nothing was liked."""

    unknown: int = 0
    unembedded: int = 0
    elsewhere: int = 0
    copies: int = 0
    repeated: int = 0
    unanswerable: int = 0


@dataclass(frozen=True)
class JudgedIn:
    """A catalog's nDCG: `order` of the judged items alone, `at` the first k of all items.

    `less` and `less_at` are what it has more than the first catalog, whose own are None and empty.
    """

    catalog: str
    space: EmbeddingSpace
    order: Gained | None
    at: Mapping[int, Gained]
    less: Gain | None = None
    less_at: Mapping[int, Gain] | None = None
    trained: Trained | None = None


@dataclass(frozen=True)
class JudgedEvaluation:
    """What was measured by judgements: `likes` have some gain, `dislikes` none; `items` may be results.

    `names` are the first of the items that are not in the index.
    """

    first: JudgedIn
    against: tuple[JudgedIn, ...]
    ks: tuple[int, ...]
    items: int
    queries: int
    likes: int
    dislikes: int
    not_used: NotUsed
    names: tuple[str, ...]
    seed: int
    took_ms: float

    @property
    def told(self) -> str:
        """How much was judged, in one line."""
        likes, dislikes = _counted(self.likes, "like"), _counted(self.dislikes, "dislike")
        return f"{_counted(self.queries, 'query', 'queries')}, {likes} and {dislikes} among {self.items:,} items"

    @property
    def remarks(self) -> list[str]:
        """What was not used, and what is too little, one line for each reason."""
        left = self.not_used
        named = ", ".join(self.names[:_NAMED]) + (" and others" if len(self.names) > _NAMED else "")
        reasons = (
            (left.unknown, f"of items that are not in the catalog: {named}"),
            (left.unembedded, "of items that have no vector"),
            (left.elsewhere, "of items that not every catalog has"),
            (left.copies, "of a copy of the query"),
            (left.repeated, "given again: the last one counts"),
        )
        remarks = [f"{_counted(count, 'judgement')} left out, {why}" for count, why in reasons if count]
        if left.unanswerable:
            remarks.append(f"{_counted(left.unanswerable, 'query', 'queries')} left out: nothing was liked")
        ordered = 0 if self.first.order is None else self.first.order.queries
        if ordered < self.queries:
            remarks.append(
                f"the order of judged items is that of {_counted(ordered, 'query', 'queries')}: where all are worth "
                "the same, any order is the best"
            )
        if self.queries < FEWEST:
            remarks.append(f"so few queries ({self.queries:,}) tell little: see the interval, and judge more")
        return remarks


def _counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def judged_json(found: JudgedEvaluation) -> dict[str, Any]:
    """The document that `recq evaluate --judgements --format json` prints."""
    return {
        **_judged(found.first),
        "k": list(found.ks),
        "items": found.items,
        "queries": found.queries,
        "likes": found.likes,
        "dislikes": found.dislikes,
        "not_used": vars(found.not_used),
        "unknown": list(found.names),
        "against": [
            _judged(each)
            | {
                "difference": {
                    "ndcg": _gain(each.less),
                    "ndcg_at": {str(k): _gain(gain) for k, gain in (each.less_at or {}).items()},
                }
            }
            for each in found.against
        ],
        "seed": found.seed,
        "took_ms": round(found.took_ms, 1),
    }


def _judged(each: JudgedIn) -> dict[str, Any]:
    return {
        "catalog": each.catalog,
        "space": space_json(each.space, each.trained),
        "ndcg": _gained(each.order),
        "ndcg_at": {str(k): _gained(gained) for k, gained in each.at.items()},
    }


def _gained(gained: Gained | None) -> dict[str, Any] | None:
    if gained is None:
        return None
    interval = [rounded(gained.low), rounded(gained.high)]
    return {"mean": rounded(gained.mean), "interval": interval, "queries": gained.queries}


def _gain(gain: Gain | None) -> dict[str, Any] | None:
    if gain is None:
        return None
    interval = None if gain.interval is None else [rounded(each) for each in gain.interval]
    return {"mean": rounded(gain.mean), "interval": interval}

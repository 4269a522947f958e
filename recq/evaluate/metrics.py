"""The measures of a ranking and their confidence intervals, for `recq evaluate`. Pure functions on arrays.

A ranking is given by its *gains*: for each item, best first, how much it has in common with the query; 1 for the same
label and 0 for another, or something between for items with several labels. docs/quality.md defines each measure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

LEVEL = 0.95
"""The confidence of every interval."""

RESAMPLES = 2_000
"""Bootstrap resamples: enough that the ends of a 95 % interval move by a few hundredths of its width between seeds."""


class LabelSets:
    """The labels of items, as numbers, and the items of each label. Repeated labels of an item count once.

    `names` are the labels in the order of their numbers. An item must have at least one.
    """

    def __init__(self, labels: Sequence[Sequence[str]]) -> None:
        sets = [sorted(set(each)) for each in labels]
        if not all(sets):
            raise ValueError("an item without a label")
        self.names = sorted({name for each in sets for name in each})
        number = {name: n for n, name in enumerate(self.names)}
        self.sizes = np.array([len(each) for each in sets], np.int64)
        self._flat = np.array([number[name] for each in sets for name in each], np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self.sizes)])
        by_label = np.argsort(self._flat, kind="stable")
        owners = np.repeat(np.arange(len(sets)), self.sizes)[by_label]
        self._members = np.split(owners, np.cumsum(np.bincount(self._flat, minlength=len(self.names)))[:-1])

    def of(self, item: int) -> Rows:
        """The labels of an item, ascending."""
        return self._flat[self._starts[item] : self._starts[item + 1]]

    def members(self, label: int) -> Rows:
        """The items that have a label, ascending."""
        return self._members[label]

    def gains(self, item: int) -> Floats:
        """The Jaccard overlap of every item's labels with those of `item`: shared labels by labels of either."""
        own = self.of(item)
        shared = np.zeros(len(self.sizes))
        for label in own:
            shared[self._members[label]] += 1
        return shared / (self.sizes + len(own) - shared)

    def expand(self, items: Rows) -> tuple[Rows, Rows]:
        """Every label of every item in a list: positions in the list, and labels."""
        sizes = self.sizes[items]
        places = np.repeat(np.arange(len(items)), sizes)
        within = np.arange(len(places)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return places, self._flat[self._starts[items][places] + within]


def precision_at(ranked: Floats, k: int) -> float:
    """The gains of the first k, divided by k, even where the ranking is shorter."""
    return float(ranked[:k].sum()) / k


def recall_at(ranked: Floats, k: int) -> float:
    """The share of all gain that lies among the first k."""
    return float(ranked[:k].sum() / ranked.sum())


def average_precision(ranked: Floats) -> float:
    """The mean gain down to each relevant item, summed, divided by what the best order of the same items would give.

    With gains of 0 and 1 that is average precision. With others it is Kishida's generalisation (Property of average
    precision and its generalization, NII-2005-014E): 1 exactly when no item stands below one of less gain.
    """
    places = np.flatnonzero(ranked)
    found = ranked[places]
    best = np.sort(found)[::-1]
    return float((np.cumsum(found) / (places + 1)).sum() / (np.cumsum(best) / np.arange(1, len(best) + 1)).sum())


def average_precisions(ranked: Floats, most: Floats | None = None) -> Floats:
    """float64 (n,): `average_precision` of many rankings of one length, (n, length); NaN for one without any gain.

    `most` are their `best_sums`, where they are known: every order of the same gains has the same.
    """
    places = np.arange(1, ranked.shape[1] + 1)
    found = (np.cumsum(ranked, axis=1) / places * (ranked > 0)).sum(axis=1)
    most = best_sums(ranked) if most is None else most
    return np.asarray(np.divide(found, most, out=np.full(len(ranked), np.nan), where=most > 0))


def best_sums(gains: Floats) -> Floats:
    """float64 (n,): what the mean gains down to each relevant item add up to in the best order of gains (n, length)."""
    best = -np.sort(-gains, axis=1)
    return np.asarray((np.cumsum(best, axis=1) / np.arange(1, gains.shape[1] + 1) * (best > 0)).sum(axis=1))


@dataclass(frozen=True)
class Measures:
    """mAP, precision and recall at each k; from 0 to 1, or the difference of two such."""

    map: float
    precision: dict[int, float]
    recall: dict[int, float]

    def __iter__(self) -> Iterator[float]:
        """The numbers in the order of `columns`."""
        yield self.map
        yield from self.precision.values()
        yield from self.recall.values()

    @classmethod
    def of_columns(cls, columns: Sequence[float], ks: Sequence[int]) -> Measures:
        """The measures that `columns` holds in the order of `measure`."""
        numbers = [float(column) for column in columns]
        first = 1 + len(ks)
        return cls(
            numbers[0], dict(zip(ks, numbers[1:first], strict=True)), dict(zip(ks, numbers[first:], strict=True))
        )


def measure(ranked: Floats, ks: Sequence[int]) -> list[float]:
    """One query's average precision, its precision at each k, its recall at each k. Some gain must be above 0."""
    return [
        average_precision(ranked),
        *(precision_at(ranked, k) for k in ks),
        *(recall_at(ranked, k) for k in ks),
    ]


def bootstrap(values: Floats, seed: int, resamples: int = RESAMPLES, level: float = LEVEL) -> tuple[Floats, Floats]:
    """The interval of each column's mean over the rows of `values` (queries, columns): lower and upper ends.

    Percentile method (Efron & Tibshirani 1993, chapter 13): queries are drawn with replacement. The same seed draws
    the same queries, so that the differences of two catalogs, row by row, are paired.
    """
    random = np.random.default_rng(seed)
    count = len(values)
    means = np.empty((resamples, values.shape[1]))
    for row in means:
        drawn = np.bincount(random.integers(0, count, count), minlength=count)
        row[:] = drawn @ values / count
    tail = 50 * (1 - level)
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return low, high


@dataclass(frozen=True)
class Confusion:
    """`share` of the neighbours of items labelled `label` are labelled `taken_for`, which the items are not.

    `count` is how many neighbours that is.
    """

    label: str
    taken_for: str
    share: float
    count: int


def confusions(labels: LabelSets, queries: Rows, neighbours: Sequence[Rows]) -> list[Confusion]:
    """The confusions of labels among the neighbours of each query, the most frequent first."""
    count = len(labels.names)
    lengths = np.array([len(each) for each in neighbours], np.int64)
    asked = np.repeat(queries, lengths)  # the query of each neighbour
    pair, found = labels.expand(np.concatenate([*neighbours, np.empty(0, np.int64)]).astype(np.int64))
    place, own = labels.expand(queries)
    possessed = np.unique(queries[place] * count + own)
    wrong = ~np.isin(asked[pair] * count + found, possessed)
    spread, of_query = labels.expand(asked[pair][wrong])  # once for each label of the query
    pairs, counts = np.unique(of_query * count + found[wrong][spread], return_counts=True)
    places = np.bincount(own, weights=lengths[place], minlength=count)
    rows = [
        Confusion(labels.names[pair // count], labels.names[pair % count], n / float(places[pair // count]), n)
        for pair, n in zip(pairs.tolist(), counts.tolist(), strict=True)
    ]
    return sorted(rows, key=lambda row: (-row.count, row.label, row.taken_for))


def ndcg(ranked: Floats, k: int | None = None) -> float:
    """Normalised discounted cumulative gain of the first k, of all for None; 1 is the best order. Some gain is above 0.

    The gain at rank i counts 1 / log2(i + 1), and the sum is divided by that of the best order of the same gains
    (Järvelin & Kekäläinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4), 2002, with the discount at
    all ranks of Burges et al., Learning to rank using gradient descent, ICML 2005, and of scikit-learn).
    """
    best = -np.sort(-ranked)[:k]
    discounts = 1 / np.log2(np.arange(2, len(best) + 2))
    return float((ranked[:k] * discounts).sum() / (best * discounts).sum())

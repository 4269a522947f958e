"""Leave-one-out quality of vectors: every picture asks for all others, and those of its label are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recq.evaluate.metrics import LabelSets, bootstrap, measure
from recq.search.vector_file import descending

Floats = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]


def each_query(vectors: Floats, labels: Sequence[str], ks: Sequence[int]) -> Scores:
    """Float64 (queries, 1 + len(ks)): average precision, then P@k of each of `ks`, in per cent, as `recq evaluate` has.

    Vectors (n, dim) are of length 1. A picture that is alone with its label asks for nothing, so that rows of the same
    labels are those of the same pictures.
    """
    sets, numbers = LabelSets([[label] for label in labels]), np.arange(len(labels), dtype=np.uint64)
    found = []
    for query, cosines in enumerate(vectors @ vectors.T):
        order = descending(cosines, numbers)
        ranked = sets.gains(query)[order[order != query]]
        if ranked.any():
            found.append(measure(ranked, list(ks))[: 1 + len(ks)])
    return 100 * np.array(found)


def leave_one_out(vectors: Floats, labels: Sequence[str], ks: Sequence[int]) -> tuple[float, ...]:
    """The means of `each_query`: mAP, then P@k of each of `ks`."""
    return tuple(float(each) for each in each_query(vectors, labels, ks).mean(axis=0))


@dataclass(frozen=True)
class Difference:
    """One mean less another, of the same queries, and its 95 % interval by a paired bootstrap over them."""

    value: float
    low: float
    high: float


def differences(scores: Scores, others: Scores) -> list[Difference]:
    """Of each column of what `each_query` gave twice. Both have the same draws, so that what they share falls out."""
    less = scores - others
    ends = zip(less.mean(axis=0), *bootstrap(less, seed=0), strict=True)
    return [Difference(float(value), float(low), float(high)) for value, low, high in ends]

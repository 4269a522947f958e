"""Leave-one-out quality of vectors: every picture asks for all others, and those of its label are right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recq.evaluate.metrics import LabelSets, measure
from recq.search.vector_file import descending


def leave_one_out(vectors: npt.NDArray[np.float32], labels: Sequence[str], ks: Sequence[int]) -> tuple[float, ...]:
    """mAP, then P@k of each of `ks`, in per cent, as `recq evaluate` defines them; vectors (n, dim) of length 1.

    A picture that is alone with its label asks for nothing.
    """
    sets, numbers = LabelSets([[label] for label in labels]), np.arange(len(labels), dtype=np.uint64)
    found = []
    for query, cosines in enumerate(vectors @ vectors.T):
        order = descending(cosines, numbers)
        ranked = sets.gains(query)[order[order != query]]
        if ranked.any():
            found.append(measure(ranked, list(ks))[: 1 + len(ks)])
    return tuple(float(each) for each in 100 * np.mean(found, axis=0))

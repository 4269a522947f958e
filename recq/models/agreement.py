"""Which cells of a feature map a similarity comes from.

A cosine of two pooled maps is a sum over channels, and a pooled channel is a mean, a maximum or a list of its cells: so
the cosine is a sum over the cells of either map, exactly. After Stylianou, Souvenir and Pless, "Visualizing deep
similarity networks" (WACV 2019), who did it for the mean and the maximum.
"""

from __future__ import annotations

import numpy as np

from recq.models.pooling import GEM_FLOOR, GEM_POWER, LENGTH_FLOOR, Floats, centre_weights, pool
from recq.models.regions import regions


def agreement(cells: Floats, pooling: str, other: Floats) -> Floats:
    """What each cell of a map adds to the cosine of its vector and `other`.

    `cells` is float32 (h, w, channels), `other` float32 (dimensions,) of any length but zero, pooled in the same way.
    Returns float32 (h, w), whose sum is the cosine.
    """
    vector = pool(cells[np.newaxis], pooling)[0].astype(np.float64)
    weights = other.astype(np.float64) / (np.linalg.norm(other) * max(float(np.linalg.norm(vector)), LENGTH_FLOOR))
    features = cells.astype(np.float64)
    if pooling in ("gem", "centre"):  # a root of a sum of cubes: each cell has its part of the sum
        cubes = np.power(np.maximum(features, GEM_FLOOR), GEM_POWER)
        if pooling == "centre":
            cubes *= centre_weights(len(cubes))[:, :, np.newaxis]
        shares = cubes / cubes.sum(axis=(0, 1))
        added = shares @ (weights * vector)
    elif pooling == "mean":
        added = features @ weights / (features.shape[0] * features.shape[1])
    elif pooling == "max":
        added = np.zeros(features.shape[:2])
        _to_maxima(added, features, weights)
    elif pooling == "rmac":
        # `vector` has length 1 already: the regions' sum, which the regions were scaled for, had another length.
        squares = [
            (slice(one.top, one.top + one.width), slice(one.left, one.left + one.width))
            for one in regions(features.shape[0])
        ]
        maxima = [features[square].max(axis=(0, 1)) for square in squares]
        lengths = [max(float(np.linalg.norm(each)), LENGTH_FLOOR) for each in maxima]
        sum_of_units = np.sum([each / length for each, length in zip(maxima, lengths, strict=True)], axis=0)
        total = max(float(np.linalg.norm(sum_of_units)), LENGTH_FLOOR)
        added = np.zeros(features.shape[:2])
        for square, length in zip(squares, lengths, strict=True):
            _to_maxima(added[square], features[square], weights / (length * total))
    elif pooling == "flatten":
        added = (features * weights.reshape(features.shape)).sum(axis=2)
    else:
        raise ValueError(f"pooling {pooling!r} has no cells")
    return np.ascontiguousarray(added, dtype=np.float32)


def _to_maxima(added: np.ndarray, features: np.ndarray, weights: np.ndarray) -> None:
    """Give what each channel adds to the cell where it is largest. `added` (h, w) is changed in place."""
    flat = features.reshape(-1, features.shape[2])
    places = flat.argmax(axis=0)
    sums = np.bincount(places, weights=flat.max(axis=0) * weights, minlength=len(flat))
    added += sums.reshape(added.shape)

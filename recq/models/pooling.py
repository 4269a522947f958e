"""A feature map becomes one vector: the poolings, in numpy, and what counts as a usable vector.

This is the reference; the OpenVINO runtime does the same inside its graph, and a test compares the two.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recq.errors import ImageError, ModelUnavailable, Reason

Floats = npt.NDArray[np.float32]

POOLINGS = ("gem", "mean", "max", "flatten")
"""`gem` is the generalised mean of Radenović, Tolias, Chum (2018), with p = 3: between mean (1) and max (inf)."""

GEM_POWER = 3.0
GEM_FLOOR = 1e-6
"""Features below are raised to it, as in the authors' code: the root of nothing has no slope."""


def require_pooling(name: str) -> str:
    """`name`, or ModelUnavailable naming the poolings there are."""
    if name not in POOLINGS:
        raise ModelUnavailable(f"unknown pooling {name!r}: use one of {', '.join(POOLINGS)}")
    return name


def dimensions(pooling: str, side: int, channels: int) -> int:
    """Length of the vector that a map of (side, side, channels) becomes."""
    return side * side * channels if pooling == "flatten" else channels


def pool(maps: npt.NDArray[np.floating], pooling: str) -> Floats:
    """Feature maps (n, h, w, channels) -> vectors, float32 (n, dimensions)."""
    if pooling == "gem":
        cubes = np.power(np.maximum(maps, GEM_FLOOR), GEM_POWER)
        pooled = np.power(cubes.mean(axis=(1, 2)), 1 / GEM_POWER)
    elif pooling == "mean":
        pooled = maps.mean(axis=(1, 2))
    elif pooling == "max":
        pooled = maps.max(axis=(1, 2))
    else:
        pooled = maps.reshape(len(maps), -1)
    return np.ascontiguousarray(pooled, dtype=np.float32)


def unit(vector: Floats) -> Floats:
    """`vector` (dimensions,) with length 1.

    Raises ImageError(NO_SIGNAL) when a number is not finite, or when the whole vector is no more than what `gem` makes
    of a map of zeros: neither may reach the index, which would accept both in silence.
    """
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not np.isfinite(length):
        raise ImageError(Reason.NO_SIGNAL, "the network's answer is not finite")
    if length <= 1.01 * GEM_FLOOR * len(vector) ** 0.5:
        raise ImageError(Reason.NO_SIGNAL, "the network's answer is all zeros")
    return (vector / np.float32(length)).astype(np.float32)

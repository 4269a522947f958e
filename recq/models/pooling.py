"""A feature map becomes one vector: the poolings, in numpy, and what counts as a usable vector.

This is the reference; the OpenVINO runtime does the same inside its graph, and a test compares the two.
"""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt

from recq.errors import ImageError, ModelUnavailable, Reason
from recq.models.regions import regions
from recq.space import Pooling

Floats = npt.NDArray[np.float32]

POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
"""`gem` is the generalised mean of Radenović, Tolias, Chum (2018), with p = 3: between mean (1) and max (inf). `rmac`
takes the maxima of 14 overlapping regions, each scaled to length 1, and adds them (see `recq.models.regions`).
`centre` is `gem` with more weight in the middle of the map, and each number squared. `none` is for a layer that gives
no map, but a vector already."""

GEM_POWER = 3.0
GEM_FLOOR = 1e-6
"""Features below are raised to it, as in the authors' code: the root of nothing has no slope."""

CENTRE_SPREAD = 0.25
"""Standard deviation of `centre`'s weights, a Gaussian in the middle of the map, in sides of the map."""

CENTRE_ROOT = GEM_POWER / 2
"""The root that `centre` takes of its mean, which makes the square of what `gem` takes.

This and the spread were chosen by benchmarks/zero_shot.py on half of the clothing photographs (docs/quality.md)."""

LENGTH_FLOOR = 1e-12
"""What `rmac` divides by at least: a region without any feature stays zeros."""


def require_pooling(name: str) -> Pooling:
    """`name`, or ModelUnavailable naming the poolings there are."""
    for pooling in POOLINGS:
        if pooling == name:
            return pooling
    raise ModelUnavailable(f"unknown pooling {name!r}: use one of {', '.join(POOLINGS)}")


def fitting_pooling(name: str, layer: str, side: int | None, channels: int) -> Pooling:
    """The pooling called `name`, for a layer that gives a map of (side, side, channels), or numbers where side is None.

    Raises ModelUnavailable for an unknown one, and for one that makes no vector of that.
    """
    pooling = require_pooling(name)
    if side is None and pooling != "none":
        raise ModelUnavailable(
            f"layer {layer} gives {channels:,} numbers and no map, so --pooling {pooling} cannot be used: leave it out"
        )
    if side is not None and pooling == "none":
        raise ModelUnavailable(
            f"layer {layer} gives a map of {side} x {side} x {channels:,}: "
            f"make one vector of it with --pooling {', '.join(POOLINGS[:-2])} or {POOLINGS[-2]}"
        )
    return pooling


def dimensions(pooling: Pooling, side: int | None, channels: int) -> int:
    """Length of the vector that a map of (side, side, channels) becomes; `channels` numbers stay as many."""
    return side * side * channels if pooling == "flatten" and side is not None else channels


def pool(maps: npt.NDArray[np.floating], pooling: str) -> Floats:
    """Feature maps (n, h, w, channels), or vectors where `pooling` is none -> vectors, float32 (n, dimensions)."""
    if pooling == "gem":
        cubes = np.power(np.maximum(maps, GEM_FLOOR), GEM_POWER)
        pooled = np.power(cubes.mean(axis=(1, 2)), 1 / GEM_POWER)
    elif pooling == "centre":
        cubes = np.power(np.maximum(maps, GEM_FLOOR), GEM_POWER)
        weights = centre_weights(maps.shape[1])[:, :, np.newaxis]
        pooled = np.power((cubes * weights).sum(axis=(1, 2)), 1 / CENTRE_ROOT)
    elif pooling == "mean":
        pooled = maps.mean(axis=(1, 2))
    elif pooling == "max":
        pooled = maps.max(axis=(1, 2))
    elif pooling == "rmac":
        squares = [
            maps[:, one.top : one.top + one.width, one.left : one.left + one.width] for one in regions(maps.shape[1])
        ]
        pooled = _lengths_one(np.sum([_lengths_one(square.max(axis=(1, 2))) for square in squares], axis=0))
    else:
        pooled = maps.reshape(len(maps), -1)
    return np.ascontiguousarray(pooled, dtype=np.float32)


def centre_weights(side: int) -> Floats:
    """How much each cell of a map counts in `centre`: float32 (side, side), 1 altogether."""
    places = (np.arange(side) - (side - 1) / 2) / (side * CENTRE_SPREAD)
    bell = np.exp(-(places**2) / 2)
    return np.asarray(np.outer(bell, bell) / bell.sum() ** 2, np.float32)


def _lengths_one(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Each row (n, dimensions) with length 1."""
    scaled: npt.NDArray[np.floating] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), LENGTH_FLOOR)
    return scaled


def unit(vector: Floats) -> Floats:
    """`vector` (dimensions,) with length 1. Raises as `length_of`."""
    return (vector / np.float32(length_of(vector))).astype(np.float32)


def length_of(vector: Floats) -> float:
    """The length of a usable `vector` (dimensions,).

    Raises ImageError(NO_SIGNAL) when a number is not finite, or when the whole vector is no more than what `gem` makes
    of a map of zeros: neither may reach the index, which would accept both silently.
    """
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not np.isfinite(length):
        raise ImageError(Reason.NO_SIGNAL, "the network's answer is not finite")
    if length <= 1.01 * GEM_FLOOR * len(vector) ** 0.5:
        raise ImageError(Reason.NO_SIGNAL, "the network's answer is all zeros")
    return length

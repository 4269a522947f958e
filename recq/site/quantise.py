"""Vectors as integers in two parts: 8 bits a number to find what may be near, 16 more to decide what is. Pure.

    v = scale * (coarse + rest / 65,534), each number off by at most scale / 131,068

The coarse part alone has no exact order: its cosines are off by some 0.0005, and so near to each other lie neighbours
in a few thousand pictures. But it bounds every score: by Cauchy and Schwarz a product with a question q is off by
|q| * `miss` at most, a Euclidean distance by `miss`. So a page scores all items by the coarse part, and only those
that may belong to the answer by both parts, whose scores are as exact as 32-bit floats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FINE = 65_534
"""Steps of the rest between two coarse numbers: it lies between -32,767 and 32,767."""

_COARSE = 127
_MARGIN = 1 + 1e-6  # of `miss`, for the rounding of sums


@dataclass(frozen=True)
class Quantised:
    """The parts of n vectors: `scale` and `miss` float32 (n,), `coarse` int8 (n, dim), `rest` int16 (n, dim)."""

    scale: npt.NDArray[np.float32]
    miss: npt.NDArray[np.float32]
    coarse: npt.NDArray[np.int8]
    rest: npt.NDArray[np.int16]

    def exact(self) -> npt.NDArray[np.float64]:
        """The vectors by both parts, float64 (n, dim): what the page computes with."""
        found: npt.NDArray[np.float64] = self.scale.astype(np.float64)[:, None] * (self.coarse + self.rest / FINE)
        return found


def quantised(vectors: npt.NDArray[np.float32]) -> Quantised:
    """Finite vectors, float32 (n, dim), in their parts."""
    wide = vectors.astype(np.float64)
    scale = (np.abs(wide).max(axis=1, initial=0.0) / _COARSE).astype(np.float32)
    scale = np.where(scale < np.finfo(np.float32).tiny, np.float32(1.0), scale)
    shares = wide / scale.astype(np.float64)[:, None]
    coarse = np.clip(np.rint(shares), -_COARSE, _COARSE)
    rest = np.clip(np.rint((shares - coarse) * FINE), -(FINE // 2), FINE // 2)
    miss = np.linalg.norm(scale.astype(np.float64)[:, None] * (rest / FINE), axis=1) * _MARGIN
    return Quantised(
        scale,
        np.nextafter(miss.astype(np.float32), np.float32(np.inf)),
        coarse.astype(np.int8),
        rest.astype(np.int16),
    )

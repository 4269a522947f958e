"""A picture's vector, with what is known of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recq.models.embedder import Pass

Vector = npt.NDArray[np.float32]
"""Of length `space.dim`."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vector of a file's bytes, with the picture's `format` and its `width` x `height` in pixels.

    `read` is all that the network gave, where a predictor needs more than the vector.
    """

    format: str
    width: int
    height: int
    vector: Vector
    read: Pass | None = None

"""A picture's vector, with what is known of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
"""Of length `space.dim`."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vector of a file's bytes, with the picture's `format` and its `width` x `height` in pixels."""

    format: str
    width: int
    height: int
    vector: Vector

"""What embedding makes of bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
"""Of length `space.dim`."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """What is known of bytes that have a vector: `width` x `height` and `format` of the picture."""

    format: str
    width: int
    height: int
    vector: Vector

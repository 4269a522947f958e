"""The sample photographs as network input."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from recq.images import to_input
from recq.models.embedder import Embedder
from recq.space import InputSpec
from tests.packs import ROOT

SAMPLES = sorted((ROOT / "samples").glob("*.jpg"))


def inputs(files: Iterable[Path], spec: InputSpec) -> npt.NDArray[np.uint8]:
    """uint8 (n, size, size, 3)."""
    return np.stack([to_input(np.asarray(Image.open(file).convert("RGB")), spec) for file in files])


def vectors_of(embedder: Embedder, photographs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """uint8 (n, size, size, 3) -> float32 (n, dim)."""
    return np.stack([future.result() for future in [embedder.submit(each) for each in photographs]])

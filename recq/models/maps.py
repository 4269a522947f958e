"""The feature maps themselves, before they are pooled: they show where in a picture a similarity comes from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from recq.errors import ModelUnavailable
from recq.models.embedder import open_runtime
from recq.models.pooling import Floats
from recq.models.zoo import network_of
from recq.settings import Settings
from recq.space import EmbeddingSpace


class FeatureMaps:
    """The network of one embedding space, which gives the map that its vectors are pooled from."""

    def __init__(self, space: EmbeddingSpace, settings: Settings) -> None:
        network = network_of(space, settings)
        if network.side is None:
            raise ModelUnavailable(
                f"layer {space.layer} of {space.model} gives a vector and no map, so a similarity has no place "
                "in a picture: use a catalog whose layer gives a map"
            )
        self._shape = (network.side, network.side, network.channels)
        self._runtime = open_runtime(network, None, settings, one_shot=True)

    def map_of(self, pixels: npt.NDArray[np.uint8]) -> Floats:
        """uint8 (size, size, 3) -> float32 (side, side, channels)."""
        cells: Floats = self._runtime.infer(pixels[np.newaxis])[0].reshape(self._shape)
        return cells

    def close(self) -> None:
        """Give the network back."""
        self._runtime.close()


@contextmanager
def open_maps(space: EmbeddingSpace, settings: Settings) -> Iterator[FeatureMaps]:
    """The feature maps of a space. Raises ModelUnavailable and SpaceMismatch as `open_embedder` does."""
    maps = FeatureMaps(space, settings)
    try:
        yield maps
    finally:
        maps.close()

"""Raw pixels as vectors, the baseline that every network has to beat: no network, no weights, numpy alone.

`pixels:32` is a picture shrunk to 32 by 32, its 3,072 values from 0 to 1 less their mean. Without that every value is
positive, every picture points roughly the same way, and what is compared is mostly how bright they are: over 1,192
photographs of clothing P@5 is 31.9 % without and 34.3 % with it by cosine, 31.4 % and 32.6 % by Euclidean distance.
`--preprocess unit` leaves the mean in. A picture of a single grey has no signal.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from recq.errors import ModelUnavailable
from recq.models.applications import NORMALISATION
from recq.models.options import ModelOptions
from recq.models.pooling import Floats, pool
from recq.models.weights import Network
from recq.space import Pooling

PREFIX = "pixels:"

_CENTRED = "rgb/255-mean"


def pixel_network(asked: ModelOptions) -> Network:
    """The network `pixels:N`: the picture itself as a "map" of (N, N, 3), stretched and flattened by default.

    Raises ModelUnavailable for a name without a number, and for options that only a network can follow.
    """
    name = asked.model or ""
    digits = re.fullmatch(rf"{PREFIX}([1-9]\d{{0,2}})", name)
    if digits is None:
        raise ModelUnavailable(f"unknown model {name!r}: raw pixels are named with their size, such as pixels:32")
    size = int(digits[1])
    if asked.size not in (None, size):
        raise ModelUnavailable(f"{name} is {size} pixels a side, not {asked.size}: use --model pixels:{asked.size}")
    if asked.layer not in (None, "input"):
        raise ModelUnavailable(f"{name} is no network and has no layer {asked.layer!r}: leave --layer out")
    preprocess = asked.preprocess or "own"
    return Network(
        name=name,
        weights="",
        layer="input",
        size=size,
        side=size,
        channels=3,
        preprocessing=_CENTRED if preprocess == "own" else NORMALISATION[preprocess].label,
        pooling="flatten",
        ir=None,
        archive=None,
        resize="stretch",
    )


class PixelRuntime:
    """The runtime of raw pixels: some microseconds a picture. `pooling` None gives the pixels as a map."""

    name, device = "numpy", "CPU"
    batch = concurrency = 1

    def __init__(self, network: Network, pooling: Pooling | None) -> None:
        self._label = network.preprocessing
        self._pooling = pooling

    def infer(self, pixels: npt.NDArray[np.uint8]) -> Floats:
        """uint8 (n, size, size, 3) -> float32 (n, dimensions), or (n, size, size, 3) without pooling."""
        values = _prepared(pixels.astype(np.float32), self._label)
        return values if self._pooling is None else pool(values, self._pooling)

    def close(self) -> None:
        """There is nothing to give back."""


def _prepared(rgb: Floats, label: str) -> Floats:
    """Pixels from 0 to 255 after the arithmetic that a space calls `label`."""
    if label == _CENTRED:
        values = rgb / 255
        return np.asarray(values - values.mean(axis=(1, 2, 3), keepdims=True), np.float32)
    how = next(each for each in NORMALISATION.values() if each.label == label)
    ordered = rgb[..., ::-1] if how.bgr else rgb
    return np.asarray(ordered * np.array(how.scale, np.float32) + np.array(how.offset, np.float32), np.float32)

"""An upright RGB array -> the network's square input.

The last step before a vector; `InputSpec` names the two choices that are part of the embedding space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recq.images.pixels import WHITE, RGBArray
from recq.images.resampling import Resample, resampled
from recq.region import Region
from recq.space import InputSpec


@dataclass(frozen=True)
class Placement:
    """Which part of a picture is seen, and where it lies in the network's input.

    `seen` is left, top, right, bottom in the picture's pixels, `inner` the same in the input's.
    """

    seen: tuple[float, float, float, float]
    inner: tuple[int, int, int, int]


def placement(width: int, height: int, spec: InputSpec) -> Placement:
    """Where a picture of `width` x `height` pixels lies in the input of `spec`.

    `pad` fits the whole picture in, centred; `stretch` ignores the aspect; `crop` takes the largest centred square.
    """
    size = spec.size
    everything, whole = (0.0, 0.0, float(width), float(height)), (0, 0, size, size)
    if spec.resize == "stretch":
        return Placement(everything, whole)
    if spec.resize == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return Placement((left, top, left + side, top + side), whole)
    scale = size / max(width, height)
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    x, y = (size - inner_width) // 2, (size - inner_height) // 2
    return Placement(everything, (x, y, x + inner_width, y + inner_height))


def without_border(fitted: RGBArray, width: int, height: int, spec: InputSpec) -> RGBArray:
    """What `to_input` made of a picture of `width` x `height` pixels, uint8 (size, size, 3), without the white that
    makes a square of it: uint8 (h, w, 3)."""
    left, top, right, bottom = placement(width, height, spec).inner
    return fitted[top:bottom, left:right]


def cut(rgb: RGBArray, region: Region | None) -> RGBArray:
    """The region of a picture, uint8 (h, w, 3); all of it for None. Raises Beside."""
    if region is None:
        return rgb
    left, upper, right, lower = region.box(rgb.shape[1], rgb.shape[0])
    return rgb[upper:lower, left:right]


def to_input(rgb: npt.NDArray[np.uint8], spec: InputSpec, resample: Resample = resampled) -> RGBArray:
    """`rgb`, uint8 (h, w, 3), as uint8 (size, size, 3), contiguous; `placement` decides what is put where.

    What is left free is white, as transparency is shown: a cut-out and its photograph on white give one vector.
    """
    height, width = rgb.shape[:2]
    place = placement(width, height, spec)
    left, top, right, bottom = place.inner
    box = None if place.seen == (0, 0, width, height) else place.seen
    resized = resample(rgb, (right - left, bottom - top), box)
    if place.inner == (0, 0, spec.size, spec.size):
        return np.array(resized)
    canvas = np.full((spec.size, spec.size, 3), WHITE, np.uint8)
    canvas[top:bottom, left:right] = resized
    return canvas

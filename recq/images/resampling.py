"""A picture in another size: bilinear and antialiased, every source pixel counts. Part of every embedding space.

The method is Pillow's. Where there is a wheel of cykooz-resizer it does the same with vector instructions in a quarter
of the time: most values are the same, and none is more than two of 255 levels off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from recq.images.pixels import RGBArray, four_bytes_of, image_of

try:
    import cykooz_resizer
    from cykooz_resizer.alpha import set_image_mode
except ImportError:  # no wheel for this machine
    _resizer: Any = None
else:
    _resizer = cykooz_resizer

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels, within the picture."""

Resample = Callable[[RGBArray, tuple[int, int], Box | None], RGBArray]
"""`resampled`, or one way of it."""

_REDUCING_GAP = 3.0
"""Very large pictures are first averaged down by a whole number to at least three times the size wanted. Measured on 12
megapixels of noise: half the time of the single step, 0.6 of 255 levels off in the mean, 5 at most."""


def resampled(rgb: RGBArray, size: tuple[int, int], box: Box | None = None) -> RGBArray:
    """`rgb`, uint8 (h, w, 3), or a box of it, as uint8 (height, width, 3); `size` is width and height."""
    height, width = rgb.shape[:2]
    averaged = max(width / size[0], height / size[1]) >= 2 * _REDUCING_GAP
    if _resizer is None or box is not None or averaged:
        return by_pillow(rgb, size, box)
    return by_vector_instructions(rgb, size)


def by_pillow(rgb: RGBArray, size: tuple[int, int], box: Box | None = None) -> RGBArray:
    """`resampled` on any machine."""
    resized = image_of(rgb).resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=_REDUCING_GAP)
    return np.asarray(resized)


def by_vector_instructions(rgb: RGBArray, size: tuple[int, int]) -> RGBArray:
    """`resampled` with cykooz-resizer, in one step."""
    made = Image.new("RGB", size, None)  # not cleared: every pixel is written
    # What lies between its two steps. Without memory for it the resizer ends the process, and this raises MemoryError.
    np.empty((rgb.shape[0], size[0], 4), np.uint8)
    bilinear = _resizer.ResizeAlg.convolution(_resizer.FilterType.bilinear)
    # Made anew for each picture, in two microseconds: it has buffers, and several threads may be here.
    _resizer.Resizer().resize_pil(_seen(rgb), made, _resizer.ResizeOptions(bilinear, use_alpha=False))
    return np.asarray(made)


def _seen(rgb: RGBArray) -> Image.Image:
    """`rgb` for Pillow, where it lies if it can: to copy 400 x 533 pixels takes a third of the time of the resizing."""
    whole = four_bytes_of(rgb)
    if whole is None:
        return image_of(rgb)
    height, width = rgb.shape[:2]
    image = Image.frombuffer("RGBX", (width, height), whole, "raw", "RGBX", 0, 1)
    set_image_mode(image, "RGB")  # Pillow keeps both alike
    return image

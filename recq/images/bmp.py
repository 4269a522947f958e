"""BMP whose colours are given by bit masks: 16 or 32 bits a pixel, of which each channel takes some.

Pillow knows the usual masks; the header may name any, with transparency or without.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from recq.errors import ImageError, Reason
from recq.images.pixels import Raster

_BITFIELDS = (3, 6)  # BI_BITFIELDS, and with a mask for the transparency BI_ALPHABITFIELDS
_HEADERS = (40, 52, 56, 64, 108, 124)  # bytes; since the third of them there is a mask for the transparency
_WITH_MASKS = 52
_HEADER = struct.Struct("<IiiHHI")


@dataclass(frozen=True)
class Masked:
    """Such a file's header: `masks` of red, green, blue and opacity (0: none)."""

    width: int
    height: int
    top_down: bool
    bits: int
    start: int
    masks: tuple[int, int, int, int]


def masked(data: bytes) -> Masked | None:
    """The header of the BMP `data` where masks give the colours; None for any other, and for a damaged one."""
    try:
        start: int = struct.unpack_from("<I", data, 10)[0]
        size, width, height, _, bits, compression = _HEADER.unpack_from(data, 14)
        if compression not in _BITFIELDS or bits not in (16, 32) or size not in _HEADERS or size == 64:
            return None
        count = 4 if size > _WITH_MASKS or compression == 6 else 3
        masks = (*struct.unpack_from(f"<{count}I", data, 54), 0)[:4]
    except struct.error:
        return None
    if width <= 0 or height == 0 or any(each >> bits for each in masks) or not any(masks[:3]):
        return None
    return Masked(width, abs(height), height < 0, bits, start, masks)


def read(data: bytes, layout: Masked) -> Raster:
    """The pixels. Raises ImageError (TRUNCATED)."""
    row = (layout.width * layout.bits + 31) // 32 * 4
    needed = row * (layout.height - 1) + layout.width * layout.bits // 8  # the last row's padding may be missing
    stored = data[layout.start : layout.start + row * layout.height]
    if len(stored) < needed:
        raise ImageError(Reason.TRUNCATED, "the BMP data stops before its end")
    rows = np.frombuffer(stored.ljust(row * layout.height, b"\0"), np.uint8).reshape(layout.height, row)
    pixels = rows.view(f"<u{layout.bits // 8}")[:, : layout.width]
    pixels = pixels if layout.top_down else pixels[::-1]
    red, green, blue = (_channel(pixels, mask) for mask in layout.masks[:3])
    colour = Image.fromarray(np.stack([red, green, blue], axis=-1))
    opacity = _channel(pixels, layout.masks[3]) if layout.masks[3] else None
    if opacity is None or not opacity.any():  # a mask is declared, and never filled: every viewer shows the colours
        return Raster(colour)
    return Raster(colour, Image.fromarray(opacity))


def _channel(pixels: npt.NDArray[np.unsignedinteger], mask: int) -> npt.NDArray[np.uint8]:
    """The bits below `mask` as 0-255."""
    if mask == 0:
        return np.zeros(pixels.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    most = mask >> shift
    values = (pixels & pixels.dtype.type(mask)) >> pixels.dtype.type(shift)
    if most != 255:
        values = np.rint(values * (255.0 / most))
    made: npt.NDArray[np.uint8] = values.astype(np.uint8)
    return made

"""Whatever a decoder holds -> upright 8-bit RGB: depth, colour model, transparency, orientation.

Between decoding and resizing. Every rule here is part of what a vector means, so each has one fixed answer: alpha goes
over white, 16 bits become 8 by rounding, and the EXIF orientation is applied.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

RGBArray = npt.NDArray[np.uint8]
"""(height, width, 3), sRGB assumed."""

WHITE = 255  # in every channel


_KEY_SCALE = {"L;4": 17, "L;2": 85, "1": 255}


def to_rgb(im: Image.Image, rawmode: str = "") -> RGBArray:
    """The pixels of a loaded picture as uint8 (h, w, 3), not yet turned upright.

    `rawmode` is how the file stored them, where Pillow changed the depth while loading: a PNG's transparent colour
    still stands in the file's depth then. Embedded colour profiles are not applied (nor are they by Keras' loader).
    """
    if im.mode.startswith("I;16"):
        values, key = np.asarray(im), im.info.get("transparency")
        return _gray_over_white(_from_16_bits(values), values == key if isinstance(key, int) else None)
    if im.mode in ("I", "F"):
        return _gray_over_white(_from_open_range(np.asarray(im)), None)
    if im.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(im, lab, srgb, outputMode="RGB")
        return np.asarray(converted if converted is not None else im.convert("RGB"))
    key = im.info.get("transparency")
    if ";16" in rawmode and isinstance(key, tuple):
        im.info["transparency"] = tuple(value >> 8 for value in key)
    elif isinstance(key, int):
        im.info["transparency"] = key * _KEY_SCALE.get(rawmode, 1)
    if not im.has_transparency_data:
        return np.asarray(im if im.mode == "RGB" else im.convert("RGB"))  # converting RGB to RGB would copy it
    if im.mode in ("La", "RGBa"):  # premultiplied: only the plain form converts further
        im = im.convert("LA" if im.mode == "La" else "RGBA")
    rgba = im.convert("RGBA")
    canvas = Image.new("RGB", rgba.size, (WHITE,) * 3)
    canvas.paste(rgba, mask=rgba)
    return np.asarray(canvas)


def upright(rgb: RGBArray, orientation: int) -> RGBArray:
    """`rgb` turned as EXIF orientation 1-8 says (a view where possible); other values change nothing.

    Source: EXIF 2.3, tag 0x0112 (row 0 and column 0 of the stored picture are the visual ... of the scene).
    """
    match orientation:
        case 2:
            return rgb[:, ::-1]
        case 3:
            return rgb[::-1, ::-1]
        case 4:
            return rgb[::-1]
        case 5:
            return rgb.transpose(1, 0, 2)
        case 6:
            return rgb.transpose(1, 0, 2)[:, ::-1]
        case 7:
            return rgb.transpose(1, 0, 2)[::-1, ::-1]
        case 8:
            return rgb.transpose(1, 0, 2)[::-1]
        case _:
            return rgb


def _from_16_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return ((values.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)


def _from_open_range(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """32-bit integers and floats have no fixed white: guess it from the largest value.

    Floats up to 1 are fractions, values up to 255 are 8-bit and up to 65,535 16-bit numbers; where anything is negative
    or larger, the picture's own range is stretched to 0-255.
    """
    finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    if low < 0 or high > 65_535:
        finite, high = finite - low, high - low
        white = high
    elif high <= 1 and np.issubdtype(values.dtype, np.floating):
        white = 1.0
    else:
        white = 255.0 if high <= 255 else 65_535.0
    return np.rint(finite * 255.0 / white).astype(np.uint8) if high > 0 else np.zeros(values.shape, np.uint8)


def _gray_over_white(gray: npt.NDArray[np.uint8], transparent: npt.NDArray[np.bool_] | None) -> RGBArray:
    if transparent is not None:
        gray = np.where(transparent, np.uint8(WHITE), gray)
    return np.repeat(gray[:, :, None], 3, axis=2)

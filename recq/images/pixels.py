"""Whatever a decoder holds -> upright 8-bit RGB: depth, colour model, transparency, orientation.

Between decoding and resizing. Every rule here is part of what a vector means, so each has one fixed answer: colour
profiles are applied, alpha goes over white, 16 bits become 8 by rounding, and the EXIF orientation is applied.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from recq.images.depth import eight_bits
from recq.images.profiles import to_srgb

RGBArray = npt.NDArray[np.uint8]
"""(height, width, 3), sRGB."""

WHITE = 255  # in every channel

_QUALITY = 85  # of pictures that are shown


@dataclass(frozen=True)
class Raster:
    """What a decoder found, 8 bits a sample, before its colour profile: `colour` in mode L, RGB, CMYK or LAB, and how
    opaque each pixel is, in mode L; None where all are."""

    colour: Image.Image
    alpha: Image.Image | None = None


_KEY_SCALE = {"L;4": 17, "L;2": 85, "1": 255}


def raster(im: Image.Image, rawmode: str = "") -> Raster:
    """The pixels of a picture that Pillow has loaded, not yet turned upright.

    `rawmode` is how the file stored them, where Pillow changed the depth while loading: a PNG's transparent colour
    still stands in the file's depth then.
    """
    key = im.info.get("transparency")
    if im.mode.startswith("I;16"):
        values = np.asarray(im)
        gray = Image.fromarray(eight_bits(values, 16))
        return Raster(gray, _mask(values != key) if isinstance(key, int) else None)
    if im.mode in ("I", "F"):
        return Raster(Image.fromarray(eight_bits(np.asarray(im), 32)))
    if ";16" in rawmode and isinstance(key, tuple):
        im.info["transparency"] = tuple(value >> 8 for value in key)
    elif isinstance(key, int):
        im.info["transparency"] = key * _KEY_SCALE.get(rawmode, 1)
    if not im.has_transparency_data:
        return Raster(im if im.mode in _COLOUR_MODES else im.convert("L" if im.mode == "1" else "RGB"))
    if im.mode in ("La", "RGBa"):  # premultiplied: only the plain form converts further
        im = im.convert("LA" if im.mode == "La" else "RGBA")
    if im.mode != "LA":
        im = im.convert("RGBA")
    return Raster(im.convert("L" if im.mode == "LA" else "RGB"), im.getchannel("A"))


_COLOUR_MODES = frozenset({"L", "RGB", "CMYK", "LAB"})


def to_rgb(found: Raster, profile: bytes | None) -> RGBArray:
    """A raster as uint8 (h, w, 3) in sRGB, by its colour profile, and then over white."""
    shown = to_srgb(found.colour, profile)
    if found.alpha is not None:
        canvas = Image.new("RGB", shown.size, (WHITE,) * 3)
        canvas.paste(shown, mask=found.alpha)
        return np.asarray(canvas)
    values = np.asarray(shown)
    return np.repeat(values[:, :, None], 3, axis=2) if values.ndim == 2 else values


def of_four_bytes(rgbx: npt.NDArray[np.uint8]) -> RGBArray:
    """A picture whose pixels have a fourth byte that means nothing, uint8 (h, w, 4), as a view without it.

    Pillow keeps its pixels so: `image_of` copies such a picture as it is, which takes half as long.
    """
    return rgbx[..., :3]


def image_of(rgb: npt.NDArray[np.uint8]) -> Image.Image:
    """`rgb`, uint8 (h, w, 3), for Pillow: a copy."""
    whole = four_bytes_of(rgb)
    if whole is not None:
        return Image.frombytes("RGB", rgb.shape[1::-1], whole, "raw", "RGBX")
    return Image.fromarray(np.ascontiguousarray(rgb))


def four_bytes_of(rgb: RGBArray) -> npt.NDArray[np.uint8] | None:
    """The whole, uint8 (h, w, 4), of what `of_four_bytes` gave; None for another array."""
    whole = rgb.base
    if isinstance(whole, np.ndarray) and whole.shape == (*rgb.shape[:2], 4) and _begins(rgb, whole):
        return whole
    return None


def _begins(part: npt.NDArray[np.uint8], whole: npt.NDArray[np.uint8]) -> bool:
    """Whether `part` is `whole` without its last channel."""
    same = part.__array_interface__["data"] == whole.__array_interface__["data"] and part.strides == whole.strides
    return bool(same and whole.dtype == np.uint8 and whole.flags.c_contiguous)


def _mask(opaque: npt.NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(np.where(opaque, np.uint8(255), np.uint8(0)))


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


def jpeg_of(rgb: RGBArray) -> bytes:
    """The pixels as a JPEG file to be shown: nothing of the file that they are from is in it."""
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()

"""Embedded colour profiles (ICC) -> sRGB, by LittleCMS.

A network must see the colours that a person sees: the same numbers are other colours in Adobe RGB, Display P3 or
ProPhoto. A profile that changes nothing (sRGB, under any name) is not applied; one that is broken, or not for the
picture's colour model, is ignored, as every viewer does.
"""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

LONGEST = 1 << 24
"""Bytes of a profile that is looked at: those of printers have some millions, anything above is no profile."""

_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK", "Lab": "LAB"}
"""ICC's names of colour models, and Pillow's modes."""

_NO_CHANGE = 2
"""Levels that a profile may move a colour and still be the same: variants of sRGB differ by 1."""

_KEPT = 16  # conversions: most folders know one camera or two


class Conversion(NamedTuple):
    """The conversion from a profile to sRGB, for pictures of one mode."""

    mode: str
    transform: ImageCms.ImageCmsTransform


_conversions: OrderedDict[bytes, Conversion | None] = OrderedDict()  # by the profile's SHA-256


def to_srgb(im: Image.Image, profile: bytes | None) -> Image.Image:
    """`im`, in mode L, RGB, CMYK or LAB, as sRGB in mode RGB (or L); without a profile by the plain formulas."""
    found = conversion(profile)
    if found is not None and found.mode == im.mode:
        return _applied(found.transform, im)
    if im.mode == "LAB":
        return _applied(ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB"), im)
    return im if im.mode in ("RGB", "L") else im.convert("RGB")


def conversion(profile: bytes | None) -> Conversion | None:
    """The conversion of the profile; None where nothing needs to be converted, or the profile is not valid."""
    if profile is None or len(profile) > LONGEST:
        return None
    key = hashlib.sha256(profile).digest()
    try:
        _conversions.move_to_end(key)
        return _conversions[key]
    except KeyError:
        pass
    found = _conversions[key] = _built(profile)
    while len(_conversions) > _KEPT:
        _conversions.popitem(last=False)
    return found


def _built(profile: bytes) -> Conversion | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(source.profile.xcolor_space.strip())
        if mode is None:
            return None
        transform = ImageCms.buildTransform(source, _srgb(), mode, "RGB")
        return Conversion(mode, transform) if mode in ("CMYK", "LAB") or _moves_colours(transform, mode) else None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _applied(transform: ImageCms.ImageCmsTransform, im: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(im, transform)
    assert converted is not None  # only in place it returns nothing
    return converted


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _moves_colours(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether any colour of a grid over the whole space comes out as another one."""
    steps = np.arange(0, 256, 1 if mode == "L" else 15, dtype=np.uint8)
    if mode == "L":
        grid = np.repeat(steps[None, :, None], 3, axis=2)
        shown = Image.fromarray(grid[:, :, 0])
    else:
        grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(len(steps), -1, 3)
        shown = Image.fromarray(grid)
    return bool(np.abs(np.asarray(_applied(transform, shown), np.int16) - grid).max() > _NO_CHANGE)

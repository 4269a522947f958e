"""Embedded colour profiles (ICC) -> sRGB, by LittleCMS.

What a network sees has to be what a person sees: the same numbers are other colours in Adobe RGB, Display P3 or
ProPhoto. A profile that changes nothing (sRGB, under whatever name) takes no detour; one that is broken, or not for the
picture's colour model, is ignored, as every viewer does.
"""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict

import numpy as np
from PIL import Image, ImageCms

LONGEST = 1 << 24
"""Bytes of a profile that is looked at: those of printers have some millions, anything above is no profile."""

_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}
"""Pillow's modes and the names that ICC has for their colour model."""

_NO_CHANGE = 2
"""Levels that a profile may move a colour and still be the same: variants of sRGB differ by 1."""

_KEPT = 16  # transforms: most folders know one camera or two

_transforms: OrderedDict[tuple[bytes, str], ImageCms.ImageCmsTransform | None] = OrderedDict()


def to_srgb(im: Image.Image, profile: bytes | None) -> Image.Image:
    """`im`, in mode L, RGB, CMYK or LAB, as sRGB in mode RGB (or L); without a profile by the plain formulas."""
    transform = _transform(profile, im.mode) if profile else None
    if transform is None and im.mode == "LAB":
        transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB")
    if transform is None:
        return im if im.mode in ("RGB", "L") else im.convert("RGB")
    converted = ImageCms.applyTransform(im, transform)
    assert converted is not None  # only in place it returns nothing
    return converted


def changes(profile: bytes | None, mode: str) -> bool:
    """Whether the profile makes other colours of a picture of that mode."""
    return profile is not None and _transform(profile, mode) is not None


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from the profile to sRGB; None where there is none, or nothing to do."""
    if mode not in _SPACES or len(profile) > LONGEST:
        return None
    key = hashlib.sha256(profile).digest(), mode
    try:
        _transforms.move_to_end(key)
        return _transforms[key]
    except KeyError:
        pass
    found = _built(profile, mode)
    _transforms[key] = found
    while len(_transforms) > _KEPT:
        _transforms.popitem(last=False)
    return found


def _built(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(source, _srgb(), mode, "RGB")
        return transform if mode in ("CMYK", "LAB") or _moves_colours(transform, mode) else None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


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
    after = ImageCms.applyTransform(shown, transform)
    return bool(np.abs(np.asarray(after, np.int16) - grid).max() > _NO_CHANGE)

"""Photographs to learn from what a network's activations are like: the samples, and pictures that are made of them."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

from recq.images import Limits, open_picture, to_input
from recq.images.resampling import by_pillow
from recq.space import InputSpec

SAMPLES = Path(__file__).resolve().parent.parent / "samples"

VARIANTS = 6
"""Pictures that are made of each sample."""

SMALLEST_CROP = 0.35
"""Of a picture's area."""

FACTORS = (0.6, 1.4)
"""Of brightness, contrast and colour."""

TURN = 20.0
"""Degrees, of a third of the variants."""

WHITE = (255, 255, 255)


@cache
def pictures() -> tuple[Image.Image, ...]:
    """The samples in the order of their names, and `VARIANTS` of each; the same on every run."""
    dice = random.Random(0)
    limits = Limits(1 << 28, 1 << 28)
    photographs = [Image.fromarray(open_picture(path, limits).rgb) for path in sorted(SAMPLES.glob("*.jpg"))]
    return (*photographs, *(_variant(each, dice) for each in photographs for _ in range(VARIANTS)))


def inputs(spec: InputSpec) -> npt.NDArray[np.uint8]:
    """What the shipped networks were calibrated with, uint8 (n, size, size, 3): `pictures`, resized by Pillow."""
    return np.stack([to_input(np.asarray(each), spec, by_pillow) for each in pictures()])


def _variant(picture: Image.Image, dice: random.Random) -> Image.Image:
    """A part of the picture, perhaps mirrored or turned, in other light."""
    side = dice.uniform(SMALLEST_CROP, 1) ** 0.5
    width, height = round(picture.width * side), round(picture.height * side)
    left, top = dice.randint(0, picture.width - width), dice.randint(0, picture.height - height)
    seen = picture.crop((left, top, left + width, top + height))
    if dice.random() < 1 / 2:
        seen = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        seen = enhance(seen).enhance(dice.uniform(*FACTORS))
    if dice.random() < 1 / 3:
        seen = seen.rotate(dice.uniform(-TURN, TURN), Image.Resampling.BICUBIC, fillcolor=WHITE)
    return seen

"""Pictures made by code that have something to align, and what happens to copies of them."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recq.duplicates.alignment import View
from recq.duplicates.same_picture import SIDE

Change = Callable[[Image.Image], Image.Image]


def scene(number: int, size: tuple[int, int] = (480, 360)) -> Image.Image:
    """Soft coloured light with a few things in it, another for each number."""
    random = np.random.default_rng(number)
    light = Image.fromarray(random.integers(40, 216, (5, 6, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(light)
    for _ in range(8):
        x, y = int(random.integers(0, size[0])), int(random.integers(0, size[1]))
        across, down = (int(each) for each in random.integers(30, 120, 2))
        colour = tuple(int(each) for each in random.integers(0, 256, 3))
        draw = pen.ellipse if random.random() < 0.5 else pen.rectangle
        draw((x, y, x + across, y + down), fill=colour)
    return light


def view_of(im: Image.Image) -> View:
    """Its thumbnail."""
    scale = SIDE / max(im.size)
    size = max(1, round(im.width * scale)), max(1, round(im.height * scale))
    return View(np.asarray(im.convert("RGB").resize(size, Image.Resampling.BILINEAR)))


def saved(form: str, **options: object) -> Change:
    """Written and read again."""

    def change(im: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        im.save(buffer, form, **options)
        return Image.open(buffer).convert("RGB")

    return change


def resized(share: float) -> Change:
    """As much smaller, or larger."""
    return lambda im: im.resize((round(im.width * share), round(im.height * share)), Image.Resampling.LANCZOS)


def cut(left: float, top: float, right: float, bottom: float) -> Change:
    """So much of its sides less."""
    return lambda im: im.crop(
        (
            round(im.width * left),
            round(im.height * top),
            round(im.width * (1 - right)),
            round(im.height * (1 - bottom)),
        )
    )


def framed(im: Image.Image) -> Image.Image:
    """In a white frame."""
    made = Image.new("RGB", (im.width + 80, im.height + 120), "white")
    made.paste(im, (40, 60))
    return made


def mirror(im: Image.Image) -> Image.Image:
    """Left and right exchanged."""
    return im.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def recoloured(im: Image.Image) -> Image.Image:
    """One thing in it in another colour."""
    made = np.array(im)
    height, width = made.shape[:2]
    part = made[height // 3 : height // 2, width // 3 : width // 2]
    part[...] = part[..., [1, 2, 0]]
    return Image.fromarray(made)


def lettered(im: Image.Image) -> Image.Image:
    """With words on it."""
    made = im.copy()
    font = ImageFont.load_default(size=made.height // 9)
    ImageDraw.Draw(made).text((made.width // 5, made.height // 3), "SOLD", fill="white", font=font)
    return made


def brighter(im: Image.Image) -> Image.Image:
    """Every level a tenth up."""
    return Image.fromarray(np.clip(np.asarray(im).astype(float) * 1.1 + 10, 0, 255).astype(np.uint8))


def page(number: int) -> Image.Image:
    """A page of a letter: words of its own in lines like any other's."""
    random = np.random.default_rng(number)
    made = Image.new("RGB", (620, 877), "white")
    pen = ImageDraw.Draw(made)
    font = ImageFont.load_default(size=11)
    for line in range(48):
        text = " ".join("".join(random.choice(list("etaoinshrdlu"), random.integers(2, 10))) for _ in range(18))
        pen.text((55, 55 + 16 * line), text[:95], fill="black", font=font)
    return made

"""An explanation as one picture: the two pictures side by side, below each its similar regions in colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from recq.display.typeface import bundled, lettering, shorten
from recq.errors import UsageError
from recq.output import replaced, require_place
from recq.paths import printable
from recq.search.explain import Explanation, Side
from recq.search.results import score_text

_TILE = 440  # pixels a side of a picture's square
_GAP = 24
_MARGIN = 32
_HEAD = 64
_LABEL = 40
_FOOT = 40

_WHITE, _PAPER, _INK, _GREY = "#ffffff", "#f6f6f7", "#1c1c1e", "#6b6b70"

_RAMP = np.array([[13, 8, 135], [156, 23, 158], [237, 121, 83], [240, 249, 33]], np.float32)
"""From little to much: four colours of Matplotlib's `plasma`, which stays readable without colour vision."""

_FAINT = 0.25  # of the strongest region: what adds less keeps the picture's own grey


def require_writable(path: Path) -> None:
    """Raise UsageError unless a PNG can be written there."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"--out {path}: the picture is a PNG, name it so, as in --out {path.stem or 'explain'}.png")
    require_place(path, "--out")


def write_picture(explanation: Explanation, path: Path) -> None:
    """Draw the explanation into a PNG at `path`, replaced in one step. Raises UsageError."""
    require_writable(path)
    image = draw(explanation)
    with replaced(path, "--out") as stream:
        image.save(stream, "PNG", optimize=True)


def draw(explanation: Explanation) -> Image.Image:
    """The picture, RGB."""
    sides = (explanation.target, explanation.result)
    strongest = max(1e-9, *(float(side.seen().max()) for side in sides))
    width = 2 * _MARGIN + 2 * _TILE + _GAP
    height = 2 * _MARGIN + _HEAD + 2 * (_TILE + _GAP) + _LABEL + _FOOT
    canvas = Image.new("RGB", (width, height), _WHITE)
    pen = ImageDraw.Draw(canvas)
    told = score_text(explanation.score, explanation.share)
    pen.text((_MARGIN, _MARGIN), told, fill=_INK, font=bundled(26), stroke_width=0.5, stroke_fill=_INK)
    pen.text(
        (_MARGIN, _MARGIN + 34), "below: the regions of each picture that this comes from", fill=_GREY, font=bundled(16)
    )
    for place, side in enumerate(sides):
        x, y = _MARGIN + place * (_TILE + _GAP), _MARGIN + _HEAD
        picture = Image.fromarray(side.rgb)
        _paste(canvas, pen, picture, x, y)
        _paste(canvas, pen, overlaid(side, strongest), x, y + _TILE + _GAP)
        text, font = lettering(printable(side.name), 18)
        pen.text((x, y + 2 * _TILE + _GAP + 12), shorten(text, _TILE, font), fill=_INK, font=font)
    _foot(canvas, pen, explanation, _MARGIN, height - _MARGIN, width - 2 * _MARGIN)
    return canvas


def overlaid(side: Side, strongest: float) -> Image.Image:
    """The picture in grey, and in colour over it what its regions add, in parts of `strongest`."""
    height, width = side.rgb.shape[:2]
    left, top, right, bottom = (round(edge) for edge in side.place.seen)
    seen = Image.fromarray(side.seen() / strongest, mode="F")
    heat = np.zeros((height, width), np.float32)
    heat[top:bottom, left:right] = np.asarray(seen.resize((right - left, bottom - top), Image.Resampling.BILINEAR))
    heat = np.clip(heat, 0, 1)
    grey = np.asarray(Image.fromarray(side.rgb).convert("L"), np.float32)[:, :, np.newaxis]
    opacity = (0.8 * np.clip((heat - _FAINT * 0.4) / (1 - _FAINT * 0.4), 0, 1) ** 0.7)[:, :, np.newaxis]
    mixed = (0.55 * grey + 90) * (1 - opacity) + coloured(heat) * opacity
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def coloured(heat: np.ndarray) -> np.ndarray:
    """Values (h, w) from 0 to 1 as colours, float32 (h, w, 3) from 0 to 255."""
    stops = np.linspace(0, 1, len(_RAMP))
    return np.stack([np.interp(heat, stops, _RAMP[:, channel]) for channel in range(3)], axis=-1).astype(np.float32)


def _paste(canvas: Image.Image, pen: ImageDraw.ImageDraw, picture: Image.Image, x: int, y: int) -> None:
    pen.rectangle((x, y, x + _TILE - 1, y + _TILE - 1), fill=_PAPER)
    scale = min(_TILE / picture.width, _TILE / picture.height)
    fitted = picture.resize(
        (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), Image.Resampling.LANCZOS
    )
    canvas.paste(fitted, (x + (_TILE - fitted.width) // 2, y + (_TILE - fitted.height) // 2))


def _foot(
    canvas: Image.Image, pen: ImageDraw.ImageDraw, explanation: Explanation, x: int, baseline: int, width: int
) -> None:
    """The scale of colours left, what lies beside the pictures where that counts, the space right."""
    font = bundled(15)
    pen.text((x, baseline), "little", fill=_GREY, font=font, anchor="ls")
    start = x + int(font.getlength("little")) + 10
    bar = coloured(np.tile(np.linspace(0, 1, 120, dtype=np.float32), (12, 1))).astype(np.uint8)
    canvas.paste(Image.fromarray(bar), (start, baseline - 12))
    pen.text((start + 130, baseline), "much", fill=_GREY, font=font, anchor="ls")
    pen.text((x + width, baseline), explanation.space.label, fill=_GREY, font=font, anchor="rs")
    beside = [side.beside for side in (explanation.target, explanation.result)]
    if max(beside) >= 0.05:
        text = "the square's empty part adds " + " and ".join(f"{share:.0%}" for share in beside)
        pen.text((x + width, baseline - 20), text, fill=_GREY, font=font, anchor="rs")

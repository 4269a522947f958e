"""The pixels of a card: its file, read again within recq's limits and fitted into a square, or a short reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from recq.display.grid_sheet import Card
from recq.errors import ImageError, Reason
from recq.images import Limits, open_picture
from recq.images.fitting import DecoderHere
from recq.images.heif import MISSING
from recq.images.pixels import RGBArray

_MAX_ENLARGED = 3.0  # icons are shown larger, but not as a blur

_WORDS = {
    Reason.PERMISSION: "no permission to read it",
    Reason.EMPTY: "the file is empty",
    Reason.TRUNCATED: "the file is cut short",
    Reason.NOT_AN_IMAGE: "not a picture any more",
    Reason.UNSUPPORTED: "a kind that recq cannot read",
    Reason.TOO_LARGE: "too large to draw",
}


def thumbnail(card: Card, limits: Limits, side: int) -> tuple[Image.Image | None, str]:
    """The card's picture, RGB, its longer side `side` pixels; or None and a short reason."""
    if card.content is not None:
        content = card.content
        return _fitted(lambda: DecoderHere(limits).displayed(content, side, card.region).rgb, side)
    location = card.location
    if location is None:
        return None, "no folder on record"
    if not is_there(location):
        return None, "not on this machine, or deleted"
    return _fitted(lambda: open_picture(location, limits, reduce_to=side).rgb, side)


def is_there(location: Path) -> bool:
    """Whether there is a file that may be read."""
    return os.path.exists(location)  # noqa: PTH110 - Path's raises where one may not look


def _fitted(read: Callable[[], RGBArray], side: int) -> tuple[Image.Image | None, str]:
    try:
        image = Image.fromarray(np.ascontiguousarray(read()))
    except ImageError as error:
        return None, "needs recq[heic]" if error.detail == MISSING else _WORDS.get(error.reason, "cannot be read")
    scale = min(side / image.width, side / image.height, _MAX_ENLARGED)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0), ""

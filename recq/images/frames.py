"""Chooses the frame that represents an animation: the first that is not blank.

Many fade in, or begin with an empty canvas that the next frame is drawn on.
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from recq.images.pixels import RGBArray

_BLANK = 8
"""Levels between the darkest and the lightest value of a channel, up to which a frame shows nothing."""

_MOST = 100  # frames that are looked at


def is_blank(rgb: RGBArray) -> bool:
    """Whether a picture, uint8 (h, w, 3), has one colour only."""
    return bool((rgb.max(axis=(0, 1)) - rgb.min(axis=(0, 1)) <= _BLANK).all())


def first_shown(
    im: Image.Image, render: Callable[[Image.Image], RGBArray], *, most_pixels: int
) -> tuple[RGBArray, int]:
    """The first frame of `im` that is not blank, as `render` makes it, and its number; where all are, the first, 0.

    A still picture is never blank. `most_pixels` is what may be decoded in the search, beyond the first frame.
    """
    first = render(im)
    height, width = first.shape[:2]
    if not getattr(im, "is_animated", False) or not is_blank(first):
        return first, 0
    for number in range(1, min(_MOST, 1 + max(1, most_pixels // (width * height)))):
        try:
            im.seek(number)
            if im.width * im.height > most_pixels:  # a frame may lie beyond the canvas, and enlarges it
                break
            frame = render(im)[:height, :width]  # what lies beyond the canvas is not shown
        except Exception:  # the last frame, a broken or an enormous one: the first frame is used
            break
        if not is_blank(frame):
            return frame, number
    return first, 0

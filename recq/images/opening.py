"""Pillow, opened on one format alone and without its own limit on pixels: `recq.images.decode.Limits` decides."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from recq.images.heif import open_heif

_guard = threading.Lock()


@contextmanager
def opened(data: bytes, fmt: str) -> Iterator[Image.Image]:
    """The header parsed by the decoder of `fmt`, and by no other.

    Pillow's own pixel limit is a global of the process with a warning at one number and an error at another: it is off
    while the header is read (the lock keeps two threads from restoring each other's value).
    """
    with _guard:
        theirs = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            im = open_heif(data) if fmt == "HEIF" else Image.open(io.BytesIO(data), formats=[fmt])
        finally:
            Image.MAX_IMAGE_PIXELS = theirs
    with im:
        yield im

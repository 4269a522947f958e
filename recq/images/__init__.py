"""Bytes -> RGB array -> network input, and the worker processes (`recq.images.workers`) that isolate it."""

from recq.images.decode import Limits, Picture
from recq.images.formats import IMAGE_EXTENSIONS, sniff
from recq.images.reading import open_picture
from recq.images.resize import to_input

__all__ = ["IMAGE_EXTENSIONS", "Limits", "Picture", "open_picture", "sniff", "to_input"]

"""The relations of two pictures that are the same, as `recq duplicates` finds and reports them."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """How a picture is related to the one that is kept."""

    EXACT = "exact"  # the same bytes
    COPY = "copy"  # resized, recompressed, in another format
    CROP = "crop"  # one shows more than the other
    MIRROR = "mirror"  # left and right exchanged, perhaps cropped as well

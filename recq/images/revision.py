"""The decoder's revision: which pictures an older recq decoded differently.

Every item stores the revision that its vector was made with. After an upgrade only the items that a newer
revision may decode differently are decoded again; of these, only those that really differ are embedded again:
`Picture.since` shows which. A change of the decoder's output must raise the number and add a line.
"""

from __future__ import annotations

from recq.errors import Reason
from recq.images.formats import FORMATS

DECODER_REVISION = 1
"""The present revision; 0 for items of a recq that stored none."""

ALTERED: dict[int, frozenset[str]] = {
    # Colour profiles, in every format that embeds them. TIFF: depths, white is 0, signed, floats, first pages that are
    # thumbnails. BMP: masks. Animations: blank first frames.
    1: frozenset(FORMATS),
}
"""By revision: the formats (`file.format`) of which some pictures were decoded differently before it."""

_ANOTHER_CAUSE: frozenset[str] = frozenset(
    {Reason.EMPTY, Reason.PERMISSION, Reason.IO_ERROR, Reason.INFERENCE, Reason.REFUSED}
)
"""Failures that do not depend on the decoder."""


def is_outdated(fmt: str, revision: int | None) -> bool:
    """Whether a picture of that format may be decoded differently now than by `revision` (None: 0)."""
    return any(fmt in formats for since, formats in ALTERED.items() if since > (revision or 0))


def may_succeed_now(reason: str, revision: int | None) -> bool:
    """Whether a picture that `revision` (None: 0) failed on may be read by the present decoder."""
    return reason not in _ANOTHER_CAUSE and (revision or 0) < DECODER_REVISION

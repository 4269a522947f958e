"""The decoder's revision: which pixels an older recq would have made otherwise.

Every item keeps the revision that its vector was made with. After an upgrade those are decoded once more that a newer
revision may show otherwise, and no others; of these, only what really looks different is embedded again, which
`Picture.since` tells of each. Who changes what the decoder makes of a file raises the number and adds a line.
"""

from __future__ import annotations

from recq.errors import Reason
from recq.images.formats import FORMATS

DECODER_REVISION = 1
"""The present one; 0 is every recq that kept none."""

ALTERED: dict[int, frozenset[str]] = {
    # Colour profiles, in every format that embeds them. TIFF: depths, white is 0, signed, floats, first pages that are
    # thumbnails. BMP: masks. Animations: blank first frames.
    1: frozenset(FORMATS),
}
"""By revision: the formats (`file.format`) of which some pictures came out otherwise before it."""

_ANOTHER_CAUSE: frozenset[str] = frozenset(
    {Reason.EMPTY, Reason.PERMISSION, Reason.IO_ERROR, Reason.INFERENCE, Reason.REFUSED}
)
"""Failures that no decoder has a part in."""


def is_outdated(fmt: str, revision: int | None) -> bool:
    """Whether a picture of that format may look otherwise now than when `revision` (None: 0) decoded it."""
    return any(fmt in formats for since, formats in ALTERED.items() if since > (revision or 0))


def may_succeed_now(reason: str, revision: int | None) -> bool:
    """Whether a picture that `revision` (None: 0) failed on may be read by the present decoder."""
    return reason not in _ANOTHER_CAUSE and (revision or 0) < DECODER_REVISION

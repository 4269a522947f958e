"""Every TIFF that tifffile can write: the pixels of the reference, or a refusal that says what the file is."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from recq.errors import ImageError, Reason
from recq.images.decode import decode
from tests.recq.images.encoded import GENEROUS
from tests.recq.images.tiffs import Kind, kinds, made, off_by
from tests.reliability.conftest import Figures

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

CLOSE = 2.0  # levels of 255, in the mean

UNREAD = frozenset({"jpeg2000", "jpegxl", "lerc", "png", "webp", "jpeg"})
"""Compressions in TIFF that recq may refuse; any other is read in every depth."""


def verdict(kind: Kind) -> str:
    """ "right", "refused", "unwritten" (the writer does not make such a file), or what is wrong."""
    try:
        file = made(kind)
    except Exception:  # the writer's and its codecs' ways to say that they do not write that
        return "unwritten"
    if file is None:
        return "unwritten"
    data, expected = file
    try:
        found = decode(data, GENEROUS).rgb
    except ImageError as error:
        bits = 12 if kind.compression == "jpeg" and kind.bits == 16 else kind.bits  # the writer has no JPEG of 16 bits
        says = f"{bits} bit" in error.detail and "which recq cannot read" in error.detail
        right = error.reason is Reason.UNSUPPORTED and says and kind.compression in UNREAD
        return "refused" if right else f"{kind}: {error}"
    off = off_by(found, expected)
    return "right" if off <= CLOSE else f"{kind}: off by {off:.1f}"


def test_pixels_are_the_reference_s_or_refused_by_name(full: bool, figures: Figures) -> None:
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    chosen = list(kinds())[:: 1 if full else 41]
    counts = Counter(map(verdict, chosen))
    figures("every_tiff", kinds=len(chosen), **{name: counts[name] for name in ("right", "refused", "unwritten")})
    wrong = [said for said in counts if said not in ("right", "refused", "unwritten")]
    assert wrong == []
    assert counts["right"] > 200
    assert counts["refused"] > 20

"""What a picture says of the decoder's revision that first made its pixels."""

from __future__ import annotations

import pytest
from PIL import Image

from recq.errors import Reason
from recq.images.decode import decode
from recq.images.revision import ALTERED, DECODER_REVISION, is_outdated, may_succeed_now
from tests.recq.images.encoded import GENEROUS, encode, samples, scene
from tests.recq.images.icc import DISPLAY_P3, gray_profile, rgb_profile, srgb_variant
from tests.recq.images.test_bmp import USUAL, bmp
from tests.recq.images.tiffs import Kind, made, tiff_file

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def tiff(kind: Kind, profile: bytes | None = None) -> bytes:
    file = made(kind, profile=profile)
    assert file is not None
    return file[0]


THUMBNAIL = tiff_file("<", 1, 1, b"\7", {258: 8, 262: 1, 254: 1})
OTHERWISE = {
    "a profile": encode(scene(), "JPEG", icc_profile=rgb_profile(DISPLAY_P3)),
    "a gray profile": encode(scene().convert("L"), "PNG", icc_profile=gray_profile(1.0)),
    "a depth": tiff(Kind("minisblack", "u12")),
    "a profile and a depth": tiff(Kind("rgb", "u16"), rgb_profile(DISPLAY_P3)),
    "white is 0": tiff(Kind("miniswhite", "u16")),
    "a thumbnail first": tiff_file("<", 3, 1, b"\1\2\3", {258: 8, 262: 1}, before=THUMBNAIL),
    "masks": bmp([[1, 2]], 32, USUAL),
    "a blank frame": encode(Image.new("RGB", (90, 121)), "WEBP", save_all=True, append_images=[scene()], lossless=True),
}


@pytest.mark.parametrize("name", sorted(samples()))
def test_ordinary_pictures_are_as_they_always_were(name: str) -> None:
    assert decode(samples()[name], GENEROUS).since == 0


def test_a_profile_that_changes_nothing_changes_nothing() -> None:
    assert decode(encode(scene(), "JPEG", icc_profile=srgb_variant()), GENEROUS).since == 0


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_came_out_otherwise_before(name: str) -> None:
    picture = decode(OTHERWISE[name], GENEROUS)
    assert picture.since == 1
    assert picture.format in ALTERED[1]


def test_no_revision_is_revision_0() -> None:
    assert is_outdated("TIFF", None)
    assert is_outdated("TIFF", 0)
    assert not is_outdated("TIFF", DECODER_REVISION)
    assert may_succeed_now(Reason.CORRUPT, None)
    assert not may_succeed_now(Reason.CORRUPT, DECODER_REVISION)
    assert not may_succeed_now(Reason.EMPTY, None)

"""Colour profiles: what LittleCMS makes of a picture is what recq shows."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from recq.images import profiles
from recq.images.decode import decode
from tests.recq.images.encoded import GENEROUS, encode, heif, scene
from tests.recq.images.icc import ADOBE_RGB, DISPLAY_P3, LINEAR, PROPHOTO, gray_profile, rgb_profile, srgb_variant
from tests.recq.images.tiffs import off_by

WIDE = {"Adobe RGB": ADOBE_RGB, "Display P3": DISPLAY_P3, "ProPhoto": PROPHOTO, "linear": LINEAR}
LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "TIFF": {"compression": "tiff_lzw"}, "WEBP": {"lossless": True}}


def reference(im: Image.Image, profile: bytes) -> npt.NDArray[np.uint8]:
    """The picture in sRGB, by LittleCMS on the whole picture."""
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(im, source, target, outputMode="RGB")
    assert converted is not None
    return np.asarray(converted)


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("fmt", LOSSLESS)
def test_a_profile_is_converted(fmt: str, name: str) -> None:
    profile = rgb_profile(WIDE[name])
    found = decode(encode(scene(), fmt, icc_profile=profile, **LOSSLESS[fmt]), GENEROUS).rgb
    assert off_by(found, reference(scene(), profile)) <= 1
    assert off_by(found, np.asarray(scene())) > 3, "without conversion the colours are others"


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("road", ["JPEG", "JPEG reduced", "AVIF", "HEIF"])
def test_a_profile_is_converted_where_pixels_are_lossy(road: str, name: str) -> None:
    profile, fmt = rgb_profile(WIDE[name]), road.split()[0]
    im = scene().resize((360, 484))
    if fmt == "HEIF":
        im.info["icc_profile"] = profile
        data, plain = heif(im), heif(scene().resize((360, 484)))
    else:
        data, plain = encode(im, fmt, icc_profile=profile), encode(im, fmt)
    size = 100 if "reduced" in road else None
    found, without = (decode(each, GENEROUS, reduce_to=size).rgb for each in (data, plain))
    assert off_by(found, reference(Image.fromarray(without), profile)) <= 1
    assert off_by(found, without) > 3


def test_every_road_of_a_jpeg_converts(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    module = importlib.import_module("recq.images.decode")
    for mode, profile in (("RGB", rgb_profile(ADOBE_RGB)), ("L", gray_profile(1.0))):
        data = encode(scene().convert(mode), "JPEG", icc_profile=profile)
        fast = decode(data, GENEROUS).rgb
        with monkeypatch.context() as patch:
            patch.setattr(module, "_fast_jpeg", lambda *_: None)
            assert np.array_equal(decode(data, GENEROUS).rgb, fast), mode


@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "JPEG"])
def test_gray_has_profiles_too(fmt: str) -> None:
    profile, gray = gray_profile(1.0), scene().convert("L")
    data = encode(gray, fmt, icc_profile=profile)
    stored = Image.open(io.BytesIO(data))
    found = decode(data, GENEROUS).rgb
    assert off_by(found, reference(stored, profile)) <= 1
    assert off_by(found, np.asarray(stored.convert("RGB"))) > 20


def test_transparency_is_laid_over_white_after_the_conversion() -> None:
    profile = rgb_profile(PROPHOTO)
    im = scene().convert("RGBA")
    im.putalpha(Image.new("L", im.size, 128))
    found = decode(encode(im, "PNG", icc_profile=profile), GENEROUS).rgb
    expected = reference(scene(), profile) * (128 / 255) + 255 * (127 / 255)
    assert off_by(found, expected) <= 1


def test_sixteen_bits_with_a_profile() -> None:
    from tests.recq.images.tiffs import Kind, made, shown

    file = made(Kind("rgb", "u16"), profile=rgb_profile(PROPHOTO))
    assert file is not None
    assert off_by(decode(file[0], GENEROUS).rgb, reference(Image.fromarray(shown(False)), rgb_profile(PROPHOTO))) <= 1


def test_cmyk_goes_through_its_profile() -> None:
    profile = cmyk_profile()
    im = scene().convert("CMYK")
    for fmt in ("TIFF", "JPEG"):
        data = encode(im, fmt, icc_profile=profile)
        stored = Image.open(io.BytesIO(data))
        stored.load()
        assert off_by(decode(data, GENEROUS).rgb, reference(stored, profile)) <= 1, fmt


def cmyk_profile() -> bytes:
    """A printer of one ink at a time, as a table of two steps a channel (ICC.1:2010, lut8Type): CMYK to Lab."""
    corners = []
    for index in range(16):
        cyan, magenta, yellow, black = ((index >> shift) & 1 for shift in (3, 2, 1, 0))
        light = max(0, 255 - 85 * (cyan + magenta + yellow)) * (1 - black)
        corners += [light, 128 + 40 * (magenta - cyan) * (1 - black), 128 + 50 * (yellow - magenta) * (1 - black)]
    ramp = bytes(range(256))
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + bytes(corners) + ramp * 3
    from tests.recq.images.icc import profile_of

    return profile_of(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


class TestWhatIsLeftAlone:
    @pytest.mark.parametrize("fmt", ["PNG", "JPEG"])
    def test_srgb_takes_no_detour(self, fmt: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for profile in (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), srgb_variant()):
            data = encode(scene(), fmt, icc_profile=profile)
            expected = decode(encode(scene(), fmt), GENEROUS).rgb
            assert np.array_equal(decode(data, GENEROUS).rgb, expected)
            with monkeypatch.context() as patch:
                patch.setattr(ImageCms, "applyTransform", lambda *_: pytest.fail("a detour"))
                assert np.array_equal(decode(data, GENEROUS).rgb, expected)

    @pytest.mark.parametrize(
        "profile",
        [b"no profile", b"\0" * 200, rgb_profile(ADOBE_RGB)[:-100], rgb_profile(ADOBE_RGB)[:131] + b"\xff" * 400],
    )
    @pytest.mark.parametrize("fmt", ["PNG", "TIFF", "JPEG", "WEBP"])
    def test_a_broken_profile_is_ignored(self, fmt: str, profile: bytes) -> None:
        expected = decode(encode(scene(), fmt), GENEROUS).rgb
        assert off_by(decode(encode(scene(), fmt, icc_profile=profile), GENEROUS).rgb, expected) < 12

    @pytest.mark.parametrize(("mode", "profile"), [("L", rgb_profile(PROPHOTO)), ("RGB", gray_profile(1.0))])
    @pytest.mark.parametrize("fmt", ["PNG", "TIFF", "JPEG"])
    def test_a_profile_for_another_colour_model_is_ignored(self, fmt: str, mode: str, profile: bytes) -> None:
        im = scene().convert(mode)
        expected = decode(encode(im, fmt), GENEROUS).rgb
        assert np.array_equal(decode(encode(im, fmt, icc_profile=profile), GENEROUS).rgb, expected)

    def test_what_is_too_long_for_a_profile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(profiles, "LONGEST", 100)
        assert profiles.conversion(rgb_profile(PROPHOTO)) is None


def test_few_transforms_are_kept() -> None:
    for gamma in range(30):
        profiles.conversion(gray_profile(1 + gamma / 30))
    assert len(profiles._conversions) <= 16

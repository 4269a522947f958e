"""TIFF of every kind against tifffile, and what no writer at hand makes against files made by hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from recq.errors import ImageError, Reason
from recq.images import Limits, tiff, tiff_pages
from recq.images.decode import decode
from recq.images.tiff_pages import Tag
from tests.recq.images.encoded import GENEROUS, encode, scene
from tests.recq.images.tiffs import HEIGHT, WIDTH, Kind, made, off_by, shown, tiff_file

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def pixels(data: bytes) -> list[Any]:
    found: list[Any] = decode(data, GENEROUS).rgb.tolist()
    return found


def gray_row(*values: int) -> list[Any]:
    return [[[value] * 3 for value in values]]


@pytest.mark.parametrize(
    "kind",
    [
        Kind("miniswhite", "u16"),
        Kind("miniswhite", "u16", order=">", compression="lzw", predictor=True),
        Kind("minisblack", "u12"),
        Kind("minisblack", "i8"),
        Kind("minisblack", "u32"),
        Kind("minisblack", "u16", alpha="unassalpha"),
        Kind("separated", "u8", alpha="unassalpha"),
        Kind("rgb", "f32"),
        Kind("rgb", "f16", compression="zlib", predictor=True),
        Kind("rgb", "u16", alpha="assocalpha", planar="separate", tiled=True),
        Kind("icclab", "u16"),
        Kind("minisblack", "u8", order=">", big=True),
    ],
    ids=str,
)
def test_kinds_that_were_wrong_or_refused(kind: Kind) -> None:
    file = made(kind)
    assert file is not None
    assert off_by(decode(file[0], GENEROUS).rgb, file[1]) <= 1


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Kind("minisblack", "u12", compression="jpeg"), "a TIFF of 12 bits a sample, compressed as JPEG, which recq"),
        (Kind("rgb", "u8", compression="jpegxl"), "8 bits a sample, 3 samples a pixel, compressed as JPEG XL, which"),
    ],
    ids=str,
)
def test_a_refusal_says_what_it_is(kind: Kind, said: str) -> None:
    file = made(kind)
    assert file is not None
    with pytest.raises(ImageError, match=said) as caught:
        decode(file[0], GENEROUS)
    assert caught.value.reason is Reason.UNSUPPORTED


# -- by hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("model", [0, 1])
def test_packed_bits_have_no_byte_order(order: str, model: int) -> None:
    data = tiff_file(order, 3, 1, bytes([0x00, 0x08, 0x00, 0xFF, 0xF0]), {Tag.BITS: 12, Tag.PHOTOMETRIC: model})
    assert pixels(data) == gray_row(*([0, 128, 255] if model else [255, 127, 0]))


@pytest.mark.parametrize(("order", "raw"), [("<", "0000ff000080ffffff"), (">", "ff0000800000ffffff")])
def test_numbers_of_24_bits_have_one(order: str, raw: str) -> None:
    data = tiff_file(order, 3, 1, bytes.fromhex(raw), {Tag.BITS: 24, Tag.PHOTOMETRIC: 1})
    assert pixels(data) == gray_row(254, 128, 255)


def test_each_colour_may_have_a_depth_of_its_own() -> None:
    packed = struct.pack(">2H", 0b11111_000000_00000, 0b00000_100000_11111)
    data = tiff_file("<", 2, 1, packed, {Tag.BITS: (5, 6, 5), Tag.SAMPLES: 3, Tag.PHOTOMETRIC: 2})
    assert pixels(data) == [[[255, 0, 0], [0, 130, 255]]]


@pytest.mark.parametrize("bits", [1, 4, 8, 12, 16])
def test_bits_that_are_filled_from_the_lowest(bits: int) -> None:
    """FillOrder 2 turns the bits of every byte around, whatever a byte is part of (TIFF 6.0)."""
    most = (1 << bits) - 1
    packed = int("".join(f"{value:0{bits}b}" for value in (most, 0, most, 0, 0, most, 0, 0)), 2).to_bytes(bits, "big")
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in packed)
    data = tiff_file(">", 8, 1, turned, {Tag.BITS: bits, Tag.PHOTOMETRIC: 1, Tag.FILL_ORDER: 2})
    assert pixels(data) == gray_row(255, 0, 255, 0, 0, 255, 0, 0)


def test_signed_numbers_of_odd_size() -> None:
    packed = int(f"{-2048 & 0xFFF:012b}{0:012b}{2047:012b}{-1 & 0xFFF:012b}", 2).to_bytes(6, "big")
    data = tiff_file("<", 4, 1, packed, {Tag.BITS: 12, Tag.PHOTOMETRIC: 1, Tag.SAMPLE_FORMAT: 2})
    assert pixels(data) == gray_row(0, 128, 255, 127)


@pytest.mark.parametrize(("kinds", "expected"), [((), 200), ((0,), 200), ((2,), 255), ((1,), 255), ((0, 2), 255)])
def test_which_extra_sample_is_transparency(kinds: Sequence[int], expected: int) -> None:
    raw = bytes([200, 0]) if len(kinds) < 2 else bytes([200, 77, 0])
    tags: dict[int, int | Sequence[int]] = {Tag.BITS: (8,) * len(raw), Tag.SAMPLES: len(raw), Tag.PHOTOMETRIC: 1}
    data = tiff_file("<", 1, 1, raw, tags | ({Tag.EXTRA_SAMPLES: kinds} if kinds else {}))
    assert pixels(data) == gray_row(expected)


def test_a_fourth_channel_that_nobody_names_and_nobody_filled_hides_nothing() -> None:
    raw = struct.pack("<8H", 65535, 0, 0, 0, 0, 65535, 0, 0)
    tags: dict[int, int | Sequence[int]] = {Tag.BITS: (16,) * 4, Tag.SAMPLES: 4, Tag.PHOTOMETRIC: 2}
    assert pixels(tiff_file("<", 2, 1, raw, tags)) == [[[255, 0, 0], [0, 255, 0]]]


def test_orientation_counts_here_too() -> None:
    data = tiff_file(
        "<", 2, 1, struct.pack("<2H", 0, 4095 << 4), {Tag.BITS: 16, Tag.PHOTOMETRIC: 0, Tag.ORIENTATION: 6}
    )
    picture = decode(data, GENEROUS)
    assert (picture.width, picture.height, picture.rgb.shape) == (1, 2, (2, 1, 3))


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ((-128, 0, 127), "i1", (0, 128, 255)),
        ((0, 64, 127), "i1", (0, 129, 255)),
        ((-32768, 0, 32767), "i2", (0, 128, 255)),
        ((0, 16384, 32767), "i2", (0, 128, 255)),
        ((-50, 0, 3000), "i2", (0, 4, 255)),
        ((0, 128, 255), "u4", (0, 128, 255)),
        ((0, 2**31, 2**32 - 1), "u4", (0, 128, 255)),
        ((0, 2**63, 2**64 - 1), "u8", (0, 128, 255)),
        ((0.0, 0.5, 1.0), "f2", (0, 128, 255)),
        ((0.0, 0.5, -3.4e38), "f4", (0, 128, 0)),
    ],
)
def test_what_is_white_among_numbers_that_have_none(
    values: Sequence[float], kind: str, expected: Sequence[int]
) -> None:
    stored = np.array(values, f"<{kind}")
    form = {"u": 1, "i": 2, "f": 3}[kind[0]]
    tags = {Tag.BITS: 8 * int(kind[1]), Tag.PHOTOMETRIC: 1, Tag.SAMPLE_FORMAT: form}
    assert pixels(tiff_file("<", len(values), 1, stored.tobytes(), tags)) == gray_row(*expected)


def test_a_few_floats_beyond_white_are_overshoot() -> None:
    values = np.tile(np.linspace(0, 1, 500, dtype="<f4"), 2)
    values[:3] = 1.8, -0.05, 5.0
    tags = {Tag.BITS: 32, Tag.PHOTOMETRIC: 1, Tag.SAMPLE_FORMAT: 3}
    row = decode(tiff_file("<", 1000, 1, values.tobytes(), tags), GENEROUS).rgb[0, :, 0]
    assert row[:3].tolist() == [255, 0, 255]
    assert off_by(row[3:], np.rint(values[3:] * 255)) < 0.1


@pytest.mark.parametrize("first", [{Tag.SUBFILE: 1}, {Tag.SUBFILE: 4}, {Tag.OLD_SUBFILE: 2}])
@pytest.mark.parametrize("order", "<>")
def test_the_picture_counts_not_its_thumbnail_or_mask(first: dict[int, int], order: str) -> None:
    small = tiff_file(order, 1, 1, b"\x07", {Tag.BITS: 8, Tag.PHOTOMETRIC: 1} | first)
    large = tiff_file(order, 3, 1, bytes([1, 2, 3]), {Tag.BITS: 8, Tag.PHOTOMETRIC: 1, Tag.SUBFILE: 0}, before=small)
    picture = decode(large, GENEROUS)
    assert (picture.width, picture.height) == (3, 1)
    assert picture.rgb[0, :, 0].tolist() == [1, 2, 3]
    assert decode(small, GENEROUS).rgb.tolist() == [[[7, 7, 7]]], "all that there is"


def test_of_a_camera_s_raw_file_the_largest_preview_counts() -> None:
    data = tiff_file("<", 60, 1, bytes(120), {Tag.BITS: 16, Tag.PHOTOMETRIC: 32803})
    for size in (2, 9, 4):
        tags = {Tag.BITS: 8, Tag.PHOTOMETRIC: 1, Tag.SUBFILE: 1}
        data = tiff_file("<", size, 1, bytes([size] * size), tags, before=data)
    assert decode(data, GENEROUS).width == 9
    unread = {Tag.BITS: 8, Tag.PHOTOMETRIC: 6, Tag.COMPRESSION: 6, Tag.SUBFILE: 1}
    assert decode(tiff_file("<", 30, 1, bytes(30), unread, before=data), GENEROUS).width == 9


def test_limits_hold_for_the_page_that_is_shown() -> None:
    small = tiff_file("<", 1, 1, b"\x07", {Tag.BITS: 8, Tag.PHOTOMETRIC: 1, Tag.SUBFILE: 1})
    data = tiff_file("<", 3000, 1, bytes(6000), {Tag.BITS: 16, Tag.PHOTOMETRIC: 0}, before=small)
    with pytest.raises(ImageError, match="too-large: 3,000 x 1"):
        decode(data, Limits(10**6, 2999))


def test_a_small_file_may_not_claim_what_it_has_not() -> None:
    tiny = {Tag.BITS: 16, Tag.PHOTOMETRIC: 0, Tag.TILE_WIDTH: 1, Tag.TILE_HEIGHT: 1, Tag.TILE_OFFSETS: 8}
    with pytest.raises(ImageError, match="1 strips or tiles, where 42,000,000 are needed") as caught:
        decode(tiff_file("<", 7000, 6000, b"\0\0", tiny), GENEROUS)
    assert caught.value.reason is Reason.CORRUPT
    wide = {Tag.BITS: 16, Tag.PHOTOMETRIC: 0, Tag.TILE_WIDTH: 65535, Tag.TILE_HEIGHT: 65535, Tag.TILE_OFFSETS: 8}
    with pytest.raises(ImageError) as caught:
        decode(tiff_file("<", 10, 10, b"\0\0", wide), GENEROUS)
    assert caught.value.reason is Reason.TOO_LARGE


def test_pages_that_point_at_each_other_end() -> None:
    data = bytearray(tiff_file("<", 1, 1, b"\x07", {Tag.BITS: 8, Tag.PHOTOMETRIC: 1}))
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<I", data, at + 2 + 12 * count, at)
    assert len(tiff_pages.pages(bytes(data))) == 1


@pytest.mark.parametrize("kind", [Kind("rgb", "u16", compression="lzw"), Kind("minisblack", "u12")], ids=str)
def test_what_is_cut_is_truncated(kind: Kind) -> None:
    file = made(kind)
    assert file is not None
    with pytest.raises(ImageError) as caught:
        decode(file[0][:-200], GENEROUS)
    assert caught.value.reason is Reason.TRUNCATED


def test_the_common_kinds_stay_with_pillow() -> None:
    for im, options in ((scene(), {}), (scene().convert("L"), {"compression": "tiff_lzw"}), (scene().convert("1"), {})):
        page = tiff_pages.the_picture(tiff_pages.pages(encode(im, "TIFF", **options)))
        assert tiff.way(page) is tiff.Way.PILLOW


def test_the_scene_is_one_that_tells() -> None:
    assert shown(False).shape == (HEIGHT, WIDTH, 3)
    assert (shown(False).min(), shown(False).max()) == (0, 255)

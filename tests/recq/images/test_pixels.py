"""Exact values for every colour model, depth and kind of transparency."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from recq.images.decode import decode
from recq.images.pixels import image_of
from tests.recq.images.encoded import GENEROUS, encode, png

WHITE = (255, 255, 255)


def pixels(data: bytes) -> list[list[Any]]:
    found: list[list[Any]] = decode(data, GENEROUS).rgb.tolist()
    return [[tuple(pixel) for pixel in row] for row in found]


def gray(*values: int) -> list[list[Any]]:
    return [[(value,) * 3 for value in values]]


def row(mode: str, *values: Any) -> Image.Image:
    im = Image.new(mode, (len(values), 1))
    im.putdata(values)
    return im


@pytest.mark.parametrize("fmt", ["PNG", "TIFF"])
def test_sixteen_bits_are_rounded_to_eight(fmt: str) -> None:
    values = np.array([[0, 128, 129, 257, 32767, 32768, 65406, 65407, 65535]], np.uint16)
    assert pixels(encode(Image.fromarray(values), fmt)) == gray(0, 0, 1, 1, 127, 128, 254, 255, 255)


def test_big_endian_sixteen_bits() -> None:
    values = np.array([[0, 1000, 65535]], ">u2")
    assert pixels(encode(Image.fromarray(values), "TIFF")) == gray(0, 4, 255)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 7, 255]], np.int32), (0, 7, 255)),
        (np.array([[0, 257, 65535]], np.int32), (0, 1, 255)),
        (np.array([[-100, 0, 100]], np.int32), (0, 128, 255)),
        (np.array([[0, 1_000_000, 2_000_000]], np.int32), (0, 128, 255)),
        (np.array([[0, 0, 0]], np.int32), (0, 0, 0)),
        (np.array([[-5, -5, -5]], np.int32), (0, 0, 0)),
        (np.array([[0.0, 0.5, 1.0]], np.float32), (0, 128, 255)),
        (np.array([[0.0, 0.25, 0.5]], np.float32), (0, 64, 128)),
        (np.array([[0.0, 100.0, 255.0]], np.float32), (0, 100, 255)),
        (np.array([[np.nan, -np.inf, 1.0]], np.float32), (0, 0, 255)),
    ],
)
def test_integers_and_floats_of_32_bits(values: npt.NDArray[Any], expected: tuple[int, ...]) -> None:
    assert pixels(encode(Image.fromarray(values), "TIFF")) == gray(*expected)


def test_plain_modes() -> None:
    assert pixels(encode(row("1", 0, 255), "PNG")) == gray(0, 255)
    assert pixels(encode(row("L", 0, 77), "PNG")) == gray(0, 77)
    assert pixels(encode(row("CMYK", (0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255)), "TIFF")) == [
        [WHITE, (0, 255, 255), (0, 0, 0)]
    ]
    palette = row("P", 0, 1)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    assert pixels(encode(palette, "PNG")) == [[(10, 20, 30), (200, 100, 50)]]


def test_cmyk_jpeg_is_not_inverted() -> None:
    solid = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red, green, blue = decode(encode(solid, "JPEG", quality=95), GENEROUS).rgb[8, 8].tolist()
    assert red > 240
    assert max(green, blue) < 15


def test_lab_becomes_rgb() -> None:
    lab = Image.merge("LAB", [Image.new("L", (1, 1), value) for value in (136, 208, 195)])  # L* 53, a* 80, b* 67
    red, green, blue = pixels(encode(lab, "TIFF"))[0][0]
    assert red > 245
    assert max(green, blue) < 25


@pytest.mark.parametrize("fmt", ["PNG", "WEBP", "TIFF"])
def test_alpha_goes_over_white(fmt: str) -> None:
    im = row("RGBA", (255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 51))
    options = {"lossless": True, "exact": True} if fmt == "WEBP" else {}
    assert pixels(encode(im, fmt, **options)) == [[(255, 0, 0), WHITE, (204, 204, 204)]]


def test_gray_with_alpha() -> None:
    assert pixels(encode(row("LA", (0, 255), (0, 0), (100, 255)), "PNG")) == gray(0, 255, 100)


def test_transparent_palette() -> None:
    im = row("P", 0, 1, 2)
    im.putpalette([10, 20, 30, 200, 100, 50, 0, 0, 0])
    assert pixels(encode(im, "PNG", transparency=1)) == [[(10, 20, 30), WHITE, (0, 0, 0)]]
    assert pixels(encode(im, "GIF", transparency=1)) == [[(10, 20, 30), WHITE, (0, 0, 0)]]
    assert pixels(encode(im, "PNG", transparency=bytes([255, 0, 51]))) == [[(10, 20, 30), WHITE, (204, 204, 204)]]


@pytest.mark.parametrize(
    ("depth", "samples", "key", "expected"),
    [
        (1, bytes([0b01000000]), 0, (255, 255)),
        (1, bytes([0b01000000]), 1, (0, 255)),
        (2, bytes([0b00011011]), 1, (0, 255, 170, 255)),
        (4, bytes([0x05, 0xA0]), 5, (0, 255, 170)),
        (8, bytes([0, 5, 170]), 5, (0, 255, 170)),
        (16, struct.pack(">3H", 0, 1285, 1286), 1285, (0, 255, 5)),
    ],
)
def test_transparent_colour_of_a_gray_png(depth: int, samples: bytes, key: int, expected: tuple[int, ...]) -> None:
    data = png(len(expected), 1, depth, 0, samples, (b"tRNS", struct.pack(">H", key)))
    assert pixels(data) == gray(*expected)


def test_transparent_colour_of_a_16_bit_rgb_png() -> None:
    rows = struct.pack(">6H", 0x1010, 0x2020, 0x3030, 0, 0, 0)
    data = png(2, 1, 16, 2, rows, (b"tRNS", struct.pack(">3H", 0x1010, 0x2020, 0x3030)))
    assert pixels(data) == [[WHITE, (0, 0, 0)]]


@pytest.mark.parametrize("fmt", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_first_frame_counts(fmt: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))]
    red, green, blue = (
        decode(encode(frames[0], fmt, save_all=True, append_images=frames[1:]), GENEROUS).rgb[8, 8].tolist()
    )
    assert abs(red - 200) < 8
    assert max(green, blue) < 8


@pytest.mark.parametrize(
    "part",
    [
        lambda whole: whole[..., :3],  # as a JPEG is decoded
        lambda whole: whole[..., 1:],
        lambda whole: whole[:, ::-1, :3],
        lambda whole: whole[:6, :, :3],
        lambda whole: whole[..., 0:3].transpose(1, 0, 2),
        lambda whole: np.ascontiguousarray(whole[..., :3]),
    ],
)
def test_pillow_is_given_exactly_the_pixels_that_a_view_shows(part: Any) -> None:
    rgb = part(np.random.default_rng(0).integers(0, 256, (7, 7, 4), dtype=np.uint8))
    assert np.array_equal(np.asarray(image_of(rgb)), rgb)

"""Animations that begin with nothing, and those that never show anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from recq.images import Limits
from recq.images.decode import decode
from tests.recq.images.encoded import GENEROUS, encode, scene
from tests.recq.images.tiffs import off_by

ANIMATED: dict[str, dict[str, Any]] = {
    "GIF": {},
    "PNG": {},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


def animation(fmt: str, *frames: Image.Image) -> bytes:
    return encode(frames[0], fmt, save_all=True, append_images=frames[1:], duration=50, **ANIMATED[fmt])


def blank(colour: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (90, 121), colour)


@pytest.mark.parametrize("fmt", ANIMATED)
@pytest.mark.parametrize("before", [[(255, 255, 255)], [(0, 0, 0)], [(0, 0, 0), (3, 3, 3), (255, 255, 255)]])
def test_the_first_frame_that_shows_anything_counts(fmt: str, before: list[tuple[int, ...]]) -> None:
    frames = [blank(colour) for colour in before]
    data = animation(fmt, *frames, scene(), scene().rotate(180))
    expected = decode(animation(fmt, scene(), scene().rotate(180)), GENEROUS).rgb
    assert off_by(decode(data, GENEROUS).rgb, expected) < 8


@pytest.mark.parametrize("fmt", ["GIF", "PNG", "WEBP"])
def test_a_transparent_first_frame_shows_nothing(fmt: str) -> None:
    data = animation(fmt, blank((0, 0, 0, 0), "RGBA"), scene().convert("RGBA"))
    assert off_by(decode(data, GENEROUS).rgb, np.asarray(scene())) < 25


@pytest.mark.parametrize("fmt", ANIMATED)
def test_where_all_frames_are_blank_the_first_counts(fmt: str) -> None:
    data = animation(fmt, blank((200, 10, 10)), blank((10, 10, 200)))
    red, green, blue = decode(data, GENEROUS).rgb[50, 50].tolist()
    assert red > 190
    assert max(green, blue) < 25


@pytest.mark.parametrize("fmt", ANIMATED)
def test_a_first_frame_that_shows_little_still_counts(fmt: str) -> None:
    faint = Image.new("RGB", (90, 121), (100, 100, 100))
    faint.paste((130, 100, 100), (40, 40, 50, 50))
    assert decode(animation(fmt, faint, scene()), GENEROUS).rgb.max() < 140


@pytest.mark.parametrize("fmt", ["GIF", "PNG", "WEBP", "AVIF"])
def test_a_still_picture_may_be_blank(fmt: str) -> None:
    assert decode(encode(blank((7, 7, 7)), fmt), GENEROUS).rgb.shape == (121, 90, 3)


def test_the_search_ends() -> None:
    """At most as many pixels as one picture may have are decoded beyond the first frame, and one frame always."""
    frames = [blank((n % 2, 0, 0)) for n in range(12)]
    data = animation("PNG", *frames, scene())
    pixels = 90 * 121
    assert decode(data, Limits(10**7, 3 * pixels)).rgb.max() <= 1
    assert decode(data, GENEROUS).rgb.max() > 200
    assert decode(animation("PNG", frames[0], scene()), Limits(10**7, pixels)).rgb.max() > 200


def test_a_broken_later_frame_costs_nothing() -> None:
    data = bytearray(animation("GIF", blank((9, 9, 9)), scene()))
    at = data.rindex(b"\x21\xf9") + 8  # behind the second frame's control block: its descriptor
    data[at + 8 : at + 12] = b"\xff\xff\xff\xff"
    assert decode(bytes(data), GENEROUS).rgb.shape == (121, 90, 3)

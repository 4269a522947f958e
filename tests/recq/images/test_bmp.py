"""BMP by bit masks, whichever the header names."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from recq.errors import ImageError, Reason
from recq.images import Limits
from recq.images.decode import decode
from tests.packs import pack
from tests.recq.images.encoded import GENEROUS

USUAL = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def bmp(
    pixels: Sequence[Sequence[int]], bits: int, masks: Sequence[int], *, header: int = 124, top_down: bool = False
) -> bytes:
    """Rows of pixels, the upper one first."""
    rows = pixels if top_down else pixels[::-1]
    letter = {16: "H", 32: "I"}[bits]
    body = b""
    for row in rows:
        packed = struct.pack(f"<{len(row)}{letter}", *row)
        body += packed + b"\0" * (-len(packed) % 4)
    height = -len(rows) if top_down else len(rows)
    compression = 6 if header == 40 and len(masks) == 4 else 3
    info = struct.pack("<IiiHHIIiiII", header, len(rows[0]), height, 1, bits, compression, len(body), 0, 0, 0, 0)
    info += struct.pack(f"<{len(masks)}I", *masks)
    info = info.ljust(max(header, len(info)), b"\0")
    start = 14 + len(info)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + body


def shown(data: bytes) -> list[Any]:
    found: list[Any] = decode(data, GENEROUS).rgb.tolist()
    return found


@pytest.mark.parametrize("header", [40, 56, 108, 124])
@pytest.mark.parametrize("top_down", [True, False])
def test_a_mask_for_transparency_that_nobody_filled_hides_nothing(header: int, top_down: bool) -> None:
    data = bmp([[0xFF0000, 0x00FF00], [0x0000FF, 0x102030]], 32, USUAL, header=header, top_down=top_down)
    assert shown(data) == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [16, 32, 48]]]


@pytest.mark.parametrize("header", [40, 56, 108, 124])
def test_transparency_that_is_filled_counts(header: int) -> None:
    assert shown(bmp([[0xFFFF0000, 0x0000FF00, 0x33000000]], 32, USUAL, header=header)) == [
        [[255, 0, 0], [255, 255, 255], [204, 204, 204]]
    ]


@pytest.mark.parametrize(
    ("bits", "masks", "pixel", "expected"),
    [
        (16, (0x7C00, 0x3E0, 0x1F), 0x7C00, [255, 0, 0]),
        (16, (0xF800, 0x7E0, 0x1F), 0x07E0, [0, 255, 0]),
        (16, (0xF00, 0xF0, 0xF, 0xF000), 0xF08F, [0, 136, 255]),
        (16, (0xF00, 0xF0, 0xF, 0xF000), 0x008F, [0, 136, 255]),  # its only pixel is not opaque: none is filled
        (16, (0x7C00, 0x3E0, 0x1F, 0x8000), 0xFC00, [255, 0, 0]),
        (16, (0xE0, 0x1C, 0x3), 0xE3, [255, 0, 255]),
        (32, (0x3FF00000, 0xFFC00, 0x3FF), 0x20000200, [128, 0, 128]),
        (32, (0xFF, 0xFF00, 0xFF0000), 0x0000FF, [255, 0, 0]),
        (32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF), 0xFF000000, [255, 0, 0]),
    ],
)
def test_any_masks(bits: int, masks: Sequence[int], pixel: int, expected: list[int]) -> None:
    assert shown(bmp([[pixel] * 3] * 2, bits, masks)) == [[expected] * 3] * 2


def test_limits_and_truncation() -> None:
    data = bmp([[0] * 50] * 40, 32, USUAL)
    with pytest.raises(ImageError) as caught:
        decode(data[:-300], GENEROUS)
    assert caught.value.reason is Reason.TRUNCATED
    with pytest.raises(ImageError, match="too-large"):
        decode(data, Limits(10**6, 1999))


@pytest.mark.parametrize("what", ["OS/2's short header", "an embedded JPEG"])
def test_what_is_not_read_is_called_by_its_name(what: str) -> None:
    size, bits, compression = (16, 8, 0) if what.startswith("OS/2") else (40, 0, 4)
    info = struct.pack("<IiiHHI", size, 5, 5, 1, bits, compression).ljust(40, b"\0")
    with pytest.raises(ImageError, match="a kind of BMP that recq cannot read") as caught:
        decode(b"BM" + struct.pack("<IHHI", 200, 0, 0, 54) + info + bytes(200), GENEROUS)
    assert caught.value.reason is Reason.UNSUPPORTED


@pytest.mark.packs
def test_the_reported_bmp() -> None:
    folder = pack("reported") / "pictures"
    found, expected = (
        decode((folder / name).read_bytes(), GENEROUS).rgb
        for name in ("bmp32_v4_alpha_all_zero.bmp", "reference_rgb.png")
    )
    assert np.array_equal(found, expected)

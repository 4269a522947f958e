"""Small pictures made on the spot and encoded in every allowed way."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

from recq.images import Limits

GENEROUS = Limits(max_bytes=100_000_000, max_pixels=60_000_000)


def scene(width: int = 90, height: int = 121) -> Image.Image:
    """A picture without symmetry, with smooth and busy parts."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(7).integers(0, 60, (height, width))
    channels = [x * 255 // width, y * 255 // height, (x * y) % 128 + noise]
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


_UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def turned_back(upright: Image.Image, orientation: int) -> Image.Image:
    """The picture as it is stored under an EXIF orientation from 1 to 8."""
    return upright.transpose(_UNDO[orientation]) if orientation in _UNDO else upright


def encode(im: Image.Image, fmt: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    im.save(buffer, fmt, **options)
    return buffer.getvalue()


def heif(im: Image.Image, *more: Image.Image, **options: Any) -> bytes:
    """A HEIC file of one picture, or of several; without telling Pillow of the format."""
    made, buffer = pillow_heif.from_pillow(im), io.BytesIO()
    for each in more:
        made.add_from_pillow(each)
    made.save(buffer, **{"quality": 90} | options)
    return buffer.getvalue()


@cache
def samples() -> dict[str, bytes]:
    """Name -> file; the name's first word is the format."""
    im = scene()
    more = {"save_all": True, "append_images": [im.rotate(90), im.rotate(180)]}
    return {
        "JPEG": encode(im, "JPEG"),
        "JPEG progressive": encode(im, "JPEG", progressive=True),
        "JPEG gray": encode(im.convert("L"), "JPEG"),
        "JPEG cmyk": encode(im.convert("CMYK"), "JPEG"),
        "JPEG with preview": encode(im, "MPO", save_all=True, append_images=[im.resize((40, 50))]),
        "PNG": encode(im, "PNG"),
        "PNG animated": encode(im, "PNG", **more),
        "GIF": encode(im, "GIF"),
        "GIF animated": encode(im, "GIF", **more),
        "WEBP": encode(im, "WEBP"),
        "WEBP lossless": encode(im, "WEBP", lossless=True),
        "WEBP animated": encode(im, "WEBP", **more),
        "BMP": encode(im, "BMP"),
        "BMP palette": encode(im.convert("P"), "BMP"),
        "TIFF": encode(im, "TIFF"),
        "TIFF lzw": encode(im, "TIFF", compression="tiff_lzw"),
        "TIFF deflate": encode(im, "TIFF", compression="tiff_deflate"),
        "TIFF jpeg": encode(im, "TIFF", compression="jpeg"),
        "AVIF": encode(im, "AVIF"),
        "HEIF": heif(im),
        "HEIF tiled": heif(im, tile_size=64),
        "HEIF collection": heif(im, im.rotate(90), im.rotate(180), primary_index=0),
    }


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand, for depths that Pillow does not write: `rows` are the unfiltered samples, without filter bytes."""
    stride = len(rows) // height
    raw = b"".join(b"\0" + rows[start : start + stride] for start in range(0, len(rows), stride))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )

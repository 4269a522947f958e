"""What Pillow and imagecodecs can write, in every mode and depth: what was written is shown, or refused by name."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import product
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from recq.errors import ImageError
from recq.images.decode import decode
from tests.recq.images.encoded import GENEROUS, scene
from tests.recq.images.tiffs import off_by, opaque, over_white, shown

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

Values = npt.NDArray[Any]

MODES = ("1", "L", "LA", "P", "PA", "I;16", "I;16B", "I", "F", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB")
FORMATS: dict[str, list[dict[str, Any]]] = {
    "TIFF": [{"compression": each} for each in
             (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "tiff_lzma", "group4", "jpeg")]
    + [{"big_tiff": True}],
    "PNG": [{}],
    "BMP": [{}],
    "GIF": [{}],
    "WEBP": [{"lossless": True}],
    "JPEG": [{"quality": 95, "subsampling": 0}],
    "AVIF": [{"quality": 100, "subsampling": "4:4:4"}],
}  # fmt: skip
DEEP = {"TIFF", "PNG"}
SHALLOW = tuple(mode for mode in MODES if mode not in ("I;16", "I;16B", "I", "F"))
"""Without the modes of which Pillow keeps 8 bits by clipping, where a format has no more."""

REFUSED = ("12 bits a sample", "2 components")

LOSSY = {"JPEG", "AVIF", "GIF"}


def picture(mode: str) -> tuple[Image.Image, Values]:
    """The scene in that mode, and what it shows, uint8 (h, w, 3)."""
    im = Image.fromarray(shown(False))
    gray = shown(True)
    match mode:
        case "I;16" | "I;16B":
            made = Image.fromarray((gray[..., 0].astype(np.uint16) * 257).astype("<u2" if mode == "I;16" else ">u2"))
            return made, gray
        case "I":
            return Image.fromarray(gray[..., 0].astype(np.int32)), gray
        case "F":
            return Image.fromarray((gray[..., 0] / 255).astype(np.float32)), gray
        case "RGBA" | "LA":
            colours = gray if mode == "LA" else shown(False)
            made = Image.fromarray(colours).convert(mode)
            made.putalpha(Image.fromarray(opaque()))
            return made, over_white(colours, opaque())
        case "PA":
            made = im.quantize(64).convert("PA")
            made.putalpha(Image.fromarray(opaque()))
            return made, over_white(np.asarray(made.convert("RGB")), opaque())
        case "LAB":
            made = Image.merge("LAB", [Image.fromarray(gray[..., 0]), *[Image.new("L", im.size, 128)] * 2])
            return made, decode_lab(made)
        case _:
            made = im.convert(mode) if mode != "P" else im.quantize(64)
            return made, np.asarray(made.convert("RGB"))


def decode_lab(im: Image.Image) -> Values:
    from PIL import ImageCms

    made = ImageCms.profileToProfile(
        im, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    return np.asarray(made)


def saved(im: Image.Image, fmt: str, options: dict[str, Any]) -> bytes | None:
    """The file; None where Pillow does not write such a one."""
    buffer = io.BytesIO()
    try:
        im.save(buffer, fmt, **options)
    except (OSError, ValueError, KeyError):
        return None
    return buffer.getvalue()


def difference(data: bytes, expected: Values) -> float | str:
    """From what was written; or the refusal, where it is one by name."""
    try:
        return off_by(decode(data, GENEROUS).rgb, expected)
    except ImageError as error:
        return str(error)


@pytest.mark.parametrize(("fmt", "modes"), [(fmt, MODES if fmt in DEEP else SHALLOW) for fmt in FORMATS])
def test_pillow(fmt: str, modes: Sequence[str]) -> None:
    found: dict[tuple[str, str], float | str] = {}
    for mode, options in product(modes, FORMATS[fmt]):
        if (mode, options) == ("I;16B", {"big_tiff": True}):
            continue  # Pillow 13 does not write where the pixels are
        im, expected = picture(mode)
        if (fmt, mode) == ("BMP", "RGBA"):
            expected = shown(False)  # in 32 bits without masks the fourth byte means nothing
        if (fmt != "GIF" or "A" not in mode) and (data := saved(im, fmt, options)) is not None:
            found[mode, str(options)] = difference(data, expected)
    lossy = fmt in LOSSY
    refused = {key: value for key, value in found.items() if isinstance(value, str)}
    assert all(
        value.startswith("unsupported: a TIFF of 8 bits a sample, 3 samples a pixel, L*a*b*, compressed as JPEG")
        for value in refused.values()
    ), refused
    most = {key: 8 if lossy or "jpeg" in key[1] else 2 for key in found}
    assert {key: value for key, value in found.items() if not isinstance(value, str) and value > most[key]} == {}
    assert len(found) >= {"TIFF": 70, "PNG": 8, "JPEG": 4}.get(fmt, 3), found


@pytest.mark.parametrize("writer", ["png", "webp", "avif", "jpeg8", "bmp"])
def test_imagecodecs(writer: str) -> None:
    found: dict[tuple[int, int], float | str] = {}
    for channels, depth in product((1, 2, 3, 4), (8, 16)):
        if (writer, channels) == ("jpeg8", 4):
            continue  # CMYK
        gray = channels < 3
        colours = shown(gray)[..., : 1 if gray else 3]
        values = colours if channels % 2 else np.concatenate([colours, opaque()[..., None]], axis=-1)
        values = np.ascontiguousarray(values if channels > 1 else values[..., 0])
        values = values if depth == 8 else values.astype(np.uint16) * 257
        if (writer, depth) == ("jpeg8", 16):
            values >>= 4
        options: dict[str, Any] = {"lossless": True} if writer == "webp" else {"level": 98} if writer == "jpeg8" else {}
        try:
            data = bytes(getattr(imagecodecs, f"{writer}_encode")(values, **options))
        except Exception:  # each codec has its own way to say that it does not write that
            continue
        found[channels, depth] = difference(data, shown(gray) if channels % 2 else over_white(shown(gray), opaque()))
    refused = {value for value in found.values() if isinstance(value, str)}
    assert refused <= {f"unsupported: a JPEG of {kind}, which recq cannot read" for kind in REFUSED}
    most = 14 if writer in ("jpeg8", "avif") else 2
    assert [value for value in found.values() if not isinstance(value, str) and value > most] == []
    assert len(found) >= 2, found


def test_the_scene_has_colours() -> None:
    assert np.asarray(scene()).std(axis=2).mean() > 10

"""Whatever the bytes: a picture or an ImageError."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from recq.errors import ImageError
from recq.images import Limits, sniff
from recq.images.decode import decode
from recq.images.formats import FORMATS, is_cut_short
from tests.recq.images.encoded import encode, samples, scene
from tests.recq.images.icc import PROPHOTO, rgb_profile
from tests.recq.images.test_bmp import bmp
from tests.recq.images.tiffs import Kind, made

LIMITS = Limits(max_bytes=1_000_000, max_pixels=1_000_000)
HEADS = [data[:32] for data in samples().values()]


RARE = {
    str(kind): file[0]
    for kind in (
        Kind("miniswhite", "u16", order=">", compression="lzw", predictor=True),
        Kind("minisblack", "u12"),
        Kind("rgb", "f32", alpha="unassalpha", planar="separate", compression="zlib", predictor=True, tiled=True),
        Kind("palette", "u16", big=True),
        Kind("separated", "u8", alpha="assocalpha"),
        Kind("cielab", "u16"),
    )
    if (file := made(kind)) is not None
} | {
    "wide": encode(scene(), "PNG", icc_profile=rgb_profile(PROPHOTO)),
    "wide JPEG": encode(scene(), "JPEG", icc_profile=rgb_profile(PROPHOTO)),
    "blank first": encode(Image.new("RGB", (90, 121)), "GIF", save_all=True, append_images=[scene()]),
    "masks": bmp([[0x7FFF, 0x1234], [0, 1]], 16, (0xF00, 0xF0, 0xF, 0xF000)),
}
"""What recq puts together itself, and what takes a longer road."""


pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def judge(data: bytes) -> None:
    try:
        picture = decode(data, LIMITS, reduce_to=8)
    except ImageError as error:
        said: str | None = str(error)
    else:
        said = None
        assert picture.rgb.ndim == 3
        assert picture.rgb.shape[2] == 3
        assert picture.width * picture.height <= LIMITS.max_pixels
    assert said is None or (said and "\n" not in said)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([b"", *HEADS]), st.binary(max_size=400))
@example(b"", b"BM" + bytes(30))
def test_random_bytes(head: bytes, tail: bytes) -> None:
    judge(head + tail)
    for fmt in FORMATS:
        assert is_cut_short(fmt, head + tail) in {True, False}
    assert sniff((head + tail)[:32]) == sniff(head + tail)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real file with some bytes overwritten, removed, doubled or moved; mostly where the structure is: in front."""
    base = draw(st.sampled_from([*sorted(samples()), *RARE]))
    data = bytearray(RARE[base] if base in RARE else samples()[base])
    for _ in range(draw(st.integers(1, 6))):
        near = draw(st.sampled_from([40, 400, len(data) - 1]))
        at = draw(st.integers(0, max(0, min(near, len(data) - 1))))
        length = draw(st.integers(1, 64))
        match draw(st.sampled_from(["byte", "overwrite", "remove", "double", "cut"])):
            case "byte":
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case "overwrite":
                data[at : at + length] = draw(st.sampled_from([b"\0", b"\xff", b"\x7f"])) * length
            case "remove":
                del data[at : at + length]
            case "double":
                data[at:at] = data[at : at + length]
            case _:
                del data[max(at, 16) :]
    return bytes(data)


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_mutated_pictures(data: bytes) -> None:
    judge(data)

"""Whatever the bytes: a picture or an ImageError."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recq.errors import ImageError
from recq.images import Limits, decode, sniff
from recq.images.formats import FORMATS, is_cut_short
from tests.images.encoded import samples

LIMITS = Limits(max_bytes=1_000_000, max_pixels=1_000_000)
HEADS = [data[:32] for data in samples().values()]


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
    data = bytearray(samples()[draw(st.sampled_from(sorted(samples())))])
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

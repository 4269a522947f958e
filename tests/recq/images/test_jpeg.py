"""JPEGs of kinds that no decoder at hand reads are called by their name."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest

from recq.errors import ImageError, Reason
from recq.images.decode import decode
from tests.recq.images.encoded import GENEROUS, samples, scene


def refusal(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, GENEROUS)
    return caught.value


@pytest.mark.parametrize("channels", [1, 3])
def test_twelve_bits(channels: int) -> None:
    values = (np.asarray(scene()).astype(np.uint16) * 16)[..., :channels].squeeze()
    data = bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(values), bitspersample=12))
    error = refusal(data)
    assert error.reason is Reason.UNSUPPORTED
    assert error.detail == "a JPEG of 12 bits a sample, which recq cannot read"


def test_lossless() -> None:
    values = np.asarray(scene().convert("L"))
    data = bytes(imagecodecs.ljpeg_encode(values.astype(np.uint16), bitspersample=16))
    assert str(refusal(data)) == "unsupported: a lossless JPEG of 16 bits a sample, which recq cannot read"
    data = bytes(imagecodecs.ljpeg_encode(values, bitspersample=8))
    assert np.array_equal(decode(data, GENEROUS).rgb[..., 0], values), "libjpeg-turbo reads 8 bits"


def test_jpeg_ls() -> None:
    data = bytes(imagecodecs.jpegls_encode(np.asarray(scene().convert("L"))))
    assert str(refusal(data)) == "unsupported: a JPEG-LS picture, which recq cannot read"


def test_damage_is_still_damage() -> None:
    data = bytearray(samples()["JPEG"])
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = bytes(4)  # no size
    assert refusal(bytes(data)).reason is Reason.CORRUPT


def test_a_cut_one_is_truncated_whatever_it_is() -> None:
    values = np.asarray(scene().convert("L")).astype(np.uint16)
    data = bytes(imagecodecs.jpeg8_encode(values, bitspersample=12))
    assert refusal(data[:-50]).reason is Reason.TRUNCATED

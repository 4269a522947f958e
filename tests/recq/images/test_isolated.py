"""Pictures decoded in processes of their own are those decoded here, and nothing of them is left anywhere."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recq.errors import ImageError
from recq.images.fitting import Decoder, DecoderHere, decoder_of
from recq.images.isolated import IsolatedDecoder
from recq.region import Beside, Region
from recq.settings import Settings
from recq.space import InputSpec
from tests.packs import pack

SPEC = InputSpec(96, "pad")


@pytest.fixture(scope="module")
def isolated() -> Iterator[IsolatedDecoder]:
    with IsolatedDecoder(Settings(workers=1, max_pixels=2_000_000)) as decoder:
        yield decoder


@pytest.fixture(scope="module")
def here() -> DecoderHere:
    found = decoder_of(None, Settings(max_pixels=2_000_000))
    assert isinstance(found, DecoderHere)
    return found


def fitted(decoder: Decoder, content: bytes) -> Any:
    """The pixels, or the reason why there are none."""
    try:
        return decoder.fitted(content, SPEC)
    except ImageError as error:
        return error.reason, error.detail


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def png(width: int, height: int) -> bytes:
    noise = np.random.default_rng(width).integers(0, 255, (height, width, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def test_the_same_pixels_or_the_same_error(isolated: IsolatedDecoder, here: DecoderHere) -> None:
    files = sorted(path for path in pack("nasty").rglob("*.*") if path.suffix != ".csv")[::9]
    errors = 0
    for content in [b"", b"rubbish", *(path.read_bytes() for path in files)]:
        expected, found = fitted(here, content), fitted(isolated, content)
        errors += isinstance(expected, tuple)
        np.testing.assert_array_equal(found, expected)
    assert 2 < errors < len(files)


@pytest.mark.parametrize(("width", "height"), [(300, 200), (7, 1000), (50, 50)])
def test_what_is_displayed_is_whole_and_has_its_size(isolated: IsolatedDecoder, width: int, height: int) -> None:
    shown = isolated.displayed(png(width, height), 120)
    assert (shown.width, shown.height) == (width, height)
    longest = max(width, height)
    assert shown.rgb.shape == (max(1, round(height * 120 / longest)), max(1, round(width * 120 / longest)), 3)


def test_limits_hold(isolated: IsolatedDecoder) -> None:
    with pytest.raises(ImageError, match=r"too-large: .* more than max_pixels"):
        isolated.fitted(png(2_001, 1_000), SPEC)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are looked at in /proc")
def test_nothing_is_left_of_a_picture(
    isolated: IsolatedDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    isolated.fitted(png(30, 30), SPEC)
    before = open_files()
    for content in (png(30, 30), b"rubbish"):
        try:
            isolated.fitted(content, SPEC)
        except ImageError:
            continue
    assert open_files() == before
    assert list(tmp_path.iterdir()) == []


def test_without_memory_files_a_private_one_is_used(
    isolated: IsolatedDecoder, here: DecoderHere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    content = png(40, 20)
    np.testing.assert_array_equal(isolated.fitted(content, SPEC), here.fitted(content, SPEC))
    region = Region(10, 20, 55, 30, percent=True)
    np.testing.assert_array_equal(isolated.fitted(content, SPEC, region), here.fitted(content, SPEC, region))
    wide, high = (each.displayed(content, 120, region) for each in (isolated, here))
    assert (wide.width, wide.height) == (high.width, high.height)
    for decoder in (isolated, here):
        with pytest.raises(Beside, match=r"has no region 100%,0%,5%,5%: it is \d+ x \d+ pixels"):
            decoder.fitted(content, SPEC, Region(100, 0, 5, 5, percent=True))
    assert list(tmp_path.iterdir()) == []

"""EXIF as it is read: every format, what cameras write, and bytes that nobody should trust."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from recq.images.exif import LONGEST_TEXT, Exif, read_exif
from tests.recq.images.encoded import encode, heif, samples, scene
from tests.recq.images.exif_samples import CAMERA, PLACE, TAKEN, exif, photo
from tests.recq.images.test_metadata_cannot_hurt import WRITERS, jpeg_with, segment

WHOLE = Exif(
    taken="2024-05-01T12:30:15.25+02:00",
    camera="Canon EOS R5",
    lens="RF24-105mm F4 L IS USM",
    lat=48.2084722,
    lon=-16.3666667,
)


def read(main: Mapping[int, Any] = CAMERA, detail: Mapping[int, Any] = TAKEN, place: Mapping[int, Any] = PLACE) -> Exif:
    return read_exif(photo(made=exif(main, detail, place)))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_every_format(form: str) -> None:
    assert read_exif(photo(form)) == WHOLE


def test_tiff_and_heic() -> None:
    made = exif()
    written = Image.Exif()
    written.load(made.tobytes())  # Pillow writes directories into a TIFF only where it has read them
    assert read_exif(encode(scene(), "TIFF", exif=written)) == WHOLE
    assert read_exif(heif(scene(), exif=made.tobytes())) == WHOLE


def test_what_has_none() -> None:
    for form, data in samples().items():
        assert read_exif(data) == Exif(), form
    assert read_exif(b"") == read_exif(b"no picture") == Exif()


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS R5", "Canon EOS R5"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Apple", "iPhone 15", "Apple iPhone 15"),
        ("SONY", "sony ILCE-7M3 ", "sony ILCE-7M3"),
        ("FUJIFILM\0\0", "X-T5\0junk", "FUJIFILM X-T5"),
        ("OLYMPUS  IMAGING\tCORP.", None, "OLYMPUS IMAGING CORP."),
        (None, "X100", "X100"),
        ("  ", " ", None),
        ("Müller", "Ж 1", "Müller Ж 1"),
        ("a" * 300, "b" * 300, ("a" * LONGEST_TEXT)),
    ],
)
def test_cameras(make: str | None, model: str | None, camera: str | None) -> None:
    tags = {0x010F: make, 0x0110: model}
    assert read({tag: value.encode() for tag, value in tags.items() if value is not None}).camera == camera


@pytest.mark.parametrize(
    ("detail", "taken"),
    [
        ({0x9003: "2024:05:01 12:30:15"}, "2024-05-01T12:30:15"),
        ({0x9003: "2024:05:01 12:30:15", 0x9011: "-05:30"}, "2024-05-01T12:30:15-05:30"),
        ({0x9003: "2024:05:01 12:30:15", 0x9011: "   :  ", 0x9291: "x"}, "2024-05-01T12:30:15"),
        ({0x9003: "2024-05-01T12:30:15"}, "2024-05-01T12:30:15"),
        ({0x9003: "2024-05-01 12:30:15.9"}, "2024-05-01T12:30:15"),
        ({0x9003: "0000:00:00 00:00:00"}, None),
        ({0x9003: "    :  :     :  :  "}, None),
        ({0x9003: "    :  :     :  :  ", 0x9004: "2001:02:03 04:05:06", 0x9012: "+01:00"}, "2001-02-03T04:05:06+01:00"),
        ({0x9004: "2001:02:03 04:05:06", 0x9011: "+01:00"}, "2001-02-03T04:05:06"),
        ({}, None),
    ],
)
def test_times(detail: Mapping[int, Any], taken: str | None) -> None:
    assert read(detail=detail).taken == taken


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ({1: "S", 2: (33.5,), 3: "E", 4: (151.0, 12.0)}, (-33.5, 151.2)),
        ({1: "N", 2: (0.0, 0.0, 0.0), 3: "W", 4: (0.0, 0.0, 0.0)}, (0.0, 0.0)),
        ({2: (33.5, 0.0, 0.0), 4: (151.0, 0.0, 0.0)}, None),
        ({1: "N", 2: (33.5, 0.0, 0.0)}, None),
        ({1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (1.0, 0.0, 0.0)}, None),
        ({1: "X", 2: (1.0, 0.0, 0.0), 3: "E", 4: (1.0, 0.0, 0.0)}, None),
        ({1: "N", 2: (IFDRational(0, 0), 0.0, 0.0), 3: "E", 4: (1.0, 0.0, 0.0)}, None),
    ],
)
def test_places(place: Mapping[int, Any], found: tuple[float, float] | None) -> None:
    exif_ = read(place=place)
    assert (exif_.lat, exif_.lon) == (found or (None, None))
    assert not str(exif_.lon).startswith("-0.0")


def directory(entries: bytes, count: int, *, order: str = "<") -> bytes:
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, count) + entries


def test_a_directory_that_leads_to_itself_and_one_that_lies_beyond() -> None:
    for at in (8, 1, 0xFFFFFFFF, 60_000):
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, at) for tag in (0x8769, 0x8825))
        assert read_exif(jpeg_with(segment(0xE1, b"Exif\0\0" + directory(entries, 2) + bytes(200)))) == Exif()


def test_a_directory_that_says_the_whole_file_again_and_again_costs_neither_time_nor_memory() -> None:
    """65,535 entries, each of which claims all of 30 MB."""
    entries = b"".join(struct.pack("<HHII", 0x0100 + tag % 0xFE00, 2, 30_000_000, 0) for tag in range(65_535))
    data = directory(entries, 65_535) + bytes(30_000_000)
    began = time.process_time()
    tracemalloc.start()
    found = read_exif(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.lens is None
    assert peak < 60_000_000
    assert time.process_time() - began < 5


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(WRITERS)), st.binary(max_size=300))
@example("JPEG EXIF", b"")
@example("JPEG EXIF header", struct.pack("<HHHII", 1, 0x8769, 4, 1, 8))
def test_whatever_the_bytes_it_is_exif_or_nothing(name: str, body: bytes) -> None:
    found = read_exif(WRITERS[name](body))
    assert Exif.from_json(found.to_json()) == found


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.data())
def test_a_picture_whose_exif_is_damaged_anywhere(form: str, data: st.DataObject) -> None:
    whole = bytearray(_WHOLE[form])
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at : at + 4] = data.draw(st.binary(min_size=1, max_size=4))
    cut = data.draw(st.integers(0, len(whole)))
    for each in (bytes(whole), bytes(whole[:cut])):
        found = read_exif(each)
        assert Exif.from_json(found.to_json()) == found


_WHOLE = {form: photo(form) for form in ("JPEG", "PNG", "WEBP")}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"taken": 5},
        {"lat": 1},
        {"lat": float("nan")},
        {"lon": 1e9},
        {"camera": "x" * (LONGEST_TEXT + 1)},
        {"category": "mine"},
    ],
)
def test_a_process_that_lies_is_not_believed(answer: object) -> None:
    with pytest.raises(ValueError, match=r"not EXIF|no degrees"):
        Exif.from_json(answer)


def test_pillow_reads_the_same() -> None:
    with Image.open(io.BytesIO(photo())) as im:
        theirs = im.getexif()
    assert theirs[0x0110] == WHOLE.camera
    assert theirs.get_ifd(0x8769)[0xA434] == WHOLE.lens
    degrees, minutes, seconds = map(float, theirs.get_ifd(0x8825)[2])
    assert WHOLE.lat == pytest.approx(degrees + minutes / 60 + seconds / 3600)

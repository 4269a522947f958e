"""Pillow's own test pictures, PngSuite and EXIF examples: 524 files, most of them odd, many broken on purpose."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import pytest

from recq.errors import ImageError, Reason
from recq.images import Limits, sniff
from recq.images.decode import decode
from tests.packs import pack

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

LIMITS = Limits(max_bytes=50_000_000, max_pixels=60_000_000)  # the manifest's: it was made without loading more

NOT_ALLOWED = {"TGA", "JPEG2000", "PSD", "ICO", "PPM"}

STRICTER = {
    "pillow/truncated_end_chunk.png": Reason.TRUNCATED,  # no whole IEND: the rest could hold the orientation
    # Loading raises in both; the manifest's second load of the half-read object then passed.
    "pillow/broken_data_stream.png": Reason.CORRUPT,
    "pillow/chunk_no_fctl.png": Reason.CORRUPT,
}
"""Files that Pillow 13 made something of and recq refuses, with why."""

LAXER = {
    "pillow/png_decompression_dos.png": (1, 1),  # only its text is a bomb: that is not read
    "pillow/unknown_compression_method.png": (57, 57),  # of its colour profile
    # Masks that Pillow does not know.
    "pillow/rgb16-231.bmp": (127, 64),
    "pillow/rgb32-111110.bmp": (127, 64),
    "pillow/rgba16-4444.bmp": (127, 64),
    "pillow/rgba32abf.bmp": (127, 64),
    "pillow/hopper_webp.tif": (128, 128),  # WebP in TIFF, which Pillow's libtiff lacks
}
"""Files that Pillow 13 refuses and recq reads, with their size."""

UNSUPPORTED = {
    "pillow/rgb24jpeg.bmp",  # a JPEG in a BMP's header
    "pillow/pal8os2v2-16.bmp",  # OS/2's header of 16 bytes
    "pillow/badbitcount.bmp",  # these three only say impossible numbers, which nobody could tell from rare ones
    "pillow/badheadersize.bmp",
    "pillow/badpalettesize.bmp",
}

REFUSED = {Reason.CORRUPT, Reason.TRUNCATED, Reason.TOO_LARGE, Reason.NOT_AN_IMAGE, Reason.UNSUPPORTED}

Outcome = tuple[dict[str, str], Reason | None]


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    """Every row of the manifest with what recq says: None for a picture, else the reason."""

    def judge() -> Iterator[Outcome]:
        folder = pack("nasty")
        with (folder / "manifest.csv").open(newline="") as lines:
            for row in csv.DictReader(lines):
                data = (folder / row["file"]).read_bytes()
                try:
                    picture = decode(data, LIMITS)
                except ImageError as error:
                    yield row, error.reason
                    continue
                assert picture.rgb.shape == (picture.height, picture.width, 3), row["file"]
                if row["file"] in LAXER:
                    assert (picture.width, picture.height) == LAXER[row["file"]]
                    yield row, None
                    continue
                swapped = row["orient"] in {"5", "6", "7", "8"} and row["format"] != "TIFF"
                size = (int(row["h"]), int(row["w"])) if swapped else (int(row["w"]), int(row["h"]))
                assert (picture.width, picture.height) == size, row["file"]
                assert row["format"] in {picture.format, "MPO"}, row["file"]
                yield row, None

    return list(judge())


@pytest.mark.packs
def test_every_file_is_a_picture_or_refused_as_the_manifest_says(outcomes: list[Outcome]) -> None:
    assert len(outcomes) == 524
    stricter = {
        row["file"]: reason
        for row, reason in outcomes
        if row["outcome"] == "ok" and row["format"] not in NOT_ALLOWED and reason is not None
    }
    laxer = [row["file"] for row, reason in outcomes if row["outcome"] != "ok" and reason is None]
    assert stricter == STRICTER
    assert set(laxer) == set(LAXER)


@pytest.mark.packs
def test_formats_that_are_not_allowed_are_no_images(outcomes: list[Outcome]) -> None:
    reasons = {reason for row, reason in outcomes if row["format"] in NOT_ALLOWED}
    assert reasons == {Reason.NOT_AN_IMAGE}


@pytest.mark.packs
def test_refusals_have_the_fitting_reason(outcomes: list[Outcome]) -> None:
    reasons = {row["file"]: reason for row, reason in outcomes}
    assert {reason for reason in reasons.values() if reason} <= REFUSED
    for name, reason in reasons.items():
        assert "decompression_bomb." not in name or reason in {Reason.TOO_LARGE, Reason.NOT_AN_IMAGE}, name
    for name in ("truncated_image.png", "truncated_jpeg.jpg", "shortfile.bmp"):
        assert reasons[f"pillow/{name}"] is Reason.TRUNCATED
    assert reasons["pillow/badwidth.bmp"] is Reason.TOO_LARGE
    assert {name for name, reason in reasons.items() if reason is Reason.UNSUPPORTED} == UNSUPPORTED
    assert sum(reason is None for reason in reasons.values()) == 435


@pytest.mark.packs
def test_thirty_two_bytes_are_enough_for_every_file(outcomes: list[Outcome]) -> None:
    folder = pack("nasty")
    for row, reason in outcomes:
        with (folder / row["file"]).open("rb") as file:
            assert (sniff(file.read(32)) is None) == (reason is Reason.NOT_AN_IMAGE), row["file"]

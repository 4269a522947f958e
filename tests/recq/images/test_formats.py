from __future__ import annotations

import pytest
from PIL import Image

from recq.images import IMAGE_EXTENSIONS, sniff
from recq.images.formats import FORMATS, is_cut_short
from tests.recq.images.encoded import samples


@pytest.mark.parametrize("name", sorted(samples()))
def test_thirty_two_bytes_tell_the_format(name: str) -> None:
    assert sniff(samples()[name][:32]) == name.split()[0]


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"BMW, Audi and Mercedes: prices of used cars",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1",
        b"<svg xmlns='http://www.w3.org/2000/svg'></svg>",
        b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00",
        b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(8),
        b"II*\0\x10\0\0\0CR\x02\0" + bytes(20),  # Canon raw
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(20),
    ],
)
def test_other_content_is_not_an_image(head: bytes) -> None:
    assert sniff(head) is None


def test_avif_behind_the_common_brand_is_seen() -> None:
    assert sniff(b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif" + bytes(4)) == "AVIF"


def test_extensions_are_those_of_the_allowed_formats() -> None:
    Image.init()
    # What pillow_heif would register with Pillow if recq let it.
    heif = dict.fromkeys((".heic", ".heics", ".heif", ".heifs", ".hif"), "HEIF")
    pillow = heif | Image.registered_extensions()
    allowed = {*FORMATS, "DIB", "MPO"}
    assert {each for each, fmt in pillow.items() if fmt in allowed} <= IMAGE_EXTENSIONS
    assert {pillow[each] for each in IMAGE_EXTENSIONS} <= allowed


@pytest.mark.parametrize("name", sorted(samples()))
def test_a_whole_file_is_not_called_cut(name: str) -> None:
    assert not is_cut_short(name.split()[0], samples()[name])


@pytest.mark.parametrize(
    "name", sorted(name for name in samples() if name.split()[0] in {"PNG", "GIF", "WEBP", "AVIF", "HEIF"})
)
def test_bytes_after_the_end_do_no_harm(name: str) -> None:
    if not name.startswith(("AVIF", "HEIF")):  # their boxes have no end mark: what follows reads as one more box
        assert not is_cut_short(name.split()[0], samples()[name] + b"appended by some tool")

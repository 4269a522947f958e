"""Metadata never costs a picture: too large, broken or a bomb, it is left out and the pixels stay."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recq.images.decode import decode
from tests.packs import pack
from tests.recq.images.encoded import GENEROUS, encode, samples, scene, turned_back
from tests.recq.images.icc import PROPHOTO, rgb_profile

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

ORIENTATION = 0x0112
LARGE = np.random.default_rng(1).bytes(3_000_000)


def chunk(kind: bytes, body: bytes, *, checksum: int | None = None) -> bytes:
    crc = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def with_chunks(*chunks: bytes, data: bytes | None = None) -> bytes:
    """A PNG with these after its header."""
    png = data or samples()["PNG"]
    return png[:33] + b"".join(chunks) + png[33:]


def text(kind: bytes, keyword: bytes, value: bytes) -> bytes:
    match kind:
        case b"tEXt":
            return chunk(kind, keyword + b"\0" + value)
        case b"zTXt":
            return chunk(kind, keyword + b"\0\0" + zlib.compress(value))
        case _:
            return chunk(kind, keyword + b"\0\1\0\0\0" + zlib.compress(value))


CHUNKS: dict[str, bytes] = {
    "a large XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"<x>" + b" " * 3_000_000),
    "a large packed XMP": text(b"iTXt", b"XML:com.adobe.xmp", LARGE),
    "a large text": text(b"tEXt", b"Comment", LARGE),
    "a large packed text": text(b"zTXt", b"Comment", LARGE),
    "a bomb": text(b"zTXt", b"XML:com.adobe.xmp", bytes(80_000_000)),
    "a bomb of a profile": chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(80_000_000))),
    "a large profile": chunk(b"iCCP", b"x\0\0" + zlib.compress(rgb_profile(PROPHOTO)[:132] + LARGE)),
    "a profile packed in another way": chunk(b"iCCP", b"x\0\7" + zlib.compress(b"profile")),
    "a profile that is none": chunk(b"iCCP", b"x"),
    "a text packed in another way": chunk(b"zTXt", b"XML:com.adobe.xmp\0\7abc"),
    "short numbers": b"".join(chunk(kind, b"") for kind in (b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"tIME", b"bKGD")),
    "a wrong checksum of a text": chunk(b"tEXt", b"Comment\0hello", checksum=7),
    "a wrong checksum of EXIF": chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0", checksum=7),
    "a wrong checksum of a private chunk": chunk(b"prVt", b"hello", checksum=7),
    "many texts": b"".join(text(b"zTXt", b"Comment", bytes(900_000)) for _ in range(90)),
}


@pytest.mark.parametrize("name", CHUNKS)
def test_png(name: str) -> None:
    tracemalloc.start()
    found = decode(with_chunks(CHUNKS[name]), GENEROUS).rgb
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(found, np.asarray(scene()))
    assert peak < 60_000_000


def test_a_png_with_a_large_profile_that_is_one() -> None:
    """A profile may have any tables behind those that count: 1.5 MB of them here."""
    profile = rgb_profile(PROPHOTO)
    padded = struct.pack(">I", len(profile) + 1_500_000) + profile[4:] + LARGE[:1_500_000]
    expected = decode(encode(scene(), "PNG", icc_profile=profile), GENEROUS).rgb
    assert not np.array_equal(expected, np.asarray(scene()))
    data = with_chunks(chunk(b"iCCP", b"x\0\0" + zlib.compress(padded)))
    assert np.array_equal(decode(data, GENEROUS).rgb, expected)


@pytest.mark.parametrize("where", ["eXIf", "iTXt", "zTXt"])
def test_what_tells_the_orientation_of_a_png_is_kept(where: str) -> None:
    upright = scene(40, 24)
    data = encode(turned_back(upright, 6), "PNG")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    made = {
        "eXIf": chunk(b"eXIf", exif.tobytes()[6:]),
        "iTXt": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        "zTXt": text(b"zTXt", b"Raw profile type exif", b"\nexif\n0\n" + exif.tobytes().hex().encode()),
    }
    assert np.array_equal(decode(with_chunks(made[where], data=data), GENEROUS).rgb, np.asarray(upright))


def test_a_wrong_checksum_of_pixels_still_counts() -> None:
    data = bytearray(samples()["PNG"])
    data[data.index(b"IDAT") + 20] ^= 1
    with pytest.raises(Exception, match="corrupt"):
        decode(bytes(data), GENEROUS)


# -- the other formats ------------------------------------------------------------------------------------------------


def jpeg_with(segments: bytes) -> bytes:
    data = samples()["JPEG"]
    return data[:2] + segments + data[2:]


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def webp_with(body: bytes, kind: bytes) -> bytes:
    simple = encode(scene(), "WEBP", lossless=True)
    flags = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}[kind]
    head = bytes([flags, 0, 0, 0]) + (89).to_bytes(3, "little") + (120).to_bytes(3, "little")
    made = kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    extended = b"VP8X" + struct.pack("<I", 10) + head
    inner = extended + made + simple[12:] if kind == b"ICCP" else extended + simple[12:] + made
    return b"RIFF" + struct.pack("<I", 4 + len(inner)) + b"WEBP" + inner


def tiff_with(tag: int, body: bytes) -> bytes:
    from tests.recq.images.tiffs import HEIGHT, WIDTH, shown, tiff_file

    tags: dict[int, int | Sequence[int]] = {258: (8, 8, 8), 262: 2, 277: 3, tag: list(body)}
    return tiff_file("<", WIDTH, HEIGHT, shown(False).tobytes(), tags, as_bytes=frozenset({tag}))


def gif_with(body: bytes) -> bytes:
    data = encode(scene().quantize(200), "GIF")
    at = 13 + 3 * 256
    blocks = b"".join(bytes([len(body[i : i + 255])]) + body[i : i + 255] for i in range(0, len(body), 255))
    return data[:at] + b"\x21\xfe" + blocks + b"\0" + data[at:]


WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "JPEG EXIF": lambda body: jpeg_with(segment(0xE1, b"Exif\0\0" + body)),
    "JPEG EXIF header": lambda body: jpeg_with(segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + body)),
    "JPEG XMP": lambda body: jpeg_with(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + body)),
    "JPEG profile": lambda body: jpeg_with(segment(0xE2, b"ICC_PROFILE\0\1\1" + body)),
    "JPEG part of a profile": lambda body: jpeg_with(segment(0xE2, b"ICC_PROFILE\0\2\7" + body)),
    "JPEG pictures": lambda body: jpeg_with(segment(0xE2, b"MPF\0" + body)),
    "JPEG pictures' header": lambda body: jpeg_with(segment(0xE2, b"MPF\0II*\0\x08\0\0\0" + body)),
    "JPEG Photoshop": lambda body: jpeg_with(segment(0xED, b"Photoshop 3.0\0" + body)),
    "JPEG Photoshop block": lambda body: jpeg_with(segment(0xED, b"Photoshop 3.0\x008BIM" + body)),
    "JPEG comment": lambda body: jpeg_with(segment(0xFE, body)),
    "JPEG JFIF": lambda body: jpeg_with(segment(0xE0, b"JFIF\0" + body)),
    "JPEG other": lambda body: jpeg_with(segment(0xE7, body)),
    "PNG text": lambda body: with_chunks(chunk(b"tEXt", body)),
    "PNG packed text": lambda body: with_chunks(chunk(b"zTXt", b"Raw profile type exif\0" + body)),
    "PNG XMP": lambda body: with_chunks(chunk(b"iTXt", b"XML:com.adobe.xmp\0" + body)),
    "PNG EXIF": lambda body: with_chunks(chunk(b"eXIf", body)),
    "PNG EXIF header": lambda body: with_chunks(chunk(b"eXIf", b"II*\0\x08\0\0\0" + body)),
    "PNG profile": lambda body: with_chunks(chunk(b"iCCP", body)),
    "PNG packed profile": lambda body: with_chunks(chunk(b"iCCP", b"x\0\0" + zlib.compress(body))),
    "WEBP profile": lambda body: webp_with(body, b"ICCP"),
    "WEBP EXIF": lambda body: webp_with(body, b"EXIF"),
    "WEBP XMP": lambda body: webp_with(body, b"XMP "),
    "GIF comment": gif_with,
    **{f"TIFF tag {tag}": partial(tiff_with, tag) for tag in (270, 700, 33723, 34377, 34675, 36867)},
}


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(WRITERS)), st.binary(max_size=300))
def test_whatever_the_metadata_the_pixels_stay(name: str, body: bytes) -> None:
    found = decode(WRITERS[name](body), GENEROUS)
    plain = decode(WRITERS[name](b""), GENEROUS)
    assert found.rgb.shape in (plain.rgb.shape, (*plain.rgb.shape[1::-1], 3))
    if found.rgb.shape == plain.rgb.shape:
        assert np.array_equal(found.rgb, plain.rgb) or "EXIF" in name or "XMP" in name or "exif" in name


@pytest.mark.parametrize("name", [name for name in WRITERS if not name.startswith("JPEG")])
def test_megabytes_of_metadata(name: str) -> None:
    assert np.array_equal(decode(WRITERS[name](LARGE), GENEROUS).rgb, decode(WRITERS[name](b""), GENEROUS).rgb)


def test_megabytes_of_metadata_in_a_jpeg() -> None:
    many = b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([n + 1, 200]) + LARGE[:60_000]) for n in range(200))
    many += b"".join(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + LARGE[:60_000]) for _ in range(50))
    assert np.array_equal(decode(jpeg_with(many), GENEROUS).rgb, decode(samples()["JPEG"], GENEROUS).rgb)


@pytest.mark.packs
def test_the_reported_png() -> None:
    folder = pack("reported") / "pictures"
    found = decode((folder / "png_icc_1.5MB.png").read_bytes(), GENEROUS).rgb
    assert np.array_equal(found, np.asarray(Image.open(io.BytesIO((folder / "reference_rgb.png").read_bytes()))))

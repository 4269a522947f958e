"""Which bytes are a picture: the allow-list, the magic numbers, and whether a container is all there.

This is the first step for an item: its first bytes decide whether it is an image and which decoder may read
it. The name never decides: a `.png` that begins like PostScript must not reach a PostScript parser.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

from recq.images import tiff_pages

IMAGE_EXTENSIONS: frozenset[str] = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo",
        ".png", ".apng",
        ".webp",
        ".gif",
        ".bmp", ".dib",
        ".tif", ".tiff",
        ".avif", ".avifs",
        ".heic", ".heics", ".heif", ".heifs", ".hif",
    }
)  # fmt: skip
"""Extensions of the allowed formats, lower case, with the dot."""

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
"""The allow-list, by Pillow's names (HEIF: HEIC and its kin, whose decoder is an extra). Everything else, whatever
Pillow could make of it, is not an image to recq."""

_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
_AVIF_BRANDS = (b"avif", b"avis")
_SHARED_BRANDS = (b"mif1", b"msf1")  # of HEIC and AVIF alike: the compatible brands decide
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")


def sniff(head: bytes) -> str | None:
    """The allowed format whose magic `head` (the first 32 bytes or more) has, or None.

    Camera raw files made as TIFF (NEF, DNG, ARW) have TIFF's magic and are TIFF here; Canon's CR2 marks itself and is
    not.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    # "BM" begins many a text, but none has two NULs where a BMP has the upper half of its header's size.
    if head[:2] == b"BM" and head[16:18] == b"\0\0":
        return "BMP"
    if head[:4] in _TIFF_MAGICS and head[8:10] != b"CR":
        return "TIFF"
    if head[4:8] == b"ftyp":
        compatible = [head[start : start + 4] for start in range(16, len(head) - 3, 4)]
        brand, shared = head[8:12], head[8:12] in _SHARED_BRANDS
        if brand in _AVIF_BRANDS or (shared and any(each in _AVIF_BRANDS for each in compatible)):
            return "AVIF"
        if brand in _HEIC_BRANDS or shared:
            return "HEIF"
    return None


_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"II\xbc", "a JPEG XR picture"),
    (b"8BPS", "a Photoshop document"),
    (b"gimp xcf", "a GIMP document"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"#?RGBE", "a Radiance HDR picture"),
    (b"DDS ", "a DDS texture"),
    (b"qoif", "a QOI picture"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (b"IIRO", "a camera's raw file"),
    (b"IIRS", "a camera's raw file"),
    (b"MMOR", "a camera's raw file"),
    (b"IIU\0", "a camera's raw file"),
    (b"FOVb", "a camera's raw file"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"%PDF-", "a PDF document"),
    (b"PK\3\4", "a ZIP archive, or a document that is one"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM film"),
)  # fmt: skip
"""The first bytes of formats that occur under picture names although recq does not read them."""

_TAG = re.compile(rb"<(?:!doctype )?(html|svg)\b", re.IGNORECASE)


def other_kind(head: bytes) -> str | None:
    """What kind of file it is that recq cannot read, from its first bytes (some hundred), for messages."""
    for magic, kind in _OTHERS:
        if head.startswith(magic):
            return kind
    if head[4:8] == b"ftyp":
        return "a camera's raw file" if head[8:11] == b"crx" else "a film"
    if head[:4] in _TIFF_MAGICS:
        return "a camera's raw file"
    if re.match(rb"P[1-7]\s", head):
        return "a Netpbm picture (PPM, PGM, PBM)"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<") and (tag := _TAG.search(head)) is not None:
        return "an SVG drawing" if tag[1].lower() == b"svg" else "HTML, a web page in the picture's place"
    return None


def is_cut_short(fmt: str, data: bytes) -> bool:
    """Whether the container itself shows that bytes are missing at its end.

    For PNG, GIF, WebP, AVIF and HEIF this is stricter than the decoders, which are content with a whole first frame:
    the missing rest may hold the orientation, and is usually still being uploaded. JPEG has its end marker; TIFF has
    the places of the first page's values and pixels, which only explain what a decoder refused: files in use are
    untidy there. BMP does not tell: its size field is wrong in too many good files.
    """
    walk = _WALKS.get(fmt)
    try:
        return walk is not None and walk(data)
    except (struct.error, IndexError, OverflowError):  # the walk itself ran over the end
        return True


def _png_cut(data: bytes) -> bool:
    at: int = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if not kind.isalpha():
            return False  # damaged rather than short, which the decoder reports
        at += 12 + length
        if kind == b"IEND":
            return at > len(data)
    return True


def _gif_cut(data: bytes) -> bool:
    at = 13 + _gif_table(data[10])
    frames = 0
    while at < len(data):
        kind = data[at]
        if kind == 0x3B:  # trailer
            return False
        if kind == 0x21:  # extension: label, blocks
            at += 2
        elif kind == 0x2C:  # frame: descriptor, colour table, code size, blocks
            frames += 1
            at += 11 + _gif_table(data[at + 9])
        else:
            return False  # damaged, or padding after the last frame
        while size := data[at]:
            at += 1 + size
        at += 1
    return frames == 0 or at > len(data)  # a missing trailer alone is common and harmless


def _gif_table(packed: int) -> int:
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0


def _webp_cut(data: bytes) -> bool:
    size: int = struct.unpack_from("<I", data, 4)[0]
    return len(data) < 8 + size


def boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The outermost boxes of an ISO base media file (AVIF, HEIF): kind, start and end of each; up to a damaged one.

    The last end lies beyond the data when that is cut. Raises struct.error where not even the box's head is whole.
    """
    at: int = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size == 0:  # "to the end of the file"
            size = len(data) - at
        elif size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        if size < 8:
            return
        yield kind, at, at + size
        at += size


def _boxes_cut(data: bytes) -> bool:
    found = list(boxes(data))
    end = found[-1][2] if found else 0
    damaged = end < len(data)
    return not damaged and (end > len(data) or b"meta" not in {kind for kind, _, _ in found})


def _jpeg_cut(data: bytes) -> bool:
    # Thumbnails bring their own end marker before the pixels, previews and films theirs after: only a walk from
    # segment to segment finds the picture's. Within the pixels a marker is 0xFF with neither 0 nor a restart behind it.
    at = 2
    while found := _JPEG_MARKER.search(data, at):
        at = found.end()
        kind = data[at - 1]
        if kind in (0xD9, 0xF7):  # end of image; or JPEG-LS, whose pixels may look like markers
            return False
        if kind not in (0x01, 0xD8):
            at += struct.unpack_from(">H", data, at)[0]
    return True


_JPEG_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")


_WALKS: dict[str, Callable[[bytes], bool]] = {
    "PNG": _png_cut,
    "GIF": _gif_cut,
    "WEBP": _webp_cut,
    "AVIF": _boxes_cut,
    "HEIF": _boxes_cut,
    "TIFF": tiff_pages.is_cut,
    "JPEG": _jpeg_cut,
}

"""TIFF: decides who decodes a page, and reads the pages that Pillow refuses or decodes wrongly.

A TIFF may hold numbers of any depth, signed or not, floats, any count of samples, in strips, tiles or planes. Pillow
has a table of the combinations it knows, and decodes some of these wrongly (gray of 12 bits, 16-bit gray where white is
0, signed bytes). `way` gives it those that it is known to decode correctly, which is nearly every TIFF in use; others
with a plain colour model are assembled here, from the segments that libtiff unpacks. All others are refused by name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from recq.errors import ImageError, Reason
from recq.images.depth import eight_bits, opacity
from recq.images.opening import opened
from recq.images.pixels import Raster
from recq.images.tiff_pages import Page, Tag

_NONE, _LZW, _DEFLATE, _OLD_DEFLATE, _PACKBITS, _LZMA, _ZSTD = 1, 5, 8, 32946, 32773, 34925, 50000
_PLAIN = frozenset({_NONE, _LZW, _DEFLATE, _OLD_DEFLATE, _PACKBITS, _LZMA, _ZSTD})
"""Compressions that give back the bytes as they were, whatever they mean."""

_JPEG, _WEBP = 7, 50001  # they know what a pixel is
_BILEVEL = frozenset({2, 3, 4, 32771})  # CCITT and raw words: one bit a pixel

_COMPRESSIONS = {
    6: "old-style JPEG", 7: "JPEG", 9: "JBIG", 10: "JBIG", 32766: "NeXT", 32809: "ThunderScan", 32909: "PixarLog",
    33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34661: "JBIG", 34676: "SGILog", 34677: "SGILog",
    34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG", 34933: "PNG", 34934: "JPEG XR", 22610: "JPEG XR",
    50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _TRANSPARENCY, _CMYK, _YCBCR = range(7)
_CIELAB, _ICCLAB = 8, 9
_MODELS = {10: "ITU L*a*b*", 32803: "a camera's raw values", 32844: "LogL", 32845: "LogLuv", 34892: "linear raw values"}
_COLOURS = {
    _WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _TRANSPARENCY: 1, _PALETTE: 1, _RGB: 3, _CMYK: 4, _CIELAB: 3, _ICCLAB: 3,
}  # fmt: skip
"""Samples of a pixel that are colour; those after them are extra ones."""

_ASSOCIATED, _UNASSOCIATED = 1, 2  # ExtraSamples: transparency, with the colours multiplied by it or not
_ODD_ALPHA = 999  # what Corel Draw 10 writes for it

_MOST_SAMPLES = 4096
_LARGEST = 1 << 31  # bytes of a strip or tile, unpacked: what a small file may claim


class Way(Enum):
    """Who decodes a page."""

    PILLOW = "pillow"
    HERE = "here"


def way(page: Page) -> Way:
    """Who decodes the page. Raises ImageError (UNSUPPORTED), with its kind, where nothing decodes it."""
    model = page.photometric
    if model is None or not page.bits or not 1 <= page.samples <= _MOST_SAMPLES or 0 in page.size:
        return Way.PILLOW  # no TIFF that means anything: its verdict counts
    if len(page.bits) != page.samples or page.samples < _COLOURS.get(model, 1):
        return Way.PILLOW  # it contradicts itself
    if _is_pillows(page, model):
        return Way.PILLOW
    if (page.compression in _PLAIN and _is_plain(page, model) and _is_summed(page)) or _is_webp(page, model):
        return Way.HERE
    raise _unsupported(page)


def can_be_read(page: Page) -> bool:
    """Whether the page can be decoded."""
    try:
        way(page)
    except ImageError:
        return False
    return True


def _is_plain(page: Page, model: int) -> bool:
    """Whether its numbers are plain colours."""
    depths = set(page.bits)
    if model not in _COLOURS or not all(1 <= each <= 64 for each in depths):
        return False
    if page.formats == {3}:
        return depths in ({16}, {32}, {64}) and model in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
    if page.formats == {2}:  # a* and b* are always signed
        return model in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) or (model == _CIELAB and depths in ({8}, {16}))
    if page.formats != {1}:
        return False
    match model:
        case 3:
            return max(depths) <= 16 and Tag.COLOR_MAP in page.numbers
        case 5:
            return page.number(Tag.INK_SET, 1) == 1
        case 8 | 9:
            return depths in ({8}, {16})
        case _:
            return True


def _is_summed(page: Page) -> bool:
    """Whether it has whole numbers, or differences of them that can be summed up."""
    predictor = 1 if page.compression == _NONE else page.number(Tag.PREDICTOR, 1)
    whole = set(page.bits) in ({8}, {16}, {32}, {64})
    return predictor == 1 or (predictor == 2 and whole) or (predictor == 3 and page.formats == {3})


def _is_pillows(page: Page, model: int) -> bool:
    """Whether Pillow is known to be right: the common kinds, with every compression that it has."""
    if page.compression not in _PLAIN | _BILEVEL | {_JPEG} or page.formats != {1} or _is_strange(page):
        return False
    bits, one, predicted = page.bits, page.samples == 1, page.number(Tag.PREDICTOR, 1) != 1
    if predicted and page.compression == _PACKBITS:  # which libtiff would ignore
        return False
    if page.compression == _JPEG and set(bits) != {8}:
        return False
    if model in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE) and one and bits[0] in (1, 2, 4, 8):
        return bits[0] == 8 or not (predicted or page.is_tiled)
    if page.number(Tag.FILL_ORDER, 1) != 1 or set(bits) != {8}:
        return False
    contiguous = page.number(Tag.PLANAR, 1) == 1
    match model, page.samples:
        case (2, 3) | (6, 1 | 3):
            return True
        case (5, 4):
            return page.number(Tag.INK_SET, 1) == 1
        case (8, 3):
            return contiguous and page.compression in _PLAIN
        case (1, 2) | (2, 4):  # with an extra sample
            return contiguous and page.compression == _JPEG
        case _:
            return False


def _is_webp(page: Page, model: int) -> bool:
    """Whether each segment is a WebP picture, of colours and perhaps of transparency. Pillow's libtiff has no WebP."""
    plain = page.number(Tag.PLANAR, 1) == 1 and page.number(Tag.FILL_ORDER, 1) == 1
    return page.compression == _WEBP and model == _RGB and set(page.bits) == {8} and page.samples in (3, 4) and plain


def _is_strange(page: Page) -> bool:
    """Whether it is a big-endian BigTIFF, which Pillow does not know."""
    return page.layout.big and page.layout.order == ">"


def _unsupported(page: Page) -> ImageError:
    return ImageError(Reason.UNSUPPORTED, f"a TIFF of {kind(page)}, which recq cannot read")


def kind(page: Page) -> str:
    """The kind of a page for messages: "12 bits a sample, compressed as JPEG"."""
    bits = sorted(set(page.bits))
    said = [f"{' and '.join(map(str, bits))} bit{'s' if bits != [1] else ''} a sample"]
    if page.samples > 1:
        said.append(f"{page.samples} samples a pixel")
    if 3 in page.formats:
        said.append("floats")
    if page.formats & {5, 6}:
        said.append("complex numbers")
    elif 2 in page.formats:
        said.append("signed")
    if page.photometric in _MODELS:
        said.append(_MODELS[page.photometric])
    elif page.photometric not in _COLOURS and page.photometric != _YCBCR:
        said.append(f"colour model {page.photometric}")
    elif page.photometric == _YCBCR:
        said.append("YCbCr")
    elif page.photometric in (_CIELAB, _ICCLAB):
        said.append("L*a*b*")
    if page.photometric == _CMYK and page.number(Tag.INK_SET, 1) != 1:
        said.append("inks other than CMYK")
    if page.compression != _NONE and page.compression not in _PLAIN:
        said.append(f"compressed as {_COMPRESSIONS.get(page.compression, f'number {page.compression}')}")
    if page.number(Tag.PREDICTOR, 1) not in (1, 2):
        said.append(f"predictor {page.number(Tag.PREDICTOR, 1)}")
    return ", ".join(said)


def read(data: bytes, page: Page) -> Raster:
    """The page of the file `data`, not yet turned upright; `way` said HERE.

    Raises ImageError (TRUNCATED, CORRUPT) and what Pillow raises for a damaged segment.
    """
    assert page.photometric is not None
    colours = _COLOURS[page.photometric]
    samples = _Samples(page)
    at = _transparency(page, colours)
    wanted = [*range(colours), *([at] if at is not None else [])]
    values = samples.assembled(data, wanted)
    colour, alpha = values[..., :colours], values[..., colours] if at is not None else None
    made = _colour(page, colour)
    if alpha is None:
        return Raster(made, None)
    assert at is not None
    mask = opacity(alpha, page.bits[at])
    means = _extra(page, colours, at)
    if means is None and not mask.any():
        return Raster(made, None)  # a fourth channel that was only filled up
    if means == _ASSOCIATED:
        made = _divided(made, mask)
    return Raster(made, Image.fromarray(mask))


def _transparency(page: Page, colours: int) -> int | None:
    """Which sample is the transparency."""
    extra = page.numbers.get(Tag.EXTRA_SAMPLES)
    if extra is None:  # not given: as with Pillow and most viewers, a fourth channel of RGB is taken for it
        return 3 if page.photometric == _RGB and page.samples == 4 else None
    kinds = (_ASSOCIATED, _UNASSOCIATED, _ODD_ALPHA)
    found = (colours + index for index, kind in enumerate(extra) if kind in kinds)
    return next((at for at in found if at < page.samples), None)


def _extra(page: Page, colours: int, at: int) -> int | None:
    extra = page.numbers.get(Tag.EXTRA_SAMPLES)
    return extra[at - colours] if extra is not None else None


def _divided(colour: Image.Image, mask: npt.NDArray[np.uint8]) -> Image.Image:
    """Colours that were multiplied by their transparency as they were before."""
    values = np.asarray(colour).astype(np.uint16)
    divisor = np.maximum(mask, 1).astype(np.uint16).reshape(mask.shape + (1,) * (values.ndim - 2))
    plain = np.minimum((values * 255 + divisor // 2) // divisor, 255).astype(np.uint8)
    return _image(plain, colour.mode)


def _image(values: npt.NDArray[np.uint8], mode: str) -> Image.Image:
    """`values`, uint8 (h, w) or (h, w, channels), as a picture of that mode."""
    size = values.shape[1], values.shape[0]
    return Image.frombuffer(mode, size, np.ascontiguousarray(values), "raw", mode, 0, 1)


def _colour(page: Page, values: npt.NDArray[Any]) -> Image.Image:
    """The colour samples (h, w, n) in one of Raster's modes."""
    bits = max(page.bits[: values.shape[2]])
    match page.photometric:
        case 3:
            table = np.array(page.numbers[Tag.COLOR_MAP], np.uint32)
            table = table[: len(table) // 3 * 3].reshape(3, -1).T
            if not table.size or int(values.max()) >= len(table):
                raise ImageError(Reason.CORRUPT, "a pixel's number lies beyond the palette")
            entry = eight_bits(table.astype(np.uint16), 16) if table.max() > 255 else table.astype(np.uint8)
            return _image(entry[values[..., 0]], "RGB")
        case 5:
            return _image(eight_bits(values, bits), "CMYK")
        case 8 | 9:
            return _image(_lab(page, values), "LAB")
        case 2:
            return _image(_each(page, values), "RGB")
        case model:
            gray = eight_bits(values[..., 0], bits)
            return Image.fromarray(255 - gray if model == _WHITE_IS_ZERO else gray)


def _each(page: Page, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The colours, of which each may have another depth (5, 6 and 5 bits)."""
    bits = page.bits[: values.shape[2]]
    if len(set(bits)) == 1:
        return eight_bits(values, bits[0])
    return np.stack([eight_bits(values[..., index], each) for index, each in enumerate(bits)], axis=-1)


def _lab(page: Page, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """L*a*b* as Pillow stores it: L* from 0 to 255; a* and b* as they are stored, in two's complement."""
    if page.bits[0] == 8:
        stored = values.view(np.uint8).copy()
        if page.photometric == _ICCLAB:
            stored[..., 1:] ^= 0x80
    else:
        full = values.view(np.uint16).astype(np.uint32)
        top = 0xFF00 if page.photometric == _ICCLAB else 0xFFFF
        lightness = np.minimum((full[..., :1] * 255 + top // 2) // top, 255)
        stored = np.concatenate([lightness, full[..., 1:] >> 8], axis=-1).astype(np.uint8)
        if page.photometric == _ICCLAB:
            stored[..., 1:] ^= 0x80
    return stored


# -- segments ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Segment:
    """A strip or a tile: its place in the file, in the picture, and which sample it begins with."""

    start: int
    length: int | None
    left: int
    top: int
    first: int


class _Samples:
    """The samples of a page, put together from its strips or tiles."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._width, self._height = page.size
        self._tiled = page.is_tiled
        if self._tiled:
            self._across, self._down = page.number(Tag.TILE_WIDTH, 0), page.number(Tag.TILE_HEIGHT, 0)
        else:
            self._across = self._width
            self._down = min(page.number(Tag.ROWS_PER_STRIP, self._height), self._height)
        if not (0 < self._across <= 1 << 24 and 0 < self._down <= 1 << 24):
            raise ImageError(Reason.CORRUPT, "its strips or tiles have no size")
        self._planar = page.number(Tag.PLANAR, 1) == 2
        self._type = _type(page)

    def assembled(self, data: bytes, wanted: list[int]) -> npt.NDArray[Any]:
        """Samples `wanted` of every pixel, (h, w, len(wanted)), in the type that the file has."""
        made = np.zeros((self._height, self._width, len(wanted)), self._type.newbyteorder("="))
        for segment in self._segments():
            held = {sample - segment.first: place for place, sample in enumerate(wanted)}
            held = {sample: place for sample, place in held.items() if 0 <= sample < self._per_pixel}
            if not held or segment.length == 0:  # a sparse file's empty tile
                continue
            down = self._down if self._tiled else min(self._down, self._height - segment.top)
            values = self._values(data, segment, down)
            down, across = min(down, self._height - segment.top), min(self._across, self._width - segment.left)
            window = made[segment.top : segment.top + down, segment.left : segment.left + across]
            for sample, place in held.items():
                window[..., place] = values[:down, :across, sample]
        return made

    @property
    def _per_pixel(self) -> int:
        """Samples of a pixel in one segment."""
        return 1 if self._planar else self._page.samples

    def _segments(self) -> Iterator[_Segment]:
        tags = (Tag.TILE_OFFSETS, Tag.TILE_COUNTS) if self._tiled else (Tag.STRIP_OFFSETS, Tag.STRIP_COUNTS)
        starts, lengths = (self._page.numbers.get(tag, ()) for tag in tags)
        if not starts and self._tiled:  # some writers put the tiles' places into the tags of strips
            starts, lengths = (self._page.numbers.get(tag, ()) for tag in (Tag.STRIP_OFFSETS, Tag.STRIP_COUNTS))
        rows, columns = range(0, self._height, self._down), range(0, self._width, self._across)
        planes = range(self._page.samples if self._planar else 1)
        needed = len(planes) * len(rows) * len(columns)
        if len(starts) < needed:
            raise ImageError(Reason.CORRUPT, f"{len(starts):,} strips or tiles, where {needed:,} are needed")
        for index, (plane, top, left) in enumerate(product(planes, rows, columns)):
            length = lengths[index] if index < len(lengths) else None
            yield _Segment(starts[index], length, left, top, plane)

    def _values(self, data: bytes, segment: _Segment, down: int) -> npt.NDArray[Any]:
        """One segment as (down, across, samples)."""
        page = self._page
        bits = page.bits[segment.first : segment.first + 1] if self._planar else page.bits
        row = (self._across * sum(bits) + 7) // 8
        if row * down > _LARGEST:
            raise ImageError(Reason.TOO_LARGE, f"a strip or tile of {row * down:,} bytes, unpacked")
        end = segment.start + (segment.length if segment.length is not None else row * down)
        if segment.length is None and page.compression != _NONE:
            end = len(data)
        if segment.start < 8:
            raise ImageError(Reason.CORRUPT, "a strip or tile lies in the file's header")
        if end > len(data):
            raise ImageError(Reason.TRUNCATED, "the TIFF data stops before its end")
        stored = data[segment.start : end]
        if page.number(Tag.FILL_ORDER, 1) == 2:
            stored = stored.translate(_REVERSED)
        if page.compression == _WEBP:
            raw = _from_webp(stored, self._across, down, len(bits))
        else:
            raw = stored if page.compression == _NONE else _unpacked(stored, page.compression, row, down)
        if len(raw) < row * down:
            raise ImageError(Reason.CORRUPT, "a strip or tile holds fewer pixels than it should")
        rows = np.frombuffer(raw, np.uint8, row * down).reshape(down, row)
        predictor = page.number(Tag.PREDICTOR, 1) if page.compression != _NONE else 1
        shape = (down, self._across, len(bits))
        if predictor == 3:
            return _float_differences(rows, shape, self._type)
        values = _numbers(rows, shape, bits, self._type, signed=page.formats == {2})
        if predictor == 2:
            plain = values.astype(self._type.newbyteorder("=")).view(f"u{self._type.itemsize}")
            return plain.cumsum(axis=1, dtype=plain.dtype).view(self._type.newbyteorder("="))
        return values


_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
"""FillOrder 2: the first pixel in the lowest bit."""


def _type(page: Page) -> np.dtype[Any]:
    """The smallest of numpy's types that holds a sample, in the file's byte order."""
    bits = max(page.bits)
    size = next(size for size in (1, 2, 4, 8) if 8 * size >= bits)
    letter = {frozenset({1}): "u", frozenset({2}): "i", frozenset({3}): "f"}[page.formats]
    return np.dtype(f"{page.layout.order}{letter}{size}")


def _numbers(
    rows: npt.NDArray[np.uint8],
    shape: tuple[int, int, int],
    bits: tuple[int, ...],
    kind: np.dtype[Any],
    *,
    signed: bool,
) -> npt.NDArray[Any]:
    """Rows of bytes as numbers."""
    width = bits[0]
    if set(bits) == {8 * kind.itemsize}:
        return np.ascontiguousarray(rows).view(kind).reshape(shape)
    if set(bits) == {width} and width % 8 == 0:  # whole bytes, of which numpy has no number: 24, 40, 48, 56 bits
        parts = rows.reshape(*shape, width // 8)
        parts = parts if kind.byteorder == ">" else parts[..., ::-1]
        made = np.zeros(shape, np.uint64)
        for index in range(width // 8):
            made = (made << np.uint64(8)) | parts[..., index]
    else:
        made = np.empty(shape, np.uint64)
        step = max(1, _AT_ONCE // (rows.shape[1] * 8))
        for top in range(0, shape[0], step):
            made[top : top + step] = _packed(rows[top : top + step], shape[1:], bits)
    if signed:
        for index, each in enumerate(bits):
            sign = np.uint64(1 << (each - 1))
            made[..., index] = (made[..., index] ^ sign) - sign  # wraps around: two's complement of 64 bits
        return made.view(np.int64).astype(kind.newbyteorder("="))
    return made.astype(kind.newbyteorder("="))


_AT_ONCE = 1 << 22
"""Bits that are unpacked at a time: each takes a byte meanwhile."""


def _packed(rows: npt.NDArray[np.uint8], shape: tuple[int, int], bits: tuple[int, ...]) -> npt.NDArray[np.uint64]:
    """Numbers that do not begin where bytes do, the highest bit first."""
    across, samples = shape
    total = sum(bits)
    single = np.unpackbits(rows, axis=1, count=across * total).reshape(len(rows), across, total)
    made = np.zeros((len(rows), across, samples), np.uint64)
    at = 0
    for index, each in enumerate(bits):
        for bit in range(each):
            made[..., index] = (made[..., index] << np.uint64(1)) | single[..., at + bit]
        at += each
    return made


def _float_differences(
    rows: npt.NDArray[np.uint8], shape: tuple[int, int, int], kind: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Undo predictor 3: differences of bytes, and in each row all highest bytes first (TIFF technical note 3)."""
    down, across, samples = shape
    size = kind.itemsize
    summed = rows.reshape(down, across * size, samples).cumsum(axis=1, dtype=np.uint8)
    planes = summed.reshape(down, size, across * samples)
    ordered = np.ascontiguousarray(planes.transpose(0, 2, 1))
    return ordered.view(f">f{size}").reshape(shape)


def _from_webp(stored: bytes, across: int, down: int, samples: int) -> bytes:
    """The bytes of a segment that is a WebP file."""
    with opened(stored, "WEBP") as im:
        if im.size != (across, down):
            raise ImageError(Reason.CORRUPT, f"a strip or tile of {im.width} x {im.height}, not {across} x {down}")
        return im.convert("RGBA" if samples == 4 else "RGB").tobytes()


def _unpacked(stored: bytes, compression: int, row: int, down: int) -> bytes:
    """The bytes of a compressed segment, by libtiff: to it, they are a gray picture `row` pixels wide."""
    entries = [
        (Tag.WIDTH, row), (Tag.HEIGHT, down), (Tag.BITS, 8), (Tag.COMPRESSION, compression),
        (Tag.PHOTOMETRIC, 1), (Tag.STRIP_OFFSETS, 8), (Tag.SAMPLES, 1), (Tag.ROWS_PER_STRIP, down),
        (Tag.STRIP_COUNTS, len(stored)),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries
    )
    padding = b"\0" * (len(stored) % 2)
    head = b"II*\0" + struct.pack("<I", 8 + len(stored) + len(padding))
    with opened(head + stored + padding + directory + b"\0\0\0\0", "TIFF") as im:
        return im.tobytes()

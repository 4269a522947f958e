"""The pages of a TIFF: reads its directories, and chooses the page that is the picture.

It runs before any decoder. A page's tags (depth, colour model, place of its bytes) decide who decodes it
(`recq.images.tiff`); reading them takes no decoder and costs next to nothing.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

_WIDTHS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # bytes; the others: 1
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # BYTE, SHORT, LONG, IFD, LONG8, IFD8
_BLOB = 7  # UNDEFINED: the colour profile's type

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_CAMERA_RAW = frozenset({32803, 34892})  # PhotometricInterpretation: colour filter array, linear raw (DNG)

_MOST_PAGES = 4096
_MOST_VALUES = 1 << 24
_MOST_ENTRIES = 65_535  # a classic TIFF can have no more


class Tag:
    """Numbers of the tags that are read (TIFF 6.0, and its technical notes)."""

    SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
    FILL_ORDER, STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS = 266, 273, 274, 277, 278, 279
    PLANAR, PREDICTOR, COLOR_MAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS = 284, 317, 320, 322, 323, 324, 325
    SUB_IFDS, INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, PROFILE = 330, 332, 338, 339, 34675


_WANTED = frozenset(value for name, value in vars(Tag).items() if name.isupper() and isinstance(value, int))
_PLACES = (Tag.STRIP_OFFSETS, Tag.STRIP_COUNTS, Tag.TILE_OFFSETS, Tag.TILE_COUNTS)


@dataclass(frozen=True)
class Layout:
    """How numbers are stored in this file, according to its header."""

    order: Literal["<", ">"]
    big: bool  # BigTIFF: offsets and counts of 64 bits

    @classmethod
    def of(cls, data: bytes) -> Layout:
        """Of the file `data`, which begins as a TIFF does."""
        return cls("<" if data[:1] == b"I" else ">", data[2:4] in (b"+\0", b"\0+"))

    @property
    def first(self) -> tuple[int, struct.Struct]:
        """Where the header has the place of the first directory, and as what."""
        return (8, struct.Struct(f"{self.order}Q")) if self.big else (4, struct.Struct(f"{self.order}I"))


@dataclass(frozen=True)
class Page:
    """One directory: `numbers` are its integers by tag, `profile` the embedded colour profile."""

    layout: Layout
    offset: int
    numbers: dict[int, tuple[int, ...]] = field(repr=False)
    profile: bytes | None = field(repr=False)

    def number(self, tag: int, default: int) -> int:
        """The first value of a tag."""
        values = self.numbers.get(tag)
        return values[0] if values else default

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored; 0 where a tag is missing."""
        return self.number(Tag.WIDTH, 0), self.number(Tag.HEIGHT, 0)

    @cached_property
    def bits(self) -> tuple[int, ...]:
        """Bits of each sample of a pixel. One value for several samples counts for all."""
        found, samples = self.numbers.get(Tag.BITS, (1,)), self.samples
        return (found * samples)[:samples] if len(found) == 1 else found[:samples]

    @property
    def samples(self) -> int:
        """Samples of a pixel, extra ones included."""
        return self.number(Tag.SAMPLES, 1)

    @property
    def formats(self) -> frozenset[int]:
        """SampleFormat of the samples: 1 unsigned, 2 signed, 3 float, 5 and 6 complex; 4, undefined, is unsigned."""
        return frozenset(1 if each == 4 else each for each in self.numbers.get(Tag.SAMPLE_FORMAT, (1,)))

    @property
    def compression(self) -> int:
        """Its number; 1 is none."""
        return self.number(Tag.COMPRESSION, 1)

    @property
    def photometric(self) -> int | None:
        """The colour model: 0 and 1 gray, 2 RGB, 3 palette, 5 CMYK ...; None where the file has no such tag."""
        return self.numbers[Tag.PHOTOMETRIC][0] if self.numbers.get(Tag.PHOTOMETRIC) else None

    @property
    def is_tiled(self) -> bool:
        """Whether it is cut into tiles rather than strips."""
        return Tag.TILE_OFFSETS in self.numbers or Tag.TILE_WIDTH in self.numbers

    @property
    def orientation(self) -> int:
        """From 1 to 8, as in EXIF."""
        value = self.number(Tag.ORIENTATION, 1)
        return value if 1 <= value <= 8 else 1

    @property
    def is_full(self) -> bool:
        """Whether this is a picture of its own: neither a smaller version of another one nor a mask."""
        return not self.number(Tag.SUBFILE, 0) & (_REDUCED | _MASK) and self.number(Tag.OLD_SUBFILE, 1) != 2

    @property
    def is_mask(self) -> bool:
        """Whether it only masks the visible parts of another page."""
        return bool(self.number(Tag.SUBFILE, 0) & _MASK)

    @property
    def is_camera_raw(self) -> bool:
        """Whether it has raw sensor data, which need a raw converter."""
        return self.photometric in _CAMERA_RAW


def pages(data: bytes) -> list[Page]:
    """Every page that can be read, in the order of the file; those below another one (SubIFDs) follow it.

    Raises struct.error where not even the first is whole.
    """
    layout = Layout.of(data)
    at, first = layout.first
    return list(_chain(data, layout, first.unpack_from(data, at)[0]))


def the_picture(found: Sequence[Page], can_be_read: Callable[[Page], bool] = lambda _: True) -> Page:
    """The page that is shown: the first that is a picture of its own; of a camera's raw file its largest preview.

    `can_be_read` says which previews are possible.
    """
    full = [page for page in found if page.is_full]
    developed = [page for page in full if not page.is_camera_raw]
    if developed:
        return developed[0]
    previews = [page for page in found if not (page.is_full or page.is_mask or page.is_camera_raw)]
    previews = [page for page in previews if can_be_read(page)] or previews
    return max(previews, key=lambda page: page.size[0] * page.size[1], default=(full or found)[0])


def beginning_with(data: bytes, page: Page) -> bytes:
    """The same file with `page` as its first one."""
    at, first = page.layout.first
    if first.unpack_from(data, at)[0] == page.offset:
        return data
    return data[:at] + first.pack(page.offset) + data[at + first.size :]


def is_cut(data: bytes) -> bool:
    """Whether a value or a pixel of the page that is shown lies beyond the end. Raises struct.error where a tag does.

    Any value of the first page counts; files in use are untidy, so this only explains what a decoder refused.
    """
    found = pages(data)
    for tag, kind, length, offset in directory_entries(data, found[0].layout, found[0].offset)[0]:
        if tag >= 0 and offset + _WIDTHS.get(kind, 1) * length > len(data):
            return True
    numbers = the_picture(found).numbers
    for starts, lengths in (_PLACES[:2], _PLACES[2:]):
        ends = (each + length for each, length in zip(numbers.get(starts, ()), numbers.get(lengths, ()), strict=False))
        if max(ends, default=0) > len(data):
            return True
    return False


def _chain(data: bytes, layout: Layout, offset: int) -> Iterator[Page]:
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < _MOST_PAGES:
        seen.add(offset)
        try:
            page, following = _page(data, layout, offset)
        except struct.error:
            if len(seen) == 1:
                raise
            return
        yield page
        for below in page.numbers.get(Tag.SUB_IFDS, ())[:64]:
            if below not in seen:
                seen.add(below)
                try:
                    yield _page(data, layout, below)[0]
                except struct.error:
                    continue
        offset = following


def _page(data: bytes, layout: Layout, offset: int) -> tuple[Page, int]:
    """The page at `offset`, and where the next one is. Raises struct.error where a tag that counts lies beyond."""
    entries, following = directory_entries(data, layout, offset)
    numbers: dict[int, tuple[int, ...]] = {}
    profile = None
    for tag, kind, length, start in entries:
        if tag == Tag.PROFILE and kind in (1, _BLOB) and start + length <= len(data):
            profile = data[start : start + length]
        elif tag in _WANTED and kind in _INTEGERS:
            if start + _WIDTHS.get(kind, 1) * length > len(data) or length > _MOST_VALUES:
                raise struct.error("a tag's values lie beyond the end")
            numbers[tag] = struct.unpack_from(f"{layout.order}{length}{_INTEGERS[kind]}", data, start)
    return Page(layout, offset, numbers, profile), following


def directory_entries(
    data: bytes | mmap.mmap, layout: Layout, offset: int
) -> tuple[list[tuple[int, int, int, int]], int]:
    """Tag, type, count and place of the values of each entry, and where the next directory is (0: nowhere).

    Raises struct.error where the directory lies beyond the end.
    """
    number = struct.Struct(f"{layout.order}{'Q' if layout.big else 'H'}")
    entry = struct.Struct(f"{layout.order}HH{'QQ' if layout.big else 'II'}")
    room = 8 if layout.big else 4  # values up to so many bytes stand in the entry itself
    count: int = number.unpack_from(data, offset)[0]
    if count > _MOST_ENTRIES:
        raise struct.error("a directory with more entries than any has")
    found = []
    for index in range(count):
        at = offset + number.size + index * entry.size
        tag, kind, length, start = entry.unpack_from(data, at)
        if _WIDTHS.get(kind, 1) * length <= room:
            start = at + entry.size - room
        found.append((tag, kind, length, start))
    end = offset + number.size + count * entry.size
    following = struct.Struct(f"{layout.order}{'Q' if layout.big else 'I'}")
    return found, following.unpack_from(data, end)[0] if end + following.size <= len(data) else 0

"""EXIF: when, with which camera and where a picture was taken, from its file's headers. No pixel is decoded for it.

It runs in the decoding processes, on hostile bytes: only the few wanted tags are read, each up to a bound, and
damaged parts are ignored. (Pillow's reader copies every value of a directory, of which a hostile file
may have 65,535 that are all as long as the file.) Tags and types: CIPA DC-008 (Exif 2.32), 4.6.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Self

from recq.images import jpeg
from recq.images.formats import sniff
from recq.images.opening import opened
from recq.images.tiff_pages import Layout, directory_entries

File = bytes | mmap.mmap
"""The bytes of a file, or the mapped file, of which only the used parts are read."""

LONGEST_TEXT = 200
"""Characters of a camera's or a lens's name that are kept."""

_MAKE, _MODEL, _EXIF_IFD, _GPS_IFD = 0x010F, 0x0110, 0x8769, 0x8825
_ORIGINAL, _DIGITIZED, _LENS = 0x9003, 0x9004, 0xA434
_OFFSET, _OFFSET_DIGITIZED, _FRACTION, _FRACTION_DIGITIZED = 0x9011, 0x9012, 0x9291, 0x9292
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE = 1, 2, 3, 4

_ASCII, _LONG, _RATIONAL, _UNDEFINED = 2, 4, 5, 7
_SIZES = {_ASCII: 1, _UNDEFINED: 1, _LONG: 4, _RATIONAL: 8, 13: 4}
_LONGEST_VALUE = 1024  # bytes of a value that is read
_MARK = b"Exif\0\0"
_MAGIC = (b"II*\0", b"MM\0*")
_DIGITS = 7  # of a degree: a centimetre

_TIME = re.compile(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_ZONE = re.compile(r"[+-]\d\d:\d\d")


@dataclass(frozen=True)
class Exif:
    """When, how and where a picture was taken; None for what is missing or cannot be read.

    `taken` is ISO 8601: with a zone where the camera recorded one, else the time of its clock. `camera` is the model,
    with the maker before it where the model does not name it. `lat` and `lon` are degrees of WGS 84, south and west
    negative; there are both or none.
    """

    taken: str | None = None
    camera: str | None = None
    lens: str | None = None
    lat: float | None = None
    lon: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, without missing members."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read the output of `to_json`, perhaps of a process that a hostile file has taken over. Raises ValueError."""
        if not isinstance(data, Mapping) or not data.keys() <= _KINDS.keys():
            raise ValueError("not EXIF")
        for name, value in data.items():
            if type(value) is not _KINDS[name] or (isinstance(value, str) and len(value) > LONGEST_TEXT):
                raise ValueError(f"not EXIF: {name}")
            if isinstance(value, float) and not abs(value) <= 180:
                raise ValueError(f"no degrees: {name}")
        return cls(**data)


_KINDS: Mapping[str, type] = {"taken": str, "camera": str, "lens": str, "lat": float, "lon": float}


def read_exif(data: File) -> Exif:
    """The EXIF of the image file `data`. Raises nothing: what cannot be read is left out."""
    try:
        found = _structure(data, sniff(data[:64]))
        return _read(*found) if found is not None else Exif()
    except Exception:  # parsers of four libraries meet hostile bytes here, and good pixels may not be lost for it
        return Exif()


def _structure(data: File, fmt: str | None) -> tuple[File, int] | None:
    """Where the TIFF structure begins that EXIF is: in which bytes, and at which of them."""
    match fmt:
        case "JPEG":
            for marker, start, end in jpeg.segments(data):
                if marker == 0xE1 and data[start + 4 : min(start + 10, end)] == _MARK:
                    return data[start + 10 : end], 0
        case "TIFF":
            return data, 0
        case "PNG":
            return next(((data[start:end], 0) for kind, start, end in _png_chunks(data) if kind == b"eXIf"), None)
        case "WEBP":
            for kind, start, end in _riff_chunks(data):
                if kind == b"EXIF":
                    return data[start:end], len(_MARK) if data[start : start + 6] == _MARK else 0
        case "AVIF" | "HEIF":  # in an item that the boxes of `meta` lead to: their libraries find it
            with opened(data[:], fmt) as im:
                exif = im.info.get("exif")
            if isinstance(exif, bytes):
                return exif, len(_MARK) if exif.startswith(_MARK) else 0
    return None


def _png_chunks(data: File) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of what is in each chunk, as far as they are whole."""
    at = 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if not kind.isalpha() or end + 4 > len(data):
            return
        yield kind, at + 8, end
        at = end + 4


def _riff_chunks(data: File) -> Iterator[tuple[bytes, int, int]]:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        yield kind, at + 8, min(at + 8 + length, len(data))
        at += 8 + length + length % 2


def _read(data: File, start: int) -> Exif:
    if start:
        data = data[start:]
    layout = Layout.of(data[:4])
    if not layout.big and data[:4] not in _MAGIC:
        return Exif()
    at, first = layout.first
    main = _Directory(data, layout, first.unpack_from(data, at)[0])
    detail, place = main.below(_EXIF_IFD), main.below(_GPS_IFD)
    lat = place.degrees(_LATITUDE, _LATITUDE_REF, "NS", 90)
    lon = place.degrees(_LONGITUDE, _LONGITUDE_REF, "EW", 180)
    both = lat is not None and lon is not None
    return Exif(
        _moment(detail.text(_ORIGINAL), detail.text(_FRACTION), detail.text(_OFFSET))
        or _moment(detail.text(_DIGITIZED), detail.text(_FRACTION_DIGITIZED), detail.text(_OFFSET_DIGITIZED)),
        _camera(main.text(_MAKE), main.text(_MODEL)),
        detail.text(_LENS),
        lat if both else None,
        lon if both else None,
    )


class _Directory:
    """The values of a directory (IFD) that are wanted, each read when it is asked for."""

    def __init__(self, data: File, layout: Layout, offset: int | None) -> None:
        self._data = data
        self._layout = layout
        self._entries: dict[int, tuple[int, int, int]] = {}
        if offset:
            try:
                found, _ = directory_entries(data, layout, offset)
            except (struct.error, OverflowError):  # beyond the end
                return
            self._entries = {tag: (kind, count, start) for tag, kind, count, start in found}

    def below(self, tag: int) -> _Directory:
        """The directory that a tag leads to; an empty one where it leads nowhere."""
        raw = self._raw(tag, _LONG, 13)
        at = struct.unpack_from(f"{self._layout.order}I", raw)[0] if len(raw) >= 4 else None
        return _Directory(self._data, self._layout, at)

    def text(self, tag: int) -> str | None:
        """A text up to its first NUL; None where nothing of it can be read."""
        raw = self._raw(tag, _ASCII, _UNDEFINED).partition(b"\0")[0]
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:  # the standard requires ASCII; old cameras used local encodings
            text = raw.decode("latin-1")
        text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
        return text[:LONGEST_TEXT].rstrip() or None

    def degrees(self, tag: int, reference: int, letters: str, most: int) -> float | None:
        """An angle from degrees, minutes and seconds; negative where `reference` has the second of the letters."""
        raw = self._raw(tag, _RATIONAL)
        side = (self.text(reference) or "")[:1].upper()
        if len(raw) < 8 or not side or side not in letters:
            return None
        numbers = struct.unpack(f"{self._layout.order}{min(len(raw) // 8, 3) * 2}I", raw[: min(len(raw) // 8, 3) * 8])
        if 0 in numbers[1::2]:  # 0/0: the receiver knew no place
            return None
        parts = zip(numbers[::2], numbers[1::2], (1, 60, 3600), strict=False)
        angle: float = sum(upper / lower / unit for upper, lower, unit in parts)
        if not isfinite(angle) or angle > most:
            return None
        return round(-angle if side == letters[1] else angle, _DIGITS) + 0.0  # no minus before a zero

    def _raw(self, tag: int, *kinds: int) -> bytes:
        kind, count, start = self._entries.get(tag, (0, 0, 0))
        if kind not in kinds:
            return b""
        return self._data[start : start + min(count * _SIZES[kind], _LONGEST_VALUE)]


def _moment(written: str | None, fraction: str | None, offset: str | None) -> str | None:
    found = _TIME.match(written or "")
    if found is None or not int(found[1]):
        return None
    year, month, day, hour, minute, second = found.groups()
    part = f".{fraction}" if fraction is not None and re.fullmatch(r"\d{1,9}", fraction, re.ASCII) else ""
    zone = offset if offset is not None and _ZONE.fullmatch(offset) else ""
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}{part}{zone}"


def _camera(make: str | None, model: str | None) -> str | None:
    """Maker and model, with the maker only once, where the model already begins with it: `Canon EOS R5`."""
    if make is None or model is None:
        return model or make
    if model.split()[0].casefold() == make.split()[0].casefold():
        return model
    return f"{make} {model}"[:LONGEST_TEXT].rstrip()

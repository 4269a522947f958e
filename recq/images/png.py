"""PNG: only what its pixels depend on reaches the decoder.

Pillow reads every chunk of text, time and colour and refuses the whole picture for one that is damaged or longer than
its limit. None of them changes a pixel but the colour profile, which is taken out here, and the orientation.
"""

from __future__ import annotations

import struct
import zlib

from recq.images.profiles import LONGEST

_ANCILLARY = 0x20  # the bit of a chunk type's first letter that makes it dispensable
_PIXELS = frozenset({b"tRNS", b"acTL", b"fcTL", b"fdAT"})
_ORIENTING = frozenset({b"XML:com.adobe.xmp", b"Raw profile type exif"})  # texts that may hold the orientation
_LONGEST_TEXT = 1 << 20  # Pillow's limit, in the file and unpacked


def essential(data: bytes) -> tuple[bytes, bytes | None]:
    """The file without the chunks that no pixel depends on, and its colour profile. A damaged rest stays as it is."""
    kept, profile = [data[:8]], None
    at, run = 8, 8  # `run`: where what is kept and not yet copied begins
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if not kind.isalpha() or end > len(data):
            break
        if kind == b"iCCP" and profile is None and _is_whole(data, at, end):
            profile = _profile(data[at + 8 : end - 4])
        if kind[0] & _ANCILLARY and kind not in _PIXELS and not _orients(data, kind, at, end):
            kept.append(data[run:at])
            run = end
        at = end
    if run == 8:
        return data, profile
    return b"".join([*kept, data[run:]]), profile


def _is_whole(data: bytes, at: int, end: int) -> bool:
    checksum: int = struct.unpack_from(">I", data, end - 4)[0]
    return zlib.crc32(memoryview(data)[at + 4 : end - 4]) == checksum


def _profile(body: bytes) -> bytes | None:
    """What an iCCP chunk holds: a name, a NUL, the method, the packed profile; None where it is broken or huge."""
    _, _, rest = body.partition(b"\0")
    return _inflated(rest[1:], LONGEST) if rest[:1] == b"\0" else None


def _inflated(packed: bytes, most: int) -> bytes | None:
    unpacking = zlib.decompressobj()
    try:
        plain = unpacking.decompress(packed, most)
    except zlib.error:
        return None
    return None if unpacking.unconsumed_tail or not unpacking.eof else plain


def _orients(data: bytes, kind: bytes, at: int, end: int) -> bool:
    """Whether a chunk may tell the orientation, and is one that Pillow can read."""
    if kind not in (b"eXIf", b"tEXt", b"zTXt", b"iTXt") or end - at > _LONGEST_TEXT or not _is_whole(data, at, end):
        return False
    if kind == b"eXIf":
        return True
    keyword, _, rest = data[at + 8 : end - 4].partition(b"\0")
    if keyword not in _ORIENTING:
        return False
    if kind == b"zTXt":
        return rest[:1] == b"\0" and _inflated(rest[1:], _LONGEST_TEXT) is not None
    if kind == b"iTXt" and rest[:1] == b"\1":
        _, _, packed = rest[2:].partition(b"\0")[2].partition(b"\0")
        return _inflated(packed, _LONGEST_TEXT) is not None
    return True

"""JPEG: its segments before the pixels, and which of them the pixels depend on.

Pillow reads every segment and refuses the whole picture for one that is cut or odd; nothing but the orientation, the
colour profile and Adobe's word on the colour model changes what is seen.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator

from recq.images.profiles import LONGEST

_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_START_OF_SCAN, _END, _COMMENT = 0xDA, 0xD9, 0xFE
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

_PROFILE = b"ICC_PROFILE\0"
_KEPT = {
    _APP0: ((b"JFIF\0", 14),),
    _APP1: ((b"Exif\0\0", 6), (b"http://ns.adobe.com/xap/1.0/\0", 29)),
    _APP14: ((b"Adobe", 12),),
}
"""Applications' segments that stay: how they begin, and how long they are at least."""

_CODINGS = {
    0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "lossless hierarchical",
    0xCB: "lossless", 0xCD: "hierarchical", 0xCE: "hierarchical", 0xCF: "lossless hierarchical",
}  # fmt: skip
"""By the marker of the frame (ITU-T T.81, table B.1), those that are neither baseline, extended nor progressive."""


def essential(data: bytes) -> tuple[bytes, bytes | None]:
    """The file without the segments that no pixel depends on, and its colour profile. A damaged rest stays as it is."""
    kept, parts, run = [], {}, 0  # `run`: where what is kept and not yet copied begins
    for marker, start, end in segments(data):
        if not (_APP0 <= marker <= 0xEF or marker == _COMMENT):
            continue
        body = data[start + 4 : end]
        if marker == _APP2 and body.startswith(_PROFILE) and len(body) > 14:
            parts[body[12]] = body[13], body[14:]
        if not any(body.startswith(begin) and len(body) >= least for begin, least in _KEPT.get(marker, ())):
            kept.append(data[run:start])
            run = end
    return (b"".join([*kept, data[run:]]) if kept else data), _joined(parts)


def kind(data: bytes) -> str | None:
    """What a JPEG is that baseline and progressive decoders cannot read; None where its frame is one that they can."""
    for marker, start, end in segments(data):
        if marker == 0xF7:
            return "a JPEG-LS picture"
        if marker in _FRAMES and end - start >= 10:
            bits, components, coding = data[start + 4], data[start + 9], _CODINGS.get(marker)
            if coding is not None or bits != 8:
                return f"a {f'{coding} ' if coding else ''}JPEG of {bits} bits a sample"
            return f"a JPEG of {components} components" if components not in (1, 3, 4) else None
    return None


def segments(data: bytes | mmap.mmap) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment before the pixels, as far as they are whole."""
    at = 2
    while found := _MARKER.search(data, at):
        marker, start = data[found.end() - 1], found.end() - 2
        if marker in (_START_OF_SCAN, _END):
            return
        if marker in (0x01, 0xD8):
            at = found.end()
            continue
        if found.end() + 2 > len(data):
            return
        at = found.end() + struct.unpack_from(">H", data, found.end())[0]
        if at > len(data) or at < found.end() + 2:
            return
        yield marker, start, at


def _joined(parts: dict[int, tuple[int, bytes]]) -> bytes | None:
    """The profile from its numbered parts, or None where some are missing."""
    count = next(iter(parts.values()))[0] if parts else 0
    if sorted(parts) != list(range(1, count + 1)) or sum(len(part) for _, part in parts.values()) > LONGEST:
        return None
    return b"".join(parts[number][1] for number in sorted(parts)) or None

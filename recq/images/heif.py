"""HEIC, the photographs of Apple's and many other phones: the one format whose decoder is an extra, `recq[heic]`.

pillow-heif (libheif, libde265) is imported for the first such file, and never registered with Pillow: nothing
else gets to use it, and AVIF stays with Pillow's own decoder.
"""

from __future__ import annotations

import io
import struct
import threading
from typing import TYPE_CHECKING

from recq.errors import ImageError, Reason
from recq.images.formats import boxes

if TYPE_CHECKING:
    from pillow_heif import HeifImageFile

MISSING = "HEIC needs: pip install 'recq[heic]'"
"""The detail of a picture that this installation cannot decode."""

_guard = threading.Lock()
_SIZE = struct.Struct(">4sxxxxII")  # 'ispe', version and flags, width, height (ISO/IEC 23008-12, 6.5.3)


def open_heif(data: bytes) -> HeifImageFile:
    """The primary image of the HEIF file `data`, its header parsed.

    Raises ImageError (UNSUPPORTED) where the extra is not installed, else what pillow-heif raises.
    """
    try:
        import pillow_heif
        from pillow_heif import options
    except ModuleNotFoundError as error:
        if error.name != "pillow_heif":
            raise
        raise ImageError(Reason.UNSUPPORTED, MISSING) from error
    # One thread: the pool has a process per core, and each thread would reserve 130 MB of the address space that
    # `decode_memory` limits. The option is a global of the process, which may be a notebook's.
    with _guard:
        theirs = options.DECODE_THREADS
        options.DECODE_THREADS = 0
        try:
            return pillow_heif.HeifImageFile(io.BytesIO(data))  # type: ignore[no-untyped-call]
        finally:
            options.DECODE_THREADS = theirs


def largest_declared(data: bytes) -> tuple[int, int]:
    """Width and height of the largest picture that a HEIF file declares, before any crop; (0, 0) without a declaration.

    What is shown may be a small part (`clap`) of what must be decoded; libheif refuses a picture that is larger than
    its declaration.
    """
    found = [(0, 0)]
    for kind, start, end in boxes(data):
        at = data.find(b"ispe", start, end) if kind == b"meta" else -1
        while 0 <= at <= end - _SIZE.size:
            _, width, height = _SIZE.unpack_from(data, at)
            found.append((width, height))
            at = data.find(b"ispe", at + 4, end)
    return max(found, key=lambda size: size[0] * size[1])

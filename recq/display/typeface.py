"""The grid's lettering: Pillow's bundled typeface, a wider one of the system for names it has no letters for."""

from __future__ import annotations

import unicodedata
from functools import cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_WIDER = (
    "NotoSansCJK-Regular.ttc",  # Debian fonts-noto-cjk
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",  # most Linux desktops
    "Arial Unicode.ttf",  # macOS
    "msyh.ttc",  # Windows, Chinese
)
"""Files that Pillow looks for in the system's font folders, the ones with most scripts first."""

_NOWHERE = "\U0010ffff"  # a code point that no typeface has a letter for


@cache
def bundled(size: int) -> Font:
    """The typeface that looks the same on every machine; it has the letters of ASCII and some punctuation."""
    return ImageFont.load_default(size)


@cache
def _wider(size: int) -> tuple[Font, ...]:
    found: list[Font] = []
    for file in _WIDER:
        try:
            found.append(ImageFont.truetype(file, size))
        except OSError:  # not on this machine
            continue
    return tuple(found)


def lettering(text: str, size: int) -> tuple[str, Font]:
    """`text` and the typeface to write it with: the bundled one, or the system's first that has all its letters.

    Where there is none, accents are left out, and what still has no letter stays a box.
    """
    for font in (bundled(size), *(() if text.isascii() else _wider(size))):
        if text.isascii() or _covers(font, text):
            return text, font
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return bare, bundled(size)


def _covers(font: Font, text: str) -> bool:
    missing = bytes(font.getmask(_NOWHERE))
    return all(bytes(font.getmask(character)) != missing for character in set(text))


def shorten(text: str, width: float, font: Font) -> str:
    """`text`, or its beginning and end with an ellipsis between them, at most `width` pixels wide."""
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        head = (kept + 1) // 2
        candidate = f"{text[:head]}…{text[len(text) - (kept - head) :]}"
        if font.getlength(candidate) <= width:
            return candidate
    return "…"

"""File names as text: one reversible form that survives JSON, UUIDs and terminals.

UTF-8 names stay as they are. In a name with bytes that are not UTF-8 each such byte becomes `%XX`, and only in such a
name a literal `%` becomes `%25`; the flag `encoded` says which of the two forms a text has. Unicode is not normalised:
NFC and NFD names are two items, as they are two files.
"""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "recq:item")
_ESCAPED = re.compile(rb"%([0-9A-F]{2})")


def to_text(path: str) -> tuple[str, bool]:
    """The text form of an operating-system path (surrogate-escaped `str`) and whether bytes had to be encoded."""
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8"), False
    except UnicodeDecodeError:
        escaped = raw.replace(b"%", b"%25").decode("utf-8", "surrogateescape")
        return "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in escaped), True


def from_text(text: str, encoded: bool) -> str:
    """The operating-system path (surrogate-escaped `str`) that `to_text` made the text from."""
    if not encoded:
        return os.fsdecode(text.encode("utf-8"))
    raw = _ESCAPED.sub(lambda match: bytes([int(match.group(1), 16)]), text.encode("utf-8"))
    return os.fsdecode(raw)


def relative_text(root: Path, path: Path) -> tuple[str, bool]:
    """`path` below `root` in POSIX text form, with the flag of `to_text`. Raises ValueError when it is not below."""
    return to_text(path.relative_to(root).as_posix())


def item_id(source: str, path: str, encoded: bool = False) -> str:
    """The point id of an item: UUIDv5 of source name, text path and flag. The same on every machine, for ever."""
    return str(uuid.uuid5(_NAMESPACE, f"{source}\0{path}\0{'encoded' if encoded else ''}"))


def shortened(text: str, most: int) -> str:
    """`text` in at most so many characters, its middle left out where it is longer."""
    if len(text) <= most:
        return text
    return f"{text[: most - most // 3 - 1]}…{text[len(text) - most // 3 :]}"


def printable(text: str) -> str:
    """`text` for a terminal or a log line: control characters and lone surrogates escaped, the rest as it is."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)

"""File names as text: one reversible form that survives JSON, UUIDs and terminals.

UTF-8 names stay as they are. In a name with bytes that are not UTF-8 each such byte becomes `%XX`, and only in such a
name a literal `%` becomes `%25`; the flag `encoded` says which of the two forms a text has. Unicode is not normalised:
NFC and NFD names are two items, as they are two files. A typed name may be in another form than the file's:
`spellings` are the names that look the same.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import unicodedata
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "recq:item")
_ESCAPED = re.compile(rb"%([0-9A-F]{2})")


def to_text(path: str) -> tuple[str, bool]:
    """The text form of an operating-system path (surrogate-escaped `str`) and whether bytes had to be encoded."""
    if path.isascii():
        return path, False
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8"), False
    except UnicodeDecodeError:
        escaped = raw.replace(b"%", b"%25").decode("utf-8", "surrogateescape")
        return "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in escaped), True


def from_text(text: str, encoded: bool) -> str:
    """The operating-system path (surrogate-escaped `str`) that `to_text` made the text from."""
    if not encoded:
        return text if text.isascii() else os.fsdecode(text.encode("utf-8"))
    raw = _ESCAPED.sub(lambda match: bytes([int(match.group(1), 16)]), text.encode("utf-8"))
    return os.fsdecode(raw)


def relative_text(root: Path, path: Path) -> tuple[str, bool]:
    """`path` below `root` in POSIX text form, with the flag of `to_text`. Raises ValueError when it is not below."""
    return to_text(path.relative_to(root).as_posix())


MOST_FOLDERS = 128
"""Folders above a file that are listed, from the outermost on: a path may have 2,000, 4 MB of text together."""


def folders_above(path: str, encoded: bool) -> list[str]:
    """All folders above a file, outermost first: of `scans/2024/a.jpg` `scans` and `scans/2024`; none in the root.

    Each has the text form of its own path, whatever names are below it, so that a folder has one name only. At most
    `MOST_FOLDERS`.
    """
    parts = from_text(path, encoded).split("/")[:-1][:MOST_FOLDERS]
    return [to_text(folder)[0] for folder in itertools.accumulate(parts, "{}/{}".format)]


@functools.lru_cache(maxsize=4096)
def item_id(source: str, path: str, encoded: bool = False) -> str:
    """The point id of an item: UUIDv5 of source name, text path and flag. The same on every machine."""
    return str(uuid.uuid5(_NAMESPACE, f"{source}\0{path}\0{'encoded' if encoded else ''}"))


_MOST_SPELLINGS = 64


def spellings(name: str) -> Sequence[str]:
    """A name or POSIX path, then the forms that look the same: each part composed (NFC) or decomposed (NFD).

    For a path with many parts that have two forms, only the wholly composed and the wholly decomposed form.
    """
    if name.isascii():
        return [name]
    forms = [dict.fromkeys([part, _composed(part), _decomposed(part)]) for part in name.split("/")]
    count = 1
    for form in forms:
        count *= len(form)
    if count > _MOST_SPELLINGS:
        return list(dict.fromkeys([name, _composed(name), _decomposed(name)]))
    return list(dict.fromkeys([name, *map("/".join, itertools.product(*forms))]))


def existing(path: str, exists: Callable[[str], bool] = os.path.lexists) -> str:
    """`path` where it exists, else an existing path that looks the same, else `path`.

    It is searched part by part, since folders may be written in one form and the name in the other.
    """
    if path.isascii() or exists(path):
        return path
    found, *parts = path.split("/")
    for part in parts:
        forms = dict.fromkeys(f"{found}/{form}" for form in (part, _composed(part), _decomposed(part)))
        there = next((form for form in forms if exists(form)), None)
        if there is None:
            return path
        found = there
    return found


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def shortened(text: str, most: int) -> str:
    """`text` in at most `most` characters; a longer one without its middle."""
    if len(text) <= most:
        return text
    return f"{text[: most - most // 3 - 1]}…{text[len(text) - most // 3 :]}"


def printable(text: str) -> str:
    """`text` for a terminal or a log line: control characters and lone surrogates escaped, the rest as it is."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)

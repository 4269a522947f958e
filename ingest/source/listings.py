"""Whether a listing gives a path: a disk that takes names in upper and lower case alike finds a file under others, too.

A file that was renamed from `a.jpg` to `A.jpg` is still found as `a.jpg` there, but no walk meets that name again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_USED_FOR = 0.5  # seconds in which a listing serves again: many names of one folder are asked for one after another


@dataclass(frozen=True, slots=True)
class _Listing:
    """The names in a folder, as it was in that state when it was listed `at` (monotonic)."""

    state: tuple[int, ...]
    at: float
    names: Collection[str]


class Listings:
    """Lists folders below a root. Safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[str, _Listing] = {}

    def has(self, path: str) -> bool:
        """Whether each part of a path, relative to the root, is in its folder's listing as it is. Raises OSError."""
        folder = ""
        for part in path.split("/"):
            if part not in self._names(folder):
                return False
            folder = f"{folder}/{part}" if folder else part
        return True

    def _names(self, folder: str) -> Collection[str]:
        now, place = time.monotonic(), self._root / folder
        status = place.stat()
        state = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
        before = self._read.get(folder)
        if before is not None and before.state == state and now - before.at < _USED_FOR:
            return before.names
        with os.scandir(place) as entries:
            names = frozenset(entry.name for entry in entries)
        kept = {name: each for name, each in list(self._read.items()) if now - each.at < _USED_FOR}
        self._read = {**kept, folder: _Listing(state, now, names)}
        return names

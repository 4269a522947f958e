"""Thumbnails: made of decoded pixels, kept in the cache folder up to a number of bytes, the least used go first.

They are named by the bytes of their picture, so a picture that changes has another one, and copies share theirs.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from threading import Lock

from recq.private_files import make_private_folder, replaced_privately

_KEPT = 0.9  # of the limit, once it was reached: so that not every new one looks for old ones


class Thumbnails:
    """JPEG files in `folder`, at most `most` bytes of them; 0 keeps none. Safe to use from several threads."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most
        self._total: int | None = None
        self._lock = Lock()

    def get(self, sha256: str, size: int) -> bytes | None:
        """The thumbnail of a picture of those bytes, if it is kept."""
        path = self._path(sha256, size)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):
            os.utime(path)  # it was used
        return content

    def put(self, sha256: str, size: int, content: bytes) -> None:
        """Keep a thumbnail. A disk that is full keeps none."""
        if len(content) > self._most:
            return
        path = self._path(sha256, size)
        with suppress(OSError):
            make_private_folder(path.parent)
            with replaced_privately(path) as file:
                file.write(content)
            self._count(len(content))

    def _count(self, more: int) -> None:
        with self._lock:
            self._total = self._sum() if self._total is None else self._total + more
            if self._total <= self._most:
                return
            found = sorted(self._files())
            self._total = sum(size for _, size, _ in found)
            for _, size, path in found:
                if self._total <= _KEPT * self._most:
                    break
                path.unlink(missing_ok=True)
                self._total -= size

    def _sum(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[int, int, Path]]:
        """Time of last use, bytes and path of each."""
        found = []
        for path in self._folder.glob("*/*.jpg"):
            with suppress(OSError):
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size, path))
        return found

    def _path(self, sha256: str, size: int) -> Path:
        return self._folder / sha256[:2] / f"{sha256}-{size}.jpg"

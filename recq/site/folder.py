"""The folder of a site: a page that is whole at any moment, pictures that need not be made twice.

    index.html                  replaced last, in one step: it names the folder of its parts
    parts-DIGEST/               style, scripts and data of one export, by the digest of their content
    pictures/ab/ID-KEY.jpg      by the id of an item and what the picture is made of
    .recq-site                  marks the folder as a site; locked while it is written

So an export that is killed has changed nothing that a browser sees: the former page and its parts are there, or, where
there was none, no page at all. What it made is used by the next export, which makes only the pictures that are missing;
a folder that is built beside the other and moved would begin with the first picture again, and twice the room would be
needed. What no page names any more is removed at the end, and nothing that recq did not make.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from recq.closing import ClosedAtEnd
from recq.errors import UsageError
from recq.output import replaced

MARK = ".recq-site"
PAGE = "index.html"
PICTURES = "pictures"

_UNFINISHED = "parts-unfinished"
_PARTS = re.compile(r"parts-[0-9a-f]{12}")
_PICTURE = re.compile(r"[0-9a-f-]{36}-[0-9a-f]{8}\.jpg|unfinished\.jpg")


class SiteFolder(ClosedAtEnd):
    """The folder at `path`, made where there is none: a context manager. One export at a time.

    All methods raise UsageError for what cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self._named: set[str] = set()
        self._lock = FileLock(path / MARK, mode=0o644, thread_local=False, fallback_to_soft=False)
        with self._told():
            self._require_own()
            self._made = not path.exists()
            path.mkdir(exist_ok=True)
            try:
                self._lock.acquire(blocking=False)
            except Timeout as error:
                raise UsageError(
                    f"another export is writing into {path}: wait for it, or name another folder"
                ) from error
            try:
                _remove(path / _UNFINISHED)
                (path / _UNFINISHED).mkdir()
            except BaseException:
                self.close()
                raise

    def _require_own(self) -> None:
        path = self._path
        if path.is_dir():
            if not (path / MARK).is_file() and any(path.iterdir()):
                raise UsageError(f"--site {path} is not empty, and no site of recq: name a new folder, or an empty one")
        elif path.exists() or path.is_symlink():
            raise UsageError(f"--site {path} is a file: name a folder")
        elif not path.parent.is_dir():
            raise UsageError(f"--site {path}: there is no folder {path.parent}")

    def close(self) -> None:
        """Let others write. A folder that was made here, and holds no picture yet, goes again."""
        if self._lock.is_locked:
            with suppress(OSError):
                _remove(self._path / _UNFINISHED)
                if self._made and [each.name for each in self._path.iterdir()] == [MARK]:
                    (self._path / MARK).unlink()
                    self._path.rmdir()
        self._lock.release()

    def write(self, name: str, content: bytes) -> None:
        """A part of the page."""
        self._digest.update(f"{name} {len(content)}\n".encode() + content)
        with self._told():
            (self._path / _UNFINISHED / name).write_bytes(content)

    def has_picture(self, name: str) -> bool:
        """Whether a picture is there, of this export or an earlier one; from now on the page names it."""
        self._named.add(name)
        with self._told():
            place = self._picture(name)
            return place.is_file() and place.stat().st_size > 0

    def keep_picture(self, name: str, content: bytes) -> None:
        """Write a picture, whole or not at all."""
        with self._told():
            place = self._picture(name)
            place.parent.mkdir(parents=True, exist_ok=True)
            beside = place.with_name("unfinished.jpg")
            beside.write_bytes(content)
            beside.replace(place)

    def _picture(self, name: str) -> Path:
        return self._path / PICTURES / name[:2] / name

    def finish(self, page: Callable[[str], str]) -> None:
        """Show what was written: `page` makes the HTML for the name of the folder of the parts."""
        parts = f"parts-{self._digest.hexdigest()[:12]}"
        with self._told():
            if (self._path / parts).is_dir():  # the same as before, whole
                _remove(self._path / _UNFINISHED)
            else:
                (self._path / _UNFINISHED).rename(self._path / parts)
            with replaced(self._path / PAGE, "the site") as stream:
                stream.write(page(parts).encode("utf-8"))
            for each in self._path.iterdir():
                if _PARTS.fullmatch(each.name) and each.name != parts:
                    _remove(each)
            for each in (self._path / PICTURES).glob("*/*.jpg"):
                if _PICTURE.fullmatch(each.name) and each.name not in self._named:
                    each.unlink()
                    with suppress(OSError):  # others are in it
                        each.parent.rmdir()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(f"the site {self._path} cannot be written: {error.strerror or error}") from error


def _remove(folder: Path) -> None:
    """Remove a folder of parts, or a link in its place, with what is in it."""
    if folder.is_symlink():
        folder.unlink()
    elif os.path.lexists(folder):
        shutil.rmtree(folder)

"""Files and folders that only their owner can read, whatever the umask: an index has personal data.

What recq creates is private from the first moment. What existed before stays as it is, except recq's own folder
`edge` in the data folder, whose mode an older recq left to the umask.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_FOLDER, _FILE = 0o700, 0o600
_OTHERS = 0o077
_MOST = 1 << 16  # bytes of a file that is read


def write_private(path: Path, text: str) -> None:
    """Replace the file `path` in one step; only its owner can ever read it (mode 0600 from the first byte)."""
    with replaced_privately(path) as file:
        file.write(text.encode("utf-8"))


@contextmanager
def replaced_privately(path: Path) -> Iterator[IO[bytes]]:
    """A stream whose content, once it is on the disk, replaces the file `path` in one step; only its owner can ever
    read it. Where the block is left with an error nothing changes. Raises OSError."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = open_private(str(beside), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def read_private(path: Path) -> bytes | None:
    """The content of a file that belongs to this user and that nobody else can read; None for any other, or none."""
    try:
        with open(path, "rb", opener=_without_following) as file:
            found = os.fstat(file.fileno())
            if os.name == "posix" and (found.st_uid != os.getuid() or found.st_mode & _OTHERS):
                return None
            return file.read(_MOST)
    except OSError:
        return None


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def open_private(path: str, flags: int) -> int:
    """An `opener` for `open`: only the owner can read the file, also one that exists already."""
    descriptor = os.open(path, flags, _FILE)
    if hasattr(os, "fchmod"):  # Windows has it since Python 3.13; whom it lets read is no matter of modes there
        os.fchmod(descriptor, _FILE)
    return descriptor


def make_private_folder(path: Path) -> None:
    """Make a folder and its missing parents with mode 0700. A folder that exists stays as it is. Raises OSError."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        with suppress(FileExistsError):  # another process has just made it
            folder.mkdir(_FOLDER)
            folder.chmod(_FOLDER)  # a umask takes bits away from the owner as well
    path.mkdir(exist_ok=True)  # its error where `path` is no folder


def tighten(paths: Iterable[Path]) -> None:
    """Remove the permissions of group and others from files, and from folders with everything below them.

    Links are not followed. What belongs to another user, or no longer exists, stays as it is.
    """
    for path in paths:
        _tighten(path)
        if path.is_dir() and not path.is_symlink():
            for folder, names, files in os.walk(path):
                for name in (*names, *files):
                    _tighten(Path(folder, name))


def _tighten(path: Path) -> None:
    with suppress(OSError):
        if not path.is_symlink() and path.stat().st_mode & _OTHERS:
            path.chmod(_FOLDER if path.is_dir() else _FILE)


@contextmanager
def private_umask() -> Iterator[None]:
    """Within the block this process makes files that only their owner can read: the engine has no such setting."""
    before = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(before)

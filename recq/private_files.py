"""Files and folders that only their owner reads, whatever the umask: what an index tells of somebody's pictures.

What recq makes is private from the first moment. What was there before is left as it is, but for recq's own folder
`edge` below the data folder: an older recq left it to the umask.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FOLDER, _FILE = 0o700, 0o600
_OTHERS = 0o077


def write_private(path: Path, text: str) -> None:
    """Replace the file `path` in one step; only its owner can ever read it (mode 0600 from the first byte)."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = open_private(str(beside), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def open_private(path: str, flags: int) -> int:
    """An `opener` for `open`: the file is its owner's alone, one that is there already too."""
    descriptor = os.open(path, flags, _FILE)
    os.fchmod(descriptor, _FILE)
    return descriptor


def make_private_folder(path: Path) -> None:
    """Make a folder, and the missing ones above it, with mode 0700; one that exists stays as it is. Raises OSError."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        with suppress(FileExistsError):  # somebody else has made it just now
            folder.mkdir(_FOLDER)
            folder.chmod(_FOLDER)  # a umask takes bits away from the owner as well
    path.mkdir(exist_ok=True)  # its error where `path` is no folder


def tighten(paths: Iterable[Path]) -> None:
    """Take what others may do away from files, and from folders with everything below; links are not followed.

    What belongs to another user, or has gone, stays as it is.
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
    """Within, this process makes files for its owner only: the engine has no setting for the mode of its own."""
    before = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(before)

"""Opens a file inside a folder, whatever links lie on the way to it.

What a path names may have become a link to any file of this machine since it was looked at. So the file is opened
first, and where that led is looked at afterwards: nothing can be exchanged in between.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

DESCRIPTORS = "/proc/{}/fd"
"""Where Linux shows the files that a process has open."""

AS_IT_IS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
"""For `os.open` of a file whose kind is not known yet: it never waits for a FIFO's writer, becomes no terminal's, and
every byte is read as it is. Each system lacks some of these. No effect on a regular file."""


def open_inside(path: Path, root: Path) -> tuple[BinaryIO, str]:
    """The regular file at `path`, open for reading, and a path under which another process of this user opens it.

    Raises FileNotFoundError for one that is gone, is no regular file or does not lie below `root`, PermissionError for
    one that may not be read.
    """
    with _away(path):
        descriptor = os.open(path, AS_IT_IS)
        try:
            found, real = os.fstat(descriptor), Path(os.path.realpath(_path_of(descriptor, path)))
            same = os.path.samestat(found, real.stat())  # where that path was not asked of the descriptor itself
            if not stat.S_ISREG(found.st_mode) or not same or not real.is_relative_to(os.path.realpath(root)):
                raise FileNotFoundError
            return os.fdopen(descriptor, "rb"), _path_of(descriptor, real)
        except BaseException:
            os.close(descriptor)
            raise


def _path_of(descriptor: int, path: Path) -> str:
    """A path under which another process of this user opens the very same file; `path` where there is none."""
    descriptors = DESCRIPTORS.format(os.getpid())
    return f"{descriptors}/{descriptor}" if os.path.isdir(descriptors) else os.fspath(path)  # noqa: PTH112


@contextmanager
def _away(path: Path) -> Iterator[None]:
    """Translate the system's errors: whatever is not there, is not there."""
    try:
        yield
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        raise FileNotFoundError(errno.ENOENT, "no such file in its folder", os.fspath(path)) from error

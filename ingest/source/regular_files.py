"""Opens the regular files of a drop folder, and nothing else: a FIFO waits for a writer, a device may have no end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from recq.images.inside import AS_IT_IS


class NotRegular(OSError):
    """What stands there is a folder, a FIFO, a socket or a device."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(errno.EINVAL, "not a regular file", os.fspath(path))


def open_regular(path: str | Path, *, follow: bool = True) -> BinaryIO:
    """The regular file at `path`, open for reading; of a link that is not to be followed the system's error.

    Raises OSError, `NotRegular` for what is there and is no regular file; waits for nothing but the disk.
    """
    descriptor = os.open(path, AS_IT_IS if follow else AS_IT_IS | getattr(os, "O_NOFOLLOW", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # before `fdopen`, which raises for a folder
            raise NotRegular(path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise

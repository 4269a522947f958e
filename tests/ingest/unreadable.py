"""Files and folders that cannot be read, for tests that run as root, who may read everything."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CODES = [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE]
"""What a system says of a file that it knows and does not open."""


@contextmanager
def unreadable(name: str, code: int) -> Iterator[None]:
    """No file whose path ends in `name` is opened by this process."""
    opened = os.open

    def refusing(path: Any, *arguments: Any, **named: Any) -> int:
        if os.fspath(path).endswith(name):
            raise OSError(code, os.strerror(code), path)
        return opened(path, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.open", refusing)
        yield


_CAPABILITIES = 0x20080522  # the version of Linux's structures: two words of each set
_READ_AND_WRITE_ALL = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextmanager
def obeying_permissions() -> Iterator[None]:
    """This thread, and those that it begins, may read only what permissions allow.

    Skips where root cannot give its rights up.
    """
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, before = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(header, before) != 0:
        pytest.skip("root may read every folder, and cannot give that up here")
    without = type(before)(before[0] & ~_READ_AND_WRITE_ALL, *before[1:])
    assert libc.capset(header, without) == 0, os.strerror(ctypes.get_errno())  # rights can always be given up
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0, os.strerror(ctypes.get_errno())

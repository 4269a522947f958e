"""Files that cannot be read, for tests that run as root, who may read everything."""

from __future__ import annotations

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

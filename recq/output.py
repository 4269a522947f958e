"""Files that commands write: checked to be writable before the work, and written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from recq.errors import UsageError


def require_place(path: Path, what: str) -> None:
    """Raise UsageError unless a file can be written there. `what`, the option or argument, begins the message."""
    if path.is_dir():
        raise UsageError(f"{what} {path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise UsageError(f"{what} {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{what} {path}: no permission to write in {path.parent}")


@contextmanager
def replaced(path: Path, what: str) -> Iterator[IO[bytes]]:
    """A stream whose content replaces `path` in one step when the block is left without an error. Raises UsageError."""
    require_place(path, what)
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.stem[:100]}-", suffix=path.suffix, delete=False
        ) as part:
            try:
                yield part
                part.close()
                os.chmod(part.name, 0o666 & ~_umask())  # noqa: PTH101 - temporary files are private
                Path(part.name).replace(path)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UsageError(f"{what} {path} cannot be written: {error.strerror or error}") from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current

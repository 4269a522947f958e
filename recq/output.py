"""Files that commands write: checked to be writable before the work, and written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from recq.errors import UsageError
from recq.paths import printable


def require_place(path: Path, what: str, *, or_stream: bool = False) -> None:
    """Raise UsageError unless a file can be written there. `what`, the option or argument, begins the message.

    Nothing but a regular file is ever replaced: not a device, a pipe or a socket, which another program has open.
    `or_stream`: in its place `-` can be named.
    """
    folder, shown = _written(path).parent, printable(str(path))
    # Path's own tests raise where a name is too long or a folder may not be searched.
    if os.path.isdir(path):  # noqa: PTH112
        raise UsageError(f"{what} {shown} is a folder: name a file in it")
    if _is_irregular(path):
        other = ", or - for standard output" if or_stream else ""
        raise UsageError(f"{what} {shown} is no regular file: name another{other}")
    if not os.path.isdir(folder):  # noqa: PTH112
        raise UsageError(f"{what} {shown}: there is no folder {printable(str(folder))}")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{what} {shown}: no permission to write in {printable(str(folder))}")


def _written(path: Path) -> Path:
    """The file that a write to `path` writes: of a link what it leads to, whether that exists or not."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path  # noqa: PTH114


def _is_irregular(path: Path) -> bool:
    """Whether what stands there is no file that can be replaced; a link that leads nowhere but to itself is none."""
    in_circles = os.path.islink(_written(path))  # noqa: PTH114
    return in_circles or (os.path.exists(path) and not os.path.isfile(path))  # noqa: PTH110, PTH113


@contextmanager
def replaced(path: Path, what: str) -> Iterator[IO[bytes]]:
    """A stream whose content replaces `path` in one step when the block is left without an error. Raises UsageError.

    A link stays, and the file is replaced that it leads to.
    """
    require_place(path, what)
    place = _written(path)
    try:
        with tempfile.NamedTemporaryFile(
            dir=place.parent, prefix=f".{place.stem[:100]}-", suffix=place.suffix, delete=False
        ) as part:
            try:
                yield part
                part.close()
                os.chmod(part.name, 0o666 & ~_umask())  # noqa: PTH101 - temporary files are private
                Path(part.name).replace(place)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UsageError(f"{what} {printable(str(path))} cannot be written: {error.strerror or error}") from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current

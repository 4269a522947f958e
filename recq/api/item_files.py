"""The file of an item, opened inside its source's folder, whatever links lie on the way.

What an item's path names may have become a link to any file of this machine since it was indexed. So the file is opened
first, and where that led is looked at afterwards: nothing can be exchanged in between.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from recq.errors import TargetError, TargetNotFound
from recq.images.formats import sniff
from recq.index.catalog import Catalog
from recq.index.schema import Item
from recq.paths import printable

DESCRIPTORS = "/proc/{}/fd"
"""Where Linux shows the files that a process has open."""

# Never waits for a FIFO, becomes no terminal's, is not inherited. Some systems lack some of these.
_AS_IT_IS = os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)

MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
}
"""By the format that the content has. A browser runs nothing of these."""


def open_item(catalog: Catalog, item: Item) -> tuple[BinaryIO, str]:
    """The item's file, open for reading, and the path under which a decoding process opens it.

    Raises TargetNotFound for one that is on another host, is gone or leads out of its source's folder, TargetError for
    one that may not be read.
    """
    source = catalog.sources.all().get(item.file.source)
    root = None if source is None else source.root_here()
    path = catalog.sources.path_of(item)
    if root is None or path is None:
        raise _away(item)
    try:
        descriptor = os.open(path, os.O_RDONLY | _AS_IT_IS)
    except PermissionError as error:
        raise TargetError(f"'{printable(item.file.path)}' may not be read: check its owner and mode") from error
    except (OSError, ValueError) as error:
        raise _away(item) from error
    file = os.fdopen(descriptor, "rb")
    try:
        found, real = os.fstat(descriptor), Path(os.path.realpath(path_of(file, path)))
        same = os.path.samestat(found, real.stat())  # where that path was not asked of the descriptor itself
        if not stat.S_ISREG(found.st_mode) or not same or not real.is_relative_to(os.path.realpath(root)):
            raise _away(item)
    except OSError as error:
        file.close()
        raise _away(item) from error
    except BaseException:
        file.close()
        raise
    return file, path_of(file, real)


def path_of(file: BinaryIO, path: Path) -> str:
    """A path under which another process of this user opens the very same file; `path` where there is none."""
    descriptors = DESCRIPTORS.format(os.getpid())
    return f"{descriptors}/{file.fileno()}" if os.path.isdir(descriptors) else os.fspath(path)  # noqa: PTH112


def media_type(file: BinaryIO, item: Item) -> str:
    """What the file is by its content. Raises TargetError for one that is no picture."""
    found = sniff(file.read(64))
    file.seek(0)
    if found is None:
        raise TargetError(f"'{printable(item.file.path)}' is no picture any more")
    return MEDIA_TYPES[found]


def _away(item: Item) -> TargetNotFound:
    return TargetNotFound(
        f"the file of '{printable(item.file.path)}' is not on this machine, or no longer in its source's folder"
    )

"""The file of an item, opened inside its source's folder (`recq.images.inside`)."""

from __future__ import annotations

from typing import BinaryIO

from recq.errors import TargetError, TargetNotFound
from recq.images.formats import sniff
from recq.images.inside import open_inside
from recq.index.catalog import Catalog
from recq.index.schema import Item
from recq.paths import printable

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
        return open_inside(path, root)
    except PermissionError as error:
        raise TargetError(f"'{printable(item.file.path)}' may not be read: check its owner and mode") from error
    except FileNotFoundError as error:
        raise _away(item) from error


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

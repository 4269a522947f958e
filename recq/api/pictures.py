"""The pictures of items as answers: the file itself, and a thumbnail that is made of its pixels."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO

from starlette.responses import Response, StreamingResponse

from recq.api.documents import HEADERS
from recq.api.item_files import media_type, open_item
from recq.api.questions import Thumbnail
from recq.api.service import Served, Service
from recq.errors import ImageError, TargetError, TargetNotFound
from recq.images.pixels import jpeg_of
from recq.images.workers import FileChanged
from recq.index.schema import Item
from recq.paths import printable
from recq.search.target import IndexedName, is_id

_HEADERS = {
    **HEADERS,
    "Cache-Control": "private, no-cache",  # the client asks each time whether it has changed, with its ETag
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
_CHUNK = 1 << 18  # bytes


def named(item_id: str) -> IndexedName:
    """The item of that id. Raises TargetNotFound for what is no id: a route takes no names."""
    if not is_id(item_id):
        raise TargetNotFound(f"'{printable(item_id)[:100]}' is no id of an item: answers have them as `id`")
    return IndexedName(item_id)


_TAG = re.compile(r'"[^"]*"')
"""The part of an entity tag, weak or strong, that is compared (RFC 9110, 8.8.3.2)."""


def image(service: Service, catalog: str | None, item_id: str, known: str | None) -> Response:
    """The item's file as it is now; 304 where the client `known`s it (If-None-Match)."""
    item, file, _ = service.ask(catalog, lambda served: _opened(served, item_id))
    try:
        kind, state = media_type(file, item), os.fstat(file.fileno())
        same = (state.st_size, state.st_mtime_ns) == (item.file.size, item.file.mtime_ns)
        tag = f'"{item.file.sha256}"' if same else f'"{state.st_mtime_ns:x}-{state.st_size:x}"'
        headers = {**_HEADERS, "ETag": tag}
        if _has(known, tag):
            file.close()
            return Response(status_code=304, headers=headers)
        return StreamingResponse(
            _parts(file, state.st_size), headers={**headers, "Content-Length": str(state.st_size)}, media_type=kind
        )
    except BaseException:
        file.close()
        raise


def thumbnail(service: Service, question: Thumbnail, item_id: str, known: str | None) -> Response:
    """The item's picture with `size` pixels on its longer side, as a JPEG; 304 where the client `known`s it.

    Of bytes that the client names it never changes.
    """
    size = int(question.size)
    if question.sha256 is not None and (content := service.thumbnails.get(question.sha256, size)) is not None:
        return _thumbnail(content, question.sha256, size, question, known)
    item = service.ask(question.catalog, lambda served: _item(served, item_id))
    longest = min(size, max(item.file.width or size, item.file.height or size))
    digest = item.file.sha256 or ""
    content = service.thumbnails.get(digest, longest) if digest else None
    if content is None:
        digest, content = _made(service, question.catalog, item_id, longest)
    return _thumbnail(content, digest, longest, question, known)


def _thumbnail(content: bytes, digest: str, size: int, question: Thumbnail, known: str | None) -> Response:
    headers = {**_HEADERS, "ETag": f'"{digest}-{size}"'}
    if digest == question.sha256:
        headers["Cache-Control"] = "private, max-age=31536000, immutable"
    if _has(known, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="image/jpeg")


def _made(service: Service, catalog: str | None, item_id: str, longest: int) -> tuple[str, bytes]:
    item, file, path = service.ask(catalog, lambda served: _opened(served, item_id))
    with closing(file):
        try:
            rgb, digest = service.decoder.shown(path, longest)
        except (ImageError, FileNotFoundError, FileChanged) as error:
            why = error if isinstance(error, ImageError) else "it is being written: ask again in a moment"
            raise TargetError(f"'{printable(item.file.path)}' cannot be shown, {why}") from error
    content = jpeg_of(rgb)
    service.thumbnails.put(digest, longest, content)
    return digest, content


def _item(served: Served, item_id: str) -> Item:
    return served.catalog.show(named(item_id)).item


def _opened(served: Served, item_id: str) -> tuple[Item, BinaryIO, str]:
    item = _item(served, item_id)
    with served.session.opened() as catalog:
        return item, *open_item(catalog, item)


def _has(known: str | None, tag: str) -> bool:
    """Whether an If-None-Match names the tag (RFC 9110, 13.1.2)."""
    return known is not None and (known.strip() == "*" or tag in _TAG.findall(known))


def _parts(file: BinaryIO, size: int) -> Iterator[bytes]:
    """`size` bytes: what is written behind them meanwhile is not sent."""
    with file:
        left = size
        while left > 0 and (part := file.read(min(_CHUNK, left))):
            left -= len(part)
            yield part

"""Which items an older recq decoded and this one has to decode again: once, and only those that may differ."""

from __future__ import annotations

from recq.images.revision import is_outdated, may_succeed_now
from recq.index.schema import Item


def needs_decoding(item: Item) -> bool:
    """Whether the picture of an item, or the reason why it has none, may be another by the present decoder."""
    if item.error is not None:
        return may_succeed_now(item.error.reason, item.file.decoder)
    return item.file.format is not None and is_outdated(item.file.format, item.file.decoder)

"""Which items have to be decoded again, once, since an older recq decoded them and the result may differ."""

from __future__ import annotations

from recq.images.revision import is_outdated, may_succeed_now
from recq.index.schema import Item


def needs_decoding(item: Item) -> bool:
    """Whether the present decoder may give another picture of an item, or another failure."""
    if item.error is not None:
        return may_succeed_now(item.error.reason, item.file.decoder)
    return item.file.format is not None and is_outdated(item.file.format, item.file.decoder)

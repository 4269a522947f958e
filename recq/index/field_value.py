"""The value that an item has in a field: the one rule for payloads that were read in part, whole items and results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recq.index.schema import Value


def field_value(payload: Mapping[str, Any], field: str) -> Value | None:
    """A field's value in a payload (of `Item.to_payload` or as it was read); None where there is none.

    `field` is metadata, which stands at the top level, or one of `file.*`.
    """
    own = field.removeprefix("file.")
    holder = payload if own == field else payload.get("file")
    value: Value | None = holder.get(own) if isinstance(holder, Mapping) else None
    return value

"""The value that an item has in a field: the one rule for partial payloads, whole items and results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recq.index.predicted import KEY, part_of
from recq.index.schema import Value
from recq.paths import folders_above


def field_value(payload: Mapping[str, Any], field: str) -> Value | None:
    """A field's value in a payload (of `Item.to_payload` or as it was read); None where there is none.

    `field` is metadata, which stands at the top level, one of `file.*`, or a prediction.
    """
    value: Value | None
    part = part_of(field)
    if part is not None:
        found = payload.get(KEY)
        prediction = found.get(part.field) if isinstance(found, Mapping) else None
        value = prediction.get(part.member) if isinstance(prediction, Mapping) else None
        return value
    own = field.removeprefix("file.")
    holder = payload if own == field else payload.get("file")
    if not isinstance(holder, Mapping):
        return None
    if field == "file.folders" and own not in holder and isinstance(path := holder.get("path"), str):
        return [*folders_above(path, bool(holder.get("encoded")))] or None  # it follows from the item's path
    value = holder.get(own)
    return value

"""The types that a field of the index may have."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class FieldType(StrEnum):
    """The type of a metadata field: the first of these that every value of the field fits."""

    BOOL = "bool"
    INTEGER = "integer"
    FLOAT = "float"
    DATE = "date"
    STRING = "string"

    @property
    def is_number(self) -> bool:
        """Integers and floats: fields with an order and a size."""
        return self in (FieldType.INTEGER, FieldType.FLOAT)


FieldTypes = Mapping[str, FieldType]

"""The metadata fields of one collection: their types (those of the payload indexes), and new ones on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from qdrant_client import QdrantClient, models

from recq.index.schema import (
    FILE_FIELDS,
    FieldType,
    FieldTypes,
    Item,
    Value,
    elements,
    field_name,
    fits,
    infer_type,
    is_field_key,
    payload_key,
    shadow_key,
)

_INDEX_TYPES: Mapping[FieldType, models.PayloadSchemaType] = {
    FieldType.BOOL: models.PayloadSchemaType.BOOL,
    FieldType.INTEGER: models.PayloadSchemaType.INTEGER,
    FieldType.FLOAT: models.PayloadSchemaType.FLOAT,
    FieldType.DATE: models.PayloadSchemaType.DATETIME,
    FieldType.STRING: models.PayloadSchemaType.KEYWORD,
}
_FIELD_TYPES = {index: field_type for field_type, index in _INDEX_TYPES.items()}
_LARGE = frozenset({"file.path", "file.name", "file.sha256"})
_LARGE_INDEX = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, on_disk=True)
"""Own fields whose values are all different: on disk, or each costs some 400 bytes of memory a point."""

_WORD_INDEX = models.TextIndexParams(
    type=models.TextIndexType.TEXT, tokenizer=models.TokenizerType.WORD, lowercase=True
)

Misfit = Callable[[str, Value, FieldType], None]


class Fields:
    """Types and payload indexes of a collection's metadata. Raises the client's errors: `Catalog` translates them."""

    def __init__(self, client: QdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection
        self._types: dict[str, FieldType] | None = None
        self._misfits: set[str] = set()

    def types(self, *, refresh: bool = False) -> FieldTypes:
        """The metadata fields and their types; read once, and again where `refresh` is set."""
        if self._types is None or refresh:
            schema = self._client.get_collection(self._collection).payload_schema
            self._types = {
                field_name(key): _FIELD_TYPES[info.data_type]
                for key, info in schema.items()
                if info.data_type in _FIELD_TYPES and is_field_key(key)
            }
        return self._types

    def create_own(self) -> None:
        """The indexes of recq's own fields."""
        for name, field_type in FILE_FIELDS.items():
            self._create(name, _LARGE_INDEX if name in _LARGE else _INDEX_TYPES[field_type])

    def declare(self, types: FieldTypes) -> None:
        """Create the payload indexes of fields that have none yet; a known field keeps its type."""
        known = self.types()
        if all(name in known for name in types):
            return
        known = self.types(refresh=True)  # another daemon may have been faster
        for name, field_type in types.items():
            if name in known:
                continue
            if field_type is FieldType.STRING:  # the text index first: `types` shows a field when it is complete
                self._create(shadow_key(name), _WORD_INDEX)
            self._create(payload_key(name), _INDEX_TYPES[field_type])
        self.types(refresh=True)

    def declare_for(self, items: Sequence[Item], on_misfit: Misfit) -> FieldTypes:
        """Declare the fields that the items carry, and report values that do not fit: once per field."""
        values: dict[str, list[Value]] = {}
        for item in items:
            for name, value in item.metadata.items():
                values.setdefault(name, []).append(value)
        known = self.types()
        self.declare({name: infer_type(found) for name, found in values.items() if name not in known})
        known = self.types()
        for name, found in values.items():
            if name in self._misfits:
                continue
            for value in found:
                if not all(fits(element, known[name]) for element in elements(value)):
                    self._misfits.add(name)
                    on_misfit(name, value, known[name])
                    break
        return known

    def forget(self) -> None:
        """Drop the payload indexes of all metadata fields, and with them their types."""
        for name in self.types(refresh=True):
            for key in (payload_key(name), shadow_key(name)):  # in the URL's path, where the client escapes nothing
                self._client.delete_payload_index(self._collection, quote(key, safe=""), wait=True)
        self._types = None
        self._misfits.clear()

    def _create(self, key: str, schema: models.PayloadFieldSchema) -> None:
        self._client.create_payload_index(self._collection, key, field_schema=schema, wait=True)

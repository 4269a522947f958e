"""The metadata fields of one collection: their types (those of the payload indexes), and new ones on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from qdrant_client import QdrantClient, models

from recq.index.schema import (
    EXACT,
    FILE_FIELDS,
    SEARCHED_COPIES,
    FieldType,
    FieldTypes,
    Item,
    Value,
    elements,
    field_name,
    fits,
    infer_type,
    is_exact,
    nfc,
    payload_key,
    searched_field,
    shadow_key,
    widens,
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
    type=models.TextIndexType.TEXT, tokenizer=models.TokenizerType.WORD, lowercase=True, ascii_folding=True
)
"""Of `recq.index.words`."""

Misfit = Callable[[str, Value, FieldType], None]


class Fields:
    """Types and payload indexes of a collection's metadata. Raises the client's errors: `Catalog` translates them."""

    def __init__(self, client: QdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection
        self._types: dict[str, FieldType] | None = None
        self._searched: Mapping[str, bool] = {}
        self._misfits: set[str] = set()

    def types(self, *, refresh: bool = False) -> FieldTypes:
        """The metadata fields and their types; read once, and again where `refresh` is set."""
        if self._types is None or refresh:
            schema = self._client.get_collection(self._collection).payload_schema
            self._types = {
                field_name(key): _FIELD_TYPES[info.data_type]
                for key, info in schema.items()
                if info.data_type in _FIELD_TYPES and key not in FILE_FIELDS and searched_field(key) is None
            }
            self._searched = {
                field: isinstance(info.params, models.TextIndexParams) and bool(info.params.ascii_folding)
                for key, info in schema.items()
                if (field := searched_field(key)) is not None
            }
        return self._types

    def searched(self) -> Mapping[str, bool]:
        """The fields and copies whose words are indexed, and whether as today: an older recq did it otherwise.

        As fresh as `types`.
        """
        self.types()
        return self._searched

    def create_own(self) -> None:
        """The indexes of recq's own fields."""
        for name, field_type in FILE_FIELDS.items():
            self._create(name, _LARGE_INDEX if name in _LARGE else _INDEX_TYPES[field_type])
        for name in sorted(SEARCHED_COPIES):
            self._create(shadow_key(name), _WORD_INDEX)

    def renew_words(self) -> None:
        """Make the text indexes of metadata anew, as they are made today."""
        for name, field_type in self.types(refresh=True).items():
            if field_type is FieldType.STRING:
                self._create(shadow_key(name), _WORD_INDEX)

    def compose_names(self) -> list[str]:
        """Give fields whose names are not composed (NFC) others that are; returns the old names, to `drop` later."""
        old = [name for name in self.types(refresh=True) if nfc(name) != name]
        self.declare({nfc(name): self.types()[name] for name in old})
        return old

    def drop(self, names: Sequence[str]) -> None:
        """Drop the payload indexes of metadata fields, and with them their types."""
        for name in names:
            self._client.delete_payload_index(self._collection, payload_key(name), wait=True)
            self._client.delete_payload_index(self._collection, shadow_key(name), wait=True)
        self._types = None

    def declare(self, types: FieldTypes) -> None:
        """Create the payload indexes of fields that have none yet.

        A known field keeps its type, but a field of integers that is declared one of floats becomes that, as long as no
        integer in it has more digits than a float.
        """
        types = {nfc(name): field_type for name, field_type in types.items()}
        if not self._new(types, self.types()):
            return
        for _ in range(2):  # another daemon may have been faster, and have taken a field of floats for one of integers
            new = self._new(types, self.types(refresh=True))
            for name, field_type in new.items():
                if field_type is FieldType.STRING:  # the text index first: `types` shows a field when it is complete
                    self._create(shadow_key(name), _WORD_INDEX)
                self._create(payload_key(name), _INDEX_TYPES[field_type])
            if not new:
                break
        self.types(refresh=True)

    def _new(self, types: FieldTypes, known: FieldTypes) -> FieldTypes:
        """Those of which an index has to be made."""
        return {
            name: field_type
            for name, field_type in types.items()
            if name not in known or (widens(known[name], field_type) and not self._has_long_integers(name))
        }

    def declare_for(self, items: Sequence[Item], on_misfit: Misfit) -> FieldTypes:
        """Declare the fields that the items carry, and report values that do not fit: once per field."""
        values: dict[str, list[Value]] = {}
        for item in items:
            for name, value in item.metadata.items():
                values.setdefault(nfc(name), []).append(value)
        known = self.types()
        self.declare({name: self._declared(found, known.get(name)) for name, found in values.items()})
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

    @staticmethod
    def _declared(values: Sequence[Value], known: FieldType | None) -> FieldType:
        """The type that a field should have for `values`, which it had not alone."""
        if known is None:
            return infer_type(values)
        numbers = [each for value in values for each in elements(value) if fits(each, FieldType.FLOAT)]
        real = any(isinstance(number, float) for number in numbers) and all(map(is_exact, numbers))
        return FieldType.FLOAT if known is FieldType.INTEGER and real else known

    def _has_long_integers(self, name: str) -> bool:
        """Whether a field of integers has one that is not exact as a float."""
        bounds = (models.Range(gte=EXACT), models.Range(lte=-EXACT))
        long = models.Filter(should=[models.FieldCondition(key=payload_key(name), range=bound) for bound in bounds])
        return self._client.count(self._collection, count_filter=long, exact=True).count > 0

    def forget(self) -> None:
        """Drop all of them."""
        self.drop(list(self.types(refresh=True)))
        self._misfits.clear()

    def _create(self, key: str, schema: models.PayloadFieldSchema) -> None:
        self._client.create_payload_index(self._collection, key, field_schema=schema, wait=True)

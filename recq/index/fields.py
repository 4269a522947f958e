"""The metadata fields of one collection: their types (those of the payload indexes), and new ones on demand.

Many new fields at once are recorded, and their indexes made later (`recq.index.pending_fields`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote

from qdrant_client import QdrantClient, models

from recq.commands import command
from recq.errors import FilterError
from recq.index import changes, predicted
from recq.index.errors import translated
from recq.index.pending_fields import (
    LATELY,
    PACE_KEY,
    PENDING_PREFIX,
    REFUSED_PREFIX,
    Missing,
    Waiting,
    made_at_once,
    record,
    refusal_record,
    waiting_in,
)
from recq.index.schema import (
    EXACT,
    FILE_FIELDS,
    METADATA_KEY,
    SCHEMA_VERSION,
    SEARCHED_COPIES,
    SHADOW,
    SINCE,
    FieldType,
    FieldTypes,
    Item,
    Value,
    elements,
    field_name,
    fits,
    infer_type,
    is_exact,
    is_field_key,
    nfc,
    payload_key,
    predicted_key,
    predictor_field,
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
_LARGE_INDEX = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, on_disk=True, enable_hnsw=False)
"""Own fields whose values are all different: on disk, or each costs some 400 bytes of memory a point."""

_WORD_INDEX = models.TextIndexParams(
    type=models.TextIndexType.TEXT,
    tokenizer=models.TokenizerType.WORD,
    lowercase=True,
    ascii_folding=True,
    enable_hnsw=False,
)
"""Of `recq.index.words`. A server's graph (HNSW) gets links of its own for each frequent value of an indexed field: for
words they would be most of the work, and recq's searches do without (`recq.index.search_params`)."""

_STAMP_INDEXES: Mapping[str, models.PayloadFieldSchema] = {
    changes.NUMBER: models.IntegerIndexParams(
        type=models.IntegerIndexType.INTEGER, lookup=False, range=True, enable_hnsw=False
    ),
    changes.WRITER: models.IntegerIndexParams(
        type=models.IntegerIndexType.INTEGER, lookup=True, range=False, enable_hnsw=False
    ),
}
"""Of `recq.index.changes`: numbers are asked for by order, writers by equality. Both structures cost memory."""

_NOTE_EVERY = 10
"""Indexes until the records are brought up to date: an embedded folder replaces its manifest for that."""

Misfit = Callable[[str, Value, FieldType], None]


class Fields:
    """Types and payload indexes of a collection's metadata. All methods raise only errors of `recq.errors`."""

    def __init__(self, client: QdrantClient, collection: str, info: models.CollectionInfo | None = None) -> None:
        self._client = client
        self._collection = collection
        self._types: dict[str, FieldType] | None = None
        self._info: models.CollectionInfo | None = None
        self._read_at = 0.0
        self._waiting = Waiting()
        self._schema = SCHEMA_VERSION
        self._searched: Mapping[str, bool] = {}
        self._predicted: frozenset[str] = frozenset()
        self._stamped = False
        self._reading = threading.Lock()  # what was asked for later is what is known later
        self._lately: list[tuple[float, int]] = []
        self._unnoted = 0
        self._misfits: set[str] = set()
        if info is not None:  # the collection as it was described just now
            self._read(info)

    @translated
    def types(self, *, refresh: bool = False) -> FieldTypes:
        """The metadata fields and the predictions with their types; read once, and again where `refresh` is set."""
        known: FieldTypes | None = self._types
        if known is None or refresh:
            with self._reading:
                known = self._read(self._client.get_collection(self._collection))
        return known

    @property
    def known_types(self) -> FieldTypes | None:
        """The same as they were last read, without asking the index; None where they were never read."""
        return self._types

    def collection(self, younger: float) -> models.CollectionInfo:
        """What the engine says of the collection, read in the last `younger` seconds: the types come from it."""
        self.types(refresh=time.monotonic() - self._read_at >= younger)
        assert self._info is not None, "types were read"
        return self._info

    def _read(self, info: models.CollectionInfo) -> dict[str, FieldType]:
        """Take the fields from a collection's description."""
        self._info, self._read_at = info, time.monotonic()
        indexed = {
            field_name(key): _FIELD_TYPES[index.data_type]
            for key, index in info.payload_schema.items()
            if index.data_type in _FIELD_TYPES and is_field_key(key)
        }
        self._searched = {
            field: isinstance(index.params, models.TextIndexParams) and bool(index.params.ascii_folding)
            for key, index in info.payload_schema.items()
            if (field := searched_field(key)) is not None
        }
        self._predicted = frozenset(field for key in info.payload_schema if (field := predictor_field(key)) is not None)
        self._stamped = changes.NUMBER in info.payload_schema
        self._schema = (info.config.metadata or {}).get(METADATA_KEY, {}).get("schema", SCHEMA_VERSION)
        self._waiting = waiting_in(info.config.metadata or {}, indexed, info.payload_schema)
        types = self._types = {**self._waiting.types, **indexed}
        return types

    def waiting(self, *, refresh: bool = False) -> Waiting:
        """The indexes that are still to be made, as they were last read, or read now."""
        self.types(refresh=refresh)
        return self._waiting

    @property
    def known_waiting(self) -> Waiting:
        """The indexes that are still to be made, as they were last read, if ever."""
        return self._waiting

    def require_made(self, uses: Iterable[tuple[str, bool]]) -> None:
        """Raise IndexPending where an index is missing that the `uses` (field, words) need; FilterError where it could
        not be made."""
        uses = list(uses)
        if self.waiting().lacks(uses) is None:
            return
        waiting = self.waiting(refresh=True)  # it may have been made since
        if (lacked := waiting.lacks(uses)) is not None:
            raise waiting.refusal(lacked)

    def require_in_schema(self, names: Iterable[str]) -> None:
        """Raise FilterError for one of recq's own fields that an older recq did not write, until that is made up."""
        wanted = [name for name in names if name in SINCE]
        self.types(refresh=any(SINCE[name] > self._schema for name in wanted))  # it may have been upgraded since
        for name in wanted:
            if SINCE[name] > self._schema:
                raise FilterError(
                    f"field {name!r} is not indexed yet, since an older recq made this index: "
                    f"the next {command('recq-ingest', 'run')} brings it up to date"
                )

    def searched(self) -> Mapping[str, bool]:
        """The fields and copies whose words are indexed, and whether as today: an older recq did it otherwise.

        As fresh as `types`.
        """
        self.types()
        return self._searched

    def stamped(self) -> bool:
        """Whether points can be asked for in the order of their stamps (`recq.index.changes`); as fresh as `types`."""
        self.types()
        return self._stamped

    def predicted(self, *, refresh: bool = False) -> frozenset[str]:
        """The fields that items may have predictions of; as fresh as `types`."""
        self.types(refresh=refresh)
        return self._predicted

    @translated
    def declare_predicted(self, name: str, field_type: FieldType) -> None:
        """Create the payload indexes of the predictions of a field, whose labels have that type from now on.

        The labels of an earlier predictor may have had another one: those are not found until they are replaced.
        """
        label = predicted.name_of(predicted.Part(name, predicted.LABEL))
        known = self.types(refresh=True).get(label)
        if known is not None and known is not field_type:
            self._drop_indexes([payload_key(label), shadow_key(label)])
        if name not in self._predicted:
            self._create(predicted_key(name, predicted.BY), models.PayloadSchemaType.KEYWORD)
        members = {predicted.CONFIDENCE: FieldType.FLOAT, predicted.UNKNOWN: FieldType.BOOL}
        self.declare(
            {label: field_type, **{predicted.name_of(predicted.Part(name, each)): members[each] for each in members}}
        )

    @translated
    def drop_predicted(self, name: str) -> None:
        """Drop the payload indexes of the predictions of a field; that of their predictors goes last."""
        members = (predicted.LABEL, predicted.WORDS, predicted.CONFIDENCE, predicted.UNKNOWN, predicted.BY)
        parts = [predicted.name_of(predicted.Part(name, each)) for each in (predicted.LABEL, *predicted.SHOWN)]
        if waiting := [each for each in parts if each in self.waiting(refresh=True).types]:
            gone: dict[str, None] = {PENDING_PREFIX + each: None for each in waiting}
            self._client.update_collection(self._collection, metadata=gone)
        self._drop_indexes([predicted_key(name, each) for each in members])

    @translated
    def create_own(self) -> None:
        """The indexes of recq's own fields."""
        for name, field_type in FILE_FIELDS.items():
            self._create(name, _LARGE_INDEX if name in _LARGE else _INDEX_TYPES[field_type])
        for name in sorted(SEARCHED_COPIES):
            self._create(shadow_key(name), _WORD_INDEX)
        for key, index in _STAMP_INDEXES.items():
            self._create(key, index)

    @translated
    def renew_words(self) -> None:
        """Make the text indexes of metadata anew, as they are made today."""
        for name, field_type in self.types(refresh=True).items():
            if field_type is FieldType.STRING:
                self._create(shadow_key(name), _WORD_INDEX)

    @translated
    def drop_reserved(self) -> None:
        """Drop the payload indexes of metadata fields that had a name which is reserved since (`predicted`)."""
        info = self._client.get_collection(self._collection)
        reserved = (f'"{predicted.KEY}.', f'{SHADOW}."{predicted.KEY}.')
        whole = (predicted.KEY, f"{SHADOW}.{predicted.KEY}")
        self._drop_indexes([key for key in info.payload_schema if key in whole or key.startswith(reserved)])

    @translated
    def compose_names(self) -> list[str]:
        """Give fields whose names are not composed (NFC) others that are; returns the old names, to `drop` later."""
        old = [name for name in self.types(refresh=True) if nfc(name) != name]
        self.declare({nfc(name): self.types()[name] for name in old})
        return old

    @translated
    def drop(self, names: Sequence[str]) -> None:
        """Drop the payload indexes of metadata fields, and with them their types."""
        self._drop_indexes([key for name in names for key in (payload_key(name), shadow_key(name))])

    def _drop_indexes(self, keys: Sequence[str]) -> None:
        """Drop payload indexes; keys that have none are no error."""
        for key in keys:  # in the URL's path, where the client escapes nothing
            self._client.delete_payload_index(self._collection, quote(key, safe=""), wait=True)
        self._types = None

    @translated
    def declare(self, types: FieldTypes) -> None:
        """Create the payload indexes of fields that have none yet, or let them wait where they are many.

        A known field keeps its type, but a field of integers that is declared one of floats becomes that, as long as no
        integer in it has more digits than a float.
        """
        types = {nfc(name): field_type for name, field_type in types.items()}
        if not self._new(types, self.types()):
            return
        for _ in range(2):  # another daemon may have been faster, and have taken a field of floats for one of integers
            known = self.types(refresh=True)
            new = self._new(types, known)
            if not new:
                return
            waiting = {missing.field for missing in self._waiting.indexes if not missing.words}
            fresh = {name for name in new if name not in known}
            if fresh and not self._takes(len(fresh)):
                waiting |= fresh
            later = {name: field_type for name, field_type in new.items() if name in waiting}
            if later:
                self._client.update_collection(self._collection, metadata=record(later))
            self._make_now({name: field_type for name, field_type in new.items() if name not in waiting})
        self.types(refresh=True)

    def _make_now(self, types: FieldTypes) -> None:
        for name, field_type in types.items():
            if field_type is FieldType.STRING:  # the text index first: `types` shows a field when it is complete
                self._create(shadow_key(name), _WORD_INDEX)
            self._create(payload_key(name), _INDEX_TYPES[field_type])

    def _takes(self, new: int) -> bool:
        """Whether `new` fields get their indexes now; counts them then."""
        now = time.monotonic()
        self._lately = [(at, fields) for at, fields in self._lately if now - at < LATELY]
        taken = made_at_once(new, len(self._waiting.indexes), sum(fields for _, fields in self._lately))
        if taken:
            self._lately.append((now, new))
        return taken

    @translated
    def make(self, missing: Missing) -> None:
        """Make an index that waits. Making one that is there already is no harm."""
        started = time.perf_counter()
        self._create(missing.key, _WORD_INDEX if missing.words else _INDEX_TYPES[missing.type])
        took = time.perf_counter() - started
        self._waiting = self._waiting.without(missing)
        self._unnoted += 1
        if self._unnoted >= _NOTE_EVERY:
            self.note_made(took)

    @translated
    def note_refused(self, missing: Missing, why: str) -> None:
        """Keep why an index that waits could not be made."""
        self._client.update_collection(self._collection, metadata=refusal_record(missing, why))
        self.types(refresh=True)

    @translated
    def note_made(self, took: float | None = None) -> None:
        """Remove the records of fields that miss nothing any more. `took`: seconds that an index took just now."""
        self._unnoted = 0
        waiting = self.waiting(refresh=True)
        pace = round(took, 3) if took is not None and waiting.left else None
        if waiting.complete or waiting.settled or pace is not None:
            gone: dict[str, float | None] = {PENDING_PREFIX + name: None for name in waiting.complete}
            gone |= {REFUSED_PREFIX + key: None for key in waiting.settled}
            self._client.update_collection(self._collection, metadata={**gone, PACE_KEY: pace})

    def make_all(self) -> Iterator[Waiting]:
        """Make all indexes that wait, but for those that the engine refused; gives what is left before each."""
        while (missing := (waiting := self._to_make()).next(self.known_waiting.refused)) is not None:
            yield waiting
            self.make(missing)
        self.note_made()

    def _to_make(self) -> Waiting:
        """What waits: as it is known here, and read anew when that is nothing."""
        return self.known_waiting if self.known_waiting.left else self.waiting(refresh=True)

    def _new(self, types: FieldTypes, known: FieldTypes) -> FieldTypes:
        """Those of which an index has to be made."""
        return {
            name: field_type
            for name, field_type in types.items()
            if name not in known or (widens(known[name], field_type) and not self._has_long_integers(name))
        }

    @translated
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

    @translated
    def forget(self) -> None:
        """Drop all of them."""
        known = self.types(refresh=True)
        if self._waiting.types:  # first, so that nobody makes them meanwhile
            gone: dict[str, None] = {PENDING_PREFIX + name: None for name in self._waiting.types}
            gone |= {REFUSED_PREFIX + key: None for key in self._waiting.noted}
            self._client.update_collection(self._collection, metadata={**gone, PACE_KEY: None})
        fields = self._predicted
        self.drop([name for name in known if predicted.part_of(name) is None])
        for name in fields:
            self.drop_predicted(name)
        self._waiting = Waiting()
        self._lately.clear()
        self._misfits.clear()

    def _create(self, key: str, schema: models.PayloadFieldSchema) -> None:
        self._client.create_payload_index(self._collection, key, field_schema=schema, wait=True)

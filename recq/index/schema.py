"""The content of a point: the payload of an item, the type of each metadata field, and the keys of the indexes.

Metadata is at the payload's top level, so that filters read naturally; `file`, `error` and `predicted`
(`recq.index.predicted`) are recq's, and `_text` holds a copy of every text field, and of the file's name and path,
under its own index (one field can have only one index: the keyword index answers `=`, the text index answers `~`).
Types belong to a field, not to a cell: the payload index of a field *is* the record of its type. Texts are stored in
Unicode's composed form, dates in one form (`recq.index.dates`); paths stay as they are.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from recq import paths
from recq.index import changes, predicted
from recq.index.changes import Gone, Stamp
from recq.index.dates import read_date, written_date
from recq.index.field_types import FieldType as FieldType
from recq.index.field_types import FieldTypes as FieldTypes
from recq.index.operators import OPERATORS, characters_of, prefixes
from recq.index.predicted import Prediction, part_of, split_key
from recq.index.problems import KIND_KEY, Problem, ProblemKind
from recq.index.words import stored_words

VECTOR = "image"
"""The name of the one vector of a point (a named vector, so that a failed item may have none)."""

SCHEMA_VERSION = 6
"""The version of the payload's layout and of recq's own indexes (`recq.index.collection`)."""

METADATA_KEY = "recq"
"""The collection-metadata key of recq's own record: schema version, space and its fingerprint."""

SHADOW = "_text"
Scalar = bool | int | float | str
Value = Scalar | list[Scalar]
Metadata = Mapping[str, Value]

MOST_FIELDS = 1000
"""Metadata fields of one picture: each is a payload index of its own, which takes an engine a tenth of a second."""

LONGEST_NAME = 255
"""Characters of a field's name."""

MOST_ELEMENTS = 10_000
"""The most elements of a list: they are part of every answer, and each is indexed."""

_INT64 = 2**63
_LONGEST_INTEGER = 20  # characters of an integer of 64 bits, its sign included
FLOAT_DIGITS = 15
"""So many digits of a number survive a float and JSON, whichever program reads it."""
EXACT = 2**53
"""Integers smaller than this in size are exact as floats."""
_LONGEST_EXACT = len(str(-EXACT))
_INTEGER = re.compile(r"-?(0|[1-9]\d*)")
_FLOAT = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?|-?\.\d+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PATH = re.compile(r'[."\[\]]')  # what makes a key that is not quoted a path into objects and lists
_OPERATORS = characters_of(OPERATORS)
_UNQUOTABLE = '"\\'  # the engines' quoted keys know no escapes (server 1.17, Edge 0.9)


FILE_FIELDS: FieldTypes = {
    "file.source": FieldType.STRING,
    "file.path": FieldType.STRING,
    "file.name": FieldType.STRING,
    "file.folders": FieldType.STRING,
    "file.sha256": FieldType.STRING,
    "file.format": FieldType.STRING,
    "error.reason": FieldType.STRING,
    "error.retry": FieldType.BOOL,
    KIND_KEY: FieldType.STRING,
}
"""recq's own fields that are indexed, from the first moment of a collection."""

SINCE: Mapping[str, int] = {"file.folders": 4}
"""The schema version that brought a field of recq's own: an older index does not answer for it."""

PATH_FIELDS = frozenset({"file.path", "file.name", "file.folders"})
"""recq's own fields that hold paths, which stay in the Unicode form that the file system has."""

SEARCHED_FILE_FIELDS = {"file.name": ("file.name",), "file.path": ("file.name", "file.folder")}
"""recq's own fields that `~` searches, with the copies that have their words: those of a name are nearly all different
and cost memory, those of folders are few and cost little."""

SEARCHED_COPIES = frozenset(copy for copies in SEARCHED_FILE_FIELDS.values() for copy in copies)

UNINDEXED_FIELDS: FieldTypes = {
    "file.size": FieldType.INTEGER,
    "file.width": FieldType.INTEGER,
    "file.height": FieldType.INTEGER,
    "file.ingested_at": FieldType.DATE,
}
"""recq's own fields that may be filtered by comparison, by reading every row."""


FACTS: Mapping[str, type] = {"source": str, "path": str, "size": int, "mtime_ns": int}
"""The members of every item's `file`, with their types: a point without them is not recq's."""

_MORE_FACTS: Mapping[str, type] = {
    "sha256": str, "format": str, "width": int, "height": int, "ingested_at": str, "encoded": bool,
    "metadata_digest": str, "ctime_ns": int, "decoder": int,
}  # fmt: skip
_LONG_AGO = "1970-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class FileFacts:
    """The facts of an item's file. `path` is POSIX, relative to the source's root, in the text form of `recq.paths`.

    `metadata_digest` shows whether the folder would give the item other metadata now, without reading any: the writer
    of the metadata decides what it is made of; where it is missing, the catalog computes it from the metadata.
    `ctime_ns` is the time of the last change of bytes or attributes, None where the file system has none that can be
    relied on; `decoder` the revision of the decoder that made the pixels (`recq.images`), None before there were any.
    """

    source: str
    path: str
    size: int
    mtime_ns: int
    sha256: str | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    ingested_at: str | None = None
    encoded: bool = False
    metadata_digest: str = ""
    ctime_ns: int | None = None
    decoder: int | None = None

    @classmethod
    def from_json(cls, data: object) -> Self:
        """The `file` of a payload. Raises TypeError or KeyError where it lacks what every item has.

        Other members that recq does not write in this form are left out, also those of a newer recq.
        """
        data = require_facts(data)
        more = {
            name: value
            for name, kind in _MORE_FACTS.items()
            if (value := data.get(name)) is not None and (type(value) is kind or _is_a(value, kind))
        }
        return cls(data["source"], data["path"], int(data["size"]), int(data["mtime_ns"]), **more)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def folders(self) -> list[str]:
        """All folders above the file, outermost first, each as a path relative to the source's root."""
        return paths.folders_above(self.path, self.encoded)

    @property
    def id(self) -> str:
        """The item's point id."""
        return paths.item_id(self.source, self.path, self.encoded)


def require_facts(data: object) -> Mapping[str, Any]:
    """The `file` of a payload, which has what every item has. Raises TypeError or KeyError where it lacks any."""
    if not isinstance(data, Mapping):
        raise TypeError(f"`file` is {type(data).__name__}, not an object")
    for name, kind in FACTS.items():
        if type(data[name]) is not kind and not _is_a(data[name], kind):
            raise TypeError(f"`file.{name}` is {type(data[name]).__name__}, not {kind.__name__}")
    return data


@dataclass(frozen=True)
class ItemError:
    """Why an item has no vector. `at` is ISO 8601 UTC, `attempts` counts from one.

    `reason` is one of `recq.errors.Reason`, or a word of a newer recq. `retry`: another attempt was requested, and the
    daemon that watches the source has not made it yet.
    """

    reason: str
    detail: str
    at: str
    attempts: int = 1
    retry: bool = False

    @classmethod
    def from_json(cls, data: object) -> Self | None:
        """The error that `to_payload` wrote, None where there is none; members of a newer recq are left out."""
        if not isinstance(data, Mapping) or not isinstance(data.get("reason"), str):
            return None
        known = {name: value for name, value in data.items() if name in cls.__dataclass_fields__}
        return cls(**{"detail": "", "at": _LONG_AGO, **known})


_OWN = ("file", "error", predicted.KEY)
"""The payload's top-level keys that are no metadata, besides those that begin with an underscore."""

_UNSEEN = frozenset({SHADOW, changes.KEY})
"""Those that begin with an underscore and stand beside metadata."""

_OWN_PREFIXES = tuple(f"{key}." for key in _OWN)


@dataclass(frozen=True)
class Item:
    """One image file of a source: exactly one point. `problems` are those of its metadata.

    `predicted` has what predictors say, by field. No payload has it of a field that people gave, or of a failed item.
    `stamp` is that of its last write, where it was read with the item; whoever writes an item with the same bytes again
    gives it along.
    """

    file: FileFacts
    metadata: Metadata = field(default_factory=dict)
    error: ItemError | None = None
    problems: tuple[Problem, ...] = ()
    predicted: Mapping[str, Prediction] = field(default_factory=dict)
    stamp: Stamp | None = field(default=None, compare=False)

    @property
    def id(self) -> str:
        """The point id."""
        return self.file.id

    def gone(self) -> Gone:
        """What is kept of the item when it goes."""
        file = self.file
        return Gone(self.id, file.source, file.path, file.encoded, file.sha256)

    def with_digest(self) -> Self:
        """The same item with a `file.metadata_digest`: its own, else one computed from its metadata."""
        if self.file.metadata_digest:
            return self
        return replace(self, file=replace(self.file, metadata_digest=metadata_digest(self.metadata)))

    def to_payload(self) -> dict[str, Any]:
        """What the item is, as plain JSON."""
        facts = {key: value for key, value in vars(self.file).items() if value is not None}
        if not self.file.encoded:
            facts.pop("encoded")
        if self.problems:
            facts["problems"] = [problem.to_json() for problem in self.problems]
        payload: dict[str, Any] = {**self.metadata, "file": {**facts, "name": self.file.name}}
        if kept := {name: each.to_json() for name, each in self.predicted.items() if self.may_have_predicted(name)}:
            payload[predicted.KEY] = kept
        if self.error is not None:
            payload["error"] = {**asdict(self.error), "reason": str(self.error.reason)}
            if not self.error.retry:
                del payload["error"]["retry"]
        return payload

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        """The item of a payload that recq wrote. Raises KeyError or TypeError for any other."""
        file, said = payload["file"], payload.get(predicted.KEY)
        return cls(
            file=FileFacts.from_json(file),
            metadata={
                key: value
                for key, value in payload.items()
                if key not in _OWN and key not in _UNSEEN and not key.startswith(_OWN_PREFIXES)
            },
            error=ItemError.from_json(payload.get("error")),
            problems=tuple(problem for data in file.get("problems") or () if (problem := Problem.from_json(data))),
            predicted={
                name: prediction
                for name, data in (said.items() if isinstance(said, Mapping) else ())
                if (prediction := Prediction.from_json(data)) is not None
            },
            stamp=Stamp.from_json(payload.get(changes.KEY)),
        )

    def may_have_predicted(self, name: str) -> bool:
        """Whether a prediction of that field may stand with the item: it has a vector, and people gave no label."""
        return self.error is None and self.metadata.get(name) in (None, [])


def _is_a(value: object, kind: type) -> bool:
    """Whether a JSON value is of that type; any number may stand for an integer."""
    return isinstance(value, int | float) and not isinstance(value, bool) if kind is int else isinstance(value, kind)


def stored_payload(item: Item, types: FieldTypes) -> dict[str, Any]:
    """The payload of an item as it is stored: its metadata, its problems, and the members that only filters need,
    made from the item's path and texts: `file.folders` and the words of `~`.

    `types` decides which fields are dates, and which have words.
    """
    metadata = dated(composed(item.metadata), types)
    others = [problem for problem in item.problems if problem.kind is not ProblemKind.MISFIT]
    stored = replace(item.with_digest(), metadata=metadata, problems=(*others, *misfits(metadata, types)))
    folder = item.file.path.removesuffix(item.file.name)
    text: dict[str, Any] = {"file": {"name": stored_words(item.file.name), "folder": stored_words(folder)}}
    text |= {
        name: shadow_text(value)
        for name, value in metadata.items()
        if types.get(name) is FieldType.STRING and holds_text(value)
    }
    payload = stored.to_payload()
    if folders := item.file.folders:
        payload["file"]["folders"] = folders
    if predicted.KEY in payload:
        payload[predicted.KEY] = stored_predictions(stored, types)
    return {**payload, SHADOW: text}


def stored_predictions(item: Item, types: FieldTypes) -> dict[str, Any]:
    """What is stored of an item's predictions: with the words of those that are texts."""
    found: dict[str, Any] = item.to_payload().get(predicted.KEY, {})
    for name, data in found.items():
        label = data.get(predicted.LABEL)
        if types.get(f"{predicted.KEY}.{name}") is FieldType.STRING and label is not None and holds_text(label):
            data[predicted.WORDS] = shadow_text(label)
    return found


def elements(value: Value) -> Sequence[Scalar]:
    """The elements of a list, or the one value."""
    return value if isinstance(value, list) else [value]


def holds_text(value: Value) -> bool:
    """Whether any element is a string."""
    return any(isinstance(element, str) for element in elements(value))


def shadow_text(value: Value) -> str:
    """The text that `~` searches: the words of all string elements."""
    return " ".join(stored_words(element) for element in elements(value) if isinstance(element, str))


def nfc(text: str) -> str:
    """Unicode's composed form, in which metadata is stored, so that texts that look the same are equal."""
    return unicodedata.normalize("NFC", text)


def composed(metadata: Metadata) -> Metadata:
    """Names and texts in `nfc`."""
    return {nfc(name): _each(value, nfc) for name, value in metadata.items()}


def dated(metadata: Metadata, types: FieldTypes) -> Metadata:
    """The same, the dates of fields of dates in the form that every engine reads (`recq.index.dates`)."""
    return {
        name: _each(value, lambda text: written_date(text) or text) if types.get(name) is FieldType.DATE else value
        for name, value in metadata.items()
    }


def _each(value: Value, change: Callable[[str], str]) -> Value:
    if isinstance(value, list):
        return [change(element) if isinstance(element, str) else element for element in value]
    return change(value) if isinstance(value, str) else value


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def metadata_digest(metadata: Metadata) -> str:
    """First 16 hex digits of the SHA-256 of the canonical JSON: it shows a change of metadata."""
    return hashlib.sha256(_CANONICAL.encode(metadata).encode()).hexdigest()[:16]


def field_problem(name: str) -> str | None:
    """Why `name` cannot be a metadata field, or None when it can."""
    if not name or name != name.strip():
        return "is empty or has spaces around it"
    if name in _OWN or name.startswith((*_OWN_PREFIXES, "_")):
        return "is reserved for recq"
    if wrong := next((c for c in name if not c.isprintable()), None):
        return f"has the character {paths.printable(wrong)}, which cannot be printed"
    if any(c in _OPERATORS for c in name):
        return f"has one of the characters {' '.join(_OPERATORS)} that filters use"
    if wrong := next((c for c in name if c in _UNQUOTABLE), None):
        return f"has the character {wrong}, which no index takes in a name"
    if name.startswith(prefixes()):
        return "begins like a filter"
    if len(name) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} characters"
    return None


def value_problem(value: object) -> str | None:
    """Why a JSON value cannot be stored as metadata, or None when it can."""
    if isinstance(value, list):
        if any(isinstance(element, list) for element in value):
            return "is a list of lists"
        if len(value) > MOST_ELEMENTS:
            return f"is a list of {len(value):,} values, more than {MOST_ELEMENTS:,}"
        return next((problem for element in value if (problem := value_problem(element))), None)
    if isinstance(value, str):
        return "has half a surrogate pair, which is not text" if _SURROGATE.search(value) else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if -_INT64 <= value < _INT64 else "is an integer of more than 64 bits (put it in quotes)"
    if isinstance(value, float):
        return None if math.isfinite(value) else "is not a finite number"
    return "is neither text, number, boolean nor a list of these"


@dataclass(frozen=True)
class Storable:
    """The metadata that can be stored, and for each other field the reason, a text that follows the field's name."""

    fields: Mapping[str, Value | None] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)


def storable(given: Mapping[str, Any]) -> Storable:
    """The fields of a JSON object that an index takes, in their order; None is kept (it takes a field away)."""
    fields: dict[str, Value | None] = {}
    dropped: dict[str, str] = {}
    for name, value in given.items():
        problem = field_problem(name)
        wrong = value_problem(value) if value is not None and problem is None else None
        if problem is not None:
            dropped[name] = f"{problem}: rename it"
        elif wrong is not None:
            dropped[name] = wrong
        elif len(fields) == MOST_FIELDS:
            dropped[name] = f"comes after {MOST_FIELDS:,} others, which is all that a picture may have"
        else:
            fields[name] = value
    return Storable(fields, dropped)


def column_type(cells: Iterable[str]) -> FieldType:
    """The type of a column of text cells (already split at list bars, empty ones left out).

    Any leading zero keeps a column strings (`00123` is a name, not a number), as do an integer of more than 64 bits,
    `nan` and infinities.
    """
    cells = list(cells)
    if not cells:
        return FieldType.STRING
    for candidate in (FieldType.BOOL, FieldType.INTEGER, FieldType.FLOAT, FieldType.DATE):
        if all(_parse(cell, candidate) is not None for cell in cells):
            return candidate
    return FieldType.STRING


def parse_cell(cell: str, field_type: FieldType) -> Scalar:
    """A text cell as a value of the field's type; the text itself where it does not fit.

    A number that is no integer is one in a field of integers, too: the field then widens (`widens`).
    """
    parsed = _parse(cell, field_type)
    if parsed is None and field_type is FieldType.INTEGER:
        parsed = _parse(cell, FieldType.FLOAT)
    return cell if parsed is None else parsed


def _parse(cell: str, field_type: FieldType) -> Scalar | None:
    match field_type:
        case FieldType.BOOL:
            return {"true": True, "false": False}.get(cell.lower())
        case FieldType.INTEGER:
            return int(cell) if _INTEGER.fullmatch(cell) and _has_64_bits(cell) else None
        case FieldType.FLOAT:
            if not _FLOAT.fullmatch(cell):
                return None
            if _INTEGER.fullmatch(cell):  # 65 stays 65; too long a one is a name (a barcode): a float has other digits
                return int(cell) if len(cell) <= _LONGEST_EXACT and abs(int(cell)) < EXACT else None
            value = float(cell)
            return value if math.isfinite(value) else None
        case FieldType.DATE:
            return cell if read_date(cell) is not None else None
        case FieldType.STRING:
            return cell


def _has_64_bits(digits: str) -> bool:
    """Whether an integer of 64 bits holds these digits; Python reads no more than some thousand at all."""
    return len(digits) <= _LONGEST_INTEGER and -_INT64 <= int(digits) < _INT64


def infer_type(values: Iterable[Value]) -> FieldType:
    """The type of a field from typed values (JSON): the narrowest that all elements fit."""
    scalars = [scalar for value in values for scalar in elements(value)]
    for candidate in (FieldType.BOOL, FieldType.INTEGER, FieldType.FLOAT, FieldType.DATE):
        if scalars and all(fits(scalar, candidate) for scalar in scalars):
            return candidate
    return FieldType.STRING


def fits(scalar: Scalar, field_type: FieldType) -> bool:
    """Whether the payload index of `field_type` finds `scalar`."""
    match field_type:
        case FieldType.BOOL:
            return isinstance(scalar, bool)
        case FieldType.INTEGER:
            return isinstance(scalar, int) and not isinstance(scalar, bool)
        case FieldType.FLOAT:
            return isinstance(scalar, int | float) and not isinstance(scalar, bool)
        case FieldType.DATE:
            return isinstance(scalar, str) and read_date(scalar) is not None
        case FieldType.STRING:
            return isinstance(scalar, str)


def widens(known: FieldType | None, found: FieldType) -> bool:
    """Whether a field of the one type becomes one of the other: integers become floats, nothing else changes."""
    return known is FieldType.INTEGER and found is FieldType.FLOAT


def is_exact(scalar: Scalar) -> bool:
    """Whether a float has exactly that value."""
    return not isinstance(scalar, int) or abs(scalar) < EXACT


def misfits(metadata: Metadata, types: FieldTypes) -> tuple[Problem, ...]:
    """The values that are not of their field's type: they are stored, but filters do not find them."""
    found = []
    for name, value in metadata.items():
        field_type = types.get(name, FieldType.STRING)
        wrong = next((each for each in elements(value) if not fits(each, field_type)), None)
        if wrong is not None:
            detail = f"{wrong!r} is no {field_type}, which the field {name!r} is: filters on it do not find this value"
            found.append(Problem(ProblemKind.MISFIT, detail, field=name))
        elif field_type is FieldType.FLOAT and not all(map(is_exact, elements(value))):
            detail = (
                f"{value!r} has more digits than a float, which the field {name!r} is: filters confuse it with others"
            )
            found.append(Problem(ProblemKind.MISFIT, detail, field=name))
    return tuple(found)


def payload_key(name: str) -> str:
    """The path of a top-level field, or of a prediction, in Qdrant's payload-key syntax; names with other characters
    are quoted."""
    if name in FILE_FIELDS or name in UNINDEXED_FIELDS:
        return name
    part = part_of(name)
    return _quoted(name) if part is None else predicted_key(*part)


def predicted_key(name: str, member: str) -> str:
    """The path of one member of the predictions of a field."""
    return f"{predicted.KEY}.{_quoted(name)}.{member}"


def _quoted(name: str) -> str:
    return name if _PLAIN_KEY.fullmatch(name) else f'"{name}"'


def shadow_key(name: str) -> str:
    """The path of the words of a field, of a prediction, or of one of recq's own."""
    part = part_of(name)
    if part is not None:
        return predicted_key(part.field, predicted.WORDS)
    return f"{SHADOW}.{name if name in SEARCHED_COPIES else _quoted(name)}"


def searched_field(key: str) -> str | None:
    """The field that `shadow_key` made the key from; None for any other key."""
    part = split_key(key)
    if part is not None and part.member == predicted.WORDS:
        return predicted.name_of(predicted.Part(_unquoted(part.field), predicted.LABEL))
    return field_name(key.removeprefix(f"{SHADOW}.")) if key.startswith(f"{SHADOW}.") else None


def field_name(key: str) -> str:
    """The field that `payload_key` made the key from."""
    part = split_key(key)
    return _unquoted(key) if part is None else predicted.name_of(predicted.Part(_unquoted(part.field), part.member))


def _unquoted(key: str) -> str:
    return key[1:-1] if key.startswith('"') and key.endswith('"') else key


def predictor_field(key: str) -> str | None:
    """The field that has predictions, from the key of the index of their predictors; None for any other key."""
    part = split_key(key)
    return _unquoted(part.field) if part is not None and part.member == predicted.BY else None


def is_field_key(key: str) -> bool:
    """Whether a payload index on `key` is a metadata field's or a prediction's, and not recq's own or one that another
    program made.

    Engines write keys their own way: a name of letters of any script comes back without the quotes.
    """
    part = split_key(key)
    if part is not None:
        return part.member not in (predicted.BY, predicted.WORDS)
    name = field_name(key)
    return field_problem(name) is None and (name != key or not _PATH.search(key))

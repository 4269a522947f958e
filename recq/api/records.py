"""The records of `recq.search` as JSON and back, for two processes of one version of recq.

What the command line prints of an answer needs more than the document that `--format json` prints: remarks, places as
the system writes them, which fields the question named. So a service gives its command line the records themselves.
Every value but texts, numbers, booleans and None becomes a list that begins with a letter:

    ["l", ...] a list    ["t", ...] a tuple    ["m", [key, value], ...] a mapping    ["p", text] a path
    ["r", name, {...}] a record    ["e", name, value] a member of an enumeration    ["b", base64] bytes

Only the classes that are listed here are made, whatever is received.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

_HOMES: Mapping[str, str] = {
    "Answer": "recq.search.results",
    "Asked": "recq.search.results",
    "CatalogSummary": "recq.search.inventory",
    "Cause": "recq.search.no_results",
    "CauseKind": "recq.search.no_results",
    "Change": "recq.index.changes",
    "ChangeKind": "recq.index.changes",
    "Changes": "recq.index.changes",
    "Column": "recq.search.compare",
    "Comparison": "recq.search.compare",
    "Cursor": "recq.index.changes",
    "EmbeddingSpace": "recq.space",
    "Examples": "recq.search.results",
    "Facets": "recq.face.results",
    "FailedTarget": "recq.search.many",
    "FieldSummary": "recq.search.inventory",
    "FieldType": "recq.index.field_types",
    "FileFacts": "recq.index.schema",
    "Guess": "recq.learn.prediction",
    "Item": "recq.index.schema",
    "ItemDetails": "recq.search.results",
    "ItemError": "recq.index.schema",
    "Kept": "recq.index.kept",
    "Local": "recq.search.target",
    "Metric": "recq.index.similarity",
    "NoResults": "recq.search.no_results",
    "Part": "recq.face.targets",
    "Prediction": "recq.learn.prediction",
    "Problem": "recq.index.problems",
    "ProblemKind": "recq.index.problems",
    "Reason": "recq.errors",
    "Region": "recq.region",
    "Result": "recq.search.results",
    "SeenName": "recq.search.target",
    "StoredPrediction": "recq.index.predicted",
    "Stamp": "recq.index.changes",
    "Strategy": "recq.index.similarity",
    "Trained": "recq.search.results",
}
"""The classes that are passed, each by the module that it is in."""

_OTHERWISE_CALLED = {"StoredPrediction": "Prediction"}


class Unreadable(ValueError):
    """What was received is not what `dumped` writes."""


def dumped(value: Any, *, contents: bool = True) -> bytes:
    """A value as JSON. An instance of a subclass is written as the listed class that it extends.

    Without `contents` bytes are written as None. Raises TypeError for what is not listed.
    """
    return json.dumps(_plain(value, contents), separators=(",", ":")).encode("ascii")


def loaded(content: bytes) -> Any:
    """The value that `dumped` wrote. Raises Unreadable for anything else."""
    try:
        return _value(json.loads(content))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise Unreadable(f"no records of recq: {type(error).__name__}") from error


def _plain(value: Any, contents: bool) -> Any:
    def plain(value: Any) -> Any:
        match value:
            case Enum():
                return ["e", _name_of(type(value)), value.value]
            case None | bool() | int() | str() | float():
                return value
            case Path():
                return ["p", str(value)]
            case bytes():
                return ["b", base64.b64encode(value).decode("ascii")] if contents else None
            case _ if is_dataclass(value) and not isinstance(value, type):
                name = _name_of(type(value))
                return ["r", name, {each.name: plain(getattr(value, each.name)) for each in fields(_class_of(name))}]
            case tuple():
                return ["t", *map(plain, value)]
            case list():
                return ["l", *map(plain, value)]
            case Mapping():
                return ["m", *([key, plain(each)] for key, each in value.items())]
        raise TypeError(f"{type(value).__name__} is not passed between processes")

    return plain(value)


def _value(plain: Any) -> Any:
    match plain:
        case None | bool() | int() | float() | str():
            return plain
        case ["p", str(text)]:
            return Path(text)
        case ["b", str(text)]:
            return base64.b64decode(text, validate=True)
        case ["t", *values]:
            return tuple(map(_value, values))
        case ["l", *values]:
            return list(map(_value, values))
        case ["m", *pairs]:
            return {key: _value(each) for key, each in pairs}
        case ["e", str(name), str(value)]:
            return _class_of(name)(value)
        case ["r", str(name), dict(given)]:
            return _class_of(name)(**{each: _value(one) for each, one in given.items()})
    raise TypeError(type(plain).__name__)


@cache
def _name_of(kind: type) -> str:
    """The name of the nearest listed class. Raises TypeError where there is none."""
    for each in kind.__mro__:
        for name, home in _HOMES.items():
            if (each.__module__, each.__name__) == (home, _OTHERWISE_CALLED.get(name, name)):
                return name
    raise TypeError(f"{kind.__name__} is not passed between processes")


@cache
def _class_of(name: str) -> Any:
    return resolve_name(f"{_HOMES[name]}:{_OTHERWISE_CALLED.get(name, name)}")

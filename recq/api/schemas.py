"""What routes answer, for OpenAPI: the JSON Schemas that docs/*.md document, which `tools/make_openapi.py` gathers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCHEMAS = Path(__file__).with_name("schemas.json")

ERROR: dict[str, Any] = {
    "title": "Error",
    "description": "What went wrong. docs/api.md lists the codes.",
    "type": "object",
    "additionalProperties": False,
    "required": ["code", "exit_code", "message"],
    "properties": {
        "code": {"type": "string"},
        "exit_code": {"type": ["integer", "null"], "description": "What the command line ends with."},
        "message": {"type": "string", "description": "What the command line prints."},
    },
}
_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_NULLABLE: dict[str, Any] = {"type": ["string", "null"]}


def _object(about: str, **properties: dict[str, Any]) -> dict[str, Any]:
    """An object that has all of these."""
    required = list(properties)
    return {"description": about, "type": "object", "required": required, "properties": properties}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_MAP = _object(
    "A picture and what each cell of its feature map adds to the score.",
    text=_TEXT,
    name=_TEXT,
    beside={"type": "number"},
    added={"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
)
_OTHERS: dict[str, Any] = {
    "Error": ERROR,
    "health": _object("Whether the service can answer.", status=_TEXT),
    "failure": _object("A target without an answer, and why.", text=_TEXT, error=_TEXT),
    "answer_or_failure": {"anyOf": [_ref("answer"), _ref("failure")]},
    "prediction": _object(
        "What the command `predict` prints as JSON of a target.",
        text=_TEXT,
        field=_TEXT,
        space=_TEXT,
        unknown={"type": "boolean"},
        known={"type": ["number", "null"]},
        guesses={"type": "array", "items": _object("A label.", label=_TEXT, probability={"type": "number"})},
        labels={"type": "array", "items": _TEXT},
    ),
    "prediction_or_failure": {"anyOf": [_ref("prediction"), _ref("failure")]},
    "explanation": _object(
        "What the command `explain` prints as JSON.",
        space={"type": "object"},
        score={"type": "number"},
        higher_is_better={"type": "boolean"},
        percentile={"type": ["number", "null"]},
        target=_MAP,
        result=_MAP,
    ),
    "duplicates": _object(
        "What the command `duplicates` prints as JSON.",
        space={"type": "object"},
        items=_COUNT,
        kinds={"type": "array", "items": _TEXT},
        limit={"type": ["number", "null"]},
        unread=_COUNT,
        groups={"type": "array", "items": {"type": "object"}},
        took_ms={"type": "number"},
    ),
    "item": _object(
        "What the command `show` prints as JSON.",
        id=_TEXT,
        source=_TEXT,
        path=_NULLABLE,
        name=_TEXT,
        payload=_ref("answer.payload"),
        error={"type": ["object", "null"]},
    ),
    "facets": _object(
        "What the command `facets` prints as JSON.",
        field=_TEXT,
        type=_TEXT,
        total=_COUNT,
        values={"type": "array", "items": _object("A value.", value={}, count=_COUNT, filter=_NULLABLE)},
    ),
    "field": _object(
        "One of what the command `fields` prints as JSON.",
        name=_TEXT,
        type=_TEXT,
        items=_COUNT,
        distinct={"type": ["integer", "null"]},
        least={},
        greatest={},
        example={},
        waiting={"type": "boolean"},
        problem=_NULLABLE,
    ),
    "changes": _object(
        "What changed since a cursor, and the next one.",
        changes={
            "type": "array",
            "items": _object(
                "What became of an item, as it is now.",
                change={"enum": ["indexed", "changed", "failed", "gone"]},
                id=_TEXT,
                source=_TEXT,
                path=_TEXT,
                sha256=_NULLABLE,
                reason=_NULLABLE,
                at=_TEXT,
                cursor=_TEXT,
            ),
        },
        cursor=_TEXT,
        more={"type": "boolean"},
    ),
    "catalog": _object(
        "One of what the command `catalogs` prints as JSON.",
        name=_TEXT,
        items=_COUNT,
        failed=_COUNT,
        space={"type": ["object", "null"]},
        sources={"type": "array", "items": _TEXT},
        indexed=_NULLABLE,
        unfinished={"type": "array", "items": _TEXT},
        problem=_NULLABLE,
        kept={"type": ["object", "null"]},
    ),
}
"""What is documented in words."""

_REFUSED = {
    "description": "An error.",
    "content": {"application/json": {"schema": _ref("Error")}},
}


def components() -> dict[str, Any]:
    """All documents by name."""
    found: dict[str, Any] = json.loads(SCHEMAS.read_text("utf-8"))
    return {**found, **_OTHERS}


def documented(name: str, *, several: bool = False) -> dict[str, Any]:
    """The keywords of a route that answers that document, or a list of them."""
    one = _ref(name)
    schema = {"type": "array", "items": one} if several else one
    return answering("application/json", schema)


def answering(media_type: str, schema: dict[str, Any], *, conditional: bool = False) -> dict[str, Any]:
    """The keywords of a route that answers with that type; a `conditional` one with nothing to who has that already."""
    told = {"description": "The answer.", "content": {media_type: {"schema": schema}}}
    same = {304: {"description": "It is what the client has."}} if conditional else {}
    return {"responses": {200: told, **same, "default": _REFUSED}}


def taking_picture() -> dict[str, Any]:
    """The keywords of a route whose body is a picture."""
    return {
        "requestBody": {
            "required": True,
            "description": "The bytes of a picture file, in any format that recq reads.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    }

"""Payload indexes: the REST API's field schemas as Edge's, and back again for `payload_schema`. Pure."""

from __future__ import annotations

from enum import Enum
from typing import Any

import qdrant_edge as edge
from pydantic import BaseModel
from qdrant_client.http import models as rest

from recq.index.edge.problem import unsupported

_TYPES = {
    rest.PayloadSchemaType.KEYWORD: edge.PayloadSchemaType.Keyword,
    rest.PayloadSchemaType.INTEGER: edge.PayloadSchemaType.Integer,
    rest.PayloadSchemaType.FLOAT: edge.PayloadSchemaType.Float,
    rest.PayloadSchemaType.BOOL: edge.PayloadSchemaType.Bool,
    rest.PayloadSchemaType.DATETIME: edge.PayloadSchemaType.Datetime,
    rest.PayloadSchemaType.TEXT: edge.PayloadSchemaType.Text,
    rest.PayloadSchemaType.UUID: edge.PayloadSchemaType.Uuid,
}
_PARAMS: dict[type, Any] = {
    rest.KeywordIndexParams: edge.KeywordIndexParams,
    rest.IntegerIndexParams: edge.IntegerIndexParams,
    rest.FloatIndexParams: edge.FloatIndexParams,
    rest.BoolIndexParams: edge.BoolIndexParams,
    rest.DatetimeIndexParams: edge.DatetimeIndexParams,
    rest.UuidIndexParams: edge.UuidIndexParams,
    rest.TextIndexParams: edge.TextIndexParams,
}
_TOKENIZERS = {
    rest.TokenizerType.PREFIX: edge.TokenizerType.Prefix,
    rest.TokenizerType.WHITESPACE: edge.TokenizerType.Whitespace,
    rest.TokenizerType.WORD: edge.TokenizerType.Word,
    rest.TokenizerType.MULTILINGUAL: edge.TokenizerType.Multilingual,
}


def to_field_schema(schema: rest.PayloadFieldSchema) -> Any:
    """What Edge's `create_field_index` takes. Raises Problem 501 for places, stop words and stemmers."""
    if isinstance(schema, rest.PayloadSchemaType):
        if schema not in _TYPES:
            raise unsupported(f"an index of type {schema.value}")
        return _TYPES[schema]
    if type(schema) not in _PARAMS:
        raise unsupported(f"an index with {type(schema).__name__}")
    options = {name: getattr(schema, name) for name in schema.model_fields_set if name != "type"}
    options = {name: value for name, value in options.items() if value is not None}
    for name in ("stopwords", "stemmer"):
        said = options.pop(name, None)
        if said is not None and (not isinstance(said, BaseModel) or said.model_dump(exclude_none=True)):
            raise unsupported(f"a text index with `{name}`")
    if "tokenizer" in options:
        options["tokenizer"] = _TOKENIZERS[options["tokenizer"]]
    return _PARAMS[type(schema)](**options)


def schema_json(info: Any) -> dict[str, Any]:
    """One entry of `payload_schema`: type, the parameters that were given, and how many points have the field."""
    kind = type_word(info.data_type)
    answer: dict[str, Any] = {"data_type": kind, "points": info.points}
    if info.params is not None:
        answer["params"] = {"type": kind, **_given(info.params)}
    return answer


def _given(params: Any) -> dict[str, Any]:
    values = {name: getattr(params, name) for name in dir(params) if not name.startswith("_")}
    return {
        name: value if isinstance(value, bool | int | str) else type_word(value)
        for name, value in values.items()
        if value is not None
    }


def type_word(value: Any) -> str:
    """Edge's enumerations print as `PayloadSchemaType.Keyword`; the API says `keyword`."""
    text = value.name if isinstance(value, Enum) else str(value)
    return text.rpartition(".")[2].lower()

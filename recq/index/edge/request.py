"""One request to the embedded engine, read strictly: a field or parameter that would be ignored is an error.

A server before 1.18 ignores unknown fields. Here they are a 400, so that no caller relies on an ignored field.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from recq.index.edge.bounds import require_bounded
from recq.index.edge.problem import Problem, bad_format, unsupported

T = TypeVar("T")

# With one process and one copy these parameters hold anyway: there are no replicas to order or to agree.
_HARMLESS_PARAMETERS = {
    "wait": re.compile("true|false"),
    "ordering": re.compile("weak|medium|strong"),
    "consistency": re.compile("|[0-9]+|majority|quorum|all"),
    "timeout": re.compile("0*[1-9][0-9]*"),
}


@dataclass(frozen=True)
class Request:
    """`names` are the decoded variable parts of the path, `query` the parameters, `body` the bytes."""

    names: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes

    def check_query(self) -> None:
        """Raise Problem 400 for parameters that would be ignored, or that no server understands."""
        for name, value in self.query.items():
            if name not in _HARMLESS_PARAMETERS:
                raise Problem(400, f"Format error in query parameters: unknown parameter `{name}`")
            if not _HARMLESS_PARAMETERS[name].fullmatch(value):
                raise Problem(400, f"Format error in query parameters: `{name}` cannot be {value[:40]!r}")

    @property
    def waits(self) -> bool:
        """Whether the caller waits for the write (it is done either way; the answer reports what was requested)."""
        return self.query.get("wait") == "true"

    def parse(self, kind: Any) -> Any:
        """The body as the model or union `kind` of qdrant-client, in strict mode. Raises Problem 400 or 501."""
        return parse(kind, self.body)


def parse(kind: Any, body: bytes) -> Any:
    """`body` as a `kind`; every model forbids unknown fields. Raises Problem 400, or 501 for shard keys."""
    require_bounded(body)
    try:
        if b"NaN" in body or b"Infinity" in body:  # JSON has no such numbers, though the reader takes them
            from_json(body, allow_inf_nan=False)
        parsed = _adapter(kind).validate_json(body, strict=True)
    except ValidationError as error:
        raise bad_format(_reason(error)) from error
    except ValueError as error:
        raise bad_format(str(error)) from error
    if getattr(parsed, "shard_key", None) is not None:
        raise unsupported("`shard_key`")
    return parsed


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _reason(error: ValidationError) -> str:
    """One of the many errors that a union reports: the deepest of the alternative with the fewest errors."""
    complaints = error.errors(include_url=False, include_input=False)
    at_one_place = Counter(complaint["loc"][:-1] for complaint in complaints)
    best = min(complaints, key=lambda complaint: (at_one_place[complaint["loc"][:-1]], -len(complaint["loc"])))
    where = ".".join(str(part) for part in best["loc"] if "[" not in str(part))  # not the names of unions
    return f"{where}: {best['msg']}" if where else best["msg"]

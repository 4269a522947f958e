"""Translates the errors of qdrant-client and httpx into recq's own."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import httpx
import pydantic
import pydantic_core
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from recq.errors import IndexFailing, IndexRefused, IndexUnreachable, RecqError, RequestRefused

P = ParamSpec("P")
R = TypeVar("R")

_FAILING = range(500, 600)
_NOT_IMPLEMENTED = 501  # a retry does not help

_UNSENDABLE = (pydantic_core.PydanticSerializationError, httpx.InvalidURL, UnicodeEncodeError)
"""What the client raises for a request that cannot be encoded, such as half a surrogate pair in a text."""

_NO_JSON = (json.JSONDecodeError, UnicodeDecodeError)
"""What the client raises for an answer of another program, such as the page of a proxy whose server is away."""


class NoNode(ResponseHandlingException):
    """None of several nodes answers: the last one's error, and what became of the request at each, in `told`."""

    def __init__(self, source: Exception, told: str) -> None:
        super().__init__(source)
        self.told = told


def translate(error: Exception) -> RecqError:
    """The error of `recq.errors` for one of the client's."""
    if isinstance(error, UnexpectedResponse):
        told = said(error.content) or error.reason_phrase
        if error.status_code in (401, 403):
            return IndexRefused(f"the index refused the API key: set RECQ_API_KEY to the right one ({told})")
        if error.status_code in (408, 429):
            return IndexUnreachable(f"the index cannot answer now: {error.status_code} {told}")
        if error.status_code in _FAILING and error.status_code != _NOT_IMPLEMENTED:
            return IndexFailing(f"the index cannot answer now: {error.status_code} {told}")
        return RequestRefused(f"the index refused the request: {error.status_code} {told}")
    if isinstance(error, _UNSENDABLE):
        return RequestRefused(f"the request cannot be sent: {' '.join(str(error).split())[:300]}")
    if isinstance(error, QdrantException):  # of 429 with a `Retry-After`
        return IndexUnreachable(f"the index cannot answer now: {error}")
    if isinstance(error, _NO_JSON):
        return no_json()
    cause = error.source if isinstance(error, ResponseHandlingException) else error
    if isinstance(cause, pydantic.ValidationError):
        return IndexRefused(
            f"this recq cannot read the answer of the index: update recq ({cause.error_count()} differences)"
        )
    if isinstance(error, NoNode):
        return IndexUnreachable(f"no node of the index can answer: {error.told}")
    if isinstance(cause, httpx.TimeoutException):
        return IndexUnreachable("the index did not answer in time")
    return IndexUnreachable(f"the index cannot be reached: {str(cause) or type(cause).__name__}")


def no_json() -> IndexUnreachable:
    """The error of an answer that is no JSON, though its status says that all is well."""
    return IndexUnreachable("what answers now is not the index: its answer is no JSON")


def said(content: bytes) -> str:
    """The message of a server's answer that is an error, in one line."""
    text = content.decode(errors="replace")
    try:
        status = json.loads(text)["status"]
        text = status["error"] if isinstance(status, dict) else str(status)
    except (ValueError, KeyError, TypeError):
        pass
    return " ".join(text.split())[:300]


def translated(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function: it raises recq's errors in place of the client's."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (ApiException, QdrantException, httpx.HTTPError, ConnectionError, *_UNSENDABLE, *_NO_JSON) as error:
            raise translate(error) from error

    return wrapper

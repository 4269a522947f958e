"""Whatever qdrant-client and httpx raise becomes one of recq's own errors."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import httpx
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from recq.errors import IndexRefused, IndexUnreachable, RecqError

P = ParamSpec("P")
R = TypeVar("R")

_PASSING = range(500, 600)


def translate(error: Exception) -> RecqError:
    """The error of `recq.errors` for one of the client's."""
    if isinstance(error, UnexpectedResponse):
        said = _said(error)
        if error.status_code in (401, 403):
            return IndexRefused(f"the index refused the API key: set RECQ_API_KEY to the right one ({said})")
        if error.status_code in _PASSING or error.status_code in (408, 429):
            return IndexUnreachable(f"the index cannot answer now: {error.status_code} {said}")
        return IndexRefused(f"the index refused the request: {error.status_code} {said}")
    cause = error.source if isinstance(error, ResponseHandlingException) else error
    if isinstance(cause, httpx.TimeoutException):
        return IndexUnreachable("the index did not answer in time")
    return IndexUnreachable(f"the index cannot be reached: {cause or type(cause).__name__}")


def _said(error: UnexpectedResponse) -> str:
    """The server's own words, in one line."""
    text = error.content.decode(errors="replace")
    try:
        status = json.loads(text)["status"]
        text = status["error"] if isinstance(status, dict) else str(status)
    except (ValueError, KeyError, TypeError):
        pass
    return " ".join(text.split())[:300] or error.reason_phrase


def translated(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function raise recq's errors where it would raise the client's."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (ApiException, httpx.HTTPError, ConnectionError) as error:
            raise translate(error) from error

    return wrapper

"""An error as an answer: a document to programs, a page to people.

Whatever goes wrong with an address of the page has to be a page: what is not would be put in place of what is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from recq.api.documents import answer

_PAGES = "recq.pages"
"""Where the scope of a request has the pages, where it is for people."""


class Pages(Protocol):
    """What a service shows to people."""

    def router(self) -> APIRouter:
        """The routes, none of which is below /api/."""

    def error(self, request: Request, status: int, message: str) -> Response:
        """A page that says what is not possible."""


def meant_for_people(scope: Scope, pages: Pages | None) -> None:
    """Note that a request's errors are pages, where there are pages and its address is no program's."""
    if pages is not None and not scope["path"].startswith("/api/"):
        scope[_PAGES] = pages


def is_for_people(scope: Scope) -> bool:
    """Whether a request's errors are pages."""
    return _PAGES in scope


def refused(scope: Scope, told: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None) -> Response:
    """An error (`recq.api.errors.document`) as whoever asked reads it."""
    pages: Pages | None = scope.get(_PAGES)
    if pages is None:
        return answer(told, status, headers)
    message = str(told["message"])
    response = pages.error(Request(scope), status, message[:1].upper() + message[1:])
    response.headers.update(headers or {})
    return response

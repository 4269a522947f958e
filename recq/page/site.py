"""What all routes of the page share: the service, who may ask, templates, and errors that are pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from recq.api.access import Gatekeeper
from recq.api.errors import Busy, Forbidden, kind_of
from recq.api.service import Served, Service
from recq.errors import RecqError
from recq.index.edge.serving import Access
from recq.page.rendering import Templates
from recq.paths import printable

T = TypeVar("T")

MOST_OF_A_FORM = 200_000  # bytes


@dataclass(frozen=True)
class Site:
    """The page of one service."""

    service: Service
    keeper: Gatekeeper
    templates: Templates = field(default_factory=Templates)

    def shown(self, make: Callable[[Request, bytes], Response]) -> Callable[..., Any]:
        """A route that runs `make` of a request and its body in a thread; its errors are pages."""

        async def route(request: Request) -> Response:
            body = await request.body()
            try:
                return await run_in_threadpool(make, request, body)
            except Busy:
                return self.error(request, 503, "busy with another such question: try again")
            except Forbidden:
                return self.error(request, 403, "that needs the token that operates")
            except RecqError as error:
                return self.error(request, kind_of(error).status, printable(str(error)))

        return route

    def ask(self, catalog: str | None, question: Callable[[Served], T]) -> T:
        """What a catalog answers to all that one page shows, opened for it once. Raises what the question raises."""
        return self.service.ask(catalog, lambda at: at.session.asked(lambda: question(at)))

    def error(self, request: Request, status: int, message: str) -> Response:
        """A page that says what is not possible."""
        return self.templates.page(request, "error.html", status, message=message)


def operates(request: Request) -> bool:
    """Whether who asks may change something."""
    return bool(request.scope["access"] >= Access.FULL)


def require_operating(request: Request) -> None:
    """Raise Forbidden where the token only reads."""
    if not operates(request):
        raise Forbidden


def form_of(body: bytes) -> list[tuple[str, str]]:
    """The fields of a form that was sent, in their order, blank ones included."""
    return parse_qsl(body[:MOST_OF_A_FORM].decode("utf-8", "replace"), keep_blank_values=True)

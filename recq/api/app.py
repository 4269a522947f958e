"""The application: the routes behind the gate, and every error in the one form."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp

from recq.api.access import Gatekeeper
from recq.api.documents import answer
from recq.api.errors import (
    BUSY,
    FORBIDDEN,
    NO_METHOD,
    NO_ROUTE,
    UNEXPECTED,
    Busy,
    Forbidden,
    document,
    document_of,
    kind_of,
)
from recq.api.gate import Gate
from recq.api.metrics import Metrics
from recq.api.rates import Rates
from recq.api.refusals import Pages, is_for_people, refused
from recq.api.routes import PREFIX, routes
from recq.api.schemas import components
from recq.api.service import Service
from recq.errors import RecqError, UsageError
from recq.needed import needed
from recq.paths import printable

VERSION = "1"
"""Of the API: what breaks a client gets another one, and another prefix."""

ABOUT = "Image similarity as a service: the questions of recq over HTTP. docs/api.md has an example of each."

_OF_TARGETS = frozenset({"str", "Vector", "Picture"})
_OF_NUMBERS = frozenset({"int", "float", "literal['auto']"})
"""What pydantic adds to the place of a value that may be of several types."""

_TARGET = 'a name, {"vector": [NUMBERS]} or {"picture": "BASE64"}'
_LONGEST = 100  # characters of a wrong value in a message


def api(service: Service) -> tuple[FastAPI, Metrics]:
    """The application without its gate, and what counts its answers."""
    metrics = Metrics()
    app = FastAPI(
        title="recq",
        version=VERSION,
        description=ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        exception_handlers={
            RecqError: _of_recq,
            RequestValidationError: _of_request,
            HTTPException: _of_http,
            Busy: _busy,
            Forbidden: _forbidden,
            Exception: _unexpected,
        },
    )
    app.include_router(routes(service, metrics))

    @app.get(f"{PREFIX}/openapi.json", include_in_schema=False)
    def openapi() -> Response:
        return answer(openapi_of(app))

    return app, metrics


def gated(service: Service, keeper: Gatekeeper, pages: Pages | None = None) -> ASGIApp:
    """The application as it is served, with `pages` beside the API."""
    app, metrics = api(service)
    if pages is not None:
        app.include_router(pages.router())
    settings = service.settings
    gate: ASGIApp = Gate(
        app,
        keeper,
        metrics,
        max_body=settings.max_upload,
        rates=Rates(settings.rate),
        pages=pages,
        names_proxies=bool(settings.api_proxies),
    )
    if not keeper.origins:
        return gate
    return CORSMiddleware(
        gate,
        allow_origins=sorted(keeper.origins),
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=["Retry-After"],
    )


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the answers that docs/*.md document."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        known = made.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            known.pop(unused, None)
        for operations in made["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)  # FastAPI's own form of errors, which is not used
        known.update(components())
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}, {}]
        app.openapi_schema = made
    return app.openapi_schema


async def _of_recq(request: Request, error: RecqError) -> Response:
    kind = kind_of(error)
    again = {"Retry-After": "1"} if kind.status == BUSY.status else None
    return refused(request.scope, document_of(error), kind.status, again)


async def _of_request(request: Request, error: RequestValidationError) -> Response:
    """A parameter that is missing, unknown or of another type: a usage error, as on a command line."""
    found = UsageError(_told(error.errors()))
    return refused(request.scope, document_of(found), kind_of(found).status)


def _told(errors: Any) -> str:
    """One line for what is wrong first."""
    # Where a value may be of several types there is an error for each: the one that came farthest says most.
    first = max(errors, key=lambda each: len(each["loc"]))
    if first["type"] == "json_invalid":
        return f"the body is no JSON: {first['ctx']['error']}"
    parts = [str(part) for part in first["loc"][1:]]
    if (kind := next((at for at, part in enumerate(parts) if part in _OF_TARGETS), None)) is not None:
        return f"{'.'.join(parts[:kind])}: {_TARGET} is needed"
    place = ".".join(part for part in parts if part not in _OF_NUMBERS) or "the body"
    if first["type"] == "missing":
        return f"{printable(place)} is missing"
    if first["type"] == "extra_forbidden":
        return f"there is no parameter {printable(place)!r}: docs/api.md lists them"
    return f"{printable(place)[:_LONGEST]}: {needed(first)}"


async def _of_http(request: Request, error: HTTPException) -> Response:
    if error.status_code == NO_METHOD.status:
        allowed = {"Allow": ", ".join(_methods_of(request))}
        told = document(NO_METHOD, "this route has other methods: docs/api.md")
        return refused(request.scope, told, NO_METHOD.status, allowed)
    if error.status_code == NO_ROUTE.status:
        what = "page" if is_for_people(request.scope) else f"route: all begin with {PREFIX}/"
        return refused(request.scope, document(NO_ROUTE, f"there is no such {what}"), NO_ROUTE.status)
    found = UsageError(printable(str(error.detail)))
    return refused(request.scope, document_of(found), error.status_code)


def _methods_of(request: Request) -> list[str]:
    """The methods of all routes with the path of a request: each method is a route of its own."""
    routes = [each for each in request.app.routes if isinstance(each, Route)]
    found = (each.methods or () for each in routes if each.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for methods in found for method in methods})


async def _busy(request: Request, error: Busy) -> Response:  # noqa: ARG001 - Starlette's signature
    told = "another question of this kind is being answered: ask again when it has its answer"
    return refused(request.scope, document(BUSY, told), BUSY.status, {"Retry-After": "10"})


async def _forbidden(request: Request, error: Forbidden) -> Response:  # noqa: ARG001
    told = "this token only reads: RECQ_TOKEN is needed"
    return refused(request.scope, document(FORBIDDEN, told), FORBIDDEN.status)


async def _unexpected(request: Request, error: Exception) -> Response:
    told = f"unexpected: {type(error).__name__} (the log of the service has the traceback)"
    return refused(request.scope, document(UNEXPECTED, told, 1), UNEXPECTED.status)

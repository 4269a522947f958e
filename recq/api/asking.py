"""The route of recq's own command line: the same questions, whose answers are records (`recq.api.records`).

    POST /api/v1/ask   {ask: "similar", catalog: "images", place: {...}, given: {target: SeenName(...), k: 5}}
                   ->  {answer: Answer(...)}  or  {needed: ["mine.jpg"]}  or  {error: "TargetNotFound", message: "..."}

It needs the key that a service makes at each start and writes where its own user alone can read it
(`recq.announced`). What a name means on the disk is seen by the command line, and files are read by it: a service is
sent their bytes where it needs them. It is no part of the documented API: both sides are of one version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from starlette.responses import Response

from recq.api.documents import HEADERS
from recq.api.errors import kind_of
from recq.api.records import Unreadable, dumped, loaded
from recq.api.service import Served, Service
from recq.commands import Place
from recq.errors import RecqError, UsageError
from recq.face.targets import Part
from recq.search.inventory import catalogs
from recq.search.target import ContentNeeded, SeenName, resolve

QUESTIONS = frozenset(
    {
        "similar",
        "similar_many",
        "recommend",
        "search",
        "compare",
        "predict",
        "show",
        "facets",
        "fields",
        "text_fields",
        "changes",
    }
)
"""The methods of `recq.face.catalog.ImageCatalog` that can be asked for."""

_CATALOGS = "catalogs"


def asked(service: Service, content: bytes) -> Response:
    """The answer to a question of the command line."""
    try:
        question = loaded(content)
        name, catalog, given = question["ask"], question["catalog"], dict(question["given"])
        place = Place.from_json(question["place"])
    except (Unreadable, LookupError, TypeError, ValueError) as error:
        return _told(UsageError(f"the question cannot be read: {error}"))
    try:
        if name == _CATALOGS:
            return _answer({"answer": service.ask_index(catalogs, place)})
        if name not in QUESTIONS:
            raise UsageError(f"there is no question {name!r}")
        return _answer({"answer": service.ask(catalog, lambda at: _found(at, name, given), place)})
    except ContentNeeded:
        return _answer({"needed": service.ask(catalog, lambda at: _needed(at, given), place)})
    except RecqError as error:
        return _told(error)


def _found(at: Served, name: str, given: Mapping[str, Any]) -> Any:
    found = getattr(at.catalog, name)(**given)
    return list(found) if name in ("similar_many", "fields") else found


def _needed(at: Served, given: Mapping[str, Any]) -> list[str]:
    """The names of all targets whose files have to be sent."""
    needed = []
    with at.session.opened() as catalog:
        for each in _seen(given.values()):
            try:
                with suppress(RecqError):  # it is met again with the question
                    resolve(catalog.lookups, each)
            except ContentNeeded:
                needed.append(each.name)
    return needed


def _seen(values: Iterable[Any]) -> Iterator[SeenName]:
    """The names among what is given, also in lists and in regions."""
    for each in values:
        if isinstance(each, SeenName):
            yield each
        elif isinstance(each, Part):
            yield from _seen([each.target])
        elif isinstance(each, list | tuple):
            yield from _seen(each)


def _told(error: RecqError) -> Response:
    return _answer({"error": type(error).__name__, "message": str(error)}, kind_of(error).status)


def _answer(document: Mapping[str, Any], status: int = 200) -> Response:
    return Response(dumped(document, contents=False), status, HEADERS, media_type="application/json")

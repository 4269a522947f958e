"""The routes of the page: each asks `recq.face` or `recq.operate`, and fills a template."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from recq.api.access import COOKIE, Gatekeeper
from recq.api.errors import Busy, Forbidden, kind_of
from recq.api.service import Served, Service
from recq.display.explanation import draw
from recq.display.table import cell
from recq.errors import FilterError, IndexPending, RecqError, TargetNotFound
from recq.face.results import Answer
from recq.face.targets import Part, Target
from recq.index.catalogs import names
from recq.index.edge.serving import Access
from recq.operate.confirmation import confirm as ask_for_confirmation
from recq.operate.failures import list_failures
from recq.operate.problems import list_problems
from recq.operate.requests import retry as ask_for_retry
from recq.operate.status import find_status
from recq.page.duplicates import Review
from recq.page.rendering import Templates
from recq.page.state import PAGE_SIZE, State, words_filters
from recq.page.tiles import MOST_FACETS, MOST_VALUES, Facet, chips_of, facet_of, pages_of, tiles_of, title_of
from recq.paths import printable
from recq.region import Region
from recq.search.session import Session
from recq.search.target import ContentTarget, IndexedName

FIELDS_FOR = 120.0
"""Seconds that the list of fields is kept: it counts all items of each."""

MANY = 20_000
"""Items from which on the values of fields follow after the results: counting those of one takes 20 ms at 100,000."""

_MOST_DISTINCT = 200  # values of a text; one with more differs from item to item


@dataclass
class Pages:
    """The page of one service."""

    service: Service
    keeper: Gatekeeper
    templates: Templates = field(default_factory=Templates)
    review: Review = field(init=False)
    _fields: dict[str | None, tuple[float, list[str], list[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.review = Review(self.service)

    def router(self) -> APIRouter:
        """All routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/", self._shown(self.find), methods=["GET"])
        router.add_api_route("/narrow", self._shown(self.narrow), methods=["GET"])
        router.add_api_route("/look", self._shown(self.look), methods=["GET", "POST"])
        router.add_api_route("/items/{item_id}", self._shown(self.item), methods=["GET"])
        router.add_api_route("/why", self._shown(self.why), methods=["GET"])
        router.add_api_route("/why.png", self.why_picture, methods=["GET"])
        router.add_api_route("/duplicates", self._shown(self.duplicates), methods=["GET"])
        router.add_api_route("/duplicates/look", self._shown(self.look_for_duplicates), methods=["POST"])
        router.add_api_route("/duplicates/decide", self._shown(self.decide), methods=["POST"])
        router.add_api_route("/duplicates/undo", self._shown(self.undo), methods=["POST"])
        router.add_api_route("/duplicates/{name}", self._shown(self.superfluous), methods=["GET"])
        router.add_api_route("/status", self._shown(self.status), methods=["GET"])
        router.add_api_route("/retry", self._shown(self.retry), methods=["POST"])
        router.add_api_route("/confirm", self._shown(self.confirm), methods=["POST"])
        router.add_api_route("/login", self.login, methods=["GET", "POST"])
        router.add_api_route("/static/{name}", self.file, methods=["GET"])
        return router

    # -- find ---------------------------------------------------------------------------------------------------------

    def find(self, request: Request, _: bytes) -> Response:
        """The gallery, or what looks like the liked pictures."""
        return self._found(request, State.of(request.query_params.multi_items()), None)

    def look(self, request: Request, content: bytes) -> Response:
        """What looks like a picture that is sent as the body. Asked for without one: what to do."""
        state = replace(State.of(request.query_params.multi_items()), picture=True)
        if not content:
            return self.templates.page(request, "look.html", state=state.at(1))
        return self._found(request, state, ContentTarget(content, "your picture"))

    def _found(self, request: Request, state: State, picture: Target | None) -> Response:
        def ask(at: Served) -> dict[str, Any]:
            texts, faceted = self._known_fields(at, state.catalog)
            words = words_filters(state.text, [*texts, "file.name", "file.path"])
            answer = _answer(at, state, picture, words)
            # What is ranked leaves out its targets, copies and groups; alternatives cannot be counted.
            total = None if state.ranks or words or state.group_by else at.catalog.count(filters=state.filters)
            return {
                "tiles": tiles_of(answer),
                "pages": None if total is None else pages_of(state, len(answer.results), total),
                "facets": None if at.catalog.count() > MANY else _all_facets(at, state, faceted),
                "chips": chips_of(state, _names(at, (*state.like, *state.dislike))),
                "causes": [] if answer.no_results is None else [each.text for each in answer.no_results.causes],
                "notes": [printable(each) for each in answer.notes],
                "grouping": [name for name in faceted if not name.startswith("file.")],
                "empty": not answer.results,
            }

        return self.templates.page(
            request,
            "find.html",
            state=state,
            catalogs=self._catalogs(),
            default=self.service.settings.catalog,
            page_size=PAGE_SIZE,
            **self.service.ask(state.catalog, ask),
        )

    def narrow(self, request: Request, _: bytes) -> Response:
        """The values that narrow down, by themselves."""
        state = State.of(request.query_params.multi_items())

        def ask(at: Served) -> list[Facet]:
            return _all_facets(at, state, self._known_fields(at, state.catalog)[1])

        return self.templates.page(request, "narrow.html", state=state, facets=self.service.ask(state.catalog, ask))

    def _known_fields(self, at: Served, catalog: str | None) -> tuple[list[str], list[str]]:
        """The text fields, and those that are offered as facets."""
        known = self._fields.get(catalog)
        if known is None or time.monotonic() - known[0] > FIELDS_FOR:
            found = at.catalog.fields()
            shared = [each for each in found if not each.waiting and _is_shared(each.items, each.distinct)]
            faceted = [each.name for each in sorted(shared, key=lambda each: each.distinct or _MOST_DISTINCT)]
            known = time.monotonic(), at.catalog.text_fields(), faceted[:MOST_FACETS]
            self._fields[catalog] = known
        return known[1], known[2]

    def _catalogs(self) -> list[str]:
        def listed(session: Session) -> list[str]:
            with session.client() as client:
                return names(client)

        return self.service.ask_index(listed)

    # -- one item -----------------------------------------------------------------------------------------------------

    def item(self, request: Request, _: bytes) -> Response:
        """One item: its picture, a region of it to choose, everything that is known."""
        item_id, state = request.path_params["item_id"], State.of(request.query_params.multi_items())

        def ask(at: Served) -> dict[str, Any]:
            found = at.catalog.show(IndexedName(item_id))
            document = found.to_json()
            payload = {name: value for name, value in document["payload"].items() if name != "file"}
            return {
                "item": found.item,
                "title": title_of(payload, found.item.file.name),
                "facts": [(printable(name), cell(value)) for name, value in payload.items() if cell(value)],
                "file": [(name, cell(value)) for name, value in document["payload"]["file"].items() if cell(value)],
                "error": document["error"],
            }

        return self.templates.page(
            request, "item.html", state=state, region=_per_cent(state.region), **self.service.ask(state.catalog, ask)
        )

    def why(self, request: Request, _: bytes) -> Response:
        """Which regions of two pictures make them similar."""
        state = State.of(request.query_params.multi_items())
        target, result = request.query_params.get("target", ""), request.query_params.get("result", "")
        names = self.service.ask(state.catalog, lambda at: _names(at, (target, result)))
        if len(names) < len({target, result}):
            raise TargetNotFound("one of the two pictures is not in the index any more")
        return self.templates.page(request, "why.html", state=state, target=target, result=result, names=names)

    def why_picture(self, request: Request) -> Response:
        """The same as a picture."""
        parameters = request.query_params
        pair = [IndexedName(parameters.get(name, "")) for name in ("target", "result")]
        with self.service.explaining():
            explanation = self.service.ask(parameters.get("catalog"), lambda at: at.catalog.explain(*pair))
        stream = BytesIO()
        draw(explanation).save(stream, "PNG")
        return Response(stream.getvalue(), media_type="image/png", headers={"Cache-Control": "private, max-age=300"})

    # -- duplicates ---------------------------------------------------------------------------------------------------

    def duplicates(self, request: Request, _: bytes) -> Response:
        """The next group to decide, or how far the look for groups is."""
        state = State.of(request.query_params.multi_items())
        looking = self.review.looking(state.catalog)
        skip = request.query_params.get("skip", "0")
        skipped = int(skip) if skip.isascii() and skip.isdigit() else 0
        standing = None
        if looking is not None and looking.found is not None:
            standing = self.review.standing(state.catalog, looking.found, skipped)
        operates = request.scope["access"] >= Access.FULL
        return self.templates.page(
            request, "duplicates.html", state=state, looking=looking, standing=standing, skip=skipped, operates=operates
        )

    def look_for_duplicates(self, request: Request, _: bytes) -> Response:
        """Begin to look."""
        self.review.look(request.query_params.get("catalog"))
        return self._back_to_duplicates(request)

    def decide(self, request: Request, content: bytes) -> Response:
        """Keep a decision, and go on."""
        self._require_operating(request)
        given = _form(content)
        seen, keep = ([value for name, value in given if name == wanted] for wanted in ("seen", "keep"))
        if seen:
            self.review.decide(request.query_params.get("catalog"), seen, keep)
        return self._back_to_duplicates(request)

    def undo(self, request: Request, _: bytes) -> Response:
        """Take the latest decision back."""
        self._require_operating(request)
        self.review.undo(request.query_params.get("catalog"))
        return self._back_to_duplicates(request)

    def superfluous(self, request: Request, _: bytes) -> Response:
        """What was decided not to be kept: a list, or a script."""
        catalog, name = request.query_params.get("catalog"), request.path_params["name"]
        looking = self.review.looking(catalog)
        if name not in ("superfluous.txt", "superfluous.sh") or looking is None or looking.found is None:
            raise TargetNotFound("look for duplicates first: then there is a list, superfluous.txt or superfluous.sh")
        made = self.review.script if name.endswith(".sh") else self.review.listed
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(made(catalog, looking.found), headers=headers, media_type="text/plain")

    def _back_to_duplicates(self, request: Request) -> Response:
        query = str(request.query_params)
        return RedirectResponse(f"/duplicates?{query}" if query else "/duplicates", 303)

    def _require_operating(self, request: Request) -> None:
        """Raise Forbidden where the token only reads."""
        if request.scope["access"] < Access.FULL:
            raise Forbidden

    # -- the daemon ---------------------------------------------------------------------------------------------------

    def status(self, request: Request, _: bytes) -> Response:
        """How far the daemon is, what failed, and what is wrong with metadata."""
        return self._status(request)

    def retry(self, request: Request, _: bytes) -> Response:
        """Have failed items tried again."""
        self._require_operating(request)
        catalog = request.query_params.get("catalog")
        asked = self.service.ask(catalog, lambda at: ask_for_retry(at.session, request.query_params.get("path")))
        return self._status(request, said=f"{sum(asked.items.values()):,} will be tried again")

    def confirm(self, request: Request, _: bytes) -> Response:
        """Have deletions and losses of metadata made that are held."""
        self._require_operating(request)
        source = request.query_params.get("source")
        asked = self.service.ask(
            request.query_params.get("catalog"), lambda at: ask_for_confirmation(at.session, source)
        )
        return self._status(request, said=f"{sum(asked.items.values()):,} held changes will be made")

    def _status(self, request: Request, said: str = "") -> Response:
        state = State.of(request.query_params.multi_items())

        def ask(at: Served) -> dict[str, Any]:
            return {
                "daemon": find_status(at.session),
                "failures": list_failures(at.session)[:200],
                "problems": list_problems(at.session, None)[:200],
            }

        operates = request.scope["access"] >= Access.FULL
        return self.templates.page(
            request, "status.html", state=state, said=said, operates=operates, **self.service.ask(state.catalog, ask)
        )

    # -- who asks -----------------------------------------------------------------------------------------------------

    async def login(self, request: Request) -> Response:
        """Take a token, and keep it in a cookie that scripts cannot read and other sites cannot send."""
        if request.method == "GET":
            return self.templates.page(request, "login.html", to=_own_path(request.query_params.get("to", "/")))
        form = dict(_form(await request.body()))
        token = form.get("token", "")
        if self.keeper.access({"authorization": f"Bearer {token}"}) is Access.NONE:
            return self.templates.page(request, "login.html", 401, to=_own_path(form.get("to", "/")), wrong=True)
        answer = RedirectResponse(_own_path(form.get("to", "/")), 303)
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", max_age=30 * 24 * 3600)
        return answer

    def file(self, name: str) -> Response:
        """A file of the page."""
        return self.templates.files.answer(name)

    # -- all ----------------------------------------------------------------------------------------------------------

    def _shown(self, make: Callable[[Request, bytes], Response]) -> Callable[..., Any]:
        """A route whose errors are pages."""

        async def route(request: Request) -> Response:
            body = await request.body()
            try:
                return await run_in_threadpool(make, request, body)
            except Busy:
                return self.templates.page(
                    request, "error.html", 503, message="busy with another such question: try again"
                )
            except Forbidden:
                return self.templates.page(request, "error.html", 403, message="that needs the token that operates")
            except RecqError as error:
                return self.templates.page(request, "error.html", kind_of(error).status, message=printable(str(error)))

        return route


def _answer(at: Served, state: State, picture: Target | None, words: Sequence[str]) -> Answer:
    keywords: dict[str, Any] = {"k": PAGE_SIZE, "page": state.page, "filters": state.filters, "any_of": words}
    keywords |= {"keep_duplicates": state.copies, "diversity": state.diversity}
    if state.sort:
        keywords["sort"] = state.sort
    if state.group_by:
        keywords["group_by"] = state.group_by
    if not state.ranks:
        return at.catalog.search(**keywords)
    liked: list[Target] = [] if picture is None else [picture]
    liked += [IndexedName(each) for each in state.like]
    if len(liked) == 1 and not state.dislike:
        return at.catalog.similar(Part(liked[0], state.region) if state.region else liked[0], **keywords)
    return at.catalog.recommend(liked, [IndexedName(each) for each in state.dislike], **keywords)


def _all_facets(at: Served, state: State, fields: Sequence[str]) -> list[Facet]:
    """The values of each field among the items that the filters hold for."""
    found = (_facets(at, name, state.filters) for name in fields)
    return [facet_of(state, each) for each in found if each is not None]


def _facets(at: Served, name: str, filters: Sequence[str]) -> Any:
    try:
        found = at.catalog.facets(name, filters=filters, limit=MOST_VALUES)
    except (FilterError, IndexPending):  # it has gone since the fields were listed, or its index is being built
        return None
    return found if found.rows else None


def _names(at: Served, items: Sequence[str]) -> Mapping[str, str]:
    """What the items are called, by id; without those that are not there."""
    found = {}
    for each in dict.fromkeys(items):
        try:
            shown = at.catalog.show(IndexedName(each))
        except TargetNotFound:
            continue
        found[each] = title_of(shown.item.metadata, shown.item.file.name)
    return found


def _is_shared(items: int, distinct: int | None) -> bool:
    """Whether items have values of a field in common: one that differs from item to item tells nothing.

    Of numbers and dates, whose values are not counted, ranges are offered.
    """
    return items > 0 and (distinct is None or 1 < distinct <= min(_MOST_DISTINCT, items / 2))


def _per_cent(region: str) -> tuple[float, float, float, float]:
    """A region as numbers per cent; the middle half where there is none, or none in per cent."""
    try:
        parsed = Region.parse(region)
    except (RecqError, ValueError):
        return 25.0, 25.0, 50.0, 50.0
    return (parsed.x, parsed.y, parsed.width, parsed.height) if parsed.percent else (25.0, 25.0, 50.0, 50.0)


def _own_path(address: str) -> str:
    """A path of this service; its first page in place of what leads elsewhere."""
    return address if address.startswith("/") and not address.startswith(("//", "/\\")) else "/"


def _form(body: bytes) -> list[tuple[str, str]]:
    return parse_qsl(body[:200_000].decode("utf-8", "replace"))

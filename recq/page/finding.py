"""Find and steer: the gallery, what looks like liked pictures or one that is sent, the values that narrow down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from recq.api.service import Served
from recq.errors import FilterError, IndexPending
from recq.face.targets import Part
from recq.index.catalogs import names as names_in
from recq.index.parameters import Parameters
from recq.page.fields import FacetedFields
from recq.page.item import names_of
from recq.page.judgements import has_judgements, judgements_file
from recq.page.site import Site
from recq.page.state import PAGE_SIZE, State, words_filters
from recq.page.tiles import MOST_VALUES, Facet, Near, chips_of, facet_of, pages_of, tiles_of
from recq.paths import printable
from recq.search.latest import latest
from recq.search.nearest_liked import nearest_liked
from recq.search.results import Answer
from recq.search.session import Session
from recq.search.target import ContentTarget, IndexedName


@dataclass(frozen=True)
class Shown:
    """Some pictures of `total` (None where that is not known)."""

    answer: Answer
    total: int | None = None
    notes: Sequence[str] = ()


class Finding:
    """The routes of one page."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._faceted = FacetedFields(site.service)

    def add_to(self, router: APIRouter) -> None:
        """Its routes."""
        router.add_api_route("/", self._site.shown(self.find), methods=["GET"])
        router.add_api_route("/narrow", self._site.shown(self.narrow), methods=["GET"])
        router.add_api_route("/look", self._site.shown(self.look), methods=["GET", "POST"])
        router.add_api_route("/judgements.jsonl", self._site.shown(self.judgements), methods=["GET"])

    def find(self, request: Request, _: bytes) -> Response:
        """The gallery, or what looks like the liked pictures."""
        return self._found(request, State.of(request.query_params.multi_items()), None)

    def look(self, request: Request, content: bytes) -> Response:
        """What looks like a picture that is sent as the body. Asked for without one: what to do."""
        state = replace(State.of(request.query_params.multi_items()), picture=True)
        if not content:
            return self._site.templates.page(request, "look.html", state=state.at(1))
        return self._found(request, state, ContentTarget(content, "your picture"))

    def _found(self, request: Request, state: State, picture: ContentTarget | None) -> Response:
        def ask(at: Served) -> dict[str, Any]:
            words = (
                words_filters(state.text, [*at.catalog.text_fields(), "file.name", "file.path"]) if state.text else []
            )
            shown = _shown(at, state, picture, words)
            answer, total = shown.answer, shown.total
            many = self._faceted.many(at, state.catalog)
            faceted = self._faceted.of(state.catalog, wait=not many)
            names = names_of(at, (*state.like, *state.dislike))
            return {
                "tiles": tiles_of(answer, _near(at, state, picture, answer, names)),
                "pages": None if total is None else pages_of(state, len(answer.results), total),
                "facets": None if many else _all_facets(at, state, faceted),
                "chips": chips_of(state, names),
                "causes": [] if answer.no_results is None else [each.text for each in answer.no_results.causes],
                "notes": [*(printable(each) for each in answer.notes), *shown.notes],
                "grouping": [name for name in faceted if not name.startswith("file.")],
                "empty": not answer.results,
            }

        return self._site.templates.page(
            request,
            "find.html",
            state=state,
            catalogs=self._catalogs(),
            default=self._site.service.settings.catalog,
            page_size=PAGE_SIZE,
            judged=has_judgements(state),
            **self._site.ask(state.catalog, ask),
        )

    def judgements(self, request: Request, _: bytes) -> Response:
        """What is liked and disliked, as a file."""
        return judgements_file(self._site.service, request)

    def narrow(self, request: Request, _: bytes) -> Response:
        """The values that narrow down, by themselves."""
        state = State.of(request.query_params.multi_items())
        fields = self._faceted.of(state.catalog, wait=True)
        facets = self._site.ask(state.catalog, lambda at: _all_facets(at, state, fields))
        return self._site.templates.page(request, "narrow.html", state=state, facets=facets)

    def _catalogs(self) -> list[str]:
        def listed(session: Session) -> list[str]:
            with session.client() as client:
                return names_in(client)

        return self._site.service.ask_index(listed)


def _shown(at: Served, state: State, picture: ContentTarget | None, words: Sequence[str]) -> Shown:
    if not state.browses:
        # What is ranked leaves out its targets, copies and groups, and what is sorted copies; alternatives cannot be
        # counted.
        uncounted = state.ranks or words or state.group_by or not state.copies
        return Shown(_answer(at, state, picture, words), None if uncounted else at.catalog.count(filters=state.filters))
    offset = (state.page - 1) * PAGE_SIZE
    page = latest(
        at.session,
        Parameters(PAGE_SIZE, offset, list(state.filters), list(words), keep_duplicates=state.copies),
    )
    some = "1 is a copy" if page.copies == 1 else f"{page.copies} are copies"
    notes = [f"{some} of newer pictures, left out here: tick \u201cevery copy\u201d to see all"] if page.copies else []
    return Shown(page.answer, page.total, notes)


def _liked(state: State, picture: ContentTarget | None) -> list[ContentTarget | IndexedName]:
    return [*([] if picture is None else [picture]), *(IndexedName(each) for each in state.like)]


def _near(
    at: Served, state: State, picture: ContentTarget | None, answer: Answer, names: Mapping[str, str]
) -> Mapping[str, Near]:
    """Which of several liked pictures each result is nearest to. One alone stands in the answer itself."""
    liked = _liked(state, picture)
    if not liked or (len(liked) == 1 and not state.dislike):
        return {}
    called = [*([] if picture is None else ["your picture"]), *(names.get(each, each) for each in state.like)]
    found = nearest_liked(at.session, liked, [each.id for each in answer.results])
    several = len(liked) > 1
    return {item: Near(called[each.liked] if several else "", each.score, each.share) for item, each in found.items()}


def _answer(at: Served, state: State, picture: ContentTarget | None, words: Sequence[str]) -> Answer:
    keywords: dict[str, Any] = {"k": PAGE_SIZE, "page": state.page, "filters": state.filters, "any_of": words}
    keywords |= {"keep_duplicates": state.copies, "diversity": state.diversity}
    if state.sort:
        keywords["sort"] = state.sort
    if state.group_by:
        keywords["group_by"] = state.group_by
    if not state.ranks:
        return at.catalog.search(**keywords)
    liked = _liked(state, picture)
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

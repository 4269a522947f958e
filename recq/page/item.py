"""One item closer: everything that is known of it, a region of it to choose, why another is like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from threading import Lock
from typing import Any, Self

from fastapi import APIRouter, Request
from starlette.responses import Response

from recq.api.service import Served
from recq.display.explanation import draw
from recq.display.table import cell
from recq.errors import RecqError, TargetNotFound
from recq.page.site import Site
from recq.page.state import State
from recq.page.tiles import title_of
from recq.paths import printable
from recq.region import Region
from recq.search.explain import Explanation
from recq.search.hottest import hottest
from recq.search.target import IndexedName

_KEPT = 8  # explanations


@dataclass(frozen=True)
class Pair:
    """Two items that are compared, by id."""

    catalog: str | None
    target: str
    result: str

    @classmethod
    def of(cls, request: Request) -> Self:
        """As an address names them."""
        given = request.query_params
        return cls(given.get("catalog") or None, given.get("target", ""), given.get("result", ""))

    @property
    def ids(self) -> tuple[str, str]:
        """Both."""
        return self.target, self.result


class Closer:
    """The routes of one page."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._explaining = Lock()
        self._kept: dict[Pair, Explanation] = {}

    def add_to(self, router: APIRouter) -> None:
        """Its routes."""
        router.add_api_route("/items/{item_id}", self._site.shown(self.item), methods=["GET"])
        router.add_api_route("/why", self._site.shown(self.why), methods=["GET"])
        router.add_api_route("/why.png", self.why_picture, methods=["GET"])

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

        return self._site.templates.page(
            request,
            "item.html",
            state=state,
            region=_per_cent(state.region),
            **self._site.ask(state.catalog, ask),
        )

    def why(self, request: Request, _: bytes) -> Response:
        """Which regions of two pictures make them similar, and more like the warmest of them."""
        state = State.of(request.query_params.multi_items())
        pair = Pair.of(request)
        names = self._site.ask(state.catalog, lambda at: names_of(at, pair.ids))
        if len(names) < len(set(pair.ids)):
            raise TargetNotFound("one of the two pictures is not in the index any more")
        explanation = self._explained(pair)
        hot = []
        for item, side in zip(pair.ids, (explanation.target, explanation.result), strict=True):
            region = hottest(side)
            if region is not None:
                hot.append((item, state.like_only(item, str(region))))
        return self._site.templates.page(
            request, "why.html", state=state, target=pair.target, result=pair.result, names=names, hot=hot
        )

    def why_picture(self, request: Request) -> Response:
        """The same as a picture."""
        stream = BytesIO()
        draw(self._explained(Pair.of(request))).save(stream, "PNG")
        return Response(stream.getvalue(), media_type="image/png", headers={"Cache-Control": "private, max-age=300"})

    def _explained(self, pair: Pair) -> Explanation:
        """The explanation of a pair; the last few are kept, since the page and its picture show the same."""
        with self._explaining:
            found = self._kept.pop(pair, None)
        if found is None:
            asked = [IndexedName(each) for each in pair.ids]
            with self._site.service.explaining():
                found = self._site.service.ask(pair.catalog, lambda at: at.catalog.explain(*asked))
        with self._explaining:
            self._kept[pair] = found
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return found


def names_of(at: Served, items: Sequence[str]) -> Mapping[str, str]:
    """What the items are called, by id; without those that are not there."""
    found = {}
    for each in dict.fromkeys(items):
        try:
            shown = at.catalog.show(IndexedName(each))
        except TargetNotFound:
            continue
        found[each] = title_of(shown.item.metadata, shown.item.file.name)
    return found


def _per_cent(region: str) -> tuple[float, float, float, float]:
    """A region as numbers per cent; the middle half where there is none, or none in per cent."""
    try:
        parsed = Region.parse(region)
    except (RecqError, ValueError):
        return 25.0, 25.0, 50.0, 50.0
    return (parsed.x, parsed.y, parsed.width, parsed.height) if parsed.percent else (25.0, 25.0, 50.0, 50.0)

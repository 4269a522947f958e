"""The routes of the review of duplicates: a group to decide, decisions, what comes out of them."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from recq.errors import TargetNotFound
from recq.page.duplicates import Review
from recq.page.site import Site, form_of, operates, require_operating
from recq.page.state import State


class Reviewing:
    """The routes of one page."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._review = Review(site.service)

    def add_to(self, router: APIRouter) -> None:
        """Its routes."""
        router.add_api_route("/duplicates", self._site.shown(self.duplicates), methods=["GET"])
        router.add_api_route("/duplicates/look", self._site.shown(self.look_for_duplicates), methods=["POST"])
        router.add_api_route("/duplicates/decide", self._site.shown(self.decide), methods=["POST"])
        router.add_api_route("/duplicates/exact", self._site.shown(self.decide_exact), methods=["POST"])
        router.add_api_route("/duplicates/undo", self._site.shown(self.undo), methods=["POST"])
        router.add_api_route("/duplicates/{name}", self._site.shown(self.superfluous), methods=["GET"])

    def duplicates(self, request: Request, _: bytes) -> Response:
        """The next group to decide, or how far the look for groups is."""
        state = State.of(request.query_params.multi_items())
        looking = self._review.looking(state.catalog)
        skip = request.query_params.get("skip", "0")
        skipped = int(skip) if skip.isascii() and skip.isdigit() else 0
        standing = None
        if looking is not None and looking.found is not None:
            standing = self._review.standing(state.catalog, looking.found, skipped)
        return self._site.templates.page(
            request,
            "duplicates.html",
            state=state,
            looking=looking,
            standing=standing,
            skip=skipped,
            operates=operates(request),
        )

    def look_for_duplicates(self, request: Request, _: bytes) -> Response:
        """Begin to look."""
        self._review.look(request.query_params.get("catalog"))
        return self._back_to_duplicates(request)

    def decide(self, request: Request, content: bytes) -> Response:
        """Keep a decision, and go on."""
        require_operating(request)
        given = form_of(content)
        seen, keep = ([value for name, value in given if name == wanted] for wanted in ("seen", "keep"))
        if seen:
            self._review.decide(request.query_params.get("catalog"), seen, keep)
        return self._back_to_duplicates(request)

    def decide_exact(self, request: Request, _: bytes) -> Response:
        """Decide all groups of the same bytes at once."""
        require_operating(request)
        self._review.decide_exact(request.query_params.get("catalog"))
        return self._back_to_duplicates(request)

    def undo(self, request: Request, _: bytes) -> Response:
        """Take the latest decision back."""
        require_operating(request)
        self._review.undo(request.query_params.get("catalog"))
        return self._back_to_duplicates(request)

    def superfluous(self, request: Request, _: bytes) -> Response:
        """What was decided not to be kept: a list, or a script."""
        catalog, name = request.query_params.get("catalog"), request.path_params["name"]
        looking = self._review.looking(catalog)
        if name not in ("superfluous.txt", "superfluous.sh") or looking is None or looking.found is None:
            raise TargetNotFound("look for duplicates first: then there is a list, superfluous.txt or superfluous.sh")
        made = self._review.script if name.endswith(".sh") else self._review.listed
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(made(catalog, looking.found), headers=headers, media_type="text/plain")

    def _back_to_duplicates(self, request: Request) -> Response:
        query = str(request.query_params)
        return RedirectResponse(f"/duplicates?{query}" if query else "/duplicates", 303)

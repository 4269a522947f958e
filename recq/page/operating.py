"""How the daemon does: status, what failed and why, what is held, trying again and confirming."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from recq.api.service import Served
from recq.operate.confirmation import confirm as ask_for_confirmation
from recq.operate.failures import list_failures
from recq.operate.held import list_held
from recq.operate.problems import list_problems
from recq.operate.requests import retry as ask_for_retry
from recq.operate.status import find_status
from recq.page.site import Site, operates, require_operating
from recq.page.state import State

HELD_AT_ONCE = 200
"""Items of a page of those that are held."""


class Operating:
    """The routes of one page."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def add_to(self, router: APIRouter) -> None:
        """Its routes."""
        router.add_api_route("/status", self._site.shown(self.status), methods=["GET"])
        router.add_api_route("/held", self._site.shown(self.held), methods=["GET"])
        router.add_api_route("/retry", self._site.shown(self.retry), methods=["POST"])
        router.add_api_route("/confirm", self._site.shown(self.confirm), methods=["POST"])

    def status(self, request: Request, _: bytes) -> Response:
        """How far the daemon is, what failed, and what is wrong with metadata."""
        return self._status(request)

    def held(self, request: Request, _: bytes) -> Response:
        """What would go, or lose metadata, when it is confirmed: item by item."""
        state = State.of(request.query_params.multi_items())
        source = request.query_params.get("source")
        offset = (state.page - 1) * HELD_AT_ONCE
        found = self._site.service.ask(state.catalog, lambda at: list_held(at.session, source, offset, HELD_AT_ONCE))
        values = {"first": offset + 1, "more": found.total > offset + len(found.items)}
        return self._site.templates.page(
            request, "held.html", state=state, source=source, held=found, operates=operates(request), **values
        )

    def retry(self, request: Request, _: bytes) -> Response:
        """Have failed items tried again."""
        require_operating(request)
        catalog = request.query_params.get("catalog")
        asked = self._site.ask(catalog, lambda at: ask_for_retry(at.session, request.query_params.get("path")))
        return self._status(request, said=f"{sum(asked.items.values()):,} will be tried again")

    def confirm(self, request: Request, _: bytes) -> Response:
        """Have deletions and losses of metadata made that are held."""
        require_operating(request)
        source = request.query_params.get("source")
        asked = self._site.ask(request.query_params.get("catalog"), lambda at: ask_for_confirmation(at.session, source))
        return self._status(request, said=f"{sum(asked.items.values()):,} held changes will be made")

    def _status(self, request: Request, said: str = "") -> Response:
        state = State.of(request.query_params.multi_items())

        def ask(at: Served) -> dict[str, Any]:
            return {
                "daemon": find_status(at.session),
                "failures": list_failures(at.session)[:200],
                "problems": list_problems(at.session, None)[:200],
            }

        return self._site.templates.page(
            request,
            "status.html",
            state=state,
            said=said,
            operates=operates(request),
            **self._site.ask(state.catalog, ask),
        )

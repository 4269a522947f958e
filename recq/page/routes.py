"""The routes of the page, by topic; each asks `recq.face`, `recq.search` or `recq.operate`, and fills a template."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from recq.api.access import COOKIE, LOGIN, Gatekeeper, in_cookie
from recq.api.service import Service
from recq.index.edge.serving import Access
from recq.page.finding import Finding
from recq.page.item import Closer
from recq.page.labels import Labelling
from recq.page.operating import Operating
from recq.page.reviewing import Reviewing
from recq.page.site import Site, form_of


class Pages:
    """The page of one service."""

    def __init__(self, service: Service, keeper: Gatekeeper) -> None:
        self._site = Site(service, keeper)
        self._finding = Finding(self._site)
        self._closer = Closer(self._site)
        self._reviewing = Reviewing(self._site)
        self._labelling = Labelling(self._site)
        self._operating = Operating(self._site)

    def router(self) -> APIRouter:
        """All routes."""
        router = APIRouter(include_in_schema=False)
        self._finding.add_to(router)
        self._closer.add_to(router)
        self._reviewing.add_to(router)
        self._labelling.add_to(router)
        self._operating.add_to(router)
        router.add_api_route(LOGIN, self.login, methods=["GET", "POST"])
        router.add_api_route("/static/{name}", self.file, methods=["GET"])
        return router

    async def login(self, request: Request) -> Response:
        """Take a token, and keep it in a cookie that scripts cannot read and other sites cannot send."""
        if request.method == "GET":
            return self._site.templates.page(request, "login.html", to=_own_path(request.query_params.get("to", "/")))
        form = dict(form_of(await request.body()))
        token = form.get("token", "")
        if self._site.keeper.access({"authorization": f"Bearer {token}"}) is Access.NONE:
            return self._site.templates.page(request, "login.html", 401, to=_own_path(form.get("to", "/")), wrong=True)
        answer = RedirectResponse(_own_path(form.get("to", "/")), 303)
        answer.set_cookie(COOKIE, in_cookie(token), httponly=True, samesite="strict", max_age=30 * 24 * 3600)
        return answer

    def error(self, request: Request, status: int, message: str) -> Response:
        """A page that says what is not possible."""
        return self._site.error(request, status, message)

    def file(self, name: str) -> Response:
        """A file of the page."""
        return self._site.templates.files.answer(name)


def _own_path(address: str) -> str:
    """A path of this service; its first page in place of what leads elsewhere."""
    return address if address.startswith("/") and not address.startswith(("//", "/\\")) else "/"

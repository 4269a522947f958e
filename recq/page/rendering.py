"""Templates as answers, and the page's own files: style, script, htmx. Nothing here comes from elsewhere."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing inline runs, nothing is loaded from another host, no other page shows this one in a frame."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with none a browser calls the origin of a plain form "null", which may not ask
    "Cache-Control": "no-store",
}

KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "txt": "text/plain"}


class Files:
    """The files in `recq/page/static`, each under an address that changes with its content."""

    def __init__(self) -> None:
        folder = files("recq.page") / "static"
        self._files = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
        self._digests = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in self._files.items()}

    def address(self, name: str) -> str:
        """Where a file is."""
        return f"/static/{name}?{self._digests[name]}"

    def answer(self, name: str) -> Response:
        """The file; 404 where there is none of that name."""
        content = self._files.get(name)
        if content is None:
            return Response("there is no such file\n", 404, media_type="text/plain")
        kind = KINDS.get(name.rpartition(".")[2], "application/octet-stream")
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
        return Response(content, headers=headers, media_type=kind)


class Templates:
    """The templates in `recq/page/templates`, which name the addresses of `files`; every value is escaped."""

    def __init__(self) -> None:
        self.files = Files()
        self._environment = Environment(
            loader=PackageLoader("recq.page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["static"] = self.files.address

    def page(self, request: Request, name: str, status: int = 200, **values: Any) -> Response:
        """A template as an answer."""
        text = self._environment.get_template(name).render(path=request.url.path, **values)
        return Response(text, status, HEADERS, media_type="text/html")

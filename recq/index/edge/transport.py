"""The embedded engine as an `httpx` transport: what `QdrantClient` sends is answered in this process, no socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import httpx

Handle = Callable[[str, str, Mapping[str, str], bytes], tuple[int, bytes]]


class EdgeTransport(httpx.BaseTransport):
    """Hands each request to `handle(method, percent-encoded path, parameters, body)`."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The engine's answer as a response."""
        path = request.url.raw_path.partition(b"?")[0].decode("ascii")
        status, content = self._handle(request.method, path, dict(request.url.params), request.read())
        return httpx.Response(status, headers={"content-type": content_type(content)}, content=content)


def content_type(content: bytes) -> str:
    """Everything is JSON but the one-line answers of the health checks."""
    return "application/json" if content.startswith(b"{") else "text/plain; charset=utf-8"

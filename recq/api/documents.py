"""JSON as an answer of HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from recq.json_text import json_text

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Of every answer that is no picture."""


def answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON document as an answer."""
    content = json_text(document).encode("utf-8")
    return Response(content, status, {**HEADERS, **(headers or {})}, media_type="application/json")

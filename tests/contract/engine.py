"""One engine under test, with the ordinary client and with bare REST."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from qdrant_client import QdrantClient

OWN_ENGINES = ("embedded", "loopback")
"""The two forms of the embedded engine: for tests that a server is not asked."""


@dataclass(frozen=True)
class Engine:
    """One engine: `client` as the catalog uses it, `http` for requests that the client would never send."""

    name: str
    client: QdrantClient
    http: httpx.Client

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of one REST request; a `body` of bytes is sent as it is."""
        if body is None:
            answer = self.http.request(method, path)
        else:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            answer = self.http.request(method, path, content=content, headers={"content-type": "application/json"})
        return answer.status_code, answer.json() if answer.content else None


def engine_of(request: pytest.FixtureRequest) -> Engine:
    """The engine that a parameter of a fixture names."""
    found = request.getfixturevalue("real" if request.param == "server" else request.param)
    assert isinstance(found, Engine)
    return found

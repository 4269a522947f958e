"""The three engines that must give equal answers, each with the ordinary client and with bare REST."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from qdrant_client import QdrantClient

from recq.index.edge import EdgeEngine, LoopbackServer, embedded_client
from tests.qdrant_server import QdrantServer

ENGINES = ["embedded", "loopback", pytest.param("server", marks=pytest.mark.server)]
_numbers = itertools.count()


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


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Edge in process."""
    edge = EdgeEngine(tmp_path_factory.mktemp("embedded") / "edge")
    with httpx.Client(base_url="http://embedded", transport=edge.transport()) as http:
        yield Engine("embedded", embedded_client(edge), http)
    edge.close()


@pytest.fixture(scope="session")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Edge on loopback."""
    folder = tmp_path_factory.mktemp("loopback")
    edge = EdgeEngine(folder / "edge")
    with LoopbackServer(folder, edge) as server:
        client = QdrantClient(
            url=server.url, headers={"api-key": server.key}, check_compatibility=False, trust_env=False
        )
        with httpx.Client(base_url=server.url, headers={"api-key": server.key}, trust_env=False) as http:
            yield Engine("loopback", client, http)
        client.close()
    edge.close()


@pytest.fixture(scope="session")
def real(qdrant_server: QdrantServer) -> Iterator[Engine]:
    """The real server."""
    client = QdrantClient(url=qdrant_server.url, check_compatibility=False, trust_env=False)
    with httpx.Client(base_url=qdrant_server.url, trust_env=False, timeout=30) as http:
        yield Engine("server", client, http)
    client.close()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    found = request.getfixturevalue("real" if request.param == "server" else request.param)
    assert isinstance(found, Engine)
    return found


@pytest.fixture
def name(engine: Engine) -> Iterator[str]:
    """A collection's name that nobody used, removed afterwards."""
    fresh = f"contract-{next(_numbers)}"
    yield fresh
    engine.client.delete_collection(fresh)

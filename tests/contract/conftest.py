"""The three engines that must give equal answers, each with the ordinary client and with bare REST."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import httpx
import pytest
from qdrant_client import QdrantClient

from recq.index.edge import EdgeEngine, LoopbackServer, embedded_client
from tests.contract.engine import Engine, engine_of
from tests.qdrant_server import QdrantServer

ENGINES = ["embedded", "loopback", pytest.param("server", marks=pytest.mark.server)]
_numbers = itertools.count()


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
    return engine_of(request)


@pytest.fixture
def name(engine: Engine) -> Iterator[str]:
    """A collection's name that nobody used, removed afterwards."""
    fresh = f"contract-{next(_numbers)}"
    yield fresh
    engine.client.delete_collection(fresh)

"""One catalog on each of the three engines: Edge in process, Edge on loopback, a real server."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from recq.index.edge import EdgeEngine, LoopbackServer, embedded_client
from recq.space import EmbeddingSpace

ENGINES = [
    "embedded",
    pytest.param("loopback", marks=pytest.mark.long),  # request by request tests/contract compares it with both others
    pytest.param("server", marks=pytest.mark.server),
]

SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=8,
)  # fmt: skip


@contextmanager
def opened(engine_name: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[QdrantClient]:
    """A client of one engine; on the server, which all tests share, collections of other tests are left alone."""
    if engine_name == "server":
        remote = QdrantClient(url=request.getfixturevalue("qdrant_server").url, check_compatibility=False)
        before = {collection.name for collection in remote.get_collections().collections}
        try:
            yield remote
        finally:
            for collection in remote.get_collections().collections:
                if collection.name not in before:
                    remote.delete_collection(collection.name)
            remote.close()
        return
    engine = EdgeEngine(folder / "edge")
    try:
        if engine_name == "embedded":
            yield embedded_client(engine)
        else:
            with LoopbackServer(folder, engine) as server, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a key over plain http: it never leaves the machine
                yield QdrantClient(url=server.url, api_key=server.key, check_compatibility=False, trust_env=False)
    finally:
        engine.close()


@pytest.fixture(params=ENGINES)
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QdrantClient]:
    """A client for one test that writes."""
    with opened(request.param, tmp_path, request) as made:
        yield made


@pytest.fixture(scope="module", params=ENGINES)
def shared_client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantClient]:
    """A client for tests that only read."""
    with opened(request.param, tmp_path_factory.mktemp("shared"), request) as made:
        yield made

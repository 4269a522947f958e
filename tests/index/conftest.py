"""One catalog on each of the three engines: Edge in process, Edge on loopback, a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from recq.index.edge import EdgeEngine, LoopbackServer, embedded_client
from recq.space import EmbeddingSpace

ENGINES = ["embedded", "loopback", pytest.param("server", marks=pytest.mark.server)]

SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=8,
)  # fmt: skip


@pytest.fixture(params=ENGINES)
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QdrantClient]:
    """A client of an empty index."""
    if request.param == "server":
        server = request.getfixturevalue("qdrant_server")
        remote = QdrantClient(url=server.url, check_compatibility=False)
        _empty(remote)
        yield remote
        _empty(remote)
        remote.close()
        return
    engine = EdgeEngine(tmp_path / "edge")
    try:
        if request.param == "embedded":
            yield embedded_client(engine)
        else:
            with LoopbackServer(tmp_path, engine) as server:
                yield QdrantClient(url=server.url, api_key=server.key, check_compatibility=False, trust_env=False)
    finally:
        engine.close()


def _empty(client: QdrantClient) -> None:
    for collection in client.get_collections().collections:
        client.delete_collection(collection.name)

"""Which version of Qdrant answers: asked once of each connection, when it is made (`recq.index.connect`)."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from qdrant_client import QdrantClient

_known: WeakKeyDictionary[QdrantClient, str] = WeakKeyDictionary()


def server_version(client: QdrantClient) -> str:
    """As the server writes it, such as `1.17.0`. Raises the client's errors."""
    if client not in _known:
        _known[client] = client.info().version
    return _known[client]


def numbers_of(version: str) -> tuple[int, ...]:
    """Major and minor version, which can be compared."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())

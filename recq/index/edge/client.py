"""The ordinary client on the embedded engine of this process; whole points are written faster, vectors read faster.

Its requests go through `transport`, as they would go to a server; those of `recq.index.plain_requests` directly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
from pydantic_core import from_json, to_json
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse

from recq.index.edge.convert import Floats, Row
from recq.index.edge.transport import EdgeTransport, Handle

Upsert = Callable[[str, Sequence[Row]], tuple[int, bytes]]
"""Collection and rows to the status and the body of the answer; see `EdgeEngine.upsert`."""

Vectors = Callable[[str, Sequence[str], str], tuple[int, bytes, dict[str, Floats]]]
"""Collection, ids and the vector's name to the status and the body of the answer, and the vectors by id; see
`EdgeEngine.vectors`."""


class EmbeddedClient(QdrantClient):
    """`QdrantClient` on an engine of this process; closing it leaves the engine open."""

    def __init__(self, handle: Handle, upsert: Upsert, vectors: Vectors) -> None:
        # cloud_inference: the client does not search every number of a vector for texts to embed (2/3 of its time).
        super().__init__(
            url="http://embedded", transport=EdgeTransport(handle), check_compatibility=False, cloud_inference=True
        )
        self._handle = handle
        self._upsert = upsert
        self._vectors = vectors

    def post(self, path: str, body: bytes) -> bytes:
        """The body of the answer to a POST; `path` is percent-encoded. Raises what the client's own calls raise."""
        return _content(*self._handle("POST", path, {}, body))

    def upsert_rows(
        self, collection_name: str, rows: Sequence[tuple[str, Mapping[str, Floats], Mapping[str, Any]]]
    ) -> None:
        """Write whole points, as `upsert` of the same `PointStruct`s does; returns when they are in the journal.

        `rows` are id, vectors by name (float32 (dim,)) and payload. Only the payload goes through JSON, so that the
        stored payload is the one that a server would receive. Raises what `upsert` raises.
        """
        plain = [(id_, vectors, from_json(to_json(payload, inf_nan_mode="null"))) for id_, vectors, payload in rows]
        _content(*self._upsert(collection_name, plain))

    def vectors_of(self, collection_name: str, ids: Sequence[str], using: str) -> dict[str, Floats]:
        """The vectors of those points that have one, float32 (dim,) by id: what `retrieve` gives. Raises the same."""
        status, content, found = self._vectors(collection_name, ids, using)
        _content(status, content)
        return found


def _content(status: int, content: bytes) -> bytes:
    if status != httpx.codes.OK:
        raise UnexpectedResponse.for_response(httpx.Response(status, content=content))
    return content

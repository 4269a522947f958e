"""The ordinary client on the embedded engine of this process, with a faster write of whole points.

All other requests go through `transport`, as they would go to a server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
from pydantic_core import from_json, to_json
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse

from recq.index.edge.convert import Floats, Row

Upsert = Callable[[str, Sequence[Row]], tuple[int, bytes]]
"""Collection and rows to the status and the body of the answer; see `EdgeEngine.upsert`."""


class EmbeddedClient(QdrantClient):
    """`QdrantClient` on an engine of this process; closing it leaves the engine open."""

    def __init__(self, transport: httpx.BaseTransport, upsert: Upsert) -> None:
        # cloud_inference: the client does not search every number of a vector for texts to embed (2/3 of its time).
        super().__init__(url="http://embedded", transport=transport, check_compatibility=False, cloud_inference=True)
        self._upsert = upsert

    def upsert_rows(
        self, collection_name: str, rows: Sequence[tuple[str, Mapping[str, Floats], Mapping[str, Any]]]
    ) -> None:
        """Write whole points, as `upsert` of the same `PointStruct`s does; returns when they are in the journal.

        `rows` are id, vectors by name (float32 (dim,)) and payload. Only the payload goes through JSON, so that the
        stored payload is the one that a server would receive. Raises what `upsert` raises.
        """
        plain = [(id_, vectors, from_json(to_json(payload, inf_nan_mode="null"))) for id_, vectors, payload in rows]
        status, content = self._upsert(collection_name, plain)
        if status != httpx.codes.OK:
            raise UnexpectedResponse.for_response(httpx.Response(status, content=content))

"""The embedded engine as one object: REST requests in, answers out, and the client that speaks to it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recq.index.edge.compactor import Compactor
from recq.index.edge.folder import Folder
from recq.index.edge.routes import answer
from recq.index.edge.transport import EdgeTransport

if TYPE_CHECKING:
    import httpx
    from qdrant_client import QdrantClient


class EdgeEngine:
    """All collections below `folder` (`data_dir/edge`), opened when first asked for.

    The caller holds the data folder's `FolderLock`: a second process that opens a shard damages the first one's
    journal. Thread-safe: reads run side by side, writes to one collection one after another.
    Raises RecqError when the folder's manifest is damaged or missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Folder(folder)
        self._compactor = Compactor(self._folder)

    def handle(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Status code and body of the answer to one REST request; never raises. `path` is percent-encoded."""
        return answer(self._folder, method, path, query, body)

    def transport(self) -> httpx.BaseTransport:
        """What `QdrantClient(transport=...)` takes."""
        return EdgeTransport(self.handle)

    def flush(self) -> None:
        """Shorten the journals, so that the next opening is fast. Acknowledged writes are safe without it."""
        self._folder.flush()

    def compact_in_background(self) -> None:
        """Give dead space back whenever there is much of it. For the owner of a folder, not for who only reads it."""
        self._compactor.start()

    def compact(self, stop: threading.Event) -> None:
        """Give dead space back now, where there is much of it, and never again; `stop` breaks it off."""
        self._compactor.finish(stop)

    def close(self) -> None:
        """Flush and close everything. Requests under way end first; later ones are answered with 503."""
        self._compactor.close()
        self._folder.close()


def embedded_client(engine: EdgeEngine) -> QdrantClient:
    """The ordinary client on `engine`: no network, no version warnings. Closing it leaves `engine` open."""
    from qdrant_client import QdrantClient

    # cloud_inference: the client does not search every number of a vector for texts to embed (2/3 of an upsert's time).
    return QdrantClient(
        url="http://embedded", transport=engine.transport(), check_compatibility=False, cloud_inference=True
    )

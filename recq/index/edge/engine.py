"""The embedded engine as one object: REST requests in, answers out, and the client that speaks to it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recq.index.edge.compactor import Compactor
from recq.index.edge.folder import Folder
from recq.index.edge.points import read_vectors, upsert_rows
from recq.index.edge.routes import answer, answered
from recq.index.edge.transport import EdgeTransport

if TYPE_CHECKING:
    import httpx

    from recq.index.edge.client import EmbeddedClient
    from recq.index.edge.convert import Floats, Row


class EdgeEngine:
    """All collections below `folder` (`data_dir/edge`), opened on first use.

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

    def upsert(self, collection: str, rows: Sequence[Row]) -> tuple[int, bytes]:
        """Status code and body of the answer to an upsert of whole points; never raises.

        It skips the request: converting 1,280 numbers to JSON and back takes three times as long as the write itself.
        """
        return answered(f"an upsert to {collection}", lambda: upsert_rows(self._folder, collection, rows))

    def vectors(self, collection: str, ids: Sequence[str], using: str) -> tuple[int, bytes, dict[str, Floats]]:
        """Status code and body of the answer to a question for the vectors of some points, and these; never raises.

        It skips JSON, which takes three times as long as all else.
        """
        found: dict[str, Floats] = {}

        def read() -> int:
            found.update(read_vectors(self._folder, collection, ids, using))
            return len(found)

        return *answered(f"a look at vectors of {collection}", read), found

    def transport(self) -> httpx.BaseTransport:
        """What `QdrantClient(transport=...)` takes."""
        return EdgeTransport(self.handle)

    def flush(self) -> None:
        """Shorten the journals, so that the next opening is fast. Acknowledged writes are safe without it."""
        self._folder.flush()

    def compact_in_background(self) -> None:
        """Free dead space whenever there is much of it. For the owner of a folder, not for a reader."""
        self._compactor.start()

    def compact(self, stop: threading.Event) -> None:
        """Free dead space now, where there is much of it, and stop doing so later; `stop` interrupts it."""
        self._compactor.finish(stop)

    def close(self) -> None:
        """Flush and close everything. Requests under way end first; later ones are answered with 503."""
        self._compactor.close()
        self._folder.close()


def embedded_client(engine: EdgeEngine) -> EmbeddedClient:
    """The ordinary client on `engine`: no network, no version warnings. Closing it leaves `engine` open."""
    from recq.index.edge.client import EmbeddedClient

    return EmbeddedClient(engine.handle, engine.upsert, engine.vectors)

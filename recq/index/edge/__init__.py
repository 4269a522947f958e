"""The embedded engine: Qdrant Edge in this process, behind the part of Qdrant's REST API that the catalog uses.

The same `QdrantClient` runs against it (`embedded_client`), against a daemon that serves it on loopback
(`server.LoopbackServer`, found through `address.read_address`), and against a real server. A request
that an engine of one process cannot answer is refused with an error, never ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recq.index.edge.address import Address, read_address
from recq.index.edge.engine import EdgeEngine, embedded_client

if TYPE_CHECKING:
    from recq.index.edge.server import LoopbackServer

__all__ = ["Address", "EdgeEngine", "LoopbackServer", "embedded_client", "read_address"]


def __getattr__(name: str) -> object:
    """Import `LoopbackServer` on first use: only a daemon needs Starlette and uvicorn."""
    if name == "LoopbackServer":
        from recq.index.edge.server import LoopbackServer

        return LoopbackServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

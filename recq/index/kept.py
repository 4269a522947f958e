"""What the last rebuild of a catalog replaced: a record, apart from what finds it, which needs the engine's client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recq.space import EmbeddingSpace


@dataclass(frozen=True)
class Kept:
    """The collection that the last rebuild of a catalog replaced, `at` an ISO 8601 time (UTC), until it is pruned.

    `items` include failed ones, `size` is about what its vectors take, in bytes.
    """

    collection: str
    at: str
    space: EmbeddingSpace
    items: int
    size: int

    @property
    def text(self) -> str:
        """In words."""
        items = "1 item" if self.items == 1 else f"{self.items:,} items"
        size = f"{self.size / 1e6:,.1f}" if self.size < 1e7 else f"{self.size / 1e6:,.0f}"
        return f"{items} in {self.space.label}, replaced on {self.at}, about {size} MB of vectors"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"space": self.space.summary(), "at": self.at, "items": self.items, "size": self.size}

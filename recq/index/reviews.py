"""What people decided about groups of the same picture: which to keep. Kept with the catalog; nothing is deleted.

A decision is about files, by the ids of their items: an id is made of source and path, so it holds for files that are
indexed anew, and a group comes back only with a file that nobody has seen. Decisions are in the collection's metadata,
one key each: two people never overwrite each other's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from qdrant_client import QdrantClient

from recq.index.errors import translated

PREFIX = "decision:"
"""Collection-metadata keys of decisions."""


@dataclass(frozen=True)
class Decision:
    """Of the items `seen` (ids) those in `keep` are to be kept. `at` is ISO 8601 UTC."""

    seen: frozenset[str]
    keep: frozenset[str]
    at: str

    @property
    def key(self) -> str:
        """What it is about, in short."""
        return hashlib.sha256(" ".join(sorted(self.seen)).encode()).hexdigest()[:16]

    def covers(self, items: Collection[str]) -> bool:
        """Whether it was made about all of these items."""
        return self.seen.issuperset(items)

    def to_json(self) -> dict[str, Any]:
        """The value stored with the collection."""
        return {"seen": sorted(self.seen), "keep": sorted(self.keep), "at": self.at}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The value that `to_json` wrote."""
        return cls(frozenset(data["seen"]), frozenset(data["keep"]), str(data["at"]))


class Reviews:
    """The decisions of one collection. Methods raise only errors of `recq.errors`."""

    def __init__(self, client: QdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection

    @translated
    def all(self) -> list[Decision]:
        """Every decision, the latest last."""
        metadata = self._client.get_collection(self._collection).config.metadata or {}
        found = [
            Decision.from_json(value) for key, value in metadata.items() if key.startswith(PREFIX) and value is not None
        ]
        return sorted(found, key=lambda each: (each.at, each.key))

    @translated
    def write(self, decision: Decision) -> None:
        """Keep a decision in place of one about the same items."""
        self.take([decision])

    @translated
    def take(self, decisions: Iterable[Decision]) -> None:
        """Keep several, such as those of the collection that this one replaces."""
        kept = {PREFIX + each.key: each.to_json() for each in decisions}
        if kept:
            self._client.update_collection(self._collection, metadata=kept)

    @translated
    def forget(self, *keys: str) -> None:
        """Take decisions back; an unknown one is no error."""
        gone: dict[str, None] = {PREFIX + key: None for key in keys}
        self._client.update_collection(self._collection, metadata=gone)

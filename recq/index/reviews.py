"""What people decided about groups of the same picture: which to keep. Kept with the catalog; nothing is deleted.

A decision is about files, by the ids of their items: an id is made of source and path, so it holds for files that are
indexed anew, and a group comes back only with a file that nobody has seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

PREFIX = "decision:"
"""Collection-metadata keys of decisions (`recq.index.dated_records`)."""


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

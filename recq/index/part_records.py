"""The stored records of the parts of sources (`recq.index.parts`), in the collection's metadata: one key each.

A part's record is written by the daemon that has it and by nobody else, so daemons never overwrite each other's.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from qdrant_client import QdrantClient

from recq.index.errors import translated
from recq.index.parts import PART_PREFIX, PartRecord
from recq.index.problems import PROBLEMS_PREFIX
from recq.index.sources import CONFIRMATION_PREFIX, METADATA_CONFIRMATION_PREFIX
from recq.part import Part

_PREFIXES = (PART_PREFIX, PROBLEMS_PREFIX, CONFIRMATION_PREFIX, METADATA_CONFIRMATION_PREFIX)
"""Of what is recorded for a part alone, under `Part.key`."""


class PartRecords:
    """The parts of one collection's sources. Methods raise only errors of `recq.errors`. Safe in several threads."""

    def __init__(self, client: QdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection
        self._lock = threading.Lock()

    @translated
    def all(self, source: str | None = None) -> list[PartRecord]:
        """What is recorded of the parts of a source, or of all sources, in their order."""
        metadata = self._client.get_collection(self._collection).config.metadata or {}
        found = (
            PartRecord.from_json(key, value)
            for key, value in metadata.items()
            if key.startswith(PART_PREFIX) and value is not None
        )
        known = [each for each in found if each is not None and source in (None, each.source)]
        return sorted(known, key=lambda each: (each.source, each.part.of, each.part.number))

    @translated
    def update(self, source: str, part: Part, **changes: Any) -> None:
        """Record changes of a part, of which there may be no record yet."""
        with self._lock:
            before = next((each for each in self.all(source) if each.part == part), PartRecord(source, part))
            record = replace(before, **changes)
            self._client.update_collection(self._collection, metadata={record.metadata_key: record.to_json()})

    @translated
    def forget(self, source: str, parts: Collection[Part]) -> None:
        """Remove all records of parts of a source: problems and confirmations, too."""
        keys = [prefix + part.key(source) for part in parts for prefix in _PREFIXES]
        if keys:
            self._client.update_collection(self._collection, metadata=dict.fromkeys(keys))

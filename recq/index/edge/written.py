"""The ids of the points that are written while a shard is copied."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from uuid import UUID

Id = int | str | UUID
"""A point's id: Edge gives integers and UUIDs, and takes a UUID's text too."""


class Written:
    """The points written since a moment. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: set[Id] = set()
        self.unknown = False
        """Whether there was a write without known ids: by filter, or to the payload indexes."""

    def note(self, ids: Sequence[Id] | None) -> None:
        """Record that these ids were written; None for a write whose ids are not known."""
        with self._lock:
            if ids is None:
                self.unknown = True
            else:
                self._ids.update(ids)

    def take(self) -> list[Id]:
        """The ids noted since the last call."""
        with self._lock:
            taken, self._ids = self._ids, set()
        return list(taken)

"""What is held of a source, since too much would go at once: items that have gone, and metadata that items keep."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ingest.source.files import Key
from recq.index.schema import Item

Losing = tuple[Key, Item]
"""An item that would lose metadata, as the index has it (only the facts of its file count)."""


@dataclass(frozen=True)
class Held:
    """So many items of a source have gone and stay in the index, or keep metadata, for the reason in `detail`.

    `hinted`: events reported some of them, which no comparison has judged.
    """

    source: str
    items: int
    detail: str
    metadata: bool = False
    hinted: bool = False


class HeldReports:
    """What was reported as held of a source, so that it is reported once. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reported: dict[bool, tuple[int, str]] = {}

    def is_news(self, held: Held) -> bool:
        """Whether this has not been reported since it is held; it counts as reported from now on."""
        with self._lock:
            before = self._reported.get(held.metadata)
            self._reported[held.metadata] = held.items, held.detail
            return before != (held.items, held.detail)

    def clear(self, *, metadata: bool) -> None:
        """No item is held any more, or none keeps metadata any more."""
        with self._lock:
            self._reported.pop(metadata, None)

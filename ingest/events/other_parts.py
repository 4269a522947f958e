"""New files in the parts of a source that other daemons see to: where a file that has gone may be now.

The daemon of the new place takes the stored vector of the old one, and what its metadata were, as long as the old item
is there. So a removal waits for it, a while at most: the other daemon may be busy, or not run at all. Pure, but for the
clock that it is given. For the loop's thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ingest.source.files import Key

WAITS = 20.0
"""Seconds that a removal waits for the daemon of another part."""

_MOST = 10_000  # files that are remembered: of more, some are embedded anew
_TOGETHER = 10.0  # seconds between the two halves of a move, as they are noticed


class OtherParts:
    """The files that appeared lately in other parts and that the index may not have yet."""

    def __init__(self) -> None:
        self._files: dict[Key, tuple[int, float]] = {}  # size, and when it was noticed (monotonic): in that order
        self._of_size: dict[tuple[str, int], dict[Key, None]] = {}  # in the same order: thousands of moves ask by these

    def appeared(self, files: Iterable[tuple[Key, int]], now: float) -> None:
        """Note files with their sizes in bytes."""
        for key, size in files:
            self._forget(key)
            self._files[key] = size, now
            self._of_size.setdefault((key.source, size), {})[key] = None
        for key, (_, at) in list(self._files.items()):
            if len(self._files) <= _MOST and at >= now - WAITS - _TOGETHER:
                break
            self._forget(key)

    def places(self, source: str, size: int, since: float, now: float) -> list[Key]:
        """Where a file of that many bytes may be that is gone `since` (monotonic); none where nothing is waited for."""
        if now > since + WAITS:
            return []
        return [key for key in self._of_size.get((source, size), ()) if self._files[key][1] >= since - _TOGETHER]

    def written(self, keys: Collection[Key]) -> None:
        """Note that the index has these."""
        for key in keys:
            self._forget(key)

    def _forget(self, key: Key) -> None:
        size, _ = self._files.pop(key, (None, None))
        if size is not None:
            alike = self._of_size[key.source, size]
            del alike[key]
            if not alike:
                del self._of_size[key.source, size]

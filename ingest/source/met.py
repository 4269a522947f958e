"""Files of a source that were read without an event, for a watch that polls: some may have gone before it looks."""

from __future__ import annotations

from collections import deque
from pathlib import Path

MOST = 10_000
"""So many are kept, the latest; what happens to others is found by the next comparison."""


class Met:
    """Collects paths below `root` until they are taken. Safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._paths: deque[str] = deque(maxlen=MOST)

    def note(self, path: str) -> None:
        """Note that what stands at a path, relative to the root, or absolute, was read or is about to be."""
        self._paths.append(str(self._root / path))

    def take(self) -> set[str]:
        """The absolute paths that were noted since the last time."""
        taken = set()
        while self._paths:
            taken.add(self._paths.popleft())
        return taken

"""The queue before a stage of the pipeline: new drops are taken before the backlog."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FreshFirst(Generic[T]):
    """A queue from which fresh things are taken first; otherwise first in, first out."""

    def __init__(self) -> None:
        self._fresh: deque[T] = deque()
        self._rest: deque[T] = deque()

    def __len__(self) -> int:
        return len(self._fresh) + len(self._rest)

    @property
    def has_fresh(self) -> bool:
        """Whether anything fresh waits."""
        return bool(self._fresh)

    def put(self, thing: T, *, fresh: bool) -> None:
        """Add to the end."""
        (self._fresh if fresh else self._rest).append(thing)

    def take(self) -> T:
        """Remove the next one."""
        return (self._fresh or self._rest).popleft()

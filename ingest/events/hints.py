"""What the watchers have noticed and what has not been looked at yet: one mark per path, however many events it has.

The watchers' threads write, the loop drains. Events are hints: to lose some costs time, never an item.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import IntEnum

from ingest.events.stability import WRITING, Observation, completed, observe
from ingest.source.files import FileState, Key

MOST = 200_000
"""Files, and folders of each kind, that are kept. When there are more, the source is walked as a whole."""


class Mark(IntEnum):
    """What happened last at a path."""

    TOUCHED = 0  # its attributes changed
    APPEARED = 1  # it is new, or changed where the end of writing is not reported
    WRITING = 2  # a process that has it open wrote to it
    CLOSED = 3  # the writer closed it, or it was renamed into place
    GONE = 4  # the kernel saw it go
    MISSING = 5  # a poll did not find it any more


def later(before: Mark | None, mark: Mark) -> Mark:
    """The mark of a path that gets another one: the latest, but a change of attributes replaces none."""
    return mark if before is None or mark is not Mark.TOUCHED else before


@dataclass
class Noticed:
    """One drain: paths with their mark, folders to walk, folders that have gone, sources whose events were lost.

    `ruled` are folders (path "" for a root) below which other rules may hold, since a `.recqignore` changed.
    """

    marks: dict[Key, Mark] = field(default_factory=dict)
    folders: set[Key] = field(default_factory=set)
    lost: set[Key] = field(default_factory=set)
    ruled: set[Key] = field(default_factory=set)
    overflowed: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.marks or self.folders or self.lost or self.ruled or self.overflowed)


def outermost(paths: Collection[str]) -> list[str]:
    """The folders to walk, without those that lie in another."""
    chosen: list[str] = []
    for path in sorted(paths, key=lambda each: f"{each}/"):
        if not chosen or not path.startswith(f"{chosen[-1]}/"):
            chosen.append(path)
    return chosen


def observation_of(
    before: Observation | None, state: FileState | None, now: float, mark: Mark, settle: float
) -> Observation:
    """The observation after an event, with the file's state; `before` is what was observed until then."""
    match mark:
        case Mark.CLOSED | Mark.GONE:
            return completed(state, now)
        case Mark.TOUCHED:
            return observe(before, state, now, 0.0)
        case Mark.WRITING:
            return observe(before, state, now, WRITING * settle)
        case Mark.APPEARED | Mark.MISSING:
            return observe(before, state, now, settle)


class Hints:
    """Collects hints until they are drained; `wake` is called for the first one."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._noticed = Noticed()

    def mark(self, key: Key, mark: Mark) -> None:
        """Something happened to a file."""
        with self._lock:
            first = not self._noticed
            marks = self._noticed.marks
            if key not in marks and len(marks) >= MOST:
                self._noticed.overflowed.add(key.source)
            else:
                marks[key] = later(marks.get(key), mark)
        if first:
            self._wake()

    def folder(self, key: Key) -> None:
        """A folder appeared: walk it."""
        self._add(lambda noticed: _remember(noticed.folders, key, noticed))

    def folder_gone(self, key: Key) -> None:
        """A folder has gone: look at all that the index has below it."""
        self._add(lambda noticed: _remember(noticed.lost, key, noticed))

    def rules_changed(self, folder: Key) -> None:
        """The rules of a folder may have changed: look at all files below it, and at all that the index has there."""
        self._add(lambda noticed: _remember(noticed.ruled, folder, noticed))

    def overflow(self, source: str) -> None:
        """Events of a source were lost."""
        self._add(lambda noticed: noticed.overflowed.add(source))

    def drain(self) -> Noticed:
        """Everything noticed since the last drain."""
        with self._lock:
            noticed, self._noticed = self._noticed, Noticed()
        return noticed

    def _add(self, change: Callable[[Noticed], None]) -> None:
        with self._lock:
            first = not self._noticed
            change(self._noticed)
        if first:
            self._wake()


def _remember(folders: set[Key], key: Key, noticed: Noticed) -> None:
    if key not in folders and len(folders) >= MOST:
        noticed.overflowed.add(key.source)
    else:
        folders.add(key)

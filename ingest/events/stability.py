"""Is a file complete? Decided from the states in which it was seen; the clock is passed in.

- A file is complete when its size and mtime have been seen unchanged for its `quiet` time, normally `settle`.
- The end of writing that the system reports (the writer closed it, it was renamed into place) completes it at once.
- A file that was seen being written and is not closed yet gets more time: its writer may pause, and the close follows.
- A file whose content is cut short gets more time before it fails: it is usually an upload in pieces, whose writer
  opens and closes it for each of them.
- A file that is found in another state than the one observed starts over.

The scan at start-up obeys the same rules; for a file whose own times show that it has not changed for long, it need not
wait to see that.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest.source.files import FileState

WRITING = 10.0
"""Times `settle`: how long a file that a process has open for writing must be unchanged."""

COARSE = 5.0
"""Seconds: a ctime tells no shorter age for certain, since FAT writes down two seconds only."""

DOUBTFUL = 4.0
"""Times `settle`: how long a file that is cut short must be unchanged before it fails."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A path as seen: its state (None: nothing there), since when (monotonic), how long it must last (seconds)."""

    state: FileState | None
    since: float
    quiet: float

    @property
    def due(self) -> float:
        """When the file is complete, if it stays as it is."""
        return self.since + self.quiet


def observe(before: Observation | None, state: FileState | None, now: float, quiet: float) -> Observation:
    """The path was seen in `state` at `now`; it counts from when it was first seen so, and the longer wait holds."""
    if before is not None and before.state == state:
        return Observation(state, before.since, max(before.quiet, quiet))
    return Observation(state, now, quiet)


def completed(state: FileState | None, now: float) -> Observation:
    """The system reported the end of writing, a rename into place or a removal."""
    return Observation(state, now, 0.0)


def quiet_when_found(state: FileState | None, settle: float, clock: float) -> float:
    """Seconds that what a walk found must stay as it is, at `clock` (seconds since the epoch); absences are certain.

    A ctime, where there is one, is this machine's own, and every write sets it. One that is older than a writer may
    pause (`WRITING`) has shown already what the wait would.
    """
    if state is None:
        return 0.0
    if state.ctime_ns is None:
        return settle
    unchanged = clock - max(state.ctime_ns, state.mtime_ns) / 1e9
    return 0.0 if unchanged >= max(WRITING * settle, COARSE) else settle


def is_complete(observation: Observation, state: FileState | None, now: float) -> bool:
    """Whether the path, found in `state` at `now`, may be read."""
    return observation.state == state and now >= observation.due

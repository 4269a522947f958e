"""Is the file complete? A decision from what has been seen of it; the clock is passed in.

- A file is complete when its size and mtime have been seen unchanged for its `quiet` time, normally `settle`.
- The end of writing that the system reports (the writer closed it, it was renamed into place) completes it at once.
- A file that was seen being written and not yet closed gets more time: its writer may pause, and the close will come.
- A file whose content turned out to be cut short gets more time before that verdict counts: it is usually an upload
  still in flight whose writer opens and closes it for every piece.
- Complete is always about a state: a file that is found in another state than the one observed starts over.

The scan at start-up obeys the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest.source.files import FileState

WRITING = 10.0
"""Times `settle`: how long a file must be quiet that some process has open for writing."""

DOUBTFUL = 4.0
"""Times `settle`: how long a file must have been quiet before "cut short" is its verdict."""


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


def is_complete(observation: Observation, state: FileState | None, now: float) -> bool:
    """Whether the path, found in `state` at `now`, may be read."""
    return observation.state == state and now >= observation.due

"""The state of a file right before the index is changed: a file that has changed since it was read is not written."""

from __future__ import annotations

from ingest.source.files import FileState
from ingest.source.watched_source import WatchedSource


def last_look(watched: WatchedSource, path: str) -> FileState | None:
    """The state of a file; None where there is none; where it cannot be known, a state that no file has."""
    try:
        seen = watched.look(path)
    except OSError:
        return FileState(-1, -1)
    return seen.state if seen is not None else None

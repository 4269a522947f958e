"""What the stages hand on about a file: which one it is, and how it stood when it was last looked at."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple


class Key(NamedTuple):
    """One path of one source. `path` is relative to the root, as the operating system gives it (surrogate-escaped)."""

    source: str
    path: str


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells a change without reading: bytes, and nanoseconds since the epoch."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileState:
        """The state in a stat result."""
        return cls(status.st_size, status.st_mtime_ns)

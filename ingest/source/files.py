"""What the stages pass on about a file: which one it is, and its state when it was last looked at."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from typing import NamedTuple


class Key(NamedTuple):
    """One path of one source. `path` is relative to the root, as the operating system gives it (surrogate-escaped)."""

    source: str
    path: str


@dataclass(frozen=True, slots=True)
class FileState:
    """What shows a change of a file without reading it: its size in bytes, and times in nanoseconds since the epoch.

    `ctime_ns` shows changes by programs that restore size and time (`cp -p`, `exiftool -P`), and changes of attributes;
    None where it cannot be relied on.
    """

    size: int
    mtime_ns: int
    ctime_ns: int | None = None

    @classmethod
    def of(cls, status: os.stat_result) -> FileState:
        """The state in a stat result."""
        # On Windows it is the time of creation.
        return cls(status.st_size, status.st_mtime_ns, None if sys.platform == "win32" else status.st_ctime_ns)

    def without_ctime(self) -> FileState:
        """The same state without its ctime, for file systems whose ctime cannot be relied on."""
        return replace(self, ctime_ns=None)

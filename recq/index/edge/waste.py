"""When rewriting a shard is worth it: pure decisions from measured sizes.

Edge never frees space by itself (measured with 0.9.0). A point replaced under its own id is written in place; a
deleted point leaves its row: the vector, and some hundred bytes of ids and index. In memory each value that is
replaced or deleted stays in the payload indexes, about a kilobyte a point, until the shard is opened again.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LEAST_BYTES = 8 << 20
"""Dead bytes below which nothing is done: a fresh folder's journal alone takes four times as much."""

LEAST_REWRITTEN = 10_000
"""Points rewritten since the opening below which memory is left alone: about 10 MB."""

RESERVE = 256 << 20
"""Bytes of the file system that a rewrite leaves free: a full disk ends a process that writes to mapped files."""

_ROW = 250  # bytes of a dead row beside its vector: id tracker 43, payload indexes about 180


@dataclass(frozen=True)
class Usage:
    """One shard, measured: `points` there are, `rows` on disk (dead ones too), `rewritten` since it was opened.

    `row_bytes` is what one row's vectors take.
    """

    points: int
    rows: int
    rewritten: int
    row_bytes: int

    @property
    def dead(self) -> int:
        """Rows of deleted points."""
        return max(0, self.rows - self.points)


def wastes_disk(usage: Usage) -> bool:
    """Whether at least a third of the rows are dead, and they are not few: so a folder stays below 1.5 fresh ones."""
    return 2 * usage.dead >= usage.points and usage.dead * (usage.row_bytes + _ROW) >= LEAST_BYTES


def wastes_memory(usage: Usage) -> bool:
    """Whether every point has been rewritten once since the shard was opened, and they are not few."""
    return usage.rewritten >= max(LEAST_REWRITTEN, usage.points)


def has_room(free: int, used: int, usage: Usage) -> bool:
    """Whether the living points of a folder of `used` bytes fit into `free` bytes, with RESERVE left."""
    return free >= used * usage.points / max(usage.rows, 1) + RESERVE


def give_back_memory() -> None:
    """Return freed memory to the system: glibc keeps it otherwise (28 MB of the old shard's at 25,000 points).

    With another C library nothing is done.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # Windows has no library without a name
        return
    trim(0)


def rows_of(folder: Path) -> int:
    """Rows of the shard in `folder` at its last flush: Edge keeps eight bytes for each, its version."""
    return sum(file.stat().st_size for file in folder.glob("segments/*/mutable_id_tracker.versions")) // 8


def bytes_of(folder: Path) -> int:
    """What a folder takes on disk, less what is deleted meanwhile: its files are sparse, so their lengths say nothing,
    but for Windows, which tells nothing else."""
    size = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                found = Path(where, name).lstat()
                size += found.st_blocks * 512 if hasattr(found, "st_blocks") else found.st_size
    return size


def free_bytes(folder: Path) -> int:
    """What is free on the file system of a folder."""
    return shutil.disk_usage(folder).free

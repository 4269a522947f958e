"""Room on the disk of an embedded folder: checked before the engine writes.

Edge writes into mapped files whose blocks the file system allocates only when they are touched. Where none is left
the kernel ends the whole process (SIGBUS; seen with Edge 0.9.0 on ext4 and tmpfs, at a write and at the opening).
No acknowledged write is lost by that, but the daemon would end: so a write that could fill the disk is not begun.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from recq.index.edge.problem import Problem
from recq.index.edge.waste import free_bytes

RESERVE = 64 * 2**20
"""Bytes that have to be free for a write: far more than one takes (a new payload index 3 MB, a batch of 32 vectors
0.4 MB), since others may fill the disk in the same moment."""

_INSUFFICIENT_STORAGE = 507
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def shortage(folder: Path, needed: int = RESERVE, then: str = "recq then continues") -> str | None:
    """That the file system of the existing `folder` has less than `needed` bytes free, and what follows when some are
    freed, in words; None when it has enough."""
    free = free_bytes(folder)
    if free >= needed:
        return None
    wanted = f"{free // 2**20:,} MB are free, {needed // 2**20:,} MB are required"
    return f"no space left for {folder}: {wanted}. Free some space: {then}"


def require_room(folder: Path) -> None:
    """Raise Problem 507 where the file system of `folder` is short of space, or read-only."""
    try:
        lack = f"the file system of {folder} is read-only" if _is_read_only(folder) else shortage(folder)
    except OSError as error:
        raise disk_problem(error, folder) from error
    if lack is not None:
        raise Problem(_INSUFFICIENT_STORAGE, lack)


def _is_read_only(folder: Path) -> bool:
    """As far as the system tells: Windows does not, and a write fails there."""
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def disk_problem(error: OSError, folder: Path) -> Problem:
    """The answer for a failed file operation: a temporary error, so that the caller retries."""
    status = _INSUFFICIENT_STORAGE if error.errno in _FULL else 500
    return Problem(status, f"{folder}: {error.strerror or error}")

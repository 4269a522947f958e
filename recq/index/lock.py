"""The lock of an embedded data folder: one process at a time, with its process id.

Edge has its own lock, but checks it too late: a second opening damages the first one's journal. So this lock is
taken before the engine opens anything. It is the kernel's (`flock`): it ends with the process that holds it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Self

from filelock import FileLock, Timeout

from recq.errors import UsageError
from recq.private_files import make_private_folder, open_private, write_private

try:
    import fcntl

    _POSIX = True
except ImportError:
    _POSIX = False

_here: Counter[Path] = Counter()
"""The data folders whose lock this process holds, or is about to try."""

_guard = Lock()


def _forget() -> None:
    """Begin anew in a forked process: it holds no lock of its parent, and `_guard` may be taken by a lost thread."""
    global _guard
    _guard = Lock()
    _here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class FolderLock:
    """The lock on `data_dir/lock`; `data_dir/owner.json` names the process that holds it.

    Child processes do not share it: programs do not inherit the descriptor, and a fork closes its copy. So a decoding
    process that outlives a killed daemon blocks nobody.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._key = data_dir.absolute()
        self._record = data_dir / "owner.json"
        # Never a lock by mere existence of a file: that one would outlive a killed holder.
        self._lock = FileLock(data_dir / "lock", mode=0o600, thread_local=False, fallback_to_soft=False)

    def try_acquire(self) -> bool:
        """Take the lock if it is free, and return whether this object holds it.

        Raises UsageError when the data folder cannot be made or written.
        """
        if self._lock.is_locked:
            return True
        self._count(1)
        try:
            acquired = self._acquired()
        except BaseException:
            self._count(-1)
            raise
        if not acquired:
            self._count(-1)
        return acquired

    def _acquired(self) -> bool:
        try:
            make_private_folder(self._data_dir)
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            raise UsageError(
                f"data folder {self._data_dir} cannot be used ({error.strerror}): choose another with --data-dir"
            ) from error
        try:
            write_private(self._record, json.dumps({"pid": os.getpid()}))
        except OSError as error:
            self._lock.release()
            raise UsageError(
                f"data folder {self._data_dir} cannot be written ({error.strerror}): choose another with --data-dir"
            ) from error
        return True

    def release(self) -> None:
        """Release the lock. Does nothing where it is not held."""
        if self._lock.is_locked:
            with suppress(OSError):  # a file system that has become read-only
                self._record.unlink(missing_ok=True)  # while nobody else can have written it
            self._lock.release()
            self._count(-1)

    @property
    def held_here(self) -> bool:
        """Whether another thread of this process has the folder, or tries to at this moment."""
        return _here[self._key] > 0

    def _count(self, change: int) -> None:
        with _guard:
            _here[self._key] += change
            if not _here[self._key]:
                del _here[self._key]

    @property
    def holder_pid(self) -> int | None:
        """The process that wrote its id last: the holder while the lock is taken. None: unknown."""
        try:
            pid = json.loads(self._record.read_bytes())["pid"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return pid if isinstance(pid, int) else None


class Wanted:
    """The mark of those who wait for a data folder, for a holder that can do without it: `data_dir/wanted`.

    It is a lock of the kernel's, shared by all who wait, so it ends with the process that waits. On systems without
    such locks nobody is seen to wait. A context manager.
    """

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / "wanted"
        self._descriptor: int | None = None

    def mark(self) -> None:
        """Note that this process waits, until the block ends. No effect in a folder that cannot be written."""
        if self._descriptor is None and _POSIX:
            with suppress(OSError):
                self._descriptor = open_private(str(self._file), os.O_RDWR | os.O_CREAT)
                fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def __bool__(self) -> bool:
        """Whether anybody waits now."""
        if not _POSIX:
            return False
        try:
            descriptor = os.open(self._file, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # no locks left, for example: look again
            return False
        finally:
            os.close(descriptor)
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

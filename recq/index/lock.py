"""The lock of an embedded data folder: one process at a time, and who that is.

Edge has a lock of its own, but looks at it too late: a second opening damages the first one's journal. So this lock is
taken before the engine opens anything. It is the kernel's (`flock`): it ends with its holder, however that dies.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from filelock import FileLock, Timeout

from recq.errors import UsageError
from recq.private_files import make_private_folder, write_private


class FolderLock:
    """The lock on `data_dir/lock`; `data_dir/owner.json` says who holds it.

    Child processes do not share it: the descriptor is not inherited by programs, and a fork closes its copy, so that a
    decoding process which outlives a killed daemon keeps nobody out.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._record = data_dir / "owner.json"
        # Never a lock by mere existence of a file: that one would outlive a killed holder.
        self._lock = FileLock(data_dir / "lock", mode=0o600, thread_local=False, fallback_to_soft=False)

    def try_acquire(self) -> bool:
        """Take the lock now, or say False because somebody has it. True again for who holds it already.

        Raises UsageError when the data folder cannot be made or written.
        """
        if self._lock.is_locked:
            return True
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
        """Give the lock back; nothing happens without it."""
        if self._lock.is_locked:
            self._record.unlink(missing_ok=True)  # while nobody else can have written it
            self._lock.release()

    @property
    def holder_pid(self) -> int | None:
        """The process that wrote its number last: the holder while the lock is taken. None: unknown."""
        try:
            pid = json.loads(self._record.read_bytes())["pid"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return pid if isinstance(pid, int) else None

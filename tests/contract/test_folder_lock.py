"""The lock of the data folder: one holder, gone with it, never kept by its children."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recq.errors import UsageError
from recq.index.lock import FolderLock

ROOT = Path(__file__).resolve().parents[2]

HOLD = """
import sys
from pathlib import Path
from recq.index.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print(lock.try_acquire(), flush=True)
sys.stdin.read()
"""

HOLD_WITH_CHILD = """
import os, subprocess, sys
from pathlib import Path
from recq.index.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
assert lock.try_acquire()
if sys.argv[2] == "fork":
    child = os.fork()
    if child == 0:
        print(os.getpid(), flush=True)  # by the child: it is whole then
        sys.stdin.read()  # lives on until the test closes the pipe
        os._exit(0)
else:
    living = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"
    subprocess.Popen([sys.executable, "-c", living], close_fds=False)
sys.stdin.read()
"""


def holder(lock: FolderLock) -> int | None:
    """Looked up anew each time."""
    return lock.holder_pid


@contextmanager
def process(script: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running process and the first line that it printed; its standard input ends with the block."""
    running = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert running.stdin is not None
    assert running.stdout is not None
    try:
        yield running, running.stdout.readline().strip()
    finally:
        running.stdin.close()
        running.wait(20)
        running.stdout.close()


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    assert holder(lock) is None
    assert lock.try_acquire()
    assert lock.try_acquire(), "who holds it, holds it"
    assert holder(lock) == os.getpid()
    assert (tmp_path / "owner.json").stat().st_mode & 0o777 == 0o600
    with process(HOLD, str(tmp_path)) as (_, taken):
        assert taken == "False"
    lock.release()
    lock.release()
    assert holder(lock) is None
    with process(HOLD, str(tmp_path)) as (other, taken):
        assert taken == "True"
        assert not lock.try_acquire()
        assert holder(lock) == other.pid
    assert lock.try_acquire()
    lock.release()


def test_two_locks_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    one, other = FolderLock(tmp_path), FolderLock(tmp_path)
    assert one.try_acquire()
    assert not other.try_acquire()
    other.release()
    assert holder(one) == os.getpid(), "who does not hold it, releases nothing"
    one.release()
    assert other.try_acquire()
    other.release()


def test_a_killed_holder_leaves_a_free_lock_and_a_stale_record(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with process(HOLD, str(tmp_path)) as (other, taken):
        assert taken == "True"
        other.kill()
        other.wait()
        assert holder(lock) == other.pid
        assert lock.try_acquire()
        assert holder(lock) == os.getpid()
    lock.release()


@pytest.mark.parametrize("kind", ["fork", "program"])
def test_children_of_a_killed_holder_do_not_keep_the_lock(tmp_path: Path, kind: str) -> None:
    with process(HOLD_WITH_CHILD, str(tmp_path), kind) as (holder, child):
        lock = FolderLock(tmp_path)
        assert not lock.try_acquire()
        holder.kill()
        holder.wait()
        os.kill(int(child), 0)  # it is still there
        assert lock.try_acquire()
        lock.release()


def test_a_folder_is_made_where_it_is_missing(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "deep" / "data")
    assert lock.try_acquire()
    lock.release()


def test_a_folder_that_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--data-dir"):
        FolderLock(tmp_path / "file").try_acquire()
    with pytest.raises(UsageError, match="--data-dir"):
        FolderLock(tmp_path / "file" / "below").try_acquire()


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"pid": "x"}'])
def test_a_record_that_says_nothing_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "owner.json").write_text(content)
    assert holder(FolderLock(tmp_path)) is None

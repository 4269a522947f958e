"""A small disk: a tmpfs in a mount namespace of its own, that can be filled, remounted read-only and mended.

No privilege is needed where the kernel lets users make namespaces. A process that holds the namespace keeps the disk;
everybody else reaches it through `/proc/PID/root`, so that the daemon and the commands of a test run as always.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_HOLDER = """
mount -t tmpfs -o size={size} tmpfs "$1" || exit 1
echo mounted
while read -r options; do mount -o "$options" "$1" && echo done || echo failed; done
"""
_BLOCK = 2**16  # bytes


class SmallDisk:
    """`path` is its root as every process sees it."""

    def __init__(self, path: Path, holder: subprocess.Popen[str]) -> None:
        self.path = path
        self._holder = holder

    @property
    def free(self) -> int:
        """Bytes that are left."""
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def fill(self, *, leave: int = 0) -> None:
        """Take all space but `leave` bytes."""
        descriptor = os.open(self.path / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            with suppress(OSError):
                while self.free > leave:
                    os.write(descriptor, bytes(min(_BLOCK, self.free - leave)))
        finally:
            os.close(descriptor)

    def empty(self) -> None:
        """Give the space back."""
        (self.path / "filler").unlink()

    def read_only(self, yes: bool) -> None:
        """Remount it."""
        self._mount(f"remount,{'ro' if yes else 'rw'}")

    def _mount(self, options: str) -> None:
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.write(options + "\n")
        self._holder.stdin.flush()
        assert self._holder.stdout.readline() == "done\n"


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk]:
    """A disk of `size` (as tmpfs takes it, such as "30m"); its mount point `folder` is made. Skips where it cannot."""
    if not sys.platform.startswith("linux"):
        pytest.skip("a small disk of its own needs Linux' mount namespaces")
    folder.mkdir()
    command = ["unshare", "-rm", "sh", "-c", _HOLDER.format(size=size), "sh", str(folder)]
    try:
        holder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        pytest.skip(f"no mount namespaces: unshare cannot be run ({error.strerror})")
    try:
        assert holder.stdout is not None
        said = holder.stdout.readline().strip()
        if said != "mounted":
            pytest.skip(f"no mount namespaces here: {said or 'unshare said nothing'}")
        yield SmallDisk(Path(f"/proc/{holder.pid}/root{folder}"), holder)
    finally:
        holder.kill()
        holder.wait()

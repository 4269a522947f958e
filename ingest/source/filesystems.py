"""Does a folder's file system report every change? Network shares and mounts of virtual machines do not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePath

from recq.settings import WatchMode

SILENT = frozenset(
    {
        "9p",  # WSL 2 (drives of Windows), QEMU
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "drvfs",  # WSL 1
        "fakeowner",  # Docker Desktop
        "gfs2",
        "glusterfs",
        "gpfs",
        "grpcfuse",  # Docker Desktop
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "osxfs",  # Docker Desktop
        "prl_fs",  # Parallels
        "smb3",
        "smbfs",
        "vboxsf",  # VirtualBox
        "virtiofs",  # Docker Desktop, QEMU
        "vmhgfs",  # VMware
    }
)
"""File systems that other machines change without this kernel's knowledge, so that inotify does not report it."""


def is_silent(kind: str) -> bool:
    """Whether changes on a file system of that type may go unreported; everything in user space (fuse) may."""
    return kind in SILENT or kind.startswith("fuse")


def tells_ctime(folder: Path, mode: WatchMode) -> bool:
    """Whether the ctime of files in `folder` shows changes: not where the folder has to be polled.

    Network file systems, and many in user space, invent it: from the server's clock, or anew for each look.
    """
    return mode != "poll" and not is_silent(file_system(folder))


def kind_at(folder: Path, mounts: Iterable[tuple[str, str]]) -> str:
    """The type of the file system that `folder` (resolved) lies on, from (mount point, type) pairs; "" when unknown."""
    best, found = -1, ""
    for point, kind in mounts:
        depth = len(PurePath(point).parts)
        if depth >= best and folder.is_relative_to(point):  # the later of two mounts on one point covers the other
            best, found = depth, kind
    return found


def file_system(folder: Path) -> str:
    """The type of the file system that `folder` lies on, as this machine has it mounted now."""
    import psutil

    return kind_at(folder.resolve(), ((each.mountpoint, each.fstype) for each in psutil.disk_partitions(all=True)))

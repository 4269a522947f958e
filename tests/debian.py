"""Programs that a test needs and pip has not: found, or installed once where that is allowed (root on Debian)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from filelock import FileLock

CACHE = Path(__file__).resolve().parent.parent / ".cache"
_INSTALLED_WITHIN = 300  # seconds


def program(names: Sequence[str], package: str, unavailable: Callable[[str], NoReturn]) -> str:
    """The path of the first of these programs; its package is installed once, whatever number of tests ask for it.

    `unavailable` is called with the reason where it cannot be had.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "apt-lock"):
        found = _found(names)
        if found is None:
            _install(package, unavailable)
            found = _found(names)
    if found is None:
        unavailable(f"apt-get has installed no {package}")
    return found


def _found(names: Sequence[str]) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


def _install(package: str, unavailable: Callable[[str], NoReturn]) -> None:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        unavailable(f"install {package} (Debian: apt install {package})")
    for command in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        try:
            done = subprocess.run(
                [apt, "-q", *command], capture_output=True, text=True, env=environment, timeout=_INSTALLED_WITHIN
            )
        except subprocess.TimeoutExpired:
            unavailable(f"apt-get {command[0]} took more than {_INSTALLED_WITHIN} s")
        if done.returncode:
            unavailable(f"apt-get {command[0]}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")

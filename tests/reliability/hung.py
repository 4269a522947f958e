"""A disk that does not answer: every system call below a folder waits, as on a mount whose server has gone.

The functions of `os` are replaced in this process, so daemons have to be in it (`tests.reliability.in_process`);
decoding processes are not concerned.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_CALLS = ("stat", "lstat", "scandir", "open", "listdir", "readlink")
_LONGEST = 120.0  # seconds: a test that fails ends all the same


class Disk:
    """A folder whose disk hangs from `hang` to `answer`; `waiting` are the names of the threads that it holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._answers = threading.Event()
        self._answers.set()
        self._only: Callable[[], bool] = lambda: True
        self.waiting: list[str] = []

    def hang(self, only: Callable[[], bool] = lambda: True) -> None:
        """Let calls wait from now on: those of the threads for which `only` is true."""
        self._only = only
        self._answers.clear()

    def answer(self) -> None:
        """Let all go on."""
        self._answers.set()

    def asked(self, path: object) -> None:
        """Wait, if this path lies here."""
        if self._answers.is_set() or isinstance(path, int):
            return
        text = os.fsdecode(path)  # type: ignore[arg-type]
        if (text == self._folder or text.startswith(f"{self._folder}{os.sep}")) and self._only():
            self.waiting.append(threading.current_thread().name)
            self._answers.wait(_LONGEST)


@contextmanager
def disk_of(folder: Path) -> Iterator[Disk]:
    """The disk below a folder; it answers again at the end."""
    disk = Disk(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name in _CALLS:
            patch.setattr(os, name, _asking(disk, getattr(os, name)))
        try:
            yield disk
        finally:
            disk.answer()


def _asking(disk: Disk, call: Callable[..., Any]) -> Callable[..., Any]:
    def asking(path: Any = ".", *arguments: Any, **options: Any) -> Any:
        disk.asked(path)
        return call(path, *arguments, **options)

    return asking

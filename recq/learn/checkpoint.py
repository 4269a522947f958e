"""What a long training has come to, in one file: read again by whoever goes on with it after the process was killed.

A file is replaced in one step, once its bytes are on the disk: at any moment there is the old state or the new one.
What a process that was killed while it wrote has left beside it, `remove_remainders` takes away.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recq.errors import UsageError
from recq.private_files import replaced_privately

Arrays = Mapping[str, Sequence[npt.NDArray[Any]]]
_NOTES = "notes"
_ENDING = ".npz"


class Checkpoint:
    """The file `path`, for trainings with this `identity`: what another one left is not read."""

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self._identity = identity

    def write(self, notes: Any, arrays: Arrays) -> None:
        """Store arrays, and plain JSON beside them, in place of what was there. Raises UsageError where it cannot."""
        text = json.dumps({"identity": self._identity, _NOTES: notes}).encode()
        stored = {f"{name}/{n:05}": array for name, each in arrays.items() for n, array in enumerate(each)}
        try:
            with replaced_privately(self.path) as file:
                np.savez(file, **{_NOTES: np.frombuffer(text, np.uint8)}, **stored)  # type: ignore[arg-type]
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written: {error.strerror or error}") from error

    def read(self) -> tuple[Any, dict[str, list[npt.NDArray[Any]]]] | None:
        """What `write` stored; None where there is nothing, or nothing of this training."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                notes = json.loads(file[_NOTES].tobytes())
                if notes["identity"] != self._identity:
                    return None
                arrays: dict[str, list[npt.NDArray[Any]]] = {}
                for key in sorted(name for name in file.files if name != _NOTES):
                    arrays.setdefault(key.partition("/")[0], []).append(file[key])
                return notes[_NOTES], arrays
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


def remove_remainders(folder: Path) -> None:
    """Remove what is no whole state. No other process may be writing one there."""
    for left in folder.glob(f"*{_ENDING}.*"):
        left.unlink(missing_ok=True)


def remove_states(folder: Path) -> None:
    """Remove all states in a folder, whatever training they are of."""
    for state in folder.glob(f"*{_ENDING}"):
        state.unlink(missing_ok=True)

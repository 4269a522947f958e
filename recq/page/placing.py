"""A patch is put into a source's root: whole or not at all, under a name that no file has."""

from __future__ import annotations

import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from recq.errors import UsageError
from recq.index.patch_names import in_order, patch_name
from recq.paths import printable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


def file_name(name: str) -> str:
    """What the patch NAME is called. Raises UsageError for anything but ASCII letters, digits, `.`, `_` and `-`."""
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"a patch cannot be called {printable(name)[:100]!r}: letters, digits, '.', '_' and '-', 80 at the most, a "
            "letter or a digit first"
        )
    return f"metadata.{name}.csv"


def usual_name(now: datetime | None = None) -> str:
    """A NAME that comes after those of before: of two patches the last one holds."""
    return f"labels-{(now or datetime.now(UTC)).strftime('%Y%m%d-%H%M%S')}"


def place(root: Path, name: str, data: bytes) -> list[str]:
    """Write `data` as the patch NAME into the root; the names of the patches that come after it, and win over it.

    Raises UsageError where the name is none, a file has it, or the root cannot be written.
    """
    wanted = file_name(name)
    if not root.is_dir():
        raise UsageError(f"the folder {printable(str(root))} is not on this machine: download the patch instead")
    try:
        _link_new(root / wanted, data)
        patches = in_order(each.name for each in root.iterdir() if patch_name(each.name) is not None)
    except FileExistsError as error:
        raise UsageError(f"{wanted} is there already: choose another name") from error
    except OSError as error:
        raise UsageError(
            f"{wanted} cannot be placed into {printable(str(root))}: {error.strerror or error}; download it instead"
        ) from error
    return patches[patches.index(wanted) + 1 :] if wanted in patches else []


def _link_new(path: Path, data: bytes) -> None:
    """A file that is there with all of its content at once. A link, unlike a rename, replaces nothing."""
    # A hidden name, which no default rule takes for a table or a picture.
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".recq-", suffix=".part") as part:
        part.write(data)
        part.flush()
        os.fsync(part.fileno())
        if hasattr(os, "fchmod"):  # Windows has it since Python 3.13, and no such modes
            os.fchmod(part.fileno(), 0o644)
        os.link(part.name, path)

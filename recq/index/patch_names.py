"""What patches are called: the daemon reads files of these names, the page places some. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from recq.index.schema import nfc

PATCHES = "metadata.NAME.csv"
"""How the name of a patch is written in messages."""

_BEGIN = "metadata."
_PATCH = re.compile(r"metadata\.([\w.-]+)\.csv")


def patch_name(path: str) -> str | None:
    """NAME, where a path relative to the root may be a patch's: of letters, digits, `.`, `_` and `-`; else None."""
    found = _PATCH.fullmatch(nfc(path)) if path.startswith(_BEGIN) else None  # asked of every file of a walk
    return found[1] if found is not None else None


def in_order(paths: Iterable[str]) -> list[str]:
    """The paths of patches in the order in which they hold: compared by NAME, character by character."""
    return sorted(paths, key=lambda path: (patch_name(path) or "", path))

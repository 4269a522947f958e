"""Keys and tokens of the tests, and the look for them in all that programs write: output, logs, files, payloads.

Whoever makes a key says `secret(key)`; from then on no test of that process may end with it in what was captured, in
what a program printed, or in a file below the test's folder that is not there to hold it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

KNOWN: set[bytes] = set()
KNOWN_OF = ""
"""The file whose tests have made them."""

HOLDS_KEYS = re.compile(r"serve\.json|api\.json|recq\.toml|.*(key|token).*|.*\.(xz|pem)")
"""Names of files that are there to hold keys: addresses that only their user can read, settings, files of keys."""

_ENGINES = frozenset({"edge", "storage", "snapshots"})
"""Folders of engines: many megabytes, which one test looks through for all (`tests/test_secrecy.py`)."""

_MOST = 1_000_000  # bytes of a file that is looked through
_SHORTEST = 8  # characters of a key: less could be in anything

_NAMES = re.compile(r"RECQ_.*(KEY|TOKEN)")


def secret(text: str) -> str:
    """The text, which is to be in no output from now on."""
    if len(text) >= _SHORTEST:
        KNOWN.add(text.encode("utf-8", "surrogateescape"))
    return text


def note_keys(environment: Mapping[str, str]) -> None:
    """The keys of an environment are to be in no output from now on."""
    for name, value in environment.items():
        if _NAMES.fullmatch(name):
            secret(value)


def require_kept(*outputs: str | bytes) -> None:
    """Raise AssertionError where one has a key."""
    for each in outputs:
        content = each if isinstance(each, bytes) else each.encode("utf-8", "surrogateescape")
        _require_none(content, "the output")


def require_kept_below(folder: Path, *, engines: bool = False) -> None:
    """Raise AssertionError where a file below the folder has a key, and is not there to hold it; `engines`: also one of
    an engine's, whatever its size."""
    for path in _files(folder, engines=engines) if KNOWN else ():
        try:
            content = path.read_bytes() if engines or path.stat().st_size <= _MOST else b""
        except OSError:  # it has just gone, or nobody may read it
            continue
        _require_none(content, str(path.relative_to(folder)))


def _require_none(content: bytes, where: str) -> None:
    found = [key.decode("utf-8", "replace") for key in KNOWN if key in content]
    assert not found, f"a key is in {where}: {found}"


def _files(folder: Path, *, engines: bool) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        if not engines:
            folders[:] = [each for each in folders if each not in _ENGINES]
        for name in names:
            path = Path(where, name)
            if not HOLDS_KEYS.fullmatch(name) and path.is_file() and not path.is_symlink():
                yield path

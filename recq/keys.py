"""Keys and tokens: which settings hold one, what one may be, and the file that may hold it in the setting's place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from recq.errors import UsageError
from recq.paths import printable

KEYS = ("api_key", "serve_key", "serve_read_key", "token", "read_token")
"""The settings that hold a key; `NAME_file` names the file with it."""

KEY_FILES = tuple(f"{name}_file" for name in KEYS)
"""Their files, in the same order."""

SHORTEST_KEY = 8
"""The least number of characters of a key or a token that is set for a server of recq's; recq's own keys have 43."""


def key_fault(key: str) -> str | None:
    """What is wrong with a key or a token for a server of recq's, without showing it; None for a usable one."""
    if len(key) < SHORTEST_KEY:
        return f"a key has {SHORTEST_KEY} characters or more"
    if " " in key:
        return "a key has letters, digits and signs of ASCII only, and no space"
    return foreign_key_fault(key)


def foreign_key_fault(key: str) -> str | None:
    """The same for a key that another server was given: it can be sent."""
    if not key:
        return "there is no key"
    return None if key.isascii() and key.isprintable() else "a key has letters, digits and signs of ASCII only"


def key_of(name: str, key: SecretStr | None, file: Path | None, fault_of: Callable[[str], str | None]) -> str | None:
    """The key of the setting `name`, or the one in a file. Raises UsageError naming the setting, never a key.

    It is read anew each time: so a connection that is made later has the key of that moment.
    """
    if file is None:
        return None if key is None else key.get_secret_value() or None
    shown = printable(str(file))
    if key is not None:
        raise UsageError(f"{name} and {name}_file are both set: leave one out")
    try:
        text = file.read_text("utf-8").strip()
    except (OSError, ValueError) as error:  # ValueError: not text, or no path
        why = (error.strerror or "no file") if isinstance(error, OSError) else "not text"
        raise UsageError(f"setting '{name}_file': {shown} cannot be read: {why}") from error
    fault = fault_of(text)
    if fault is not None:
        raise UsageError(f"setting '{name}_file': in {shown}, {fault}")
    return text

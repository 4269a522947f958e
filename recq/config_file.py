"""`recq.toml`, or the file that `RECQ_CONFIG` names: its values and their lines.

No message contains a value, which may be a key or a password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recq.errors import UsageError

VARIABLE = "RECQ_CONFIG"
DEFAULT = "recq.toml"


@dataclass(frozen=True)
class ConfigFile:
    """The content of the file `path`; empty where there is no `recq.toml`."""

    path: Path
    values: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""

    def place_of(self, name: str) -> str:
        """`FILE, line N`, where the top-level key `name` is set."""
        setting = re.compile(rf"""\s*\[*\s*["']?{re.escape(name)}["']?\s*[].=]""")
        for number, line in enumerate(self.text.splitlines(), 1):
            if setting.match(line):
                return f"{self.path}, line {number}"
        return str(self.path)


def read_config() -> ConfigFile:
    """The settings file in force. Raises UsageError naming it (and the line) where it is missing or cannot be read."""
    named = os.environ.get(VARIABLE)
    path = Path(named or DEFAULT)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        if named:
            raise UsageError(f"{VARIABLE} names {path}, which does not exist: correct or unset it") from error
        return ConfigFile(path)
    except IsADirectoryError as error:
        raise UsageError(f"{_called(path, named)} is a folder: name a file with settings") from error
    except OSError as error:
        raise UsageError(f"{_called(path, named)} cannot be read: {error.strerror}") from error
    import tomllib

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line}: not UTF-8 text: save the file as UTF-8") from error
    try:
        return ConfigFile(path, tomllib.loads(text), text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {_without_values(str(error), text)}") from error


def _called(path: Path, named: str | None) -> str:
    return f"{path}, which {VARIABLE} names," if named else str(path)


def _without_values(message: str, text: str) -> str:
    """The parser's message with its line, also at the end of the file."""
    message = re.sub(r"'[^']{2,}'", "...", message)  # a character may be named, a key or a value may not
    last = max(1, len(text.splitlines()))
    return message.replace("(at end of document)", f"(at line {last}, the end of the file)")

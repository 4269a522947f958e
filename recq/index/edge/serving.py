"""Where the loopback server listens, and which keys open it for what: the settings `serve_*`, and what holds without.

A key either opens everything (recq's own programs have such a one) or is a guest's, who may read and nothing else.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from recq.errors import UsageError
from recq.settings import Settings, key_fault


class Access(IntEnum):
    """What somebody may do who has shown a key, or none."""

    NONE = 0
    READ = 1
    FULL = 2


@dataclass(frozen=True)
class Serving:
    """`port` of 127.0.0.1, 0 for a free one; `key` opens everything, `read_key` what only reads. Never shown."""

    port: int = 0
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    read_key: str | None = field(default=None, repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """What the settings say; a key that is not given is made. Raises UsageError naming the setting, never a key."""
        key = _given("serve_key", settings.serve_key, settings.serve_key_file)
        read_key = _given("serve_read_key", settings.serve_read_key, settings.serve_read_key_file)
        if key is not None and key == read_key:
            raise UsageError("serve_key and serve_read_key are the same: who may only read needs a key of its own")
        made = cls(port=settings.serve_port, read_key=read_key)
        return made if key is None else cls(port=settings.serve_port, key=key, read_key=read_key)

    def access(self, given: str) -> Access:
        """What the key `given` opens; both are compared, whatever the first says, in a time that tells nothing."""
        text = given.encode("utf-8", "surrogateescape")
        full = hmac.compare_digest(text, self.key.encode())
        read = self.read_key is not None and hmac.compare_digest(text, self.read_key.encode())
        return Access.FULL if full else Access.READ if read else Access.NONE


def _given(name: str, key: SecretStr | None, file: Path | None) -> str | None:
    """The key of a setting, or the one that stands in a file. Raises UsageError."""
    if file is None:
        return None if key is None else key.get_secret_value()
    if key is not None:
        raise UsageError(f"{name} and {name}_file are both set: leave one out")
    try:
        text = file.expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise UsageError(f"setting '{name}_file': {file} cannot be read: {why}") from error
    fault = key_fault(text)
    if fault is not None:
        raise UsageError(f"setting '{name}_file': in {file}, {fault}")
    return text

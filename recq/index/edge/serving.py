"""Where the loopback server listens, and what each key allows: the settings `serve_*` and their defaults.

A key opens either everything or only what reads. recq's own programs use a key that is made anew at each start,
whatever the settings: so no program takes a new daemon on the same port for one that was killed.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

from recq.errors import UsageError
from recq.settings import Settings


class Access(IntEnum):
    """What a caller may do, by its key."""

    NONE = 0
    READ = 1
    FULL = 2
    OWN = 3  # what recq's own command line asks of its API, besides everything


@dataclass(frozen=True)
class Serving:
    """`port` of 127.0.0.1, 0 for a free one; `key` and `given_key` open everything, `read_key` only what reads.

    `key` is this start's own, for recq's programs. No key is ever shown.
    """

    port: int = 0
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    given_key: str | None = field(default=None, repr=False)
    read_key: str | None = field(default=None, repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """From the settings. Raises UsageError naming the setting, never a key."""
        key = settings.key("serve_key")
        read_key = settings.key("serve_read_key")
        if key is not None and key == read_key:
            raise UsageError("serve_key and serve_read_key are the same: readers need a key of their own")
        return cls(port=settings.serve_port, given_key=key, read_key=read_key)

    def access(self, given: str) -> Access:
        """What the key `given` allows; all keys are compared, in constant time."""
        text = given.encode("utf-8", "surrogateescape")
        own, full, read = (
            key is not None and hmac.compare_digest(text, key.encode())
            for key in (self.key, self.given_key, self.read_key)
        )
        return Access.FULL if own or full else Access.READ if read else Access.NONE

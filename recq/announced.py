"""Where a running service answers `recq`'s questions: what it writes into the data folder, and what `recq` reads.

A daemon's service stands in the daemon's own file (`serve.json`, under `api`), `recq serve` in `api.json`. Both are
files that only their owner can read, with a key that is made at each start. A file of another user, one that others
can read, and another address than this machine's loopback are ignored.

It is the first thing that a command looks at, so it needs no module that is slow to import.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from recq import version
from recq.private_files import read_private, write_private

if TYPE_CHECKING:
    from recq.settings import Settings

DAEMONS = "serve.json"
"""The daemon's file, which has its service under `API`."""

SERVICES = "api.json"
"""The file of `recq serve`."""

API = "api"

VERSION = f"{version.VERSION}/2"
"""Of recq, and of what the command line and a service send each other: both must be the same."""

MODEL = (
    "preset", "model", "weights", "layer", "pooling", "size", "resize", "preprocess", "precision", "distance",
    "runtime",
)  # fmt: skip
"""The settings that name a model, and what runs it."""

_ALIKE = ("url", *MODEL, "max_bytes", "max_pixels")
"""The settings that decide what is answered, besides a server's key: a service that has others would answer something
else."""

_LOOPBACK = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass(frozen=True)
class Announced:
    """A service: its `url` on loopback, the key `own` of recq's command line, and `read`, which opens what only reads
    and None where everybody may. `pid` is its process, `alike` the digest of its settings (`alike`)."""

    url: str
    own: str = field(repr=False)
    read: str | None = field(repr=False)
    pid: int
    alike: str
    version: str = VERSION

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> Self | None:
        """What `to_json` of this version wrote; None for anything else."""
        if not isinstance(data, Mapping) or data.get("version") != VERSION:
            return None
        known = {name: data.get(name) for name in cls.__dataclass_fields__}
        texts = all(isinstance(known[name], str) for name in ("url", "own", "alike"))
        if not texts or not isinstance(known["pid"], int) or not isinstance(known["read"], str | None):
            return None
        return cls(**known) if _LOOPBACK.fullmatch(known["url"]) else None  # type: ignore[arg-type]


def announced(settings: Settings) -> list[Announced]:
    """The services that may answer for a process with these settings, the daemon's first. Any may have ended."""
    wanted = alike(settings)
    found = (
        Announced.from_json(_read(settings.data_dir / DAEMONS).get(API)),
        Announced.from_json(_read(settings.data_dir / SERVICES)),
    )
    return [each for each in found if each is not None and each.alike == wanted and _is_alive(each.pid)]


def announce(data_dir: Path, service: Announced) -> None:
    """Write where `recq serve` answers. Raises OSError."""
    write_private(data_dir / SERVICES, json.dumps(service.to_json()))


def withdraw(data_dir: Path, service: Announced) -> None:
    """Remove what `announce` wrote; another service's stays."""
    if Announced.from_json(_read(data_dir / SERVICES)) == service:
        (data_dir / SERVICES).unlink(missing_ok=True)


def alike(settings: Settings) -> str:
    """A digest of the settings that decide what is answered, but for the data folder, which has the file."""
    key = settings.key("api_key") if settings.url is not None else None
    values = [key, *(_text(getattr(settings, name)) for name in _ALIKE)]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _text(value: str | Path | int | None) -> str | None:
    return None if value is None else str(value)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(read_private(path) or b"{}")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, Mapping) else {}


def _is_alive(pid: int) -> bool:
    """Whether this user has such a process, as far as that can be asked. A killed service leaves its file behind."""
    if os.name != "posix":
        return True  # there the same call would end it
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return False
    return True

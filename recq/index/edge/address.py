"""Where a running daemon serves the embedded index: the owner-only file `data_dir/serve.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from recq.announced import API, DAEMONS, Announced
from recq.private_files import write_private

FILE = DAEMONS


@dataclass(frozen=True)
class Address:
    """`url` on loopback, the `key` for its `api-key` header, and the `pid` of the process that wrote it.

    `api` is where the daemon's HTTP API answers, as it is written; `recq.announced` reads it.
    """

    url: str
    key: str = field(repr=False)
    pid: int
    api: Announced | None = field(default=None, compare=False)


def read_address(data_dir: Path) -> Address | None:
    """The address in the file; None when it is absent, unreadable, partial, or not on loopback.

    A killed daemon leaves its file behind: only an answer, or the taken lock, shows that a daemon runs.
    """
    try:
        data = json.loads((data_dir / FILE).read_bytes())
        address = Address(data["url"], data["key"], data["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    texts = isinstance(address.url, str) and isinstance(address.key, str) and isinstance(address.pid, int)
    return address if texts and address.url.startswith("http://127.0.0.1:") else None


def write_address(data_dir: Path, address: Address) -> None:
    """Replace the file in one step, readable by its owner only."""
    document = {"url": address.url, "key": address.key, "pid": address.pid}
    api = {} if address.api is None else {API: address.api.to_json()}
    write_private(data_dir / FILE, json.dumps(document | api))


def remove_address(data_dir: Path, address: Address) -> None:
    """Remove the file if it still holds `address`; another daemon's stays."""
    if read_address(data_dir) == address:
        (data_dir / FILE).unlink(missing_ok=True)

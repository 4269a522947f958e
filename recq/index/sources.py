"""Sources: the folder of each name on each host. Stored with the collection, beside the fingerprint."""

from __future__ import annotations

import functools
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from recq import paths
from recq.commands import command
from recq.errors import UsageError

if TYPE_CHECKING:
    from recq.index.schema import Item

METADATA_PREFIX = "source:"
"""Collection-metadata keys of sources: one key each, so that two daemons never overwrite each other's."""

CONFIRMATION_PREFIX = "confirm:"
"""Keys of deletions that were confirmed and that no reconcile has made yet: the number of items, by source."""

METADATA_CONFIRMATION_PREFIX = "confirm-metadata:"
"""Keys of losses of metadata that were confirmed and that no reconcile has made yet: the number of items."""


@functools.lru_cache(maxsize=256)
def _folder(text: str, encoded: bool) -> Path:
    """A folder from its text form: it is needed for each result of an answer."""
    return Path(paths.from_text(text, encoded))


@dataclass(frozen=True)
class Watcher:
    """A daemon that watches a source: process `pid` on `host`, which compared it with the index at `at` (ISO 8601)."""

    host: str
    pid: int
    at: str


@dataclass(frozen=True)
class Plugin:
    """A plug-in that gives a source metadata: what messages call it, and the `fields` that it declares."""

    called: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A watched folder with a name.

    `roots` maps a host's name to the folder's absolute path there (text form of `recq.paths`), `encoded` has the hosts
    where that form is the encoded one; `ignored` counts the files that the last reconcile, at `reconciled_at` (ISO 8601
    UTC), skipped; `watcher` is the daemon that compared it last;
    `held` counts the deletions that it did not make since they were too many at once, `held_metadata` the items that
    would have lost metadata together with too many others; `plugins` are those that gave it metadata then, by name.
    """

    name: str
    roots: Mapping[str, str] = field(default_factory=dict)
    ignored: int = 0
    reconciled_at: str | None = None
    encoded: frozenset[str] = frozenset()
    watcher: Watcher | None = None
    held: int = 0
    held_metadata: int = 0
    plugins: Mapping[str, Plugin] = field(default_factory=dict)

    def with_root(self, host: str, folder: Path) -> Self:
        """The same source, which on `host` is that folder (absolute)."""
        text, encoded = paths.to_text(str(folder))
        hosts = self.encoded | {host} if encoded else self.encoded - {host}
        return replace(self, roots={**self.roots, host: text}, encoded=hosts)

    def root_on(self, host: str) -> Path | None:
        """The folder on a host, or None when this source is not there."""
        root = self.roots.get(host)
        return None if root is None else _folder(root, host in self.encoded)

    def root_here(self) -> Path | None:
        """The folder on this host, or None when this source is only on other hosts."""
        return self.root_on(host_name())

    def all_roots(self) -> list[Path]:
        """The folder on every host that has it."""
        return [root for host in self.roots if (root := self.root_on(host)) is not None]

    def any_root(self) -> Path | None:
        """The folder on this host, else on any."""
        return self._any_root

    @functools.cached_property
    def _any_root(self) -> Path | None:
        # Each row of an answer asks, and to ask the system for its name is a call that lets other threads go first.
        return self.root_here() or next(iter(self.all_roots()), None)

    def place_json(self) -> dict[str, Any]:
        """The record for an exported catalog: where its files are, without what a daemon did."""
        return {"roots": dict(self.roots), "encoded": sorted(self.encoded)}

    def to_json(self) -> dict[str, Any]:
        """The value stored under the source's metadata key."""
        return {
            **self.place_json(),
            "ignored": self.ignored,
            "reconciled_at": self.reconciled_at,
            "watcher": asdict(self.watcher) if self.watcher is not None else None,
            "held": self.held,
            "held_metadata": self.held_metadata,
            "plugins": {name: [each.called, *each.fields] for name, each in self.plugins.items()},
        }

    @classmethod
    def from_json(cls, name: str, data: Mapping[str, Any]) -> Self:
        """The source that `to_json` wrote."""
        watcher = data.get("watcher")
        return cls(
            name,
            dict(data["roots"]),
            int(data.get("ignored", 0)),
            data.get("reconciled_at"),
            frozenset(data.get("encoded", ())),
            Watcher(watcher["host"], watcher["pid"], watcher["at"]) if watcher else None,
            int(data.get("held", 0)),
            int(data.get("held_metadata", 0)),
            {name: Plugin(called, tuple(fields)) for name, (called, *fields) in data.get("plugins", {}).items()},
        )


def location_of(item: Item, sources: Mapping[str, Source]) -> Path | None:
    """Where the item's file is on this host (else where another host sees it); None for an unknown source."""
    source = sources.get(item.file.source)
    root = source.any_root() if source is not None else None
    return None if root is None else root / paths.from_text(item.file.path, item.file.encoded)


def host_name() -> str:
    """This host, as sources record it."""
    return socket.gethostname()


def choose_name(known: Mapping[str, Source], folder: Path, host: str, wanted: str | None, *, root_alive: bool) -> str:
    """The name for the folder (absolute) on `host`.

    Without a wanted name: the name the folder already has, else its base name, numbered while another folder has it.
    A wanted name may be shared with other hosts (they watch the same files), not with another living folder of this
    host: the two would delete each other's items. `root_alive` tells whether the folder that has the wanted name on
    this host still exists; a folder that has gone may have moved here.
    """
    current = next((name for name, source in known.items() if source.root_on(host) == folder), None)
    root = paths.to_text(str(folder))[0]
    if wanted is None:
        if current is not None:
            return current
        base = root.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or "root"
        taken = set(known)
        return next(name for n in range(1, len(taken) + 2) if (name := base if n == 1 else f"{base}-{n}") not in taken)
    if current is not None and current != wanted:
        raise UsageError(
            f"{paths.printable(root)} is already indexed as source {current!r}: use that name, or run "
            f"{command('recq-ingest', 'forget', current)} first"
        )
    holder = known.get(wanted)
    if holder is not None and root_alive and holder.root_on(host) not in (None, folder):
        raise UsageError(
            f"source {wanted!r} is the folder {holder.roots[host]} on this host: choose another name for {root}, "
            f"or run {command('recq-ingest', 'forget', wanted)} first"
        )
    return wanted

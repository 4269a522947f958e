"""The stored records of a collection's sources: names, folders, the last comparison, confirmations.

They are in the collection's metadata (`recq.index.sources`), one key a source, so that two daemons never
overwrite each other's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient

from recq import paths
from recq.errors import TargetNotFound
from recq.index.errors import translated
from recq.index.schema import Item
from recq.index.sources import (
    CONFIRMATION_PREFIX,
    METADATA_CONFIRMATION_PREFIX,
    METADATA_PREFIX,
    Plugin,
    Source,
    Watcher,
    choose_name,
    host_name,
    location_of,
)


def sources_in(metadata: Mapping[str, Any]) -> dict[str, Source]:
    """The sources that a collection's metadata has, by name."""
    return {
        name: Source.from_json(name, value)
        for key, value in sorted(metadata.items())
        if key.startswith(METADATA_PREFIX) and (name := key.removeprefix(METADATA_PREFIX))
    }


class SourceRecords:
    """The sources of one collection, `catalog` being its catalog's name. Methods raise only errors of `recq.errors`."""

    def __init__(self, client: QdrantClient, collection: str, catalog: str) -> None:
        self._client = client
        self._collection = collection
        self._catalog = catalog

    @translated
    def all(self) -> dict[str, Source]:
        """All sources of the catalog, by name."""
        return sources_in(self._client.get_collection(self._collection).config.metadata or {})

    def get(self, name: str) -> Source:
        """One source. Raises TargetNotFound, which names those that there are."""
        known = self.all()
        if name not in known:
            there_is = f"there is: {', '.join(map(paths.printable, known))}" if known else "it has none"
            raise TargetNotFound(f"catalog {self._catalog!r} has no source {name!r} ({there_is})")
        return known[name]

    def names_for(self, folders: Iterable[tuple[Path, str | None]]) -> dict[str, Path]:
        """The folders (absolute, on this host; each with the wanted name) by the names of their sources.

        Nothing is recorded. Raises UsageError where one of them cannot be a source; `choose_name` has the rules.
        """
        known, host = dict(self.all()), host_name()
        named = {}
        for folder, name in folders:
            holder = known[name].root_here() if name is not None and name in known else None
            chosen = choose_name(known, folder, host, name, root_alive=holder is not None and holder.is_dir())
            known[chosen] = known.get(chosen, Source(chosen)).with_root(host, folder)
            named[chosen] = folder
        return named

    def register(self, folder: Path, name: str | None = None) -> str:
        """Record the folder (absolute, on this host) and return its source's name. Raises as `names_for`."""
        (chosen,) = self.names_for([(folder, name)])
        known, host = self.all(), host_name()
        source = known.get(chosen, Source(chosen))
        if source.root_on(host) != folder:
            self.write(source.with_root(host, folder))
        return chosen

    @translated
    def write(self, source: Source) -> None:
        """Record a source in place of the record of its name."""
        self._client.update_collection(self._collection, metadata={METADATA_PREFIX + source.name: source.to_json()})

    def adopt(self, source: Source) -> None:
        """Record a source of imported items; a known source of that name stays as it is."""
        if source.name not in self.all():
            self.write(source)

    def record_reconcile(
        self,
        name: str,
        *,
        ignored: int,
        held: int = 0,
        held_metadata: int = 0,
        at: str,
        watcher: Watcher | None = None,
        plugins: Mapping[str, Plugin] | None = None,
    ) -> Watcher | None:
        """Record what the last reconcile of a source found, did not delete and did not replace; `at` is ISO 8601 UTC.

        `watcher` is the daemon that watches it from now on. Returns the one that was recorded before. `plugins` gave
        the source metadata; None: as recorded.
        """
        source = self.all().get(name)
        if source is None:
            return None
        self.write(
            replace(
                source,
                ignored=ignored,
                held=held,
                held_metadata=held_metadata,
                reconciled_at=at,
                watcher=watcher or source.watcher,
                plugins=source.plugins if plugins is None else plugins,
            )
        )
        return source.watcher

    @translated
    def confirm(self, name: str, items: int | None) -> None:
        """Allow the next reconcile of a source to delete as many items as were held; None revokes that."""
        self._client.update_collection(self._collection, metadata={CONFIRMATION_PREFIX + name: items})

    @translated
    def confirm_metadata(self, name: str, items: int | None) -> None:
        """Allow the next reconcile to remove metadata from as many items as were held; None revokes that."""
        self._client.update_collection(self._collection, metadata={METADATA_CONFIRMATION_PREFIX + name: items})

    def confirmed(self) -> dict[str, int]:
        """Deletions that were confirmed and not made yet: how many items, by source."""
        return self._numbers(CONFIRMATION_PREFIX)

    def confirmed_metadata(self) -> dict[str, int]:
        """Losses of metadata that were confirmed and not made yet: how many items, by source."""
        return self._numbers(METADATA_CONFIRMATION_PREFIX)

    @translated
    def _numbers(self, prefix: str) -> dict[str, int]:
        metadata = self._client.get_collection(self._collection).config.metadata or {}
        return {
            key.removeprefix(prefix): int(number)
            for key, number in metadata.items()
            if key.startswith(prefix) and number is not None
        }

    def path_of(self, item: Item, sources: Mapping[str, Source] | None = None) -> Path | None:
        """Where the item's file is on this host (else where another host sees it); None for an unknown source."""
        return location_of(item, self.all() if sources is None else sources)

    @translated
    def forget(self, name: str) -> None:
        """Remove all records of a source, also its confirmations; unknown names are no error."""
        kept = (METADATA_PREFIX, CONFIRMATION_PREFIX, METADATA_CONFIRMATION_PREFIX)
        self._client.update_collection(self._collection, metadata={prefix + name: None for prefix in kept})

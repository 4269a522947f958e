"""What a collection's metadata has that belongs to the catalog, whatever engine has it: backups carry it.

People's decisions and tags, trained spaces and what is predicted are nowhere else; sources and problems are found again
by a comparison, and the scale of scores (`recq.index.background`) is drawn anew, but then answers would differ. What
belongs to one collection stays with it: its space and log of changes, what it replaces or is moved to, the indexes that
wait. Confirmations stay as well: what was allowed to be deleted then is not allowed to be deleted now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdrant_client import QdrantClient

from recq.index import background, candidates, predicting_records, problems, reviews, sources, taggings
from recq.index.errors import translated

_DATED = {reviews.PREFIX: "at", taggings.PREFIX: "at", candidates.PREFIX: "made_at"}
"""Records of which the later one holds, with the member that has their ISO 8601 time."""

_CARRIED = (sources.METADATA_PREFIX, problems.PROBLEMS_PREFIX, predicting_records.PREFIX, *_DATED)


def is_carried(key: str) -> bool:
    """Whether the record of a metadata key is one of the catalog's, and not of its collection."""
    return key == background.KEY or key.startswith(_CARRIED)


def merged(mine: Mapping[str, Any], theirs: Mapping[str, Any], *, overwrite: bool = False) -> dict[str, Any]:
    """The records to write into a collection that has `mine`, so that it has those of a backup as well.

    Of a dated record that both have (a decision, a tagging, a trained space), the later one holds, with `overwrite`
    that of the backup; of all others `mine`: a source's folder is where it is today. No source comes with the daemon
    that watched it then.
    """
    taken: dict[str, Any] = {}
    for key, value in theirs.items():
        if not is_carried(key) or value is None or mine.get(key) == value:
            continue
        own, dated = mine.get(key), next((at for prefix, at in _DATED.items() if key.startswith(prefix)), None)
        if own is None:
            taken[key] = {**value, "watcher": None} if key.startswith(sources.METADATA_PREFIX) else value
        elif dated is not None and (overwrite or str(value.get(dated)) > str(own.get(dated))):
            taken[key] = value
    return taken


class CarriedRecords:
    """The carried records of one collection. Methods raise only errors of `recq.errors`."""

    def __init__(self, client: QdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection

    @translated
    def all(self) -> dict[str, Any]:
        """Each record under its metadata key, as it is stored."""
        metadata = self._client.get_collection(self._collection).config.metadata or {}
        return {key: value for key, value in sorted(metadata.items()) if value is not None and is_carried(key)}

    @translated
    def take(self, theirs: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Take what `merged` decides from those of a backup."""
        taken = merged(self.all(), theirs, overwrite=overwrite)
        if taken:
            self._client.update_collection(self._collection, metadata=taken)

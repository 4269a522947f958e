"""Which fields of a collection are predicted, and by what: a setting that the collection keeps.

It is in the collection's metadata, one key a field, so that every daemon of the catalog fills the same predictions,
however it was started.
"""

from __future__ import annotations

from collections.abc import Mapping

from qdrant_client import QdrantClient

from recq.index.errors import translated

PREFIX = "predict:"
"""Collection-metadata keys of the predicted fields, each with the name of the trained space, or `IMAGENET`."""


class PredictingRecords:
    """The predicted fields of one collection. Methods raise only errors of `recq.errors`."""

    def __init__(self, client: QdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection

    @translated
    def all(self) -> dict[str, str]:
        """The name of the trained space, or `IMAGENET`, by field, in the order of the fields."""
        metadata = self._client.get_collection(self._collection).config.metadata or {}
        return {
            key.removeprefix(PREFIX): str(metadata[key])
            for key in sorted(metadata)
            if key.startswith(PREFIX) and metadata[key] is not None
        }

    @translated
    def choose(self, chosen: Mapping[str, str]) -> None:
        """Predict these fields, and no others."""
        before = self.all()
        changed: dict[str, str | None] = {PREFIX + name: None for name in before if name not in chosen}
        changed |= {PREFIX + name: space for name, space in chosen.items() if before.get(name) != space}
        if changed:
            self._client.update_collection(self._collection, metadata=changed)

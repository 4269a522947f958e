"""What people decided, as dated records in a collection's metadata, one key each: nobody overwrites another's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from qdrant_client import QdrantClient

from recq.index.errors import translated


class Dated(Protocol):
    """A record with its time, `at` (ISO 8601 UTC), and its `key` among those of its kind."""

    @property
    def at(self) -> str:
        """When it was made."""

    @property
    def key(self) -> str:
        """What it is about, in short."""

    def to_json(self) -> dict[str, Any]:
        """The value stored with the collection."""


R = TypeVar("R", bound=Dated)


class DatedRecords(Generic[R]):
    """The records of one kind in one collection: their keys begin with `prefix`, `read` is the way back from JSON.

    Methods raise only errors of `recq.errors`.
    """

    def __init__(
        self, client: QdrantClient, collection: str, prefix: str, read: Callable[[Mapping[str, Any]], R]
    ) -> None:
        self._client = client
        self._collection = collection
        self._prefix = prefix
        self._read = read

    @translated
    def all(self) -> list[R]:
        """Every record, the latest last."""
        metadata = self._client.get_collection(self._collection).config.metadata or {}
        found = [
            self._read(value) for key, value in metadata.items() if key.startswith(self._prefix) and value is not None
        ]
        return sorted(found, key=lambda each: (each.at, each.key))

    def write(self, record: R) -> None:
        """Keep a record in place of one of its key."""
        self.take([record])

    @translated
    def take(self, records: Iterable[R]) -> None:
        """Keep several in one write, each as `write` does."""
        kept = {self._prefix + each.key: each.to_json() for each in records}
        if kept:
            self._client.update_collection(self._collection, metadata=kept)

    @translated
    def forget(self, *keys: str) -> None:
        """Remove records; an unknown key is no error."""
        if keys:
            self._client.update_collection(self._collection, metadata=dict.fromkeys(map(self._prefix.__add__, keys)))

"""Items by id, path or name, failed ones included: where a query looks its TARGET up (`recq.search.target`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from qdrant_client import QdrantClient, models

from recq.errors import RecqError
from recq.index.collection import stored_space
from recq.index.errors import translated
from recq.index.filters import NO_FILE
from recq.index.points import PAGE, Points, items_of
from recq.index.schema import Item
from recq.index.source_records import SourceRecords
from recq.index.sources import Source


class Lookups:
    """Items of one collection by id, path or name; `catalog` is the catalog's name.

    All methods raise only errors of `recq.errors`.
    """

    def __init__(self, client: QdrantClient, collection: str, catalog: str) -> None:
        self._client = client
        self.catalog = catalog
        self._points = Points(client, collection)
        self._sources = SourceRecords(client, collection, catalog)

    def get(self, item_id: str) -> Item | None:
        """One item by its id."""
        return self._points.items([item_id]).get(item_id)

    def get_many(self, item_ids: Sequence[str]) -> dict[str, Item]:
        """The items of those ids that exist, by id, in one request."""
        return self._points.items(item_ids)

    def find_path(self, path: str, limit: int = 20) -> list[Item]:
        """Items of any source with that `file.path`."""
        return self._find("file.path", path, limit)

    def find_name(self, name: str, limit: int = 20) -> list[Item]:
        """Items of any source with that `file.name`."""
        return self._find("file.name", name, limit)

    def _find(self, key: str, value: str, limit: int) -> list[Item]:
        named = models.FieldCondition(key=key, match=models.MatchValue(value=value))
        records = self._points.first(models.Filter(must=[named], must_not=[NO_FILE]), limit, payload=True)
        return sorted(items_of(records), key=by_path)

    def places(self) -> Iterator[tuple[str, str]]:
        """Source and path of every item, in no order. Streams, and reads little else."""
        everything = models.Filter(must_not=[NO_FILE])
        for record in self._points.scroll(everything, payload=["file.source", "file.path"], page=10 * PAGE):
            file = (record.payload or {}).get("file")
            place = (file.get("source"), file.get("path")) if isinstance(file, dict) else (None, None)
            if isinstance(place[0], str) and isinstance(place[1], str):
                yield place[0], place[1]

    def sources(self) -> Mapping[str, Source]:
        """All sources of the catalog, by name."""
        return self._sources.all()

    def others(self) -> Iterator[tuple[str, Lookups]]:
        """The other catalogs of the same index that this recq can read, by name."""
        for name, collection in self._others():
            with suppress(RecqError):
                self._require_readable(collection)
                yield name, Lookups(self._client, collection, name)

    @translated
    def _others(self) -> list[tuple[str, str]]:
        aliases = self._client.get_aliases().aliases
        return sorted((each.alias_name, each.collection_name) for each in aliases if each.alias_name != self.catalog)

    @translated
    def _require_readable(self, collection: str) -> None:
        stored_space(self._client, collection)


def by_path(item: Item) -> tuple[str, str]:
    """What items are put in order by where nothing else decides."""
    return item.file.path, item.file.source

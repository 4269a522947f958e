"""The collection behind a catalog: its name, its space, the alias that points to it, its schema version.

The version tells the layout of payloads and the indexes of recq's own fields. A newer version is refused, an older
one is read as it is and upgraded by the next daemon (`upgrade`). Raises the client's errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from recq.commands import command
from recq.errors import IndexRefused, SpaceMismatch
from recq.index import changes
from recq.index.change_log import new_log
from recq.index.changes import Stamp
from recq.index.fields import Fields
from recq.index.placement import Placement
from recq.index.quantisation import Quantised
from recq.index.schema import METADATA_KEY, SCHEMA_VERSION, VECTOR, FieldTypes, Item, stored_payload
from recq.space import EmbeddingSpace

_PAGE = 200
"""Payloads that one request writes again."""

PREVIOUS_KEY = "previous"
"""Collection-metadata key of the collection that this one has replaced, and when."""

NEXT_KEY = "next"
"""Collection-metadata key of what a daemon moves the catalog to, while it does."""

OLDEST_SCHEMA = 1
"""The oldest schema version that can still be read and upgraded."""


def collection_name(catalog: str, space: EmbeddingSpace) -> str:
    """One collection per catalog and embedding space."""
    return collection_name_of(catalog, space.fingerprint)


def collection_name_of(catalog: str, digest: str) -> str:
    """That of 12 hex digits, which everything of a catalog is named after (`others`)."""
    return f"{catalog}--{digest}"


def behind(client: QdrantClient, catalog: str) -> str | None:
    """The collection of the alias; the alias itself where the key opens this one alone, and may list nothing.

    To such a token, as `recq.index.tokens` makes it, a server shows neither aliases nor collections, and answers what
    is asked by the name that the token has.
    """
    aliases = client.get_aliases().aliases
    found = next((alias.collection_name for alias in aliases if alias.alias_name == catalog), None)
    if found is not None or aliases or client.get_collections().collections:
        return found
    try:
        client.get_collection(catalog)
    except UnexpectedResponse as error:
        if error.status_code in (403, 404):
            return None
        raise
    return catalog


def stored_space(client: QdrantClient, collection: str) -> EmbeddingSpace:
    """The space a collection was made in. Raises IndexRefused or SpaceMismatch where it cannot be used."""
    return space_in(client.get_collection(collection), collection)


def space_in(info: models.CollectionInfo, collection: str) -> EmbeddingSpace:
    """`stored_space` of a collection that was described already."""
    own = (info.config.metadata or {}).get(METADATA_KEY)
    if own is None:
        raise IndexRefused(f"collection {collection!r} was not made by recq: choose another name with --catalog")
    if own["schema"] > SCHEMA_VERSION:
        raise IndexRefused(f"collection {collection!r} was made by a newer recq (schema {own['schema']}): update recq")
    if own["schema"] < OLDEST_SCHEMA:
        raise IndexRefused(
            f"collection {collection!r} was made by a recq too old to be read (schema {own['schema']}): index its "
            f"folders anew with {command('recq-ingest', 'run', 'FOLDER', '--catalog', 'NAME')} and another name"
        )
    space = EmbeddingSpace.from_json(own["space"])
    if space.fingerprint != own["fingerprint"]:
        raise SpaceMismatch(
            f"collection {collection!r} says fingerprint {own['fingerprint']}, but its space gives "
            f"{space.fingerprint}: it was changed by hand, rebuild it with {command('recq-ingest', 'rebuild')}"
        )
    return space


def create(
    client: QdrantClient,
    collection: str,
    space: EmbeddingSpace,
    records: Mapping[str, Any] | None = None,
    placement: Placement | None = None,
    quantised: Quantised | None = None,
) -> None:
    """Make the collection with the indexes of recq's own fields, or complete one whose making was interrupted.

    `records` are metadata that it has from its first moment on.
    """
    if not client.collection_exists(collection):
        own = {"schema": SCHEMA_VERSION, "fingerprint": space.fingerprint, "space": space.to_json()}
        try:
            client.create_collection(
                collection,
                vectors_config={
                    VECTOR: models.VectorParams(
                        size=space.dim,
                        distance=models.Distance(space.distance),
                        **({} if quantised is None else quantised.params()),
                    )
                },
                metadata={
                    METADATA_KEY: own,
                    **new_log(),
                    **({} if quantised is None else quantised.record()),
                    **(records or {}),
                },
                **(placement or Placement()).given(),
            )
        except Exception:
            if not client.collection_exists(collection):  # else another daemon has made it
                raise
    Fields(client, collection).create_own()


def upgrade(client: QdrantClient, collection: str) -> int | None:
    """Upgrade a collection that an older recq made. Returns its old version, None where it was up to date.

    Every step can be repeated, so that a daemon may be killed here; the version is written last. Two daemons
    may do it at the same time.

    - 1 to 2: `error.retry` marks items that are to be retried, and has an index.
    - 2 to 3: `file.problems`, with an index on their kinds; `file.ctime_ns` and `file.decoder` come as
      items are written. Words are indexed in another way, those of file names and paths as well; metadata is composed
      (NFC), and dates have one form: every payload is written again (`_rewrite`).
    - 3 to 4: `file.folders`, with an index; every payload is written again.
    - 4 to 5: `predicted` is reserved for predictions: what people's metadata had under that name goes.
    - 5 to 6: each item has the stamp of its last write (`recq.index.changes`), and the collection a log of changes.
    """
    own = _own(client, collection)
    before = int(own["schema"])
    if before == SCHEMA_VERSION:
        return None
    fields = Fields(client, collection)
    fields.create_own()
    fields.renew_words()
    renamed = fields.compose_names()
    fields.drop_reserved()
    if not _rewrite(client, collection, fields.types()):
        return before
    fields.drop(renamed)
    metadata = client.get_collection(collection).config.metadata or {}
    log = {} if changes.LOG_KEY in metadata else new_log()
    client.update_collection(collection, metadata={METADATA_KEY: {**own, "schema": SCHEMA_VERSION}, **log})
    return before


def _own(client: QdrantClient, collection: str) -> dict[str, Any]:
    own: dict[str, Any] = (client.get_collection(collection).config.metadata or {})[METADATA_KEY]
    return own


def _rewrite(client: QdrantClient, collection: str, types: FieldTypes) -> bool:
    """Write every payload in today's form. Returns False where another daemon has finished the upgrade meanwhile.

    The other daemon writes new items already, which older payloads must not overwrite, so this is checked before each
    page. The next reconcile finds an item that changed within a page, since it differs from its file.
    """
    offset: Any = None
    number = 0  # of stamps: in the order of ids, the same for whoever else does this
    while True:
        records, offset = client.scroll(collection, limit=_PAGE, offset=offset, with_payload=True, with_vectors=False)
        rewritten: list[models.UpdateOperation] = []
        for record in records:
            payload = record.payload or {}
            try:
                item = Item.from_payload(payload)
                fresh = stored_payload(item, types)
            except (KeyError, TypeError, ValueError):  # another program wrote it
                continue
            number += 1
            stamp = item.stamp or Stamp(number, 0, (number, number), number, 0)
            fresh[changes.KEY] = stamp.to_json()
            if fresh != payload:
                change = models.SetPayload(payload=fresh, points=[record.id])
                rewritten.append(models.OverwritePayloadOperation(overwrite_payload=change))
        if rewritten:
            if int(_own(client, collection)["schema"]) == SCHEMA_VERSION:
                return False
            client.batch_update_points(collection, rewritten, wait=True)
        if offset is None:
            return True


def others(client: QdrantClient, catalog: str, current: str) -> list[str]:
    """The catalog's other collections: replaced by a rebuild, or left by a killed one."""
    own = re.compile(rf"{re.escape(catalog)}--[0-9a-f]{{12}}")
    names = [collection.name for collection in client.get_collections().collections]
    return [name for name in names if name != current and own.fullmatch(name)]


def note_previous(client: QdrantClient, collection: str, replaced: str, at: str) -> None:
    """Note which collection this one replaces, `at` an ISO 8601 time: before the alias moves."""
    client.update_collection(collection, metadata={PREVIOUS_KEY: {"collection": replaced, "at": at}})


def previous(client: QdrantClient, collection: str) -> tuple[str, str] | None:
    """The collection that this one has replaced, and when (ISO 8601); None where there is none (any more)."""
    noted = (client.get_collection(collection).config.metadata or {}).get(PREVIOUS_KEY)
    if noted is None or not client.collection_exists(noted["collection"]):
        return None
    return str(noted["collection"]), str(noted["at"])


def point_alias(client: QdrantClient, catalog: str, collection: str) -> None:
    """Point the alias to `collection`, in one step."""
    old = behind(client, catalog)
    if old == collection:
        return
    moves: list[models.AliasOperations] = []
    if old is not None:
        moves.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=catalog)))
    moves.append(
        models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=collection, alias_name=catalog))
    )
    client.update_collection_aliases(moves)

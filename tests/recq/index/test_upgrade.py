"""A collection of schema 2 on each engine: read as it is, then brought up to date, whoever else does the same."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from recq.errors import FilterError
from recq.index import collection
from recq.index.catalog import Catalog
from recq.index.points import ItemVector
from recq.index.schema import SCHEMA_VERSION, FieldType, FileFacts, Item
from tests.asking import matching
from tests.recq.index.conftest import SPACE

NFD = unicodedata.normalize("NFD", "Größe")
NFC = unicodedata.normalize("NFC", NFD)
OLD_WORDS = models.TextIndexParams(type=models.TextIndexType.TEXT, tokenizer=models.TokenizerType.WORD, lowercase=True)
PAYLOADS: list[dict[str, Any]] = [
    {"title": "Café 7", "taken": "2024-01-31T12:00", NFD: NFD, "labels": [NFD, "a"]},
    {"title": "この猫", "taken": "2024-01-31"},
    {"title": unicodedata.normalize("NFD", "Café"), "taken": "2024-01-31T13:00:00+01:00", "price": 65},
]


@pytest.fixture
def old(client: QdrantClient) -> Catalog:
    """As recq of schema 2 left it; one point is another program's."""
    catalog = Catalog.create(client, "old", SPACE)
    name = catalog._collection
    items = [Item(FileFacts("shop", f"sofas/leather_{n}.jpg", 1, 1), metadata_of(n)) for n in range(len(PAYLOADS))]
    catalog.writes.upsert([ItemVector(item, np.ones(SPACE.dim, np.float32) * (n + 1)) for n, item in enumerate(items)])
    for item, metadata in zip(items, PAYLOADS, strict=True):
        payload = {**item.with_digest().to_payload(), **metadata, "_text": {"title": metadata["title"]}}
        payload.pop("placeholder")
        client.overwrite_payload(name, payload=payload, points=[item.id], wait=True)
    client.upsert(name, points=[models.PointStruct(id=1, vector={}, payload={"title": "foreign"})], wait=True)
    types = {"taken": "datetime", NFD: "keyword", "labels": "keyword", "price": "integer", "title": "keyword"}
    for key in client.get_collection(name).payload_schema:
        if key.startswith("_text") or key in ("placeholder", "file.problems[].kind"):
            client.delete_payload_index(name, key, wait=True)
    for field, kind in types.items():
        key = f'"{field}"' if field == NFD else field
        client.create_payload_index(name, key, field_schema=models.PayloadSchemaType(kind), wait=True)
        if kind == "keyword":
            client.create_payload_index(name, f"_text.{key}", field_schema=OLD_WORDS, wait=True)
    own = (client.get_collection(name).config.metadata or {})["recq"]
    client.update_collection(name, metadata={"recq": {**own, "schema": 2}})
    return Catalog.open(client, "old")


def metadata_of(_number: int) -> dict[str, Any]:
    return {"placeholder": True}


def found(catalog: Catalog, *filters: str) -> list[int]:
    return sorted(int(item.file.path[-5]) for item in matching(catalog, filters, 9))


def test_an_old_collection_is_read_as_it_is(old: Catalog) -> None:
    assert found(old, "title~café 7") == [0]
    assert found(old, "title!~café 7", "has:taken") == [1, 2]
    assert found(old, f"{NFD}={NFC}") == found(old, f"labels={NFC}") == [0]
    with pytest.raises(FilterError, match="next 'recq-ingest run' brings it up to date"):
        found(old, "file.name~leather")


def test_an_upgraded_collection_answers_as_a_new_one(old: Catalog, client: QdrantClient) -> None:
    assert old.upgrade() == 2
    assert old.upgrade() is None
    for catalog in (Catalog.open(client, "old"), old):
        assert catalog.fields.types(refresh=True) == {
            "taken": FieldType.DATE, NFC: FieldType.STRING, "labels": FieldType.STRING, "price": FieldType.INTEGER,
            "title": FieldType.STRING,
        }  # fmt: skip
        assert found(catalog, "title~cafe") == [0, 2]
        assert found(catalog, "title~7") == [0]
        assert found(catalog, "title~猫") == [1]
        assert found(catalog, "taken=2024-01-31T12:00") == [0, 2]
        assert found(catalog, f"{NFC}={NFC}") == found(catalog, f"labels={NFD}") == [0]
        assert found(catalog, "file.name~leather 1") == found(catalog, "file.path~sofas 1") == [1]
    stored = {item.file.path: item.metadata for item in catalog.items.rows(["has:taken"], ["taken", NFC, "labels"])}
    assert stored["sofas/leather_0.jpg"] == {"taken": "2024-01-31T12:00:00Z", NFC: NFC, "labels": [NFC, "a"]}
    (foreign,) = client.retrieve(catalog._collection, [1], with_payload=True)
    assert foreign.payload == {"title": "foreign"}


def test_a_daemon_that_is_late_with_the_upgrade_writes_over_nothing(old: Catalog, client: QdrantClient) -> None:
    types = old.fields.types()
    assert old.upgrade() == SCHEMA_VERSION - 1
    (id_,) = [item.id for item in matching(old, ["title~7"], 9)]
    client.set_payload(old._collection, payload={"title": "Cafe\u0301 8"}, points=[id_], wait=True)
    assert not collection._rewrite(client, old._collection, types)
    (kept,) = client.retrieve(old._collection, [id_], with_payload=["title"])
    assert kept.payload == {"title": "Cafe\u0301 8"}

"""Collections of schema 2 and 3 on each engine: read as it is, then brought up to date, whoever else does the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from recq.errors import FilterError
from recq.index import collection
from recq.index.catalog import Catalog
from recq.index.grammar import parse_any_of
from recq.index.parameters import Parameters, Sort
from recq.index.points import ItemVector
from recq.index.schema import FieldType, FileFacts, Item
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
        if key.startswith("_text") or key in ("placeholder", "file.problems[].kind", "file.folders"):
            client.delete_payload_index(name, key, wait=True)
    for field, kind in types.items():
        key = f'"{field}"' if field == NFD else field
        client.create_payload_index(name, key, field_schema=models.PayloadSchemaType(kind), wait=True)
        if kind == "keyword":
            client.create_payload_index(name, f"_text.{key}", field_schema=OLD_WORDS, wait=True)
    stamp(client, name, 2)
    return Catalog.open(client, "old")


FOLDERS = ("", "scans/", "scans/2024/", "scans/2024/03/", "2024/")


@pytest.fixture
def third(client: QdrantClient) -> Catalog:
    """As recq of schema 3 left it: with everything but `file.folders`."""
    catalog = Catalog.create(client, "third", SPACE)
    name = catalog._collection
    items = [Item(FileFacts("shop", f"{folder}{n}.jpg", 1, 1), {"n": n}) for n, folder in enumerate(FOLDERS)]
    catalog.writes.upsert([ItemVector(item, np.ones(SPACE.dim, np.float32) * (n + 1)) for n, item in enumerate(items)])
    client.upsert(name, points=[models.PointStruct(id=1, vector={}, payload={"title": "foreign"})], wait=True)
    records, _ = client.scroll(name, with_payload=True, limit=99)
    for record in records:
        payload = record.payload or {}
        if "file" in payload:
            payload["file"].pop("folders", None)
            client.overwrite_payload(name, payload=payload, points=[record.id], wait=True)
    client.delete_payload_index(name, "file.folders", wait=True)
    stamp(client, name, 3)
    return Catalog.open(client, "third")


def stamp(client: QdrantClient, name: str, schema: int) -> None:
    own = (client.get_collection(name).config.metadata or {})["recq"]
    client.update_collection(name, metadata={"recq": {**own, "schema": schema}})


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
    with pytest.raises(FilterError, match=r"'file\.folders' is not indexed yet.* brings it up to date"):
        found(old, "file.folders=sofas")


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
        assert found(catalog, "file.folders=sofas") == [0, 1, 2]
    stored = {item.file.path: item.metadata for item in catalog.items.rows(["has:taken"], ["taken", NFC, "labels"])}
    assert stored["sofas/leather_0.jpg"] == {"taken": "2024-01-31T12:00:00Z", NFC: NFC, "labels": [NFC, "a"]}
    (foreign,) = client.retrieve(catalog._collection, [1], with_payload=True)
    assert foreign.payload == {"title": "foreign"}


def test_a_daemon_that_is_late_with_the_upgrade_writes_over_nothing(old: Catalog, client: QdrantClient) -> None:
    types = old.fields.types()
    assert old.upgrade() == 2
    (id_,) = [item.id for item in matching(old, ["title~7"], 9)]
    client.set_payload(old._collection, payload={"title": "Cafe\u0301 8"}, points=[id_], wait=True)
    assert not collection._rewrite(client, old._collection, types)
    (kept,) = client.retrieve(old._collection, [id_], with_payload=["title"])
    assert kept.payload == {"title": "Cafe\u0301 8"}


def numbers(catalog: Catalog, *filters: str) -> list[Any]:
    return sorted(item.metadata["n"] for item in matching(catalog, filters, 9))


def test_before_the_upgrade_nothing_is_answered_by_folders(third: Catalog) -> None:
    assert numbers(third, "n>=0") == [0, 1, 2, 3, 4]
    assert numbers(third, "file.path~scans") == [1, 2, 3]
    asked: list[Callable[[], object]] = [
        *(
            lambda text=text: third.items.count([text])
            for text in ("file.folders=scans", "file.folders!=scans", "has:file.folders", "no:file.folders")
        ),
        lambda: third.items.count([parse_any_of("n=1 || file.folders=scans")]),
        lambda: third.values.facets("file.folders"),
        lambda: third.finder.find(Parameters(sort=Sort.parse("file.folders"))),
        lambda: third.finder.find(Parameters(group_by="file.folders")),
    ]
    for ask in asked:
        with pytest.raises(FilterError, match=r"'file\.folders' is not indexed yet.*'recq-ingest run' brings it up"):
            ask()


def test_an_upgrade_that_died_is_taken_up_and_each_item_has_its_folders(
    third: Catalog, client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Catalog.open(client, "third")
    assert numbers(reader, "n=0") == [0]
    monkeypatch.setattr(collection, "_PAGE", 2)
    written: list[int] = []
    batch = client.batch_update_points

    def die(name: str, changes: Sequence[Any], **more: Any) -> Any:
        written.append(len(changes))
        if len(written) == 2:
            raise ConnectionError
        return batch(name, changes, **more)

    with monkeypatch.context() as patch:
        patch.setattr(client, "batch_update_points", die)
        with pytest.raises(Exception):  # noqa: B017, PT011 - the client's or the catalog's
            third.upgrade()
    with pytest.raises(FilterError, match="not indexed yet"):
        numbers(third, "file.folders=scans")
    for ignored in (3, None):
        assert Catalog.open(client, "third").upgrade() == ignored
    for catalog in (reader, third, Catalog.open(client, "third")):  # one that was open before sees it, too
        assert numbers(catalog, "file.folders=scans") == [1, 2, 3]
        assert numbers(catalog, "file.folders=scans/2024") == [2, 3]
        assert numbers(catalog, "no:file.folders") == [0]
        assert dict(catalog.values.facets("file.folders").rows) == {
            "scans": 3,
            "scans/2024": 2,
            "scans/2024/03": 1,
            "2024": 1,
        }
    (foreign,) = client.retrieve(third._collection, [1], with_payload=True)
    assert foreign.payload == {"title": "foreign"}
    fresh = Catalog.create(client, "fresh", replace(SPACE, weights="1"))
    assert set(client.get_collection(third._collection).payload_schema) >= set(
        client.get_collection(fresh._collection).payload_schema
    )


def test_two_daemons_upgrade_at_the_same_time(
    third: Catalog, client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "_PAGE", 1)
    with ThreadPoolExecutor(2) as pool:
        upgraded = list(pool.map(Catalog.upgrade, [third, Catalog.open(client, "third")]))
    assert set(upgraded) <= {3, None}
    assert 3 in upgraded
    assert numbers(third, "file.folders=scans") == [1, 2, 3]
    assert [each.payload for each in client.retrieve(third._collection, [1])] == [{"title": "foreign"}]


def test_a_daemon_that_is_late_with_folders_writes_nothing(third: Catalog, client: QdrantClient) -> None:
    """The second one finds, before it writes its page, that the first has finished."""
    types = third.fields.types()
    assert third.upgrade() == 3
    (id_,) = [item.id for item in matching(third, ["n=2"], 9)]
    (record,) = client.retrieve(third._collection, [id_], with_payload=True)
    payload = record.payload or {}
    del payload["file"]["folders"]
    client.overwrite_payload(third._collection, payload=payload, points=[id_], wait=True)
    assert not collection._rewrite(client, third._collection, types)


@pytest.fixture
def fourth(client: QdrantClient) -> Catalog:
    """As recq of schema 4 left it: people may have called fields `predicted` and `predicted.x`."""
    catalog = Catalog.create(client, "fourth", SPACE)
    name = catalog._collection
    items = [Item(FileFacts("shop", f"{n}.jpg", 1, 1), {"n": n}) for n in range(2)]
    catalog.writes.upsert([ItemVector(item, np.ones(SPACE.dim, np.float32) * (n + 1)) for n, item in enumerate(items)])
    said = {"predicted": "rain", "predicted.x": 3, "_text": {"predicted": "rain"}}
    client.set_payload(name, payload=said, points=[items[0].id], wait=True)
    for key, kind in {"predicted": "keyword", '"predicted.x"': "integer"}.items():
        client.create_payload_index(name, key, field_schema=models.PayloadSchemaType(kind), wait=True)
    client.create_payload_index(name, "_text.predicted", field_schema=OLD_WORDS, wait=True)
    stamp(client, name, 4)
    return Catalog.open(client, "fourth")


def test_fields_of_people_under_a_name_that_is_reserved_since_go(fourth: Catalog, client: QdrantClient) -> None:
    assert numbers(fourth, "n>=0") == [0, 1]
    assert fourth.fields.types() == {"n": FieldType.INTEGER}
    assert fourth.upgrade() == 4
    (record,) = [each for each in client.scroll(fourth._collection)[0] if (each.payload or {}).get("n") == 0]
    assert set(record.payload or {}) == {"n", "file", "_text", "_change"}
    assert "predicted" not in (record.payload or {})["_text"]
    assert not [key for key in client.get_collection(fourth._collection).payload_schema if "predicted" in key]
    fourth.fields.declare_predicted("x", FieldType.STRING)
    assert fourth.items.count(["no:predicted.x"]) == 2

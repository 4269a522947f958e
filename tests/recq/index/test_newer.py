"""What a newer recq wrote: an older one reads what it understands and never falls over the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from recq.errors import Reason
from recq.index.catalog import Catalog
from recq.index.points import ItemVector
from recq.index.problems import Problem, ProblemKind
from recq.index.schema import FieldType, FileFacts, Item, ItemError
from recq.index.sources import Source
from recq.operate.status import Status
from tests.recq.index.conftest import SPACE

FACTS = FileFacts("shop", "a.jpg", 10, 10)
ITEM = Item(FACTS, {"price": 3}, ItemError(Reason.CORRUPT, "no picture", "2026-01-01T00:00:00Z", 3))


def test_an_unknown_reason_is_kept_as_its_word() -> None:
    payload = ITEM.to_payload()
    payload["error"] |= {"reason": "eaten-by-the-dog", "dog": "Bello"}
    error = Item.from_payload(payload).error
    assert error == ItemError("eaten-by-the-dog", "no picture", "2026-01-01T00:00:00Z", 3)


@pytest.mark.parametrize("error", ["text", [], {}, {"reason": None}, {"detail": "x"}, 5])
def test_an_error_without_a_reason_is_none(error: object) -> None:
    assert Item.from_payload({**ITEM.to_payload(), "error": error}).error is None


def test_unknown_facts_and_facts_of_another_type_are_left_out() -> None:
    payload = Item(FACTS, {"price": 3}).to_payload()
    payload["file"] |= {"colour": "blue", "sha256": 5, "width": "wide", "decoder": [1], "encoded": "yes"}
    payload["file"]["problems"] = [{"kind": "from-the-future", "detail": "?"}, "text", {"kind": "misfit"}]
    item = Item.from_payload(payload)
    assert replace(item, problems=()) == Item(replace(FACTS, metadata_digest=item.file.metadata_digest), {"price": 3})
    assert item.problems == (Problem(ProblemKind.MISFIT, ""),)


def test_failed_items_of_a_newer_recq_are_listed(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "images", SPACE)
    catalog.writes.upsert([ItemVector(ITEM, None)])
    client.set_payload(
        catalog._collection, {"reason": "eaten-by-the-dog", "dog": "Bello"}, key="error", points=[ITEM.id], wait=True
    )
    assert [str(item.error.reason) for item in catalog.ledger.failed() if item.error] == ["eaten-by-the-dog"]
    assert catalog.ledger.count_failed(source="shop") == 1


def test_indexes_that_are_no_fields_of_recq_are_no_fields(client: QdrantClient) -> None:
    """Of a type that recq has no field for, on a path into an object, on recq's own part of the payload."""
    catalog = Catalog.create(client, "images", SPACE)
    catalog.writes.upsert(
        [ItemVector(Item(FACTS, {"price": 3, "größe": "klein", "W/H": "4"}), np.ones(SPACE.dim, np.float32))]
    )
    foreign: dict[str, models.PayloadFieldSchema] = {
        "code": models.PayloadSchemaType.UUID,
        "meta.price": models.PayloadSchemaType.FLOAT,
        "tags[].name": models.PayloadSchemaType.KEYWORD,
        "file.width": models.PayloadSchemaType.INTEGER,
        "error.attempts": models.PayloadSchemaType.INTEGER,
    }
    for key, schema in foreign.items():
        client.create_payload_index(catalog._collection, key, field_schema=schema, wait=True)
    known = {"price": FieldType.INTEGER, "größe": FieldType.STRING, "W/H": FieldType.STRING}
    assert catalog.fields.types(refresh=True) == known
    assert Catalog.open(client, "images").fields.types() == known


def test_a_source_and_a_status_with_more_in_them_are_read() -> None:
    source = Source("shop", {"here": "/srv/shop"}, held=3)
    assert Source.from_json("shop", {**source.to_json(), "moon": "full"}) == source
    document = {
        "catalog": "images", "engine": "embedded", "space": None, "running": True, "pid": 5, "state": "dreaming",
        "detail": None, "moon": "full",
        "sources": [
            {"name": "shop", "root": None, "items": 1, "indexed": 1, "failed": 0, "ignored": 0, "pending": 0,
             "problems": ["x"], "held": 0, "moon": "full"}
        ],
    }  # fmt: skip
    status = Status.from_json(document)
    assert (status.state, status.sources[0].problems) == ("dreaming", ("x",))

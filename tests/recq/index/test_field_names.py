"""Names of metadata fields on every engine: what `field_problem` admits can be stored, found, counted and forgotten."""

from __future__ import annotations

import numpy as np
import pytest
from qdrant_client import QdrantClient

from recq.errors import RequestRefused
from recq.index.catalog import Catalog
from recq.index.points import ItemVector
from recq.index.schema import FieldType, FileFacts, Item, Value, field_problem, payload_key
from tests.recq.index.conftest import SPACE

PRINTABLE = [chr(code) for code in range(0x20, 0x7F)]
NUMBERS = [
    *(name for c in PRINTABLE if not c.isalnum() and field_problem(name := f"a{c}b") is None),
    "a.b.c", "a[]", "a[0].b", "..", "%41", "100%", "null", "x" * 255,
]  # fmt: skip
TEXTS = ["größe", "猫", "W/H", "a#b"]


def test_the_rule_admits_every_printable_character_but_those_that_it_names() -> None:
    refused = {c for c in PRINTABLE if field_problem(f"a{c}b") is not None}
    assert refused == set('=<>~!?"\\')


def test_every_admitted_name_is_stored_found_counted_and_forgotten(client: QdrantClient) -> None:
    """One item has all of them: each field has a value of its own."""
    catalog = Catalog.create(client, "images", SPACE)
    metadata: dict[str, Value] = {name: number for number, name in enumerate(NUMBERS)}
    metadata |= {name: f"value {number}" for number, name in enumerate(TEXTS)}
    catalog.writes.upsert(
        [ItemVector(Item(FileFacts("shop", "a.jpg", 1, 1), metadata), np.ones(SPACE.dim, np.float32))]
    )
    list(catalog.fields.make_all())
    item = catalog.lookups.find_path("a.jpg")[0]
    assert item.metadata == metadata
    types = {**dict.fromkeys(NUMBERS, FieldType.INTEGER), **dict.fromkeys(TEXTS, FieldType.STRING)}
    assert catalog.fields.types(refresh=True) == types
    for name, value in metadata.items():
        assert catalog.items.count([f"{name}={value}", f"has:{name}"]) == 1, name
        assert [item.metadata[name] for item in catalog.items.rows(fields=[name])] == [value], name
    for name in TEXTS:
        assert catalog.items.count([f"{name}~{metadata[name]}"]) == 1, name
        assert catalog.values.facets(name).rows == [(metadata[name], 1)], name
    catalog.drop_source("shop")
    assert catalog.fields.types(refresh=True) == {}


@pytest.mark.parametrize("name", ['a"b', "a\\b", "\\", '"'])
def test_what_the_rule_refuses_no_engine_takes(client: QdrantClient, name: str) -> None:
    catalog = Catalog.create(client, "images", SPACE)
    assert field_problem(name) is not None
    with pytest.raises(RequestRefused):
        catalog.fields.declare({name: FieldType.INTEGER})
    assert payload_key(name) not in catalog.fields.types(refresh=True)

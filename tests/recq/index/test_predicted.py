"""Predictions on each engine: asked for as fields of their own, made anew, never where people gave a label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from recq.errors import FilterError
from recq.evaluate.evaluate import labels_of
from recq.index.catalog import Catalog
from recq.index.parameters import Parameters, Sort
from recq.index.points import ItemVector
from recq.index.predicted import Prediction, cannot_be_predicted, part_of
from recq.index.schema import FieldType, FileFacts, Item, ItemError, payload_key, searched_field, shadow_key
from recq.search.results import result_of
from tests.asking import matching
from tests.recq.index.conftest import SPACE

CAMERA = "exif.camera"
SIZE = "größe"
TYPES = {
    "category": FieldType.STRING,
    CAMERA: FieldType.STRING,
    SIZE: FieldType.FLOAT,
    "seasons": FieldType.INTEGER,
    "sale": FieldType.BOOL,
}


def said(*labels: Any, sure: float | tuple[float, ...] = 0.9, several: bool = False, by: str = "one") -> Prediction:
    return Prediction(by, labels, sure if isinstance(sure, tuple) else (sure,) * len(labels), several)


PREDICTED: dict[str, dict[str, Prediction]] = {
    "a.jpg": {"category": said("Leather sofa", sure=0.97), CAMERA: said("Café 1"), SIZE: said(2.5), "sale": said(True)},
    "b.jpg": {"category": said("chair", sure=0.4), "seasons": said(1, 3, sure=(0.8, 0.6), several=True)},
    "c.jpg": {"category": said(), "sale": said(False)},
    "d.jpg": {},
}


@pytest.fixture
def catalog(client: QdrantClient) -> Catalog:
    made = Catalog.create(client, "predicted", SPACE)
    for name, field_type in TYPES.items():
        made.fields.declare_predicted(name, field_type)
    items = [Item(FileFacts("shop", path, 1, 1), {"n": n}, predicted=each) for n, (path, each) in enumerate(
        PREDICTED.items()
    )]  # fmt: skip
    made.writes.upsert([ItemVector(item, np.eye(SPACE.dim, dtype=np.float32)[n]) for n, item in enumerate(items)])
    return made


def found(catalog: Catalog, *filters: str) -> list[str]:
    return sorted(item.file.path[0] for item in matching(catalog, filters, 9))


def item(catalog: Catalog, path: str) -> Item:
    (there,) = catalog.lookups.find_path(path)
    whole = catalog.lookups.get(there.id)
    assert whole is not None
    return whole


def test_they_are_fields_of_their_own_type(catalog: Catalog) -> None:
    types = catalog.fields.types(refresh=True)
    assert {name: kind for name, kind in types.items() if name != "n"} == {
        name: kind
        for field, label in TYPES.items()
        for name, kind in {
            f"predicted.{field}": label,
            f"predicted.{field}.confidence": FieldType.FLOAT,
            f"predicted.{field}.unknown": FieldType.BOOL,
        }.items()
    }
    assert catalog.fields.predicted() == set(TYPES)
    catalog.fields.declare_predicted("seasons", FieldType.STRING)  # another predictor's labels are others
    assert catalog.fields.types(refresh=True)["predicted.seasons"] is FieldType.STRING


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ("predicted.category=chair", "b"),
        ("predicted.category=chair|Leather sofa", "ab"),
        ("predicted.category!=chair", "acd"),
        ("predicted.category~SOFA", "a"),
        ("predicted.category.confidence>=0.9", "a"),
        ("predicted.category.confidence=0.3..0.5", "b"),
        ("predicted.category.unknown=true", "c"),
        ("has:predicted.category", "ab"),
        ("no:predicted.category", "cd"),
        (f"predicted.{CAMERA}=Café 1", "a"),
        (f"predicted.{CAMERA}~cafe", "a"),
        (f"predicted.{CAMERA}.confidence>0.5", "a"),
        (f"predicted.{SIZE}=2..3", "a"),
        ("predicted.seasons=3", "b"),
        ("predicted.seasons.confidence>0.7", "b"),
        ("predicted.sale=false", "c"),
    ],
)
def test_filters_find_them(catalog: Catalog, filter_: str, expected: str) -> None:
    assert found(catalog, filter_) == list(expected)


def test_they_are_counted_sorted_and_grouped(catalog: Catalog) -> None:
    assert dict(catalog.values.facets("predicted.category").rows) == {"Leather sofa": 1, "chair": 1}
    assert catalog.values.facets("predicted.category.confidence").total == 2
    assert catalog.values.extremes("predicted.category.confidence") == (0.4, 0.97)
    assert catalog.values.extremes(f"predicted.{SIZE}") == (2.5, 2.5)
    assert catalog.values.example(f"predicted.{CAMERA}") == "Café 1"
    rows = catalog.finder.find(Parameters(sort=Sort.parse("predicted.category.confidence:desc"))).hits
    assert [hit.item.file.path[0] for hit in rows] == ["a", "b", "c", "d"]
    grouped = catalog.finder.find(Parameters(group_by="predicted.category")).hits
    assert len(grouped) == 4
    (row,) = catalog.items.rows(["predicted.category=chair"], ["predicted.category"])
    assert row.predicted["category"].labels == ("chair",)
    assert labels_of(row, "predicted.category") == ("chair",)


def test_an_unknown_one_says_how_it_is_made(catalog: Catalog) -> None:
    with pytest.raises(FilterError, match=r"unknown field 'predicted\.colour'.*--predict colour' makes predictions"):
        found(catalog, "predicted.colour=red")
    with pytest.raises(FilterError, match=r"did you mean 'predicted\.category'"):
        found(catalog, "predicted.categorie=chair")


def test_none_stands_over_what_people_say_or_with_a_failure(catalog: Catalog) -> None:
    facts = FileFacts("shop", "e.jpg", 1, 1)
    sure = {"category": said("sofa"), "sale": said(True)}
    labelled = Item(facts, {"category": "bed"}, predicted=sure)
    catalog.writes.upsert([ItemVector(labelled, np.ones(SPACE.dim, np.float32))])
    assert item(catalog, "e.jpg").predicted.keys() == {"sale"}
    catalog.writes.replace_metadata([Item(facts, {"category": []}, predicted=sure)])
    assert item(catalog, "e.jpg").predicted == sure
    failed = Item(facts, error=ItemError("corrupt", "", "2026-01-01T00:00:00Z"), predicted=sure)
    catalog.writes.upsert([ItemVector(failed, None)])
    assert item(catalog, "e.jpg").predicted == {}


def test_the_ledger_finds_what_has_none_another_or_one_too_many(catalog: Catalog, client: QdrantClient) -> None:
    def due(field: str, by: str) -> list[str]:
        return sorted(each.item.file.path[0] for each in catalog.ledger.unpredicted("shop", field, by))

    assert due("category", "one") == ["d"]
    assert due("category", "two") == ["a", "b", "c", "d"]
    assert due("seasons", "one") == ["a", "c", "d"]
    client.set_payload(catalog._collection, payload={"category": "bed"}, points=[item(catalog, "a.jpg").id], wait=True)
    client.set_payload(catalog._collection, payload={"category": "bed"}, points=[item(catalog, "d.jpg").id], wait=True)
    assert due("category", "one") == ["a"]
    assert sorted(each.file.path[0] for each in catalog.ledger.predicted("shop", CAMERA)) == ["a"]
    assert not [*catalog.ledger.predicted("other", CAMERA)]
    for each in catalog.ledger.unpredicted("shop", "category", "two"):
        assert each.vector is not None
        assert each.vector.shape == (SPACE.dim,)


def test_the_ledger_counts_them_and_finds_those_of_the_same_bytes(catalog: Catalog) -> None:
    assert catalog.ledger.count_predictions("category", "one") == (2, 1, 1)
    assert catalog.ledger.count_predictions("category", "two") == (0, 0, 4)
    assert catalog.ledger.count_predictions(CAMERA, "one") == (1, 0, 3)
    copies = {"e.jpg": ("x", said("sofa")), "f.jpg": ("x", said("sofa")), "g.jpg": ("y", said("bed", by="two"))}
    catalog.writes.upsert(
        [
            ItemVector(
                Item(FileFacts("shop", path, 1, 1, sha256=digest), predicted={"category": each}),
                np.ones(SPACE.dim, np.float32),
            )
            for path, (digest, each) in copies.items()
        ]
    )
    assert catalog.ledger.predictions_by_sha256(["x", "y", "z"], "category", "one") == {"x": said("sofa")}
    assert catalog.ledger.predictions_by_sha256(["y"], "category", "two") == {"y": said("bed", by="two")}
    assert catalog.ledger.predictions_by_sha256([], "category", "one") == {}


def test_they_are_replaced_alone(catalog: Catalog, client: QdrantClient) -> None:
    before = item(catalog, "a.jpg")
    fresh = Item(before.file, before.metadata, predicted={CAMERA: said("Box", by="two")})
    catalog.writes.replace_predictions([fresh, Item(item(catalog, "b.jpg").file)])
    assert item(catalog, "a.jpg") == fresh
    assert found(catalog, f"predicted.{CAMERA}~box") == ["a"]
    assert found(catalog, "has:predicted.category") == []
    (record,) = client.retrieve(catalog._collection, [item(catalog, "b.jpg").id], with_payload=True)
    assert record.payload is not None
    assert "predicted" not in record.payload
    assert record.payload["n"] == 1


def test_their_indexes_go_and_come(catalog: Catalog, client: QdrantClient) -> None:
    catalog.fields.drop_predicted(CAMERA)
    assert not [key for key in client.get_collection(catalog._collection).payload_schema if "camera" in key]
    assert catalog.fields.predicted(refresh=True) == set(TYPES) - {CAMERA}
    with pytest.raises(FilterError, match="unknown field"):
        found(catalog, f"has:predicted.{CAMERA}")
    catalog.fields.declare_predicted(CAMERA, FieldType.STRING)
    assert found(catalog, f"predicted.{CAMERA}~cafe") == ["a"]
    catalog.fields.forget()
    assert not [key for key in client.get_collection(catalog._collection).payload_schema if "predicted" in key]


@pytest.mark.parametrize("field", ["category", CAMERA, SIZE, "a b", "predicted"])
def test_keys_and_names_belong_together(field: str) -> None:
    for name in (f"predicted.{field}", f"predicted.{field}.confidence", f"predicted.{field}.unknown"):
        part = part_of(name)
        assert part is not None
        assert part.field == field
        assert payload_key(name).startswith("predicted.")
    assert searched_field(shadow_key(f"predicted.{field}")) == f"predicted.{field}"
    assert part_of(field) is None


def test_a_field_that_is_named_like_a_member_cannot_be_predicted() -> None:
    assert cannot_be_predicted("a.confidence") is not None
    assert cannot_be_predicted("confidence") is None
    assert cannot_be_predicted("a.b") is None


def test_an_answer_has_them_in_a_part_of_its_own() -> None:
    facts = FileFacts("shop", "a.jpg", 1, 1)
    answer = result_of(1, Item(facts, {"n": 1}, predicted=PREDICTED["b.jpg"]), None, None)
    assert answer.metadata == {"n": 1}
    assert answer.predicted["category"] == {"label": "chair", "confidence": 0.4, "by": "one"}
    assert answer.value("predicted.seasons") == [1, 3]
    assert answer.value("predicted.seasons.confidence") == [0.8, 0.6]
    assert answer.predicted_fields == [
        "predicted.category", "predicted.category.confidence", "predicted.seasons", "predicted.seasons.confidence",
    ]  # fmt: skip
    some = result_of(1, Item(facts, {"n": 1}, predicted=PREDICTED["b.jpg"]), None, None, fields=["predicted.category"])
    assert (some.metadata, list(some.predicted)) == ({}, ["category"])

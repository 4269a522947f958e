"""A field whose name has a dot is a field like any other on every engine: `exif.lat` is no path into an object."""

from __future__ import annotations

import numpy as np
import pytest
from qdrant_client import QdrantClient

from recq.index.catalog import Catalog
from recq.index.parameters import Parameters, Sort
from recq.index.points import ItemVector
from recq.index.schema import FieldType, FileFacts, Item, Value
from tests.asking import matching
from tests.recq.index.conftest import SPACE

CAMERAS = ["Canon EOS R5", "Canon EOS R5", "Leica M6", None]


@pytest.fixture(scope="module")
def catalog(shared_client: QdrantClient) -> Catalog:
    """Four pictures, the last without EXIF; all have a field that is called as the others begin."""
    made = Catalog.create(shared_client, "dotted", SPACE)
    items = []
    for number, camera in enumerate(CAMERAS):
        metadata: dict[str, Value] = {"exif": "yes"}
        if camera is not None:
            metadata |= {
                "exif.camera": camera,
                "exif.lat": 10.0 * number,
                "exif.taken": f"2024-05-0{number + 1}T10:30:15Z",
            }
        vector = np.random.default_rng(number).normal(size=SPACE.dim).astype(np.float32)
        items.append(ItemVector(Item(FileFacts("shop", f"{number}.jpg", 1, 1), metadata), vector))
    made.writes.upsert(items)
    return made


def found(catalog: Catalog, *filters: str) -> list[str]:
    return sorted(item.file.path[0] for item in matching(catalog, filters, 10))


def test_types(catalog: Catalog) -> None:
    assert {name: catalog.fields.types()[name] for name in ("exif.camera", "exif.lat", "exif.taken", "exif")} == {
        "exif.camera": FieldType.STRING,
        "exif.lat": FieldType.FLOAT,
        "exif.taken": FieldType.DATE,
        "exif": FieldType.STRING,
    }


@pytest.mark.parametrize(
    ("filters", "paths"),
    [
        (["exif.camera=Canon EOS R5"], "01"),
        (["exif.camera!=Canon EOS R5"], "23"),
        (["exif.camera~leica"], "2"),
        (["exif.lat=5..15"], "1"),
        (["exif.lat>=10"], "12"),
        (["exif.taken=2024-05-02"], "1"),
        (["exif.taken>=2024-05-02"], "12"),
        (["has:exif.camera"], "012"),
        (["no:exif.camera"], "3"),
        (["exif=yes"], "0123"),
        (["exif=yes", "exif.lat<10"], "0"),
    ],
)
def test_filters(catalog: Catalog, filters: list[str], paths: str) -> None:
    assert "".join(found(catalog, *filters)) == paths


def test_order_and_values(catalog: Catalog) -> None:
    rows = catalog.items.rows((), ["exif.lat", "exif.camera"])
    assert {row.file.path[0]: dict(row.metadata) for row in rows}["1"] == {
        "exif.lat": 10.0,
        "exif.camera": "Canon EOS R5",
    }
    found = catalog.finder.find(Parameters(10, sort=Sort("exif.lat", descending=True)))
    assert [hit.item.file.path[0] for hit in found.hits] == ["2", "1", "0", "3"]


def test_facets(catalog: Catalog) -> None:
    assert catalog.values.facets("exif.camera").rows == [("Canon EOS R5", 2), ("Leica M6", 1)]

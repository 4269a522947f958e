"""A catalog whose vectors are compared by their Euclidean distance, on each of the three engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import QdrantClient

from recq.errors import ImageError, SpaceMismatch
from recq.index.catalog import Catalog
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from tests.asking import nearest, stored_vector
from tests.recq.index.conftest import SPACE

EUCLID = replace(SPACE, dim=2, distance="Euclid")
PLACES = {"a": (3.0, 4.0), "b": (30.0, 40.0), "c": (3.0, 5.0), "d": (0.0, 0.5)}


def entry(name: str, vector: tuple[float, float]) -> ItemVector:
    return ItemVector(Item(FileFacts("shop", f"{name}.jpg", 1, 1)), np.array(vector, np.float32))


def test_scores_are_distances_and_vectors_keep_their_length(client: QdrantClient) -> None:
    """`a` and `b` lie in one direction: to a cosine they would be the same."""
    catalog = Catalog.create(client, "euclid", EUCLID)
    entries = {name: entry(name, place) for name, place in PLACES.items()}
    catalog.writes.upsert(list(entries.values()))
    assert Catalog.open(client, "euclid").space == EUCLID
    stored = stored_vector(catalog, entries["b"].item.id)
    assert stored is not None
    assert stored.tolist() == [30.0, 40.0]

    found = {hit.item.file.path: hit.score for hit in nearest(catalog, np.array([3, 4], np.float32), 10)}
    assert found == pytest.approx({"a.jpg": 0, "c.jpg": 1, "d.jpg": (3**2 + 3.5**2) ** 0.5, "b.jpg": 45}, abs=1e-5)
    two = {hit.item.file.path for hit in nearest(catalog, entries["a"].item.id, 2)}
    assert two == {"c.jpg", "d.jpg"}


def test_a_zero_vector_and_another_distance_are_refused(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "euclid", EUCLID)
    for wrong in [(0.0, 0.0), (np.inf, 1.0), (np.nan, 1.0)]:
        with pytest.raises(ImageError, match="no-signal"):
            catalog.writes.upsert([entry("a", wrong)])
    with pytest.raises(SpaceMismatch, match="distance is 'Euclid', not 'Cosine'"):
        Catalog.create(client, "euclid", replace(EUCLID, distance="Cosine"))

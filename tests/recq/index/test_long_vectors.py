"""The longest vectors there may be, a whole batch of them: more than a server takes in one request."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import QdrantClient

from recq.index.catalog import Catalog
from recq.index.collection import behind
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.space import MAX_DIMENSIONS
from tests.qdrant_server import QdrantServer
from tests.recq.index.conftest import SPACE


@pytest.mark.server
def test_a_batch_of_the_longest_vectors_fits(qdrant_server: QdrantServer) -> None:
    client = QdrantClient(url=qdrant_server.url, check_compatibility=False)
    catalog = Catalog.create(client, "longest", replace(SPACE, pooling="flatten", dim=MAX_DIMENSIONS))
    chance = np.random.default_rng(5)
    items = [Item(FileFacts("shop", f"{number}.jpg", 1, 1)) for number in range(28)]  # 34 MB in one request
    try:
        catalog.writes.upsert([ItemVector(item, chance.random(MAX_DIMENSIONS, np.float32)) for item in items])
        assert catalog.items.count() == 28
    finally:
        client.delete_collection(behind(client, "longest") or "")
        client.close()

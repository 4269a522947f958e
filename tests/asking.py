"""What many tests ask of a catalog, in one line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recq.index.catalog import Catalog
from recq.index.finder import Hit
from recq.index.grammar import Where
from recq.index.parameters import Parameters
from recq.index.schema import Item


def stored_vector(catalog: Catalog, item_id: str) -> np.ndarray | None:
    """The vector of an item, float32 (dim,); None for one that failed or does not exist."""
    return catalog.items.vectors([item_id]).get(item_id)


def nearest(
    catalog: Catalog,
    query: np.ndarray | str,
    k: int,
    filters: Sequence[Where] = (),
    *,
    min_score: float | None = None,
) -> list[Hit]:
    """The k items nearest to a vector, float32 (dim,), or to the item with that id; nothing folded."""
    parameters = Parameters(k, filters=tuple(filters), min_score=min_score, keep_duplicates=True)
    return list(catalog.finder.rank(query, parameters).hits)


def matching(catalog: Catalog, filters: Sequence[Where], k: int) -> list[Item]:
    """The first k items that all filters hold for, in the order of paths; nothing folded."""
    return [hit.item for hit in catalog.finder.find(Parameters(k, filters=tuple(filters), keep_duplicates=True)).hits]

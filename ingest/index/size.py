"""How many embedded items a daemon answers for in a source: what the share that may go at once is taken of."""

from __future__ import annotations

from recq.index.catalog import Catalog
from recq.part import Part


def embedded_in(catalog: Catalog, source: str, part: Part) -> int:
    """The items of a source, or of a part of it, that have a vector. Raises what the index does."""
    if part.is_whole:
        return catalog.items.count(source=source)
    count = catalog.ledger.count_part(source, part)
    return count.items - count.failed

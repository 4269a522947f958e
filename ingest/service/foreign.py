"""Points of the catalog's collection that are no items, written by other programs.

Readers skip them, `recq-ingest problems` lists them, and `recq-ingest reconcile --remove-foreign` removes them.
"""

from __future__ import annotations

from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.settings import Settings

_AT_ONCE = 500  # points in one request


def foreign_points(settings: Settings) -> list[str]:
    """Their ids."""
    with connect(settings) as client:
        return sorted(Catalog.open(client, settings.catalog).ledger.foreign_points())


def remove_foreign_points(settings: Settings) -> int:
    """Delete them and return their number. A running daemon may go on: it never reads them."""
    with connect(settings) as client:
        catalog = Catalog.open(client, settings.catalog)
        ids = list(catalog.ledger.foreign_points())
        for start in range(0, len(ids), _AT_ONCE):
            catalog.writes.delete(ids[start : start + _AT_ONCE])
        return len(ids)

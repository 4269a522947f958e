"""The daemon measures what scores mean, so that no query has to."""

from __future__ import annotations

from pathlib import Path

from recq.index.background import FEWEST_ITEMS, KEY
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import STARTS_WITHIN, Place


def measured(place: Place) -> int | None:
    """How many items there were when pairs were compared last."""
    with place.catalog() as catalog:
        metadata = catalog._client.get_collection(catalog._collection).config.metadata or {}
        kept = metadata.get(KEY)
        return None if kept is None else kept["items"]


def test_pairs_are_compared_at_the_end_of_a_run_and_again_when_the_catalog_has_grown(tmp_path: Path) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data")
    for number in range(FEWEST_ITEMS):
        put(place.root / f"{number}.jpg", number)
    assert place.once().returncode == 0
    assert measured(place) == FEWEST_ITEMS
    with place.daemon() as running:
        running.ready()
        for number in range(FEWEST_ITEMS, FEWEST_ITEMS + 11):
            put(place.root / f"{number}.jpg", number)
        eventually(lambda: measured(place) == FEWEST_ITEMS + 11, within=STARTS_WITHIN)

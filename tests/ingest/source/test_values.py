"""Values on their way from a folder into the index: prices that get cents, names as a Mac writes them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pytest

from recq.index.schema import FieldType
from tests.asking import matching
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "shop", tmp_path / "data")


def found(place: Place, *filters: str) -> list[str]:
    with place.catalog() as catalog:
        return [item.file.path for item in matching(catalog, filters, 99)]


def test_a_price_that_gets_cents_later_widens_its_field(place: Place) -> None:
    """From a table, from a sidecar, while the daemon runs and between two runs; nothing is embedded again."""
    for number, name in enumerate("abcd"):
        put(place.root / f"{name}.jpg", number)
    table = place.root / "metadata.csv"
    table.write_text("file,price,weight\na.jpg,65,1\n")
    assert place.once().returncode == 0
    assert _types(place) == {"price": FieldType.INTEGER, "weight": FieldType.INTEGER}
    table.write_text("file,price,weight\na.jpg,65,1\nb.jpg,19.99,2\n")
    done = place.once("--log-format", "json")
    assert done.returncode == 0, done.stderr
    assert '"event": "metadata"' in done.stderr
    assert '"path": "a.jpg"' not in done.stderr  # its price is what it was
    assert _types(place) == {"price": FieldType.FLOAT, "weight": FieldType.INTEGER}
    assert found(place, "price<=100") == ["a.jpg", "b.jpg"]
    with place.daemon() as daemon:
        daemon.ready()
        (place.root / "c.jpg.json").write_text('{"price": 4, "weight": 0.5}')
        daemon.said("metadata", path="c.jpg")
        assert found(place, "weight<=1") == ["a.jpg", "c.jpg"]
        table.write_text("file,price,weight\na.jpg,65,1\nb.jpg,19.99,2\nd.jpg,100,2.25\n")
        daemon.said("metadata", path="d.jpg")
        assert found(place, "price<=100") == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
        assert found(place, "weight=2..3") == ["b.jpg", "d.jpg"]
        assert not daemon.events("indexed")
        assert not daemon.events("misfit")
    assert '"event": "metadata"' not in place.once("--log-format", "json").stderr


def _types(place: Place) -> Mapping[str, FieldType]:
    with place.catalog() as catalog:
        return catalog.fields.types()


def test_files_from_a_mac_have_their_rows_and_sidecars(place: Place) -> None:
    composed, decomposed = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
    put(place.root / decomposed / f"{decomposed}.jpg", 1)
    put(place.root / f"{composed}.jpg", 2)
    rows = f"file,title\n{composed}/{composed}.jpg,one\n{decomposed}.jpg,two\nnowhere/{composed}.jpg,three\n"
    (place.root / "metadata.csv").write_text(rows, encoding="utf-8")
    (place.root / f"{decomposed}.jpg.json").write_text('{"price": 5}')
    done = place.once()
    assert "1 row names no file" in done.stderr, done.stderr
    items = place.items()
    assert set(items) == {f"{decomposed}/{decomposed}.jpg", f"{composed}.jpg"}  # the bytes are the identity
    assert items[f"{decomposed}/{decomposed}.jpg"].metadata == {"category": composed, "title": "one"}
    assert items[f"{composed}.jpg"].metadata == {"title": "two", "price": 5}
    with place.daemon() as daemon:
        daemon.ready()
        (place.root / decomposed / f"{composed}.jpg.json").write_text('{"title": "from a sidecar"}')
        daemon.said("metadata", path=f"{decomposed}/{decomposed}.jpg")
        eventually(lambda: found(place, "title~sidecar") == [f"{decomposed}/{decomposed}.jpg"])
        assert found(place, f"file.path={composed}/{composed}.jpg") == [f"{decomposed}/{decomposed}.jpg"]
        assert found(place, f"category={decomposed}") == [f"{decomposed}/{decomposed}.jpg"]

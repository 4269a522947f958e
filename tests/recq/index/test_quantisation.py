"""How a server keeps vectors small: what is asked of it, what is read from it, what a rebuild keeps."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from qdrant_client import QdrantClient, models

from recq.errors import IndexRefused
from recq.index.catalog import Catalog
from recq.index.quantisation import METHODS, Kind, Measured, Quantised, quantise, quantised_text
from tests.qdrant_server import QdrantServer
from tests.recq.index.conftest import SPACE, opened

MEASURED = Measured(10, 0.9975, 0.97, 1.0, 200, "2026-11-27T12:00:00+00:00")
WANTED = dataclasses.replace(Quantised.of_kind(Kind.INT8, 2.5), measured=MEASURED)


class Noting:
    """A connection to a server of some version that notes what is asked of it."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.asked: list[dict[str, Any]] = []

    def info(self) -> Any:
        return SimpleNamespace(version=self.version)

    def update_collection(self, collection: str, **what: Any) -> None:
        self.asked.append(what)


def test_its_memory_is_that_of_its_bits_and_of_originals_that_stay() -> None:
    assert [Quantised.of_kind(kind).bits for kind in Kind] == [8, 4, 2, 2]
    assert Quantised.of_kind(Kind.INT8, on_disk=False).bits == 40
    assert all(method.oversampling > 1 for method in METHODS.values())


def test_it_is_told_in_words() -> None:
    assert quantised_text(WANTED.to_json()) == "int8, originals on disk, recall@10 0.9975 when it was measured"
    assert quantised_text(WANTED.elsewhere.to_json()) == "int8, originals on disk, recall not measured in this space"


def test_what_an_older_server_would_ignore_is_not_asked_of_it() -> None:
    old, new = Noting("1.17.0"), Noting("1.18.0")
    turbo = Quantised.of_kind(Kind.TURBO)
    with pytest.raises(IndexRefused, match=r"^--kind turbo needs TurboQuant, which Qdrant has since 1\.18"):
        quantise(cast(QdrantClient, old), "shop", turbo)
    assert old.asked == []
    quantise(cast(QdrantClient, new), "shop", turbo)
    record, params = new.asked
    assert record == {"metadata": {"quantised": {"oversampling": 4.0, "measured": None}}}
    config = params["vectors_config"]["image"].model_dump(exclude_none=True, mode="json")
    assert config == {"quantization_config": {"turbo": {"always_ram": True, "bits": "bits4"}}, "on_disk": True}


def test_the_embedded_engine_has_none(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with opened("embedded", tmp_path, request) as client:
        assert Catalog.create(client, "shop", SPACE).quantised is None


@pytest.mark.server
@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.TURBO])
def test_it_is_switched_on_read_kept_by_a_rebuild_and_switched_off(own_server: QdrantServer, kind: Kind) -> None:
    client = QdrantClient(url=own_server.url, check_compatibility=False)
    catalog = Catalog.create(client, "shop", SPACE)
    wanted = dataclasses.replace(WANTED, kind=kind)
    assert catalog.quantised is None
    quantise(client, catalog.collection, wanted)
    assert Catalog.open(client, "shop").quantised == wanted
    rebuilt = Catalog.begin_rebuild(client, "shop", dataclasses.replace(SPACE, weights="1"))
    assert rebuilt.quantised == wanted.elsewhere, "of other vectors nothing was measured"
    rebuilt.finish_rebuild()
    quantise(client, rebuilt.collection, None)
    assert Catalog.open(client, "shop").quantised is None
    client.close()


@pytest.mark.server
def test_one_that_somebody_else_has_switched_on_is_searched_as_well(own_server: QdrantServer) -> None:
    """By the collection's own setting, without a record of recq's."""
    client = QdrantClient(url=own_server.url, check_compatibility=False)
    catalog = Catalog.create(client, "shop", SPACE)
    scalar = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8))
    client.update_collection(catalog.collection, quantization_config=scalar)
    assert catalog.quantised == Quantised(Kind.INT8, METHODS[Kind.INT8].oversampling, on_disk=False)
    client.close()

"""How a catalog lies on a server's nodes: decided when it is made, kept by a rebuild, refused where it cannot be."""

from __future__ import annotations

import dataclasses

import pytest

from recq.errors import UsageError
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.index.placement import Placement, placement_text
from recq.operate.status import placement_in
from recq.settings import Settings
from tests.qdrant_server import QdrantServer
from tests.recq.index.conftest import SPACE


@pytest.mark.server
def test_it_is_decided_at_the_beginning_and_kept_by_a_rebuild(own_server: QdrantServer) -> None:
    settings = Settings(url=own_server.url, catalog="shop", shards=3, replicas=2, write_consistency=2)
    wanted = Placement(3, 2, 2)
    assert Placement.from_settings(settings) == wanted
    with connect(settings) as client:
        made = Catalog.create(client, "shop", SPACE, placement=wanted)
        assert made.placement == wanted
        rebuilt = Catalog.begin_rebuild(client, "shop", dataclasses.replace(SPACE, weights="1"))
        rebuilt.finish_rebuild()
        opened = Catalog.open(client, "shop")
        assert (opened.space.weights, opened.placement) == ("1", wanted)
        assert placement_in(opened, settings) == {"shards": 3, "replicas": 2, "write_consistency": 2}
        plain = Catalog.create(client, "plain", SPACE, placement=Placement.from_settings(Settings(url=own_server.url)))
        assert plain.placement == Placement(1, 1, 1)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (Settings(shards=2), "setting 'shards' is of a Qdrant server"),
        (Settings(replicas=1), "setting 'replicas' is of a Qdrant server"),
        (Settings(url="http://x", write_consistency=2), "cannot wait for 2 copies where 'replicas' is 1"),
        (Settings(url="http://x", replicas=2, write_consistency=3), "cannot wait for 3 copies where 'replicas' is 2"),
    ],
)
def test_what_cannot_be_had_is_refused(settings: Settings, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Placement.from_settings(settings)


def test_the_embedded_engine_has_one_shard_of_which_nothing_is_told() -> None:
    assert Placement.from_settings(Settings()) == Placement()
    assert Placement().given() == {}


def test_it_is_told_in_words() -> None:
    assert placement_text(Placement(1, 1, 1).to_json()) == "1 shard"
    assert placement_text(Placement(3, 1, 1).to_json()) == "3 shards"
    assert placement_text(Placement(3, 2, 1).to_json()) == "3 shards, 2 copies of each, a write waits for 1"

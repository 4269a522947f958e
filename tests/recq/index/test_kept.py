"""What a rebuild has replaced is kept, answers again in one step, and is gone when it is pruned: on every engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient

from recq.errors import TargetNotFound
from recq.index import catalog as catalogs_module
from recq.index.catalog import Catalog
from recq.index.catalogs import drop, holdings, kept, prune
from recq.index.collection import collection_name
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.space import EmbeddingSpace
from tests.recq.index.conftest import SPACE

NAME = "twice"
SECOND, THIRD = replace(SPACE, dim=4), replace(SPACE, dim=2)


def add(catalog: Catalog, *numbers: int, source: str = "shop") -> None:
    vectors = np.eye(catalog.space.dim, dtype=np.float32)
    items = [Item(FileFacts(source, f"{n}.jpg", 1, 1, f"{n:064x}"), {"number": n}) for n in numbers]
    catalog.writes.upsert([ItemVector(item, vectors[n % len(vectors)]) for n, item in zip(numbers, items, strict=True)])


@pytest.fixture(autouse=True)
def first(client: QdrantClient) -> Catalog:
    for alias in client.get_aliases().aliases:
        if alias.alias_name == NAME:
            client.delete_collection(alias.collection_name)
    made = Catalog.create(client, NAME, SPACE)
    made.sources.register(Path("/data/shop"))
    add(made, 0, 1, 2)
    return made


def rebuilt(client: QdrantClient, space: EmbeddingSpace, *numbers: int) -> Catalog:
    catalog = Catalog.begin_rebuild(client, NAME, space)
    add(catalog, *numbers)
    catalog.finish_rebuild()
    return Catalog.open(client, NAME)


def there(client: QdrantClient) -> set[str]:
    names = {each.name for each in client.get_collections().collections}
    return {name for name in names if name.startswith(f"{NAME}--")}


def test_it_is_kept_with_what_it_takes(client: QdrantClient) -> None:
    assert kept(client, NAME) is None
    now = rebuilt(client, SECOND, 0, 1)
    found = now.kept()
    assert found is not None
    assert (found.collection, found.space, found.items, found.size) == (collection_name(NAME, SPACE), SPACE, 3, 96)
    assert found.text.startswith(f"3 items in {SPACE.label}, replaced on 20")
    held = holdings(client, NAME)
    assert (held.kept, held.left) == (found.collection, ())


def test_the_alias_moves_back_and_forth(client: QdrantClient) -> None:
    rebuilt(client, SECOND, 0, 1)
    back = Catalog.rollback(client, NAME)
    assert Catalog.open(client, NAME).space == back.space == SPACE
    assert Catalog.open(client, NAME).items.count() == 3
    assert Catalog.rollback(client, NAME).space == SECOND
    assert Catalog.open(client, NAME).items.count() == 2
    assert there(client) == {collection_name(NAME, SPACE), collection_name(NAME, SECOND)}


def test_sources_are_as_they_are_today(client: QdrantClient) -> None:
    now = rebuilt(client, SECOND, 0, 1)
    now.sources.register(Path("/data/press"))
    now.drop_source("shop")
    back = Catalog.rollback(client, NAME)
    assert list(back.sources.all()) == ["press"]
    assert back.items.count() == 0, "what was taken out of the index does not come back"


def going_back_beside_a_daemon(client: QdrantClient, name: str) -> Catalog:
    catalog = Catalog.begin_rollback(client, name)
    catalog.finish_rebuild()
    return catalog


@pytest.mark.parametrize("go_back", [Catalog.rollback, going_back_beside_a_daemon])
def test_the_same_fields_are_predicted_as_today(
    client: QdrantClient, first: Catalog, go_back: Callable[[QdrantClient, str], Catalog]
) -> None:
    first.predicting.choose({"kind": "old", "gone": "old"})
    now = rebuilt(client, SECOND, 0, 1)
    chosen = {"kind": "new", "shape": "new"}
    now.predicting.choose(chosen)
    assert go_back(client, NAME).predicting.all() == chosen


def test_the_next_rebuild_replaces_what_was_kept(client: QdrantClient) -> None:
    rebuilt(client, SECOND, 0, 1)
    now = rebuilt(client, THIRD, 0)
    found = now.kept()
    assert found is not None
    assert found.space == SECOND
    assert there(client) == {collection_name(NAME, SECOND), collection_name(NAME, THIRD)}


def test_a_rebuild_into_what_is_kept_begins_with_it(client: QdrantClient) -> None:
    now = rebuilt(client, SECOND, 0, 1)
    now.drop_source("shop")
    again = Catalog.begin_rebuild(client, NAME, SPACE)
    assert again.items.count() == 0, "but not with what was taken out of the index since"
    rebuilt(client, THIRD, 0)
    Catalog.rollback(client, NAME)
    assert Catalog.open(client, NAME).space == SECOND


def test_pruned_there_is_no_way_back(client: QdrantClient) -> None:
    now = rebuilt(client, SECOND, 0, 1)
    found = now.kept()
    assert found is not None
    client.delete_collection(found.collection)  # a prune that was killed
    assert now.kept() is None
    prune(client, NAME, found.collection)
    assert holdings(client, NAME).kept is None
    with pytest.raises(TargetNotFound, match="nothing to go back to"):
        Catalog.rollback(client, NAME)
    assert Catalog.open(client, NAME).items.count() == 2


def test_dropping_takes_it_as_well(client: QdrantClient) -> None:
    rebuilt(client, SECOND, 0, 1)
    Catalog.begin_rebuild(client, NAME, THIRD)
    drop(client, holdings(client, NAME))
    assert there(client) == set()


@pytest.mark.parametrize("step", ["finish", "rollback"])
def test_killed_before_the_alias_moves_nothing_has_changed(
    client: QdrantClient, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    rebuilt(client, SECOND, 0, 1)
    with monkeypatch.context() as patch:
        patch.setattr(catalogs_module, "point_alias", kill)
        with pytest.raises(KeyboardInterrupt):
            rebuilt(client, THIRD, 0) if step == "finish" else Catalog.rollback(client, NAME)
    now = Catalog.open(client, NAME)
    found = now.kept()
    assert found is not None
    assert (now.space, found.space, now.items.count()) == (SECOND, SPACE, 2)
    assert Catalog.rollback(client, NAME).space == SPACE

"""Which catalogs an index has, and that dropping one takes all of it and nothing else: on every engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from recq.errors import IndexRefused, TargetNotFound
from recq.index.catalog import Catalog
from recq.index.catalogs import drop, holdings, missing, names
from recq.index.collection import collection_name
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from tests.recq.index.conftest import SPACE

OTHER = replace(SPACE, size=16)


def stocked(client: QdrantClient, name: str, items: int = 3) -> Catalog:
    catalog = Catalog.create(client, name, SPACE)
    vectors = np.eye(SPACE.dim, dtype=np.float32)
    catalog.writes.upsert(
        [ItemVector(Item(FileFacts("shop", f"{n}.jpg", 1, 1, f"{n:064x}")), vectors[n]) for n in range(items)]
    )
    return catalog


def alias(client: QdrantClient, name: str, collection: str) -> None:
    made = models.CreateAlias(collection_name=collection, alias_name=name)
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=made)])


def collections(client: QdrantClient) -> set[str]:
    return {each.name for each in client.get_collections().collections}


def aliases(client: QdrantClient) -> set[str]:
    return {each.alias_name for each in client.get_aliases().aliases}


@pytest.fixture(autouse=True)
def only_these(client: QdrantClient) -> None:
    """A server is shared: what other tests left there is none of these catalogs."""
    for each in client.get_aliases().aliases:
        if each.alias_name in ("shop", "shop--x", "shoes", "prod"):
            client.delete_collection(each.collection_name)


def test_dropping_takes_the_alias_and_all_collections_and_nothing_else(client: QdrantClient) -> None:
    stocked(client, "shop")
    kept = stocked(client, "shoes")
    Catalog.begin_rebuild(client, "shop", OTHER)  # and killed
    held = holdings(client, "shop")
    assert held.current == collection_name("shop", SPACE)
    assert held.left == (collection_name("shop", OTHER),)
    before = collections(client)
    drop(client, held)
    assert before - collections(client) == {collection_name("shop", SPACE), collection_name("shop", OTHER)}
    assert "shop" not in aliases(client)
    assert "shop" not in names(client)
    assert "shoes" in names(client)
    assert kept.items.count() == 3
    assert Catalog.create(client, "shop", OTHER).items.count() == 0, "the name is free, in any space"


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_drop_that_was_killed_is_finished_by_the_next(client: QdrantClient, steps: int) -> None:
    stocked(client, "shop")
    Catalog.begin_rebuild(client, "shop", OTHER)
    whole = holdings(client, "shop")
    assert whole.current is not None
    client.delete_collection(whole.left[0])
    if steps > 1:
        gone = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name="shop"))
        client.update_collection_aliases([gone])
    if steps > 2:
        client.delete_collection(whole.current)
        with pytest.raises(TargetNotFound):
            holdings(client, "shop")
        return
    drop(client, holdings(client, "shop"))
    assert whole.current not in collections(client)
    assert "shop" not in aliases(client)


def test_names_of_other_programs_for_it_are_told(client: QdrantClient) -> None:
    stocked(client, "shop")
    alias(client, "prod", collection_name("shop", SPACE))
    assert holdings(client, "shop").also == ("prod",)
    borrowed = holdings(client, "prod")
    assert not borrowed.own
    drop(client, borrowed)  # the name alone: the collection is that of the catalog shop
    assert Catalog.open(client, "shop").items.count() == 3
    assert "prod" not in aliases(client)


def test_what_recq_did_not_make_stays(client: QdrantClient) -> None:
    foreign = "shop--0123456789ab"
    vectors = {"image": models.VectorParams(size=4, distance=models.Distance.COSINE)}
    client.create_collection(foreign, vectors_config=vectors)
    alias(client, "prod", foreign)
    assert "prod" not in names(client)
    with pytest.raises(IndexRefused, match="which recq did not make"):
        holdings(client, "prod")
    with pytest.raises(TargetNotFound):
        holdings(client, "shop")
    stocked(client, "shop")
    drop(client, holdings(client, "shop"))
    assert foreign in collections(client)
    client.delete_collection(foreign)


def test_a_catalog_whose_name_begins_like_another_keeps_its_collections(client: QdrantClient) -> None:
    stocked(client, "shop")
    other = stocked(client, "shop--x")
    assert holdings(client, "shop").left == ()
    drop(client, holdings(client, "shop"))
    assert other.items.count() == 3


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("shp", "did you mean 'shop'?"),
        ("SHOP", "did you mean 'shop'?"),
        ("zzz", "(there is: images, shop)"),
    ],
)
def test_a_mistyped_name_gets_a_suggestion(wrong: str, told: str) -> None:
    assert missing(wrong, ["images", "shop"]) == (
        f"catalog {wrong!r} does not exist here{':' if 'mean' in told else ''} {told}"
    )
    assert missing("x", []) == "catalog 'x' does not exist here"

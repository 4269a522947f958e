"""Points that other programs wrote into the collection: readers pass them over, nobody falls over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from recq.index.catalog import Catalog
from recq.index.parameters import Parameters, Sort
from recq.index.points import ItemVector
from recq.index.schema import VECTOR, FileFacts, Item
from recq.index.similarity import Liked
from tests.asking import nearest
from tests.recq.index.conftest import SPACE

N = 60
FORMS: dict[str, dict[str, Any]] = {
    "no payload": {},
    "no file": {"category": "sofa", "price": 3.0},
    "text": {"file": "a.jpg", "category": "sofa", "price": 3.0},
    "null": {"file": None, "category": "sofa"},
    "list": {"file": [{"source": "shop", "path": "x.jpg", "size": 1, "mtime_ns": 1}], "category": "sofa"},
    "nothing in it": {"file": {}, "category": "sofa"},
    "a path alone": {"file": {"path": "a/001.jpg", "name": "001.jpg"}, "category": "sofa"},
    "a source alone": {"file": {"source": "shop"}, "category": "sofa", "price": 3.0},
    "no size": {"file": {"source": "shop", "path": "a/001.jpg", "mtime_ns": 1}, "category": "sofa"},
    "numbers": {"file": {"source": 5, "path": 7, "size": 1, "mtime_ns": 1}, "category": "sofa"},
    "words": {"file": {"source": "shop", "path": "q.jpg", "size": "1", "mtime_ns": "2"}, "category": "sofa"},
    "lists": {"file": {"source": ["shop"], "path": ["q.jpg"], "size": 1, "mtime_ns": 1}, "category": "sofa"},
    "true": {"file": {"source": "shop", "path": "q.jpg", "size": True, "mtime_ns": 1}, "category": "sofa"},
}
UNCOUNTED = ("no payload", "no file", "text", "null", "list", "nothing in it", "a path alone")
"""Without `file.source`: no engine counts them. The others have what an item has in part; they are in no row."""


def vector(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=SPACE.dim).astype(np.float32)


def filled(client: QdrantClient, forms: tuple[str, ...]) -> tuple[Catalog, set[str]]:
    """A catalog with `N` items and two foreign points of each form, some with a number for an id."""
    catalog = Catalog.create(client, "images", SPACE)
    catalog.writes.upsert(
        [
            ItemVector(
                Item(
                    FileFacts("shop", f"a/{n:03d}.jpg", 10, 10, sha256=f"{n:064x}"),
                    {"category": "sofa" if n % 3 else "bed", "price": n * 1.5},
                ),
                vector(n),
            )
            for n in range(N)
        ]
    )
    points = [
        models.PointStruct(
            id=number if number % 2 else f"00000000-0000-0000-0000-{number:012d}",
            vector={VECTOR: vector(0).tolist()},  # as near as can be to the first item
            payload=FORMS[form],
        )
        for number, form in enumerate([*forms, *forms])
    ]
    if points:
        client.upsert(catalog._collection, points=points, wait=True)
    return catalog, {str(point.id) for point in points}


@pytest.fixture
def plain(client: QdrantClient) -> Catalog:
    """With the forms that any engine can tell from items."""
    return filled(client, UNCOUNTED)[0]


@pytest.fixture
def all_forms(client: QdrantClient) -> tuple[Catalog, set[str]]:
    return filled(client, tuple(FORMS))


def test_counts_and_facets_are_those_of_items(plain: Catalog) -> None:
    assert plain.items.count() == N
    assert plain.items.count(["category=sofa"]) == 40
    assert plain.ledger.count_failed() == 0
    assert plain.finder.find(Parameters(5, filters=("category=sofa",), keep_duplicates=True)).total == 40
    assert plain.values.facets("category").rows == [("sofa", 40), ("bed", 20)]
    assert sum(count for _, count in plain.values.facets("price").rows) == N
    background = plain.background()
    assert background is not None


def test_an_answer_has_as_many_rows_as_were_asked_for(all_forms: tuple[Catalog, set[str]]) -> None:
    """The nearest 26 points of the vector are foreign: they stand before every item but one."""
    catalog, _ = all_forms
    whole = [hit.item.file.path for hit in nearest(catalog, vector(0), N)]
    assert len(whole) == N
    assert whole[0] == "a/000.jpg"
    for k in (1, 5, 20):
        assert [hit.item.file.path for hit in nearest(catalog, vector(0), k)] == whole[:k]
    assert len(nearest(catalog, vector(0), 10, ["category=sofa"])) == 10
    page = catalog.finder.rank(vector(0), Parameters(5, offset=10, keep_duplicates=True))
    assert [hit.item.file.path for hit in page.hits] == whole[10:15]
    groups = catalog.finder.rank(vector(0), Parameters(5, group_by="category"))
    assert sorted(str(hit.item.metadata["category"]) for hit in groups.hits) == ["bed", "sofa"]
    varied = catalog.finder.rank(vector(0), Parameters(5, diversity=0.5))
    assert len(varied.hits) == 5
    liked = catalog.finder.rank(Liked((vector(0), vector(1)), ()), Parameters(5))
    assert len(liked.hits) == 5


def test_searches_have_items_alone(all_forms: tuple[Catalog, set[str]]) -> None:
    catalog, _ = all_forms
    orders = [Sort(field, down) for field in ("price", "category", "file.size") for down in (False, True)]
    for sort in (None, *orders):
        found = catalog.finder.find(Parameters(N, sort=sort, keep_duplicates=True))
        assert len(found.hits) == N, sort
        assert len(catalog.finder.find(Parameters(7, sort=sort, filters=("category=sofa",))).hits) == 7, sort


def test_every_stream_and_lookup_passes_them_over(all_forms: tuple[Catalog, set[str]]) -> None:
    catalog, foreign = all_forms
    paths = sorted(f"a/{n:03d}.jpg" for n in range(N))
    assert sorted(item.file.path for item in catalog.items.rows()) == paths
    assert sorted(item.file.path for item in catalog.ledger.scan("shop")) == paths
    assert sorted(entry.item.file.path for entry in catalog.items.entries()) == paths
    assert sorted(entry.item.file.path for entry in catalog.items.entries([])) == paths
    assert list(catalog.ledger.failed()) == []
    assert list(catalog.ledger.marked("shop")) == []
    assert list(catalog.problems.items()) == []
    uuids = [point for point in foreign if not point.isdecimal()]
    assert catalog.ledger.get_many(uuids) == {}
    assert catalog.ledger.known(uuids) == {}
    assert [item.file.path for item in catalog.lookups.find_path("a/001.jpg")] == ["a/001.jpg"]
    assert [item.file.path for item in catalog.lookups.find_name("001.jpg")] == ["a/001.jpg"]
    facets = catalog.values.facets("category")  # those with a source cannot be told from items by an engine
    assert {label for label, _ in facets.rows} == {"sofa", "bed"}


def test_they_are_listed_and_can_be_removed(all_forms: tuple[Catalog, set[str]]) -> None:
    catalog, foreign = all_forms
    assert set(catalog.ledger.foreign_points()) == foreign
    catalog.writes.delete(sorted(foreign))
    assert list(catalog.ledger.foreign_points()) == []
    assert catalog.items.count() == N


def test_a_point_whose_payload_somebody_cleared_is_written_anew(plain: Catalog, client: QdrantClient) -> None:
    item = plain.lookups.find_path("a/001.jpg")[0]
    client.overwrite_payload(plain._collection, {}, points=[item.id], wait=True)
    assert item.id in set(plain.ledger.foreign_points())
    assert plain.ledger.known([item.id]) == {}
    plain.writes.upsert([ItemVector(item, vector(1))])
    assert item.id not in set(plain.ledger.foreign_points())


def test_bytes_of_a_foreign_point_give_no_vector(client: QdrantClient) -> None:
    """Somebody else's vector under a hash of ours would be taken for the picture's."""
    catalog, _ = filled(client, ())
    digest = "f" * 64
    point = models.PointStruct(id=1, vector={VECTOR: vector(5).tolist()}, payload={"file": {"sha256": digest}})
    client.upsert(catalog._collection, points=[point], wait=True)
    assert catalog.ledger.vectors_by_sha256([digest]) == {}
    assert list(catalog.ledger.holders([digest])) == []


FACTS = {"source": "shop", "path": "x.jpg", "size": 1, "mtime_ns": 1}
OTHER = "e" * 64
DIGESTS: dict[str, dict[str, Any]] = {
    "a list of digests": {"sha256": ["f" * 64]},
    "a digest twice": {"sha256": ["f" * 64, OTHER]},
    "a list of lists": {"sha256": [["f" * 64], "f" * 64]},
    "a decoder in words": {"sha256": "f" * 64, "decoder": "newest"},
    "a list of decoders": {"sha256": "f" * 64, "decoder": [9]},
    "an object for a decoder": {"sha256": "f" * 64, "decoder": {"revision": 9}},
}


@pytest.mark.parametrize("form", DIGESTS)
@pytest.mark.parametrize("facts", [FACTS, {"source": "shop"}], ids=["an item's facts", "a source alone"])
def test_digests_and_decoders_of_any_form_are_passed_over(
    client: QdrantClient, form: str, facts: dict[str, Any]
) -> None:
    """Filters find a digest in a list as well; the picture that has it is found beside."""
    catalog, _ = filled(client, ())
    digest = "f" * 64
    own = FileFacts("shop", "own.jpg", 1, 1, sha256=digest, decoder=3)
    catalog.writes.upsert([ItemVector(Item(own), vector(7))])
    foreign = [
        models.PointStruct(id=number, vector={VECTOR: vector(5).tolist()}, payload={"file": {**facts, **part}})
        for number, part in enumerate([DIGESTS[form], {"sha256": [digest]}], start=1)
    ]
    client.upsert(catalog._collection, points=foreign, wait=True)
    carried = catalog.ledger.vectors_by_sha256([digest, OTHER])
    assert [(key, each.decoder) for key, each in carried.items()] == [(digest, 3)]
    cosine = carried[digest].vector @ vector(7) / np.linalg.norm(vector(7))
    assert cosine == pytest.approx(1, abs=1e-5)
    assert catalog.ledger.predictions_by_sha256([digest, OTHER], "category", "0f") == {}
    assert own.path in {item.file.path for item in catalog.ledger.holders([digest])}

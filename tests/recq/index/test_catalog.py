"""The catalog gives the same answers on every engine: literal expectations, three engines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from recq.errors import FilterError, ImageError, IndexRefused, Reason, SpaceMismatch, TargetNotFound, UsageError
from recq.index.catalog import Catalog
from recq.index.points import ItemVector, Points
from recq.index.problems import Problem, ProblemKind
from recq.index.schema import SCHEMA_VERSION, FieldType, FileFacts, Item, ItemError, Value
from recq.index.sources import Watcher
from tests.asking import matching, nearest, stored_vector
from tests.recq.index.conftest import SPACE

N = 60
COSINE = models.Distance.COSINE


def item(number: int, **metadata: Value) -> Item:
    facts = FileFacts(
        source="shop", path=f"a/{number:03d}.jpg", size=10, mtime_ns=10, sha256=f"{number % 7:064x}",
        format="JPEG", width=300 + number, height=200,
    )  # fmt: skip
    return Item(facts, metadata)


def vector(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=SPACE.dim).astype(np.float32)


def full(number: int) -> ItemVector:
    return ItemVector(
        item(
            number,
            category="sofa" if number % 3 else "bed",
            price=number * 1.5,
            stock=number,
            released=f"2024-0{1 + number % 9}-03",
            sale=number % 2 == 0,
            title=f"Big Tote, Größe {number}",
            labels=["a", "b"] if number % 2 else ["c"],
            **{"Price (EUR)": number * 2.0},
        ),
        vector(number),
    )


FAILED = ItemVector(
    replace(item(999, category="sofa"), error=ItemError(Reason.TRUNCATED, "ends early", "2026-01-01T00:00:00Z")), None
)
BARE = ItemVector(item(998), vector(998))


def filled(client: QdrantClient, name: str) -> Catalog:
    made = Catalog.create(client, name, SPACE)
    made.writes.upsert([full(number) for number in range(N)])
    made.writes.upsert([FAILED, BARE])
    return made


@pytest.fixture
def catalog(client: QdrantClient) -> Catalog:
    """For tests that write."""
    return filled(client, "images")


@pytest.fixture(scope="module")
def stocked(shared_client: QdrantClient) -> Catalog:
    """For tests that only read."""
    return filled(shared_client, "stocked")


def paths_of(items: list[Item]) -> set[int]:
    return {int(found.file.path[2:5]) for found in items}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], {*range(N), 998}),
        (["category=sofa"], {n for n in range(N) if n % 3}),
        (["category=sofa|bed"], set(range(N))),
        (["category!=sofa"], {998} | {n for n in range(N) if n % 3 == 0}),
        (["category!=sofa,bed"], {998}),
        (["price<=10"], set(range(7))),
        (["price<9"], set(range(6))),
        (["price=9"], {6}),
        (["price=9,10.5,11"], {6, 7}),
        (["price!=9"], ({*range(N), 998}) - {6}),
        (["price=..3"], {0, 1, 2}),
        (["price=87.."], {58, 59}),
        (["stock=3..5", "sale=true"], {4}),
        (["stock=3,5"], {3, 5}),
        (["stock>=58"], {58, 59}),
        (["sale=false", "stock<4"], {1, 3}),
        (["labels=a"], {n for n in range(N) if n % 2}),
        (["labels!=a"], {998} | {n for n in range(N) if n % 2 == 0}),
        (["title~tote 4"], {4}),
        (["title~TOTE 4"], {4}),
        (["title~grö"], set()),
        (["title~GRÖSSE 7"], {7}),
        (["title!~größe", "stock<3"], set()),
        (["title!~größe 7", "stock<9", "stock>=6"], {6, 8}),
        (["title!~größe"], {998}),
        (["title~größe 7"], {7}),
        (["title~7 big"], {7}),
        (["released=2024-02"], {n for n in range(N) if n % 9 == 1}),
        (["released=2024-02-03"], {n for n in range(N) if n % 9 == 1}),
        (["released<2024-02"], {n for n in range(N) if n % 9 == 0}),
        (["released>2024-08"], {n for n in range(N) if n % 9 == 8}),
        (["released=2025"], set()),
        (["price?"], set(range(N))),
        (["!price?"], {998}),
        (["has:labels", "stock<2"], {0, 1}),
        (["no:category"], {998}),
        (["Price (EUR)=..4"], {0, 1, 2}),
        (["file.name=005.jpg"], {5}),
        (["file.width<=302"], {0, 1, 2}),
    ],
    ids=str,
)
def test_filters(stocked: Catalog, filters: list[str], expected: set[int]) -> None:
    assert paths_of(matching(stocked, filters, 1000)) == expected
    assert stocked.items.count(filters) == len(expected)


def test_types_belong_to_fields(stocked: Catalog) -> None:
    assert stocked.fields.types(refresh=True) == {
        "category": FieldType.STRING,
        "price": FieldType.FLOAT,
        "stock": FieldType.INTEGER,
        "released": FieldType.DATE,
        "sale": FieldType.BOOL,
        "title": FieldType.STRING,
        "labels": FieldType.STRING,
        "Price (EUR)": FieldType.FLOAT,
    }


def test_a_value_that_does_not_fit_is_kept_and_said_once(catalog: Catalog) -> None:
    said: list[tuple[str, Value]] = []
    catalog.writes.on_misfit = lambda field, value, _: said.append((field, value))
    odd = ItemVector(item(500, price="n/a"), vector(500))
    catalog.writes.upsert([odd])
    catalog.writes.upsert([ItemVector(item(501, price="none"), vector(501))])
    assert said == [("price", "n/a")]
    stored = catalog.lookups.get(odd.item.id)
    assert stored is not None
    assert stored.metadata == {"price": "n/a"}


@pytest.mark.parametrize(
    ("field", "rows", "total"),
    [
        ("category", [("sofa", 40), ("bed", 20)], 60),
        ("labels", [("a", 30), ("b", 30), ("c", 30)], 60),
        ("sale", [("false", 30), ("true", 30)], 60),
        ("price", [("0..10", 7), ("10..20", 7), ("20..30", 6), ("30..40", 7), ("40..50", 7), ("50..60", 6),
                   ("60..70", 7), ("70..80", 7), ("80..90", 6)], 60),
        ("released", [(f"2024-0{m}", 7 if m <= 6 else 6) for m in range(1, 10)], 60),
        ("file.format", [("JPEG", 61)], 61),
    ],
)  # fmt: skip
def test_facets(stocked: Catalog, field: str, rows: list[tuple[str, int]], total: int) -> None:
    found = stocked.values.facets(field)
    assert found.rows == rows
    assert found.total == total


def test_facets_obey_filters(stocked: Catalog) -> None:
    assert stocked.values.facets("category", ["price<=3"]).rows == [("sofa", 2), ("bed", 1)]
    assert stocked.values.facets("stock", ["stock<3"]).rows == [("0", 1), ("1", 1), ("2", 1)]


@pytest.mark.parametrize("field", ["file.size", "nonsense"])
def test_facets_need_an_index(stocked: Catalog, field: str) -> None:
    with pytest.raises(FilterError):
        stocked.values.facets(field)


def expected_neighbours(query: int, among: list[int]) -> list[tuple[int, float]]:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    scored = [(n, cosine(vector(query), vector(n))) for n in among if n != query]
    return sorted(scored, key=lambda pair: -pair[1])


@pytest.mark.parametrize("by_id", [True, False])
def test_nearest(stocked: Catalog, by_id: bool) -> None:
    hits = nearest(stocked, full(8).item.id if by_id else vector(8), 5, ["category=bed"])
    expected = expected_neighbours(8, [n for n in range(N) if n % 3 == 0])[:5]
    assert [int(hit.item.file.path[2:5]) for hit in hits] == [n for n, _ in expected]
    assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-5)


def test_nearest_with_a_floor(stocked: Catalog) -> None:
    expected = [pair for pair in expected_neighbours(7, [*range(N), 998]) if pair[1] >= 0.5]
    hits = nearest(stocked, full(7).item.id, 100, min_score=0.5)
    assert [int(hit.item.file.path[2:5]) for hit in hits] == [n for n, _ in expected]


def test_a_failed_item_is_seen_only_as_failed(stocked: Catalog) -> None:
    assert stocked.ledger.count_failed() == stocked.ledger.count_failed(source="shop") == 1
    assert [found.error.reason for found in stocked.ledger.failed("shop") if found.error] == [Reason.TRUNCATED]
    assert FAILED.item.id not in {hit.item.id for hit in nearest(stocked, vector(1), 1000)}
    assert FAILED.item.id not in {found.id for found in matching(stocked, [], 1000)}
    stored = stocked.lookups.get(FAILED.item.id)
    assert stored is not None
    assert stored.error == FAILED.item.error
    assert stored_vector(stocked, FAILED.item.id) is None


def test_a_failed_item_that_recovers(catalog: Catalog) -> None:
    catalog.writes.upsert([ItemVector(replace(FAILED.item, error=None), vector(999))])
    assert catalog.ledger.count_failed() == 0
    assert stored_vector(catalog, FAILED.item.id) == pytest.approx(vector(999) / np.linalg.norm(vector(999)), abs=1e-6)
    catalog.writes.upsert([FAILED])
    assert catalog.ledger.count_failed() == 1
    assert stored_vector(catalog, FAILED.item.id) is None


def test_replaced_metadata_forgets_removed_fields_and_keeps_the_vector(catalog: Catalog) -> None:
    before = stored_vector(catalog, full(4).item.id)
    catalog.writes.replace_metadata([item(4, category="lamp", colour="red")])
    stored = catalog.lookups.get(full(4).item.id)
    assert stored is not None
    assert stored.metadata == {"category": "lamp", "colour": "red"}
    assert np.array_equal(stored_vector(catalog, stored.id), before)  # type: ignore[arg-type]
    assert catalog.items.count(["title~tote 4"]) == 0
    assert paths_of(matching(catalog, ["colour~RED"], 5)) == {4}


def test_scan_streams_everything(stocked: Catalog) -> None:
    scanned = list(stocked.ledger.scan("shop"))
    assert paths_of(scanned) == {*range(N), 998, 999}
    assert all(found.metadata == {} for found in scanned)
    assert {found.id: found.file for found in scanned}[full(3).item.id] == full(3).item.with_digest().file
    assert [found for found in scanned if found.error] == [
        replace(FAILED.item.with_digest(), metadata={}),
    ]
    assert list(stocked.ledger.scan("nowhere")) == []


def test_vectors_are_carried_by_their_bytes(stocked: Catalog) -> None:
    carried = stocked.ledger.vectors_by_sha256([f"{3:064x}", "unknown"])
    assert set(carried) == {f"{3:064x}"}
    holders = [vector(number) / np.linalg.norm(vector(number)) for number in range(N) if number % 7 == 3]
    assert any(np.allclose(carried[f"{3:064x}"].vector, holder, atol=1e-6) for holder in holders)
    assert stocked.ledger.vectors_by_sha256([]) == {}


def test_no_vector_is_carried_that_came_with_other_bytes_meanwhile(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pictures change places: one of them is written while the index is asked for the bytes of both."""
    digests = ["a" * 64, "b" * 64]
    first, second = (
        replace(full(number), item=replace(item(number), file=replace(item(number).file, sha256=digest)))
        for number, digest in enumerate(digests)
    )
    catalog.writes.upsert([first, second])
    real, changed = Points._page, list[int]()

    def then_changes(*arguments: Any) -> Any:
        page = real(*arguments)
        if not changed:
            changed.append(1)
            swapped = replace(first.item, file=replace(first.item.file, sha256=digests[1]))
            failed = replace(second.item, error=FAILED.item.error)
            catalog.writes.upsert([ItemVector(swapped, second.vector), ItemVector(failed, None)])
        return page

    monkeypatch.setattr(Points, "_page", then_changes)
    for carried in (catalog.ledger.vectors_by_sha256(digests), catalog.ledger.vectors_by_sha256(digests)):
        assert carried.keys() <= {digests[1]}
        assert all(
            np.allclose(each.vector, vector(1) / np.linalg.norm(vector(1)), atol=1e-6) for each in carried.values()
        )
    assert carried, "the next question finds it"


def test_of_copies_the_vector_counts_that_the_newest_decoder_made(catalog: Catalog) -> None:
    digest = f"{3:064x}"
    for number, decoder in ((0, None), (1, 7), (2, 1)):
        file = replace(full(number).item.file, sha256=digest, decoder=decoder)
        catalog.writes.upsert([replace(full(number), item=Item(file))])
    carried = catalog.ledger.vectors_by_sha256([digest])[digest]
    assert carried.decoder == 7
    assert np.allclose(carried.vector, vector(1) / np.linalg.norm(vector(1)), atol=1e-6)


def test_rows_stream_what_filters_hold_for_with_the_fields_asked_for(stocked: Catalog) -> None:
    rows = list(stocked.items.rows(["sale=true", "stock<5"], ["category", "labels"]))
    assert {row.file.path: dict(row.metadata) for row in rows} == {
        "a/000.jpg": {"category": "bed", "labels": ["c"]},
        "a/002.jpg": {"category": "sofa", "labels": ["c"]},
        "a/004.jpg": {"category": "sofa", "labels": ["c"]},
    }
    assert all(row.file.sha256 for row in rows)
    assert {row.id for row in stocked.items.rows()} == {item(number).id for number in [*range(N), 998]}
    assert [dict(row.metadata) for row in stocked.items.rows(["stock=7"], ["Price (EUR)"])] == [{"Price (EUR)": 14.0}]


def test_vectors_of_those_ids_that_have_one(stocked: Catalog) -> None:
    found = stocked.items.vectors([item(3).id, FAILED.item.id, item(5).id, item(777).id])
    assert set(found) == {item(3).id, item(5).id}
    assert found[item(3).id] == pytest.approx(vector(3) / np.linalg.norm(vector(3)), abs=1e-6)


def test_lookups(stocked: Catalog) -> None:
    assert [found.id for found in stocked.lookups.find_path("a/005.jpg")] == [full(5).item.id]
    assert [found.id for found in stocked.lookups.find_name("999.jpg")] == [FAILED.item.id]
    assert stocked.lookups.find_name("nothing.jpg") == []
    unknown = "00000000-0000-0000-0000-000000000000"
    ledger = stocked.ledger.known([full(5).item.id, FAILED.item.id, unknown])
    assert ledger == {
        full(5).item.id: replace(full(5).item.with_digest(), metadata={}),
        FAILED.item.id: replace(FAILED.item.with_digest(), metadata={}),
    }
    assert stocked.lookups.get(unknown) is None
    assert stored_vector(stocked, unknown) is None


def test_delete(catalog: Catalog) -> None:
    catalog.writes.delete([full(5).item.id, "00000000-0000-0000-0000-000000000000"])
    assert catalog.lookups.find_path("a/005.jpg") == []
    catalog.writes.delete([])


@pytest.mark.parametrize("bad", [np.zeros(8), np.full(8, np.nan), np.array([np.inf, *[0.0] * 7]), np.ones(7)])
def test_vectors_without_a_meaning_are_refused(stocked: Catalog, bad: np.ndarray) -> None:
    with pytest.raises(ImageError):
        stocked.writes.upsert([ItemVector(item(700), bad.astype(np.float32))])
    assert stocked.lookups.find_path("a/700.jpg") == []


def test_sources(catalog: Catalog, tmp_path: Path) -> None:
    first, second = tmp_path / "x" / "shop", tmp_path / "y" / "shop"
    assert catalog.sources.register(first) == "shop"
    assert catalog.sources.register(second) == "shop-2"
    assert catalog.sources.register(first) == "shop"
    daemon = Watcher("here", 7, "2026-01-01T00:00:00Z")
    assert catalog.sources.record_reconcile("shop", ignored=2, at=daemon.at, watcher=daemon) is None
    assert catalog.sources.record_reconcile("shop", ignored=3, at="2026-01-02T00:00:00Z") == daemon
    assert catalog.sources.record_reconcile("gone", ignored=3, at="2026-01-02T00:00:00Z") is None
    known = catalog.sources.all()
    assert list(known) == ["shop", "shop-2"]
    assert catalog.sources.get("shop") == known["shop"]
    with pytest.raises(TargetNotFound, match=r"has no source 'gone' \(there is: shop, shop-2\)"):
        catalog.sources.get("gone")
    assert (known["shop"].ignored, known["shop"].watcher) == (3, daemon)
    assert known["shop"].root_here() == first
    assert catalog.sources.path_of(full(5).item) == first / "a" / "005.jpg"
    assert catalog.drop_source("shop") == N + 2
    assert list(catalog.sources.all()) == ["shop-2"]
    assert catalog.items.count() == 0


def test_with_the_last_source_the_types_of_fields_are_forgotten(catalog: Catalog, tmp_path: Path) -> None:
    catalog.sources.register(tmp_path / "shop")
    catalog.sources.register(tmp_path / "other")
    catalog.drop_source("shop")
    assert catalog.fields.types(refresh=True)["stock"] is FieldType.INTEGER
    catalog.drop_source("other")
    assert catalog.fields.types(refresh=True) == {}
    catalog.writes.upsert([ItemVector(item(1, stock="00123"), vector(1))])
    assert catalog.fields.types() == {"stock": FieldType.STRING}
    assert paths_of(matching(catalog, ["stock=00123"], 5)) == {1}
    assert paths_of(matching(catalog, ["stock~00123"], 5)) == {1}


def test_search_finds_the_first_in_the_order_of_paths(stocked: Catalog) -> None:
    found = [found.file.path for found in matching(stocked, ["category=sofa"], 5)]
    assert found == [f"a/{number:03d}.jpg" for number in (1, 2, 4, 5, 7)]


def test_opening(client: QdrantClient) -> None:
    with pytest.raises(TargetNotFound, match="recq-ingest run"):
        Catalog.open(client, "missing")
    Catalog.create(client, "images", SPACE).writes.upsert([full(1)])
    assert Catalog.open(client, "images").space == SPACE
    assert Catalog.create(client, "images", SPACE).items.count() == 1
    with pytest.raises(SpaceMismatch, match="recq-ingest rebuild"):
        Catalog.create(client, "images", replace(SPACE, size=9))
    Catalog.create(client, "others", replace(SPACE, size=9))
    with pytest.raises(TargetNotFound, match=r"images, others"):
        Catalog.open(client, "nothing")


def test_rebuild_answers_from_the_old_collection_until_it_is_done(catalog: Catalog, client: QdrantClient) -> None:
    catalog.sources.register(Path("/data/shop"))
    with pytest.raises(UsageError, match="nothing to rebuild"):
        Catalog.begin_rebuild(client, "images", SPACE)
    new_space = replace(SPACE, dim=4)
    interrupted = Catalog.begin_rebuild(client, "images", new_space)
    interrupted.writes.upsert([ItemVector(item(1), np.ones(4, np.float32))])
    new = Catalog.begin_rebuild(client, "images", new_space)
    assert new.items.count() == 1
    assert Catalog.open(client, "images").items.count() == N + 1
    assert catalog.still_current()
    new.finish_rebuild()
    assert not catalog.still_current()
    assert Catalog.open(client, "images").space == new_space
    assert list(Catalog.open(client, "images").sources.all()) == ["shop"]
    assert Catalog.open(client, "images").items.count() == 1
    assert client.collection_exists(f"images--{SPACE.fingerprint}"), "kept to go back to"
    Catalog.create(client, "images--other", SPACE)
    left_behind = "images--0123456789ab"  # by one that was killed between alias and deletion
    client.create_collection(left_behind, vectors_config={"image": models.VectorParams(size=8, distance=COSINE)})
    new.finish_rebuild()
    assert not client.collection_exists(left_behind)
    assert Catalog.open(client, "images--other").space == SPACE


def test_failed_items_are_marked_and_nothing_else(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "images", SPACE)
    catalog.writes.upsert([full(1), FAILED])
    catalog.ledger.mark_for_retry([full(1).item.id, FAILED.item.id, item(77).id])
    (marked,) = catalog.ledger.marked(FAILED.item.file.source)
    assert marked.error is not None
    assert (marked.id, marked.error.retry, marked.error.reason) == (FAILED.item.id, True, Reason.TRUNCATED)
    assert list(catalog.ledger.marked("another")) == []
    assert [each.error for each in catalog.ledger.get_many([full(1).item.id, item(77).id]).values()] == [None]
    catalog.writes.upsert([FAILED])  # the next attempt takes the mark away
    assert list(catalog.ledger.marked(FAILED.item.file.source)) == []


def test_a_ctime_is_kept_without_vector_metadata_or_anything_else_changing(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "images", SPACE)
    catalog.writes.upsert([full(1), full(2), FAILED])
    ids = [full(1).item.id, full(2).item.id, FAILED.item.id]
    before, vector = catalog.ledger.get_many(ids), stored_vector(catalog, ids[0])
    catalog.ledger.keep_ctimes({ids[0]: 1_700_000_000_123_456_789, ids[2]: 5, item(77).id: 6})  # the last one has gone
    after = catalog.ledger.get_many([*ids, item(77).id])
    assert after == {
        each: replace(before[each], file=replace(before[each].file, ctime_ns=ctime))
        for each, ctime in zip(ids, (1_700_000_000_123_456_789, None, 5), strict=True)
    }
    unchanged = stored_vector(catalog, ids[0])
    assert vector is not None
    assert unchanged is not None
    assert np.array_equal(unchanged, vector)
    catalog.ledger.keep_ctimes({ids[0]: 7})
    assert catalog.ledger.known(ids[:1])[ids[0]].file.ctime_ns == 7
    catalog.ledger.keep_ctimes({item(77).id: 6})
    catalog.ledger.keep_ctimes({})


def test_a_ctime_of_an_item_that_is_deleted_at_that_moment_hurts_nobody(
    client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another daemon deletes it between the question whether it is there and the write."""
    catalog = Catalog.create(client, "images", SPACE)
    catalog.writes.upsert([full(1), full(2), full(3)])
    ids = [full(number).item.id for number in (1, 2, 3)]
    update = QdrantClient.batch_update_points

    def late(self: QdrantClient, *arguments: Any, **options: Any) -> Any:
        monkeypatch.undo()
        catalog.writes.delete(ids[:1])
        return update(self, *arguments, **options)

    monkeypatch.setattr(QdrantClient, "batch_update_points", late)
    catalog.ledger.keep_ctimes(dict.fromkeys(ids, 9))
    assert {each: known.file.ctime_ns for each, known in catalog.ledger.known(ids).items()} == {ids[1]: 9, ids[2]: 9}


def test_confirmations_are_kept_until_they_are_taken_back(catalog: Catalog) -> None:
    catalog.sources.register(Path("/data/shop"))
    assert catalog.sources.confirmed() == {}
    catalog.sources.confirm("shop", 60)
    assert catalog.sources.confirmed() == {"shop": 60}
    assert list(catalog.sources.all()) == ["shop"]
    catalog.sources.confirm("shop", None)
    assert catalog.sources.confirmed() == {}
    catalog.sources.confirm("shop", 1)
    catalog.sources.confirm_metadata("shop", 2)
    assert (catalog.sources.confirmed(), catalog.sources.confirmed_metadata()) == ({"shop": 1}, {"shop": 2})
    catalog.drop_source("shop")
    assert (catalog.sources.confirmed(), catalog.sources.confirmed_metadata()) == ({}, {})


def test_problems_of_source_and_items_are_counted_by_kind(catalog: Catalog) -> None:
    catalog.sources.register(Path("/data/shop"), "shop")
    rows = [
        Problem(ProblemKind.ROW, "x", path="metadata.csv", line=2, count=5),
        Problem(ProblemKind.TABLE, "y", path="t"),
    ]
    catalog.problems.record("shop", rows)
    file = FileFacts("shop", "a.jpg", 1, 1)
    both = (Problem(ProblemKind.SIDECAR, "bad"), Problem(ProblemKind.FIELD, "bad", field="a"))
    catalog.writes.upsert([ItemVector(Item(file, problems=both), np.ones(catalog.space.dim, np.float32))])
    counts = {ProblemKind.TABLE: 1, ProblemKind.ROW: 5, ProblemKind.SIDECAR: 1, ProblemKind.FIELD: 1}
    assert catalog.problems.count("shop") == counts
    assert catalog.problems.of_source("shop") == tuple(rows)
    assert [each.problems for each in catalog.problems.items("shop")] == [both]
    catalog.writes.upsert([ItemVector(Item(file), np.ones(catalog.space.dim, np.float32))])
    catalog.problems.record("shop", [])
    assert catalog.problems.count("shop") == {}


def test_who_has_the_same_bytes(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "images", SPACE)
    catalog.writes.upsert([full(1), full(2), FAILED])
    digest = full(1).item.file.sha256
    assert digest is not None
    assert [each.id for each in catalog.ledger.holders([digest, "f" * 64])] == [full(1).item.id]
    own = full(1).item.file
    assert [each.id for each in catalog.ledger.holders([digest], names=[own.name, "x"], source=own.source, page=1)] == [
        own.id
    ]
    assert (
        list(catalog.ledger.holders([digest], names=["x"])) == list(catalog.ledger.holders([digest], source="x")) == []
    )


def test_an_older_index_is_brought_up_to_date_and_an_unknown_one_refused(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "images", SPACE)
    assert catalog.upgrade() is None
    name = f"images--{SPACE.fingerprint}"
    own = client.get_collection(name).config.metadata["recq"]  # type: ignore[index]
    assert own["schema"] == SCHEMA_VERSION

    def as_made_by(version: int) -> None:
        client.update_collection(name, metadata={"recq": {**own, "schema": version}})

    catalog.writes.upsert([full(1), FAILED])
    client.delete_payload_index(name, "error.retry", wait=True)
    as_made_by(1)
    old = Catalog.open(client, "images")  # readers need no upgrade
    assert old.items.count() == 1
    assert old.upgrade() == 1
    assert "error.retry" in client.get_collection(name).payload_schema
    assert Catalog.open(client, "images").upgrade() is None
    old.ledger.mark_for_retry([FAILED.item.id])
    assert [each.id for each in old.ledger.marked(FAILED.item.file.source)] == [FAILED.item.id]
    as_made_by(0)
    with pytest.raises(IndexRefused, match="run FOLDER --catalog NAME"):
        Catalog.open(client, "images")
    as_made_by(SCHEMA_VERSION + 1)
    with pytest.raises(IndexRefused, match="update recq"):
        Catalog.open(client, "images")

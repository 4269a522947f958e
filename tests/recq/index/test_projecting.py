"""A candidate becomes the catalog's own space from the stored vectors: whole, resumed, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from recq.errors import Reason, SpaceMismatch, TargetNotFound, UsageError
from recq.index import projecting
from recq.index.candidates import TRAINED_KEY, Candidate
from recq.index.catalog import Catalog
from recq.index.collection import collection_name
from recq.index.finder import Finder
from recq.index.parameters import Parameters
from recq.index.points import ItemVector, Points
from recq.index.problems import Problem, ProblemKind
from recq.index.schema import FileFacts, Item, ItemError
from recq.index.sources import Source
from recq.models.heads import Classifier, Floats, Joined, Linear
from recq.part import Part
from tests.recq.index.conftest import SPACE

ITEMS = 60
FOREIGN = 7
"""A point of another program, with a vector: it is no item, and no name of one."""
NAME = "switched"
PART = Part(2, 5)
CLASSES = ("bag", "hat", "shoe")


def drawn(rng: np.random.Generator, *shape: int) -> Floats:
    return rng.normal(size=shape).astype(np.float32)


def candidate(name: str = "by-category", from_: str = SPACE.fingerprint) -> Candidate:
    rng = np.random.default_rng(3)
    classifier = Classifier(CLASSES, drawn(rng, 3, SPACE.dim), drawn(rng, 3))
    head = Joined(classifier, 0.6, np.linalg.qr(rng.normal(size=(SPACE.dim + 3, SPACE.dim + 3)))[0][:, :6])
    return Candidate(name, "category", head, classifier, from_, "2026-11-27T00:00:00Z", calibration={"least": 0.5})


def item(number: int) -> Item:
    """Every ninth has the bytes of the one before."""
    bytes_of = number - 1 if number and number % 9 == 0 else number
    facts = FileFacts("shop", f"{number:03}.jpg", number, 1, f"{bytes_of:064x}", "PNG", 4, 4)
    problems = (Problem(ProblemKind.FIELD, "left out", field="x"),) if number == 5 else ()
    return Item(facts, {"category": CLASSES[number % 3], "price": number / 2}, problems=problems)


def entries() -> list[ItemVector]:
    rows = np.random.default_rng(1).normal(size=(ITEMS, SPACE.dim)).astype(np.float32)
    copies = np.arange(9, ITEMS, 9)
    rows[copies] = rows[copies - 1]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    error = ItemError(Reason.CORRUPT, "broken", "2026-11-21T10:00:00Z", 3, retry=True)
    failed = Item(FileFacts("shop", "broken.jpg", 4, 0), {"category": "hat"}, error)
    return [*(ItemVector(item(n), row) for n, row in enumerate(rows)), ItemVector(failed, None)]


@pytest.fixture
def old(client: QdrantClient, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """Of several pages, with all that a collection knows beside its items, and a point of another program."""
    monkeypatch.setattr(projecting, "_PAGE", 16)
    for alias in client.get_aliases().aliases:
        if alias.alias_name == NAME:
            client.delete_collection(alias.collection_name)
    made = Catalog.create(client, NAME, SPACE)
    made.sources.write(Source("shop", {"here": "/data/shop"}))
    made.writes.upsert(entries())
    made.sources.confirm("shop", 2)
    made.problems.record("shop", [Problem(ProblemKind.TABLE, "is held", path="metadata.csv")])
    made.problems.record(PART.key("shop"), [Problem(ProblemKind.TABLE, "of a part", path="metadata.csv")])
    made.parts.update("shop", PART, items=3)
    made.candidates.write(candidate())
    foreign = models.PointStruct(id=FOREIGN, vector={"image": [1.0] * SPACE.dim}, payload={"x": 1})
    client.upsert(made._collection, [foreign], wait=True)
    return made


def at_once(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


def fill(new: Catalog, old: Catalog) -> Iterator[int]:
    assert new.projection is not None
    return new.fill_from(old, new.projection, at_once)


def stored(client: QdrantClient, catalog: Catalog) -> dict[str, Any]:
    records, _ = client.scroll(catalog._collection, limit=1000, with_payload=True)
    return {str(record.id): record.payload for record in records if record.id != FOREIGN}


def answers(finder: Finder) -> list[list[str]]:
    parameters = Parameters(k=10)
    return [[hit.item.file.path for hit in finder.rank(item(n).id, parameters).hits] for n in range(ITEMS)]


def test_a_candidate_becomes_the_space_and_nothing_else_changes(client: QdrantClient, old: Catalog) -> None:
    before, tried = stored(client, old), answers(old.tried("by-category").finder)
    new = Catalog.begin_switch(client, NAME, "by-category")
    assert sum(fill(new, old)) == ITEMS + 1
    assert answers(Catalog.open(client, NAME).finder) == answers(old.finder), "the old vectors answer meanwhile"
    new.finish_rebuild()
    now = Catalog.open(client, NAME)
    assert now.space == candidate().space(SPACE)
    assert now.space.trained_on == "category"
    assert stored(client, now) == before
    assert answers(now.finder) == tried, "as the candidate answered: copies are ties by their paths"
    assert (now.items.count(), now.ledger.count_failed()) == (ITEMS, 1)
    assert [each.error and each.error.attempts for each in now.ledger.marked("shop")] == [3]
    assert (now.sources.all(), now.sources.confirmed()) == (old_sources(), {"shop": 2})
    assert [each.detail for each in now.problems.of_source("shop")] == ["is held", "of a part"]
    now.parts.forget("shop", [each.part for each in now.parts.all("shop")])
    assert [each.detail for each in now.problems.of_source("shop")] == ["is held"], "as by whoever has all of it next"
    assert now.items.count(["category=hat", "price>10"]) > 0
    assert now.fields.waiting(refresh=True).left == 0


def test_what_changes_while_it_is_copied_keeps_its_own_vector(
    client: QdrantClient, old: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its payload and its vector are of one moment, before or after."""
    before, after = entries()[0], entries()[1]
    assert before.vector is not None
    assert after.vector is not None
    real, changed = Points._page, list[int]()

    def then_changes(points: Points, *arguments: Any) -> Any:
        page = real(points, *arguments)
        if points._collection == old.collection and not changed:
            changed.append(1)
            file = replace(before.item.file, sha256="f" * 64)
            old.writes.upsert([ItemVector(replace(before.item, file=file), after.vector)])
        return page

    monkeypatch.setattr(Points, "_page", then_changes)
    new = Catalog.begin_switch(client, NAME, "by-category")
    list(fill(new, old))
    assert changed
    (whole,) = new.items.whole([before.item.id])
    assert new.projection is not None
    assert whole.vector is not None
    made_of = after.vector if whole.item.file.sha256 == "f" * 64 else before.vector
    assert np.allclose(new.projection.of(made_of), whole.vector, atol=1e-6)


def old_sources() -> dict[str, Source]:
    return {"shop": Source("shop", {"here": "/data/shop"})}


def test_the_head_travels_with_the_collection(client: QdrantClient, old: Catalog) -> None:
    list(fill(new := Catalog.begin_switch(client, NAME, "by-category"), old))
    new.finish_rebuild()
    now = Catalog.open(client, NAME)
    assert now.trained is not None
    assert now.projection is not None
    assert (now.base, now.trained.base) == (SPACE, SPACE)
    vector = entries()[3].vector
    assert vector is not None
    made = now.items.vectors([item(3).id])[item(3).id]
    assert np.allclose(now.projection.of(vector), made, atol=1e-6)
    kept = now.trained.candidate
    assert (kept.name, kept.label, kept.classifier.classes) == ("by-category", "category", CLASSES)
    assert kept.calibration == {"least": 0.5}
    assert answers(now.tried("by-category").finder) == answers(now.finder), "it is asked for by its name as before"
    with pytest.raises(TargetNotFound):
        now.tried("other")
    with pytest.raises(UsageError, match="in a trained space already, 'by-category': go back"):
        Catalog.begin_switch(client, NAME, "by-category")


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_without_its_head_nothing_is_compared_with_a_trained_catalog(
    client: QdrantClient, old: Catalog, damage: str
) -> None:
    list(fill(new := Catalog.begin_switch(client, NAME, "by-category"), old))
    new.finish_rebuild()
    metadata = client.get_collection(new._collection).config.metadata or {}
    other = {**metadata[TRAINED_KEY], "head": Linear(np.eye(SPACE.dim, 6, dtype=np.float32)).to_json()}
    client.update_collection(new._collection, metadata={TRAINED_KEY: other if damage == "changed" else None})
    now = Catalog.open(client, NAME)
    assert answers(now.finder), "indexed pictures need no head"
    with pytest.raises(SpaceMismatch, match=r"trained on category.*head"):
        _ = now.projection


def test_killed_and_run_again_it_is_equal_to_the_old_one_as_it_is_then(client: QdrantClient, old: Catalog) -> None:
    pages = fill(Catalog.begin_switch(client, NAME, "by-category"), old)
    next(pages)
    next(pages)  # and killed
    partly = Catalog.begin_switch(client, NAME, "by-category")
    copied = sorted(partly.ledger.known([each.item.id for each in entries()]))
    assert 16 <= len(copied) <= 33
    gone, changed, failed = copied[0], copied[1], copied[2]
    by_id = {each.item.id: each for each in entries()}
    turned = by_id[changed]
    old.writes.delete([gone])
    fresh = np.eye(SPACE.dim, dtype=np.float32)[0]
    old.writes.upsert([ItemVector(replace(turned.item, file=replace(turned.item.file, size=999)), fresh)])
    broken = ItemError(Reason.EMPTY, "", "2026-11-27T10:00:00Z")
    old.writes.upsert([ItemVector(replace(by_id[failed].item, error=broken), None)])
    written: list[str] = []
    copy = partly.writes.copy

    def counting(rows: Any) -> None:
        written.extend(row[0] for row in rows)
        copy(rows)

    partly.writes.copy = counting  # type: ignore[method-assign]
    list(fill(partly, old))
    assert set(written) & set(copied) == {changed, failed} & set(written), "what was copied is not written again"
    assert {changed} <= set(written)
    partly.finish_rebuild()
    now = Catalog.open(client, NAME)
    assert gone not in now.ledger.get_many([gone])
    assert now.projection is not None
    assert np.allclose(now.items.vectors([changed])[changed], now.projection.of(fresh), atol=1e-6)
    assert failed not in now.items.vectors([failed])
    assert now.ledger.count_failed() == 1 + (failed != entries()[-1].item.id)


def test_what_cannot_be_switched_to_is_refused(client: QdrantClient, old: Catalog) -> None:
    old.candidates.write(candidate("older", "0123456789ab"))
    with pytest.raises(TargetNotFound, match="did you mean 'by-category'"):
        Catalog.begin_switch(client, NAME, "by-categry")
    with pytest.raises(SpaceMismatch, match="train it again"):
        Catalog.begin_switch(client, NAME, "older")
    nothing = Candidate(
        "zero", "c", Linear(np.zeros((SPACE.dim, 4), np.float32)), candidate().classifier, SPACE.fingerprint, "now"
    )
    old.candidates.write(nothing)
    new = Catalog.begin_switch(client, NAME, "zero")
    with pytest.raises(SpaceMismatch, match="gives no vector for shop/"):
        list(fill(new, old))
    assert Catalog.open(client, NAME).space == SPACE
    assert client.collection_exists(collection_name(NAME, SPACE))

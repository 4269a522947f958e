"""A trained space that is tried answers as a catalog does that was built in it, on every engine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from qdrant_client import QdrantClient

from recq.errors import RequestRefused, SpaceMismatch, UsageError
from recq.index import points, reranked
from recq.index.candidates import Candidate
from recq.index.catalog import Catalog
from recq.index.finder import Finder, Found
from recq.index.parameters import Parameters, Sort
from recq.index.plain_requests import stored_vectors
from recq.index.points import ItemVector
from recq.index.ranking import NOTHING_OWN, Own
from recq.index.reranked import RERANKED
from recq.index.schema import FileFacts, Item
from recq.index.similarity import Liked, Question, Strategy
from recq.models.heads import Classifier, Floats, Joined, Linear
from recq.space import EmbeddingSpace
from tests.recq.index.conftest import SPACE

DIM = 24
CLASSES = 8
SMALL = 400
LARGE = 1_600
TARGETS = 40
MADE = "2026-11-27T00:00:00Z"

HEAD_SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=DIM,
)  # fmt: skip


class Tried(NamedTuple):
    """One collection of vectors twice: as it is with a candidate beside it, and as the candidate's vectors."""

    base: Catalog
    candidate: Candidate
    built: Catalog
    vectors: Floats

    @property
    def finder(self) -> Finder:
        return self.base.tried(self.candidate.name).finder

    def made(self, number: int) -> Floats:
        """A vector, as the candidate's space has it."""
        found: Floats = self.candidate.head.apply(self.vectors[number : number + 1])[0]
        return found


def unit(rows: npt.NDArray[np.float64]) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def vectors_of(count: int) -> tuple[Floats, Floats]:
    """Clustered vectors, every ninth a copy of the one before, and the middles of the clusters."""
    rng = np.random.default_rng(5)
    middles = rng.normal(size=(CLASSES, DIM))
    rows = unit(middles[np.arange(count) % CLASSES] + 1.6 * rng.normal(size=(count, DIM)))
    copies = np.arange(9, count, 9)
    rows[copies] = rows[copies - 1]
    return rows, unit(middles)


def item_of(number: int) -> Item:
    """Copies have the same bytes; every fourth item belongs to a product of some three views."""
    bytes_of = number - 1 if number % 9 == 0 and number else number
    facts = FileFacts("shop", f"{number * 7919 % 10007:05}.png", 1, 1, f"{bytes_of:064x}", "PNG", 1, 1)
    metadata: dict[str, Any] = {"category": "abc"[number % 3], "price": float(number % 50)}
    if number % 4 == 0:
        metadata["sku"] = f"p{number // 12}"
    return Item(facts, metadata)


def unused() -> Classifier:
    return Classifier(("a",), np.zeros((1, SPACE.dim), np.float32), np.zeros(1, np.float32))


def ids(some: Sequence[int]) -> list[str]:
    return [item_of(number).id for number in some]


def tried(client: QdrantClient, name: str, count: int) -> Tried:
    rows, middles = vectors_of(count)
    classifier = Classifier(tuple(map(str, range(CLASSES))), 8 * middles, np.zeros(CLASSES, np.float32))
    candidate = Candidate("by-class", "class", Joined(classifier, 1.0), classifier, HEAD_SPACE.fingerprint, MADE)
    base = Catalog.create(client, name, HEAD_SPACE)
    built = Catalog.create(client, f"{name}-built", candidate.space(HEAD_SPACE))
    made = candidate.head.apply(rows)
    for start in range(0, count, 200):
        part = range(start, min(start + 200, count))
        base.writes.upsert([ItemVector(item_of(number), rows[number]) for number in part])
        built.writes.upsert([ItemVector(item_of(number), made[number]) for number in part])
    base.candidates.write(candidate)
    return Tried(base, base.candidates.get("by-class"), built, rows)


@pytest.fixture(scope="module")
def small(shared_client: QdrantClient) -> Tried:
    """Fewer points than are put into order."""
    return tried(shared_client, "small", SMALL)


@pytest.fixture(scope="module")
def large(shared_client: QdrantClient) -> Tried:
    """More points than are put into order."""
    return tried(shared_client, "large", LARGE)


def shown(found: Found) -> list[tuple[str | None, int]]:
    """By the bytes: copies are equally near, and which of them a server names first is its own affair."""
    return [(hit.item.file.sha256, hit.copies) for hit in found.hits]


def always(own: Own, _: Item) -> Own:
    return own


def require_same(found: Found, wanted: Found) -> None:
    assert shown(found) == shown(wanted)
    assert [hit.score for hit in found.hits] == pytest.approx([hit.score for hit in wanted.hits], abs=2e-6)
    assert (found.cut, found.copies) == (wanted.cut, wanted.copies)


WAYS = {
    "ten": Parameters(10),
    "deep": Parameters(5, offset=60),
    "all": Parameters(SMALL, keep_duplicates=True),
    "with copies": Parameters(10, keep_duplicates=True),
    "filtered": Parameters(10, filters=["category=a"]),
    "filtered twice": Parameters(10, filters=["price<=20", "category!=b"]),
    "grouped": Parameters(10, group_by="sku"),
    "page of groups": Parameters(2, offset=1, group_by="category"),
    "varied": Parameters(10, diversity=0.4),
    "bounded": Parameters(10, min_score=0.6),
    "all of it": Parameters(10, min_score=0.6, filters=["category=b"], group_by="sku", offset=3),
    "sorted": Parameters(10, sort=Sort("price", descending=True)),
}


@pytest.mark.parametrize("way", WAYS)
def test_of_few_points_every_answer_is_that_of_the_built_catalog(small: Tried, way: str) -> None:
    parameters = WAYS[way]
    for number in (0, 8, 9, 124, 399):
        item = item_of(number)
        grouped = parameters.group_by == "sku" and "sku" in item.metadata
        groups = frozenset([f'"{item.metadata["sku"]}"']) if grouped else frozenset[str]()
        own = Own(groups, frozenset() if parameters.keep_duplicates else frozenset([str(item.file.sha256)]))
        wanted = small.built.finder.rank(item.id, parameters, own=own)
        require_same(small.finder.rank(item.id, parameters, own=own), wanted)
        near = small.finder.rank_from(item.id, parameters, partial(always, own))
        assert near is not None
        assert near[0].id == item.id
        require_same(near[1], wanted)
        given = small.finder.rank(small.vectors[number], parameters)
        require_same(given, small.built.finder.rank(small.made(number), parameters))


def test_pages_follow_one_another(small: Tried) -> None:
    whole = small.finder.rank(ids([3])[0], Parameters(60))
    pages = [small.finder.rank(ids([3])[0], Parameters(20, offset=offset)) for offset in (0, 20, 40)]
    assert [hit for page in pages for hit in page.hits] == list(whole.hits)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many vectors each request reads."""
    asked: list[int] = []

    def stored(client: Any, collection: str, some: Sequence[str], using: str) -> Any:
        asked.append(len(some))
        return stored_vectors(client, collection, some, using)

    monkeypatch.setattr(points, "stored_vectors", stored)
    return asked


def test_many_questions_are_answered_as_each_alone(
    small: Tried, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reranked, "KEPT_FOR", 0.0)
    monkeypatch.setattr(reranked, "_TOGETHER", 4)
    questions: list[Question] = [*ids(range(0, 18, 2)), small.vectors[33], *ids([9, 8])]
    parameters = Parameters(12, filters=["category=a"])
    together = small.finder.rank_many(questions, parameters)
    assert len(reads) == 3
    assert sum(reads) <= 3 * (SMALL // 3 + 1 + 4), "a vector is read once for all questions of a part"
    alone = [small.finder.rank(question, parameters) for question in questions]
    assert [shown(found) for found in together] == [shown(found) for found in alone]


def test_trained_vectors_serve_the_next_question_for_a_while_and_are_bounded(
    small: Tried, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reranked, "KEPT_FOR", 0.0)
    first = small.finder.rank(ids([5])[0], Parameters(5))
    assert sum(reads) == SMALL
    monkeypatch.setattr(reranked, "KEPT_FOR", 600.0)
    reads.clear()
    assert small.finder.rank(ids([5])[0], Parameters(5)) == first
    small.finder.rank(ids([6])[0], Parameters(5, diversity=0.5))
    assert reads == []
    monkeypatch.setattr(reranked, "MOST_KEPT", (SMALL - 1) * small.finder.space.dim)
    assert small.finder.rank(ids([5])[0], Parameters(5)) == first
    assert sum(reads) == SMALL


@pytest.mark.parametrize("disliked", [[], [77], [77, 200]])
def test_the_average_is_that_of_the_trained_vectors(small: Tried, disliked: list[int]) -> None:
    by_id = Liked(tuple(ids([1, 2, 3])), tuple(ids(disliked)))
    require_same(small.finder.rank(by_id, Parameters(10)), small.built.finder.rank(by_id, Parameters(10)))
    mixed = Liked((ids([1])[0], small.vectors[2]), tuple(small.vectors[number] for number in disliked))
    made = Liked((ids([1])[0], small.made(2)), tuple(small.made(number) for number in disliked))
    require_same(small.finder.rank(mixed, Parameters(10)), small.built.finder.rank(made, Parameters(10)))


@pytest.mark.parametrize("strategy", [Strategy.BEST, Strategy.SUM])
def test_another_strategy_is_refused(small: Tried, strategy: Strategy) -> None:
    with pytest.raises(UsageError, match=f"--strategy {strategy} .*--space"):
        small.finder.rank(Liked(tuple(ids([1, 2])), strategy=strategy), Parameters(3))


def test_of_many_points_the_first_ten_are_those_of_the_built_catalog(large: Tried) -> None:
    asked = ids(range(0, LARGE, LARGE // TARGETS))
    found = large.finder.rank_many(asked, Parameters(10))
    wanted = large.built.finder.rank_many(asked, Parameters(10))
    plain = large.base.finder.rank_many(asked, Parameters(10))
    assert np.mean([common(*each) for each in zip(found, wanted, strict=True)]) >= 0.95
    assert np.mean([common(*each) for each in zip(plain, wanted, strict=True)]) < 0.8, "the order is another one"
    assert not any(each.cut for each in found)


def common(found: Found, wanted: Found) -> float:
    return len({*shown(found)} & {*shown(wanted)}) / len(wanted.hits)


def test_what_is_deeper_than_the_points_that_are_ordered_is_cut(large: Tried) -> None:
    (target,) = ids([10])
    deep = large.finder.rank(target, Parameters(10, offset=RERANKED - 4, keep_duplicates=True))
    assert (len(deep.hits), deep.cut) == (4, True)
    assert not large.finder.rank(target, Parameters(10, offset=RERANKED - 10, keep_duplicates=True)).cut
    few = large.finder.rank(target, Parameters(10, group_by="category"))
    assert (len(few.hits), few.cut) == (3, True)
    near = large.finder.rank(target, Parameters(500, min_score=0.5))
    assert near.cut
    assert 0 < len(near.hits) < 500
    narrow = Parameters(10, offset=RERANKED - 4, keep_duplicates=True, filters=["category=a"])
    assert not large.finder.rank(target, narrow).cut, "fewer match than are ordered: none is missing"


def test_few_matches_of_many_points_are_exact(large: Tried) -> None:
    for number in (4, 1_000, 1_501):
        for way in (Parameters(10, filters=["category=a"]), Parameters(30, filters=["price<=10"], diversity=0.3)):
            target = ids([number])[0]
            require_same(large.finder.rank(target, way), large.built.finder.rank(target, way))


def test_the_exact_finder_agrees(small: Tried) -> None:
    require_same(small.finder.exact().rank(ids([7])[0], Parameters(9)), small.finder.rank(ids([7])[0], Parameters(9)))


def test_an_item_that_is_not_there_is_refused(small: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranked, "KEPT_FOR", 0.0)
    (target, other) = ids([7, 8])
    with pytest.raises(RequestRefused):
        small.finder.rank(item_of(9_999).id, Parameters(3))
    monkeypatch.setattr(
        points,
        "stored_vectors",
        lambda *asked: {item_id: vector for item_id, vector in stored_vectors(*asked).items() if item_id != target},
    )
    with pytest.raises(RequestRefused, match="has no vector any more"):
        small.finder.rank(target, Parameters(3))
    assert target not in {hit.item.id for hit in small.finder.rank(other, Parameters(SMALL)).hits}


def test_a_candidate_of_another_space_is_refused(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "other", SPACE)
    head = Linear(np.eye(SPACE.dim, 4, dtype=np.float32))
    catalog.candidates.write(Candidate("old", "class", head, unused(), "0123456789ab", MADE))
    with pytest.raises(SpaceMismatch, match=r"'old' was learned from vectors of \[0123456789ab\]"):
        catalog.tried("old")


def test_an_empty_catalog_has_no_answer(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "empty", SPACE)
    head = Linear(np.eye(SPACE.dim, 4, dtype=np.float32))
    catalog.candidates.write(Candidate("new", "class", head, unused(), SPACE.fingerprint, MADE))
    finder = catalog.tried("new").finder
    found = finder.rank(np.eye(SPACE.dim, dtype=np.float32)[0], Parameters(3), own=NOTHING_OWN)
    assert (found.hits, found.cut) == ((), False)


def test_foreign_and_failed_points_are_skipped(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "mixed", SPACE)
    rows = np.eye(SPACE.dim, dtype=np.float32)
    catalog.writes.upsert([ItemVector(item_of(number), rows[number]) for number in range(1, 6)])
    client.set_payload(catalog._collection, {"error": {"reason": "corrupt"}}, points=[*ids([2])])
    client.overwrite_payload(catalog._collection, {"text": "of another program"}, points=[*ids([3])])
    head = Linear(np.eye(SPACE.dim, 7, dtype=np.float32))
    catalog.candidates.write(Candidate("new", "class", head, unused(), SPACE.fingerprint, MADE))
    finder = catalog.tried("new").finder
    found = finder.rank(ids([1])[0], Parameters(9))
    assert {hit.item.id for hit in found.hits} == {*ids([4, 5])}


def test_vectors_are_read_as_the_client_reads_them(small: Tried) -> None:
    wanted = [*ids(range(12)), item_of(9_999).id]
    records = small.base._client.retrieve(small.base._collection, ids=wanted, with_vectors=["image"])
    plain = {str(each.id): np.asarray(each.vector["image"], np.float32) for each in records}  # type: ignore[index,call-overload]
    found = small.base.items.vectors(wanted)
    assert found.keys() == plain.keys()
    assert all(np.array_equal(found[each], plain[each]) for each in plain)
    assert {each.dtype for each in found.values()} == {np.dtype(np.float32)}

"""Pages, groups, copies, variety, order and recommendations: literal expectations, the same on three engines."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import QdrantClient

from recq.errors import FilterError, UsageError
from recq.index import finder, ranking
from recq.index.catalog import Catalog
from recq.index.finder import Hit
from recq.index.parameters import Parameters, Sort
from recq.index.points import ItemVector, Points
from recq.index.schema import FileFacts, Item, Value
from recq.index.similarity import Liked, Question, Strategy
from tests.asking import nearest
from tests.recq.index.conftest import SPACE

# name: (angle in radians, length, bytes, metadata). From the angle 0 the cosine is the angle's; lengths are Euclid's.
THINGS: dict[str, tuple[float, float, str, dict[str, Value]]] = {
    "start": (0.0, 1.0, "start", {"sku": "S"}),
    "near": (0.1, 1.0, "near", {"sku": "A", "price": 30.0, "title": "beta", "made": "2024-03-01"}),
    "near1": (0.1, 1.0, "near", {"sku": "A", "price": 30.0, "title": "beta", "made": "2024-03-01"}),
    "near2": (0.12, 1.0, "near2", {"sku": "A", "price": 5.0, "title": "Alpha", "made": "2024-01-15T10:00:00Z"}),
    "shared-b": (0.3, 1.5, "shared", {"sku": "B", "price": [40.0, 1.0], "title": "alpha", "made": "2023-12-31"}),
    "shared-c": (0.3, 1.5, "shared", {"sku": "C", "price": 2.5}),
    "bare": (0.4, 1.0, "bare", {"title": "gamma", "ok": True}),
    "bare1": (0.4, 1.0, "bare", {"title": "delta", "ok": False}),
    "odd": (0.5, 1.0, "odd", {"price": "n/a", "ok": True}),
    **{f"tie-{n:02d}": (0.8, 2.0, f"tie{n}", {"sku": "T", "stock": n % 3}) for n in range(12)},
    "far": (1.5, 1.0, "far", {"sku": "F", "price": 20.0}),
}


def thing(name: str) -> Item:
    *_, content, metadata = THINGS[name]
    return Item(FileFacts("shop", f"{name}.jpg", len(name), 1, sha256=content), metadata)


def vector(name: str) -> np.ndarray:
    angle, length, *_ = THINGS[name]
    made = np.zeros(SPACE.dim, np.float32)
    made[:2] = length * math.cos(angle), length * math.sin(angle)
    return made


def stock(client: QdrantClient, name: str, distance: str) -> Catalog:
    catalog = Catalog.create(client, name, replace(SPACE, distance=distance))  # type: ignore[arg-type]
    catalog.writes.upsert([ItemVector(thing(name), vector(name)) for name in sorted(THINGS) if name != "odd"])
    catalog.writes.upsert([ItemVector(thing("odd"), vector("odd"))])  # "n/a" is no price any more
    return catalog


@pytest.fixture(scope="module")
def catalog(shared_client: QdrantClient) -> Catalog:
    return stock(shared_client, "cosines", "Cosine")


@pytest.fixture(scope="module")
def distances(shared_client: QdrantClient) -> Catalog:
    return stock(shared_client, "distances", "Euclid")


START = thing("start").id


def names(hits: tuple[Hit, ...]) -> list[str]:
    return [hit.item.file.name.removesuffix(".jpg") for hit in hits]


def ranked(catalog: Catalog, parameters: Parameters, question: Question = START) -> list[str]:
    return names(catalog.finder.rank(question, parameters).hits)


def found(catalog: Catalog, parameters: Parameters) -> list[str]:
    return names(catalog.finder.find(parameters).hits)


TIES = [f"tie-{n:02d}" for n in range(12)]
FOLDED = ["near", "near2", "shared-b", "bare", "odd", *TIES, "far"]
ALL = ["near", "near1", "near2", "shared-b", "shared-c", "bare", "bare1", "odd", *TIES, "far"]


def test_same_bytes_are_one_row_that_says_how_many(catalog: Catalog) -> None:
    hits = catalog.finder.rank(START, Parameters(k=5)).hits
    assert names(hits) == ["near", "near2", "shared-b", "bare", "odd"]
    assert [hit.copies for hit in hits] == [2, 1, 2, 2, 1]
    assert [hit.score for hit in hits] == pytest.approx([math.cos(a) for a in (0.1, 0.12, 0.3, 0.4, 0.5)], abs=1e-5)
    kept = catalog.finder.rank(START, Parameters(k=100, keep_duplicates=True)).hits
    assert names(kept) == ALL
    assert {hit.copies for hit in kept} == {1}


@pytest.mark.parametrize("k", [1, 3, 7, 100])
def test_pages_follow_each_other_and_ties_are_in_the_order_of_paths(catalog: Catalog, k: int) -> None:
    pages = [ranked(catalog, Parameters(k, offset)) for offset in range(0, len(FOLDED) + k, k)]
    assert [name for page in pages for name in page] == FOLDED
    assert all(len(page) <= k for page in pages)


@pytest.mark.parametrize("k", [1, 6, 9, 30])
def test_nearest_is_exact_at_the_edge_of_k(catalog: Catalog, k: int) -> None:
    assert [hit.item.file.name for hit in nearest(catalog, START, k)] == [f"{name}.jpg" for name in ALL[:k]]


def test_many_copies_do_not_shorten_an_answer(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "DEEPEST", 12)
    answer = catalog.finder.rank(START, Parameters(k=10, group_by="sku"))
    assert names(answer.hits)[:-1] == ["near", "shared-b", "shared-c", "bare", "odd"]
    assert names(answer.hits)[-1] in TIES
    assert answer.cut
    assert not catalog.finder.rank(START, Parameters(k=2)).cut


def test_groups_show_their_first_item_and_items_without_the_field_stand_alone(catalog: Catalog) -> None:
    hits = catalog.finder.rank(START, Parameters(k=100, group_by="sku")).hits
    assert names(hits) == ["near", "shared-b", "shared-c", "bare", "odd", "tie-00", "far"]
    assert [hit.copies for hit in hits] == [2, 1, 1, 2, 1, 1, 1]
    assert ranked(catalog, Parameters(k=2, offset=2, group_by="sku")) == ["shared-c", "bare"]
    alone = ranked(catalog, Parameters(k=100, group_by="sku", keep_duplicates=True))
    assert alone == ["near", "shared-b", "shared-c", "bare", "bare1", "odd", "tie-00", "far"]
    assert ranked(catalog, Parameters(k=4, group_by="ok")) == ["near", "near2", "shared-b", "bare"]
    assert found(catalog, Parameters(k=100, group_by="sku", filters=["has:sku"])) == [
        "far", "near", "shared-b", "shared-c", "start", "tie-00",
    ]  # fmt: skip


def test_variety(catalog: Catalog) -> None:
    """By hand: relevance are cosines to 0, from the first on lambda * rel - (1 - lambda) * max cosine to the chosen."""
    assert ranked(catalog, Parameters(k=18, diversity=0.0)) == FOLDED
    assert ranked(catalog, Parameters(k=3, diversity=1.0)) == ["near", "far", "tie-00"]
    assert ranked(catalog, Parameters(k=2, diversity=0.6)) == ["near", "far"]
    assert ranked(catalog, Parameters(k=2, diversity=0.5)) == ["near", "near2"]
    assert ranked(catalog, Parameters(k=1, offset=1, diversity=1.0)) == ["far"]
    assert sorted(ranked(catalog, Parameters(k=100, diversity=0.7))) == sorted(FOLDED)
    assert found(catalog, Parameters(k=2, diversity=0.5, filters=["sku=A,F,T"])) == ["far", "near"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (Sort("price"), ["shared-b", "shared-c", "near2", "far", "near", "near1"]),
        (Sort("price", True), ["shared-b", "near", "near1", "far", "near2", "shared-c"]),
        (Sort("made"), ["shared-b", "near2", "near", "near1"]),
        (Sort("made", True), ["near", "near1", "near2", "shared-b"]),
        (Sort("title"), ["near2", "shared-b", "near", "near1", "bare1", "bare"]),
        (Sort("title", True), ["bare", "bare1", "near", "near1", "shared-b", "near2"]),
        (Sort("ok"), ["bare1", "bare", "odd"]),
        (Sort("file.size"), ["far", "odd", "bare", "near"]),
        (Sort("file.name", True), [*TIES[::-1], "start"]),
    ],
    ids=str,
)
def test_order_by_any_field_items_without_it_last(catalog: Catalog, sort: Sort, expected: list[str]) -> None:
    everything = found(catalog, Parameters(k=100, sort=sort, keep_duplicates=True))
    assert everything[: len(expected)] == expected
    if not sort.field.startswith("file."):
        assert everything[len(expected) :] == sorted(set(THINGS) - set(expected), key=lambda name: f"{name}.jpg")
    pages = [
        found(catalog, Parameters(4, offset, sort=sort, keep_duplicates=True)) for offset in range(0, len(THINGS), 4)
    ]
    assert [name for page in pages for name in page] == everything


def test_equal_values_are_in_the_order_of_paths_at_the_edge_of_a_page(catalog: Catalog) -> None:
    for k in (1, 2, 5):
        pages = [found(catalog, Parameters(k, offset, ["sku=T"], sort=Sort("stock"))) for offset in range(0, 12, k)]
        assert [name for page in pages for name in page] == [
            f"tie-{n:02d}" for rest in range(3) for n in range(rest, 12, 3)
        ]


def test_the_nearest_in_another_order(catalog: Catalog) -> None:
    hits = catalog.finder.rank(START, Parameters(k=5, sort=Sort("price"))).hits
    assert names(hits) == ["shared-b", "near2", "near", "bare", "odd"]
    assert ranked(catalog, Parameters(k=5, sort=Sort("title", True))) == ["bare", "near", "shared-b", "near2", "odd"]


def test_a_search_tells_how_many_rows_there_are(catalog: Catalog) -> None:
    assert catalog.finder.find(Parameters(k=2)).total == len(FOLDED) + 1
    assert catalog.finder.find(Parameters(k=2, keep_duplicates=True)).total == len(THINGS)
    assert catalog.finder.find(Parameters(k=2, offset=3, group_by="sku", filters=["has:sku"])).total == 6
    assert found(catalog, Parameters(k=3, offset=1)) == ["far", "near", "near2"]


def test_too_many_rows_can_be_sorted_by_numbers_alone(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder, "DEEPEST", 8)
    with pytest.raises(UsageError, match=r"--sort title: 22 items match.*--filter"):
        catalog.finder.find(Parameters(k=2, sort=Sort("title")))
    assert found(catalog, Parameters(k=2, sort=Sort("price"))) == ["shared-b", "near2"]
    assert found(catalog, Parameters(k=2, sort=Sort("title"), filters=["title?"])) == ["near2", "shared-b"]
    first, second = (catalog.finder.find(Parameters(k=3, offset=offset)) for offset in (0, 3))
    assert len({*names(first.hits), *names(second.hits)}) == 6
    assert first.total == len(THINGS)


def test_a_list_of_very_many_ends_where_the_rows_do_and_is_folded_seldom(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items may go between the count and the reading, and of one picture there may be a hundred thousand copies."""
    folds: list[int] = []

    def counted(rows: list[ranking.Row], *, keep_duplicates: bool) -> list[ranking.Folded]:
        folds.append(len(rows))
        return ranking.fold(rows, keep_duplicates=keep_duplicates)

    monkeypatch.setattr(finder, "fold", counted)
    monkeypatch.setattr(finder, "first_limit", lambda _: 1)
    monkeypatch.setattr(Points, "count", lambda *_: 10 * ranking.DEEPEST)
    assert len(found(catalog, Parameters(k=100))) == len(FOLDED) + 1
    assert folds == [1, 2, 4, 8, 16, len(THINGS)]


@pytest.mark.parametrize(
    ("any_of", "filters", "expected"),
    [
        (["sku=F || price<=3"], [], {"far", "shared-b", "shared-c"}),
        (["sku=F,,price=..3"], [], {"far", "shared-b", "shared-c"}),
        (["sku=F || price<=3", "sku!=B || price>50"], [], {"far", "shared-c"}),
        (["sku=B|C || made<2024-02"], ["price>2"], {"shared-b", "shared-c", "near2"}),
        (["made=2024-01 || title~GAMMA"], [], {"near2", "bare"}),
        (["no:sku || !price?"], ["sku!=T"], {"start", "bare", "bare1", "odd"}),
        (["made=2023-12..2024-01 || ok=false"], [], {"near2", "shared-b", "bare1"}),
    ],
)
def test_one_of_several_filters(catalog: Catalog, any_of: list[str], filters: list[str], expected: set[str]) -> None:
    assert set(found(catalog, Parameters(100, filters=filters, any_of=any_of, keep_duplicates=True))) == expected
    near = ranked(catalog, Parameters(100, filters=filters, any_of=any_of, keep_duplicates=True))
    assert set(near) == expected - {"start"}


# -- recommendations -----------------------------------------------------------------------------------------------


def expected_scores(catalog: Catalog, question: Liked) -> dict[str, float]:
    """Qdrant's documented formulas, in this test's own arithmetic."""
    euclid = catalog.space.distance == "Euclid"

    def read(example: str | np.ndarray) -> np.ndarray:
        if not isinstance(example, str):
            return example
        made = vector(next(n for n in THINGS if thing(n).id == example))
        return made if euclid else made / np.linalg.norm(made)  # as it is stored

    def alike(one: np.ndarray, other: np.ndarray) -> float:
        if euclid:
            return -float(np.sum((one - other) ** 2))
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    def squashed(x: float) -> float:
        return 0.5 * (x / (1 + abs(x)) + 1)

    like, dislike = [read(each) for each in question.like], [read(each) for each in question.dislike]
    scores = {}
    for name in THINGS:
        if thing(name).id in [each for each in (*question.like, *question.dislike) if isinstance(each, str)]:
            continue
        own = vector(name)
        good, bad = [alike(own, each) for each in like], [alike(own, each) for each in dislike]
        match question.strategy:
            case Strategy.AVERAGE:
                middle = np.mean(like, axis=0)
                middle = 2 * middle - np.mean(dislike, axis=0) if dislike else middle
                scores[name] = math.sqrt(-alike(own, middle)) if euclid else alike(own, middle)
            case Strategy.BEST:
                better = not bad or max(good) > max(bad)
                scores[name] = squashed(max(good)) if better else -squashed(max(bad))
            case Strategy.SUM:
                scores[name] = sum(good) - sum(bad)
    return scores


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("kind", ["catalog", "distances"])
@pytest.mark.parametrize("unlike", [False, True])
def test_recommendations(strategy: Strategy, kind: str, unlike: bool, catalog: Catalog, distances: Catalog) -> None:
    catalog = distances if kind == "distances" else catalog
    question = Liked(
        (thing("near").id, vector("bare") * 0.9), (thing("far").id, thing("tie-03").id) if unlike else (), strategy
    )
    hits = catalog.finder.rank(question, Parameters(k=100, keep_duplicates=True)).hits
    expected = expected_scores(catalog, question)
    assert set(names(hits)) == set(expected)
    assert [hit.score for hit in hits] == pytest.approx([expected[name] for name in names(hits)], abs=2e-5)
    sign = 1 if kind == "distances" and strategy is Strategy.AVERAGE else -1
    in_order = [sign * hit.score for hit in hits]
    assert in_order == sorted(in_order)


def test_recommendations_take_every_option(catalog: Catalog) -> None:
    liked = Liked((START, thing("near").id), (thing("far").id,), Strategy.BEST)
    assert names(catalog.finder.rank(liked, Parameters(k=3)).hits) == ["near1", "near2", "shared-b"]
    assert names(catalog.finder.rank(liked, Parameters(k=2, group_by="sku", filters=["sku!=A"])).hits) == [
        "shared-b",
        "shared-c",
    ]
    assert names(catalog.finder.rank(liked, Parameters(k=9, min_score=0.748)).hits) == ["near1", "near2"]


# -- distances ----------------------------------------------------------------------------------------------------


def test_distances_rank_the_smallest_first(distances: Catalog) -> None:
    hits = distances.finder.rank(START, Parameters(k=4)).hits
    assert names(hits) == ["near", "near2", "bare", "odd"]
    expected = [float(np.linalg.norm(vector("start") - vector(name))) for name in names(hits)]
    assert [hit.score for hit in hits] == pytest.approx(expected, abs=1e-5)
    assert ranked(distances, Parameters(k=9, max_distance=0.4)) == ["near", "near2", "bare"]
    assert ranked(distances, Parameters(k=3, offset=5)) == ["far", "tie-00", "tie-01"]
    assert ranked(distances, Parameters(k=2, diversity=1.0)) == ["near", "tie-00"]


def test_bounds_of_the_other_kind_are_refused(catalog: Catalog, distances: Catalog) -> None:
    with pytest.raises(UsageError, match="use --max-distance"):
        distances.finder.rank(START, Parameters(min_score=0.5))
    with pytest.raises(UsageError, match="use --min-score"):
        catalog.finder.rank(START, Parameters(max_distance=0.5))
    assert distances.finder.rank(Liked((START,), strategy=Strategy.BEST), Parameters(min_score=0.3)).hits


def test_unknown_fields_are_named(catalog: Catalog) -> None:
    for parameters in (Parameters(group_by="skuu"), Parameters(sort=Sort("skuu")), Parameters(fields=("skuu",))):
        for ask in (catalog.finder.find, lambda parameters: catalog.finder.rank(START, parameters)):
            with pytest.raises(FilterError, match="did you mean 'sku'"):
                ask(parameters)
    with pytest.raises(UsageError, match="--sort and --diversity"):
        catalog.finder.find(Parameters(sort=Sort("price"), diversity=0.5))


def test_several_questions_at_once_have_the_answers_of_each(catalog: Catalog) -> None:
    questions: list[Question] = [START, vector("far"), Liked((START,), strategy=Strategy.SUM), thing("tie-05").id]
    for parameters in (Parameters(k=4), Parameters(k=3, offset=2, group_by="sku"), Parameters(k=2, diversity=0.8)):
        assert catalog.finder.rank_many(questions, parameters) == [
            catalog.finder.rank(question, parameters) for question in questions
        ]
    assert catalog.finder.rank_many([], Parameters()) == []

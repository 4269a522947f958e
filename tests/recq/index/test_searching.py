"""What is asked of a server to decide how to search, how long it is remembered, and that no other engine is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from recq.index import finder, points, search_params, searching
from recq.index.catalog import Catalog
from recq.index.filters import NO_ERROR, NO_FILE, compile_filters, conditions_of, without_own
from recq.index.parameters import Parameters
from recq.index.plain_requests import Near, query_points
from recq.index.points import ItemVector
from recq.index.schema import FieldType
from recq.index.searching import ByMatches, Counts
from recq.index.similarity import Liked, Strategy
from tests.asking import nearest
from tests.recq.index.conftest import SPACE
from tests.recq.index.test_catalog import full, item, vector

TYPES = {"category": FieldType.STRING, "price": FieldType.FLOAT}


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def counting(number: int, calls: list[int]) -> Callable[[], int]:
    """A count that notes that it was asked for."""

    def count() -> int:
        calls.append(number)
        return number

    return count


def test_a_count_is_asked_for_once_until_it_is_old() -> None:
    clock, calls = Clock(), list[int]()
    counts = Counts(clock)
    assert [counts.of("a", counting(3, calls)) for _ in range(5)] == [3] * 5
    assert calls == [3]
    clock.now = searching.REMEMBERED
    assert counts.of("a", counting(4, calls)) == 4
    assert calls == [3, 4]


def test_counts_are_bounded_and_those_asked_for_longest_ago_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_COUNTS", 3)
    calls: list[int] = []
    counts = Counts(Clock())
    for key in "abc":
        counts.of(key, counting(1, calls))
    counts.of("a", counting(1, calls))
    counts.of("d", counting(1, calls))
    assert len(counts) == 3
    counts.of("a", counting(2, calls))
    counts.of("b", counting(3, calls))
    assert calls == [1, 1, 1, 1, 3]


def test_recqs_own_conditions_are_not_counted() -> None:
    assert without_own(compile_filters([], TYPES)) is None
    asked = without_own(compile_filters(["category=sofa", "price!=3"], TYPES))
    assert asked is not None
    assert len(conditions_of(asked)) == 2
    assert NO_ERROR not in conditions_of(asked)
    assert NO_FILE not in conditions_of(asked)
    only_not = without_own(compile_filters(["category!=sofa"], TYPES))
    assert only_not is not None
    assert only_not.must is None
    assert only_not.must_not is not None


class Spy:
    """A client that notes counts and queries, and says what it likes of its graph."""

    def __init__(self, client: QdrantClient, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counted: list[tuple[models.Filter, bool]] = []
        self.params: list[models.SearchParams | None] = []
        self.together: list[int] = []
        self.in_graphs: int | None = None
        self.estimate: int | None = None
        self.strict: dict[str, Any] | None = None
        count, info = client.count, client.get_collection

        def counts(name: str, count_filter: models.Filter, exact: bool) -> models.CountResult:
            self.counted.append((count_filter, exact))
            if self.estimate is not None and not exact:
                return models.CountResult(count=self.estimate)
            return count(name, count_filter=count_filter, exact=exact)

        def queries(client: QdrantClient, name: str, requests: Sequence[models.QueryRequest]) -> list[list[Near]]:
            self.params += [each.params for each in requests]
            self.together.append(len(requests))
            return query_points(client, name, requests)

        def infos(name: str) -> models.CollectionInfo:
            found = info(name)
            if self.in_graphs is not None:
                found = found.model_copy(update={"indexed_vectors_count": self.in_graphs})
            if self.strict is not None:
                strict = models.StrictModeConfigOutput(**self.strict)
                config = found.config.model_copy(update={"strict_mode_config": strict})
                found = found.model_copy(update={"config": config})
            return found

        monkeypatch.setattr(client, "count", counts)
        monkeypatch.setattr(points, "query_points", queries)
        monkeypatch.setattr(client, "get_collection", infos)


@pytest.fixture
def spied(client: QdrantClient, monkeypatch: pytest.MonkeyPatch) -> tuple[Catalog, Spy]:
    """A catalog of sixty items on every engine, and what is asked of its client."""
    Catalog.create(client, "spied", SPACE).writes.upsert([full(number) for number in range(60)])
    return Catalog.open(client, "spied"), Spy(client, monkeypatch)


def test_without_a_graph_nothing_is_counted_and_the_engine_searches_its_own_way(spied: tuple[Catalog, Spy]) -> None:
    catalog, spy = spied
    nearest(catalog, vector(1), 5, filters=["category=sofa", "price<=30"])
    assert spy.counted == []
    assert spy.params == [None]


def test_where_there_is_a_graph_few_matches_are_compared_after_one_estimate(spied: tuple[Catalog, Spy]) -> None:
    catalog, spy = spied
    plain = nearest(catalog, vector(1), 5, filters=["category=sofa"])
    spy.params.clear()
    spy.in_graphs = 60
    again = Catalog.open(catalog._client, "spied")
    for _ in range(3):
        assert nearest(again, vector(1), 5, filters=["category=sofa"]) == plain
    assert [exact for _, exact in spy.counted] == [False]
    assert [params is not None and params.exact for params in spy.params] == [True] * 3


def test_the_counts_of_a_connection_outlive_the_catalog_that_asked(spied: tuple[Catalog, Spy]) -> None:
    catalog, spy = spied
    spy.in_graphs = 60
    for _ in range(3):
        nearest(Catalog.open(catalog._client, "spied"), vector(1), 5, filters=["category=bed"])
    assert len(spy.counted) == 1


def test_what_is_remembered_of_a_filter_does_not_grow_with_it(spied: tuple[Catalog, Spy]) -> None:
    catalog, spy = spied
    spy.in_graphs = 60
    again = Catalog.open(catalog._client, "spied")
    values = ",".join(f"sku{number}" for number in range(3_000))
    for question in (f"category={values}", "category=bed", f"category={values}"):
        nearest(again, vector(1), 5, filters=[question])
    kept = searching._counts[catalog._client]._kept
    assert len(spy.counted) == len(kept) == 2
    assert max(map(len, kept)) < 200


def test_an_and_that_seems_to_hold_for_many_is_counted(
    spied: tuple[Catalog, Spy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server multiplies the shares of the parts: of those that exclude each other that is far too much."""
    monkeypatch.setattr(search_params, "EXACT_NUMBERS", 10 * SPACE.dim)
    monkeypatch.setattr(search_params, "COMPARED_ANYWAY", 0)
    monkeypatch.setattr(search_params, "EXACT_SHARE", 1.0)
    catalog, spy = spied
    spy.in_graphs, spy.estimate = 60, 50
    again = Catalog.open(catalog._client, "spied")
    nearest(again, vector(1), 5, filters=["category=sofa", "category=bed"])
    assert [exact for _, exact in spy.counted] == [False, True]
    assert spy.params[-1] is not None
    assert spy.params[-1].exact
    nearest(again, vector(1), 5, filters=["category=sofa"])
    assert [exact for _, exact in spy.counted] == [False, True, False], "one condition is estimated well"
    assert spy.params[1] is not None
    assert not spy.params[1].exact


@pytest.mark.parametrize(
    ("filters", "well"),
    [
        (["category=sofa"], True),
        (["category!=sofa"], True),
        (["category=sofa|bed"], True),
        (["price=10..20"], True),
        (["price?"], True),
        (["no:title"], True),
        (["title~red"], True),
        (["title~red sofa"], False),
        (["title!~red sofa"], False),
        (["category=sofa", "price<=30"], False),
        (["category=sofa", "price!=30"], False),
        (["file.width>10"], False),
        (["file.size!=10"], False),
        (["file.path~a b"], False),
    ],
)
def test_what_a_server_estimates_badly_is_counted(filters: list[str], well: bool) -> None:
    """An AND of any form, and what has no index, of which a server takes half of all points."""
    types = {**TYPES, "title": FieldType.STRING}
    asked = without_own(compile_filters(filters, types))
    assert asked is not None
    indexed = {*types, "_text.title", "_text.file.name", "_text.file.folder"}
    assert searching._is_estimated_well(asked, indexed) is well


def test_a_server_that_forbids_exact_searches_is_not_asked_for_one(
    spied: tuple[Catalog, Spy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_params, "TRUSTED", 0.0)
    catalog, spy = spied
    spy.in_graphs = 60
    spy.strict = {"enabled": True, "search_allow_exact": False, "search_max_hnsw_ef": 77}
    nearest(Catalog.open(catalog._client, "spied"), vector(1), 5, filters=["category=sofa"])
    assert spy.params[-1] is not None
    assert not spy.params[-1].exact
    assert spy.params[-1].hnsw_ef == 77


@pytest.mark.parametrize("client", ["embedded"], indirect=True)
@pytest.mark.parametrize(
    ("trusted", "filters", "min_score", "exact"),
    [
        (0.0, ["category=sofa"], None, [False]),
        (1.1, ["category=sofa"], None, [False, True]),
        (1.1, ["category!=sofa"], None, [False, True]),
        (1.1, [], None, [False]),  # no filter leads a walk astray
        (0.5, ["category=sofa"], 0.99, [False]),  # what is missing is farther than the bound, which is near
        (1.1, ["category=sofa"], 0.99, [False, True]),
    ],
)
def test_an_answer_that_chance_could_have_given_is_searched_for_again(
    trusted: float,
    filters: list[str],
    min_score: float | None,
    exact: list[bool],
    spied: tuple[Catalog, Spy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search_params, "TRUSTED", trusted)
    monkeypatch.setattr(search_params, "EXACT_NUMBERS", 0)
    monkeypatch.setattr(search_params, "COMPARED_ANYWAY", 0)
    monkeypatch.setattr(search_params, "EXACT_SHARE", 1.0)
    catalog, spy = spied
    plain = nearest(catalog, vector(1), 5, filters=filters, min_score=min_score)
    spy.params.clear()
    spy.in_graphs = 60
    again = Catalog.open(catalog._client, "spied")
    assert nearest(again, vector(1), 5, filters=filters, min_score=min_score) == plain
    assert [bool(params is not None and params.exact) for params in spy.params] == exact


def test_many_questions_are_asked_some_at_a_time(spied: tuple[Catalog, Spy], monkeypatch: pytest.MonkeyPatch) -> None:
    """A request for all of them would take longer on a large index than a request may."""
    monkeypatch.setattr(finder, "ASKED_AT_ONCE", 2)
    catalog, spy = spied
    spy.together.clear()
    questions = [vector(number) for number in range(5)]
    kept, folded = Parameters(5, keep_duplicates=True), Parameters(5)  # folding has one of them ask for more rows
    found = catalog.finder.rank_many(questions, kept)
    assert spy.together == [2, 2, 1]
    assert found == [catalog.finder.rank(question, kept) for question in questions]
    assert catalog.finder.rank_many(questions, folded) == [catalog.finder.rank(each, folded) for each in questions]


def test_all_that_are_searched_for_again_are_asked_in_one_request(
    spied: tuple[Catalog, Spy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five questions two are answered by what chance could have given: their score is below the trusted one."""
    monkeypatch.setattr(search_params, "EXACT_NUMBERS", 0)
    monkeypatch.setattr(search_params, "COMPARED_ANYWAY", 0)
    monkeypatch.setattr(search_params, "EXACT_SHARE", 1.0)
    catalog, spy = spied
    questions = [vector(number) for number in range(5)]
    parameters = Parameters(5, filters=["category=sofa"], keep_duplicates=True)
    plain = catalog.finder.rank_many(questions, parameters)
    lasts = sorted({found.hits[-1].score for found in plain})
    monkeypatch.setattr(ByMatches, "_share_below", lambda _, score: 1.0 if score > lasts[1] else 0.0)
    spy.params.clear()
    spy.together.clear()
    spy.in_graphs = 60
    again = Catalog.open(catalog._client, "spied").finder.rank_many(questions, parameters)
    assert [found.hits for found in again] == [found.hits for found in plain]
    assert spy.together == [5, 2]
    assert [bool(params is not None and params.exact) for params in spy.params] == [False] * 5 + [True] * 2


def test_scores_that_random_pairs_say_nothing_of_are_searched_for_thoroughly(
    spied: tuple[Catalog, Spy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_params, "TRUSTED", 0.0)
    monkeypatch.setattr(search_params, "EXACT_NUMBERS", 0)
    monkeypatch.setattr(search_params, "COMPARED_ANYWAY", 0)
    monkeypatch.setattr(search_params, "EXACT_SHARE", 1.0)
    catalog, spy = spied
    spy.in_graphs = 60
    liked = Liked((full(1).item.id, full(2).item.id), strategy=Strategy.BEST)
    Catalog.open(catalog._client, "spied").finder.rank(liked, Parameters(3, filters=["category=sofa"]))
    assert [bool(params is not None and params.exact) for params in spy.params] == [False, True]


def test_the_exact_finder_compares_everything_on_every_engine(spied: tuple[Catalog, Spy]) -> None:
    catalog, spy = spied
    catalog.writes.upsert([ItemVector(item(100), vector(1))])
    for filters in ([], ["category=sofa"], ["price!=3"]):
        parameters = Parameters(7, filters=filters, keep_duplicates=True)
        assert nearest(catalog, vector(1), 7, filters=filters) == list(
            catalog.finder.exact().rank(vector(1), parameters).hits
        )
    assert [params is not None and params.exact for params in spy.params] == [False, True] * 3

"""Rows in order, folded, in pages: whatever order an engine gives equal points in, and however few at a time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq.errors import UsageError
from recq.index.diversity import candidates, comparisons, diversified
from recq.index.parameters import Parameters, Sort
from recq.index.ranking import Folded, Row, first_limit, fold, grown, ordered, sort_value
from recq.index.schema import FieldType, Value
from recq.space import Distance

ROWS = st.lists(
    st.builds(
        lambda value, sha, group: (value, sha, group),
        st.integers(0, 5),
        st.sampled_from([None, "a", "b", "c"]),
        st.sampled_from([None, "g", "h"]),
    ),
    max_size=60,
)


@given(ROWS, st.integers(1, 30), st.booleans(), st.integers())
def test_a_page_depends_on_the_rows_alone(
    made: list[tuple[int, str | None, str | None]], need: int, descending: bool, seed: int
) -> None:
    """An engine that gives equal points in any order, another one each time, changes nothing."""
    rows = [Row(str(n), (f"{n % 7}", str(n)), *each) for n, each in enumerate(made)]
    dice = Random(seed)

    def fetch(limit: int) -> Sequence[Row]:
        dice.shuffle(rows)
        return sorted(rows, key=lambda row: row.value, reverse=descending)[:limit]

    found = grown(fetch, fetch(first_limit(need)), need, keep_duplicates=False, descending=descending)
    whole = fold(ordered(rows, descending=descending), keep_duplicates=False)
    enough = [each.row for each in fold(found.rows, keep_duplicates=False)]
    assert enough[:need] == [each.row for each in whole][:need]
    assert len(enough) >= min(need, len(whole))
    assert not found.cut
    assert sum(each.copies for each in fold(found.rows, keep_duplicates=True)) <= len(rows)


def test_a_point_that_an_engine_gives_twice_counts_where_it_comes_first() -> None:
    one, again, other = Row("1", ("a", "s"), 1), Row("1", ("a", "s"), 9), Row("2", ("b", "s"), 5)
    assert ordered([again, other, one], descending=False) == [one, other]
    assert ordered([again, other, one], descending=True) == [again, other]


def test_copies_are_counted_within_their_group() -> None:
    rows = [Row(str(n), (str(n), "s"), 0, sha, group) for n, (sha, group) in enumerate(
        [("x", "g"), ("x", "g"), ("y", "g"), ("x", "h"), ("x", None), ("x", None), (None, None)]
    )]  # fmt: skip
    folded = fold(rows, keep_duplicates=False)
    assert folded == [Folded(rows[0], 2), Folded(rows[3], 1), Folded(rows[4], 2), Folded(rows[6], 1)]
    assert [each.copies for each in fold(rows, keep_duplicates=True)] == [1] * 5


@pytest.mark.parametrize(
    ("values", "field_type"),
    [
        (["", "Alpha", "alpha", "beta", "Ärger"], FieldType.STRING),
        ([-1, 0, 2.5, 10**12], FieldType.FLOAT),
        ([False, True], FieldType.BOOL),
        (["2023-12-31", "2024-01-01T00:00:00+02:00", "2024-01-01", "2024-01-01T00:00:01Z"], FieldType.DATE),
    ],
)
def test_values_have_an_order(values: list[Value], field_type: FieldType) -> None:
    keys = [sort_value(value, field_type, descending=False) for value in values]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(values)


def test_values_without_a_place_in_the_order() -> None:
    nowhere: list[Value | None] = [None, [], "n/a", ["n/a"], True]
    for value in nowhere:
        assert sort_value(value, FieldType.FLOAT, descending=False) is None
    assert sort_value([3, "n/a", 1], FieldType.FLOAT, descending=False) == 1
    assert sort_value([3, "n/a", 1], FieldType.FLOAT, descending=True) == 3


def test_marginal_relevance_by_hand() -> None:
    """Three directions; the second is a twin of the first. lambda = 0.5: 0.5 * rel - 0.5 * max cosine to the chosen."""
    vectors = np.array([[2, 0], [1, 0], [0, 3]], np.float32)
    relevance = np.array([0.9, 0.8, 0.1])
    assert diversified(relevance, vectors, 0.5, "Cosine", 3) == [0, 2, 1]  # 0.05 - 0 before 0.4 - 0.5
    assert diversified(relevance, vectors, 0.2, "Cosine", 3) == [0, 1, 2]  # 0.64 - 0.2 before 0.08 - 0
    assert diversified(relevance, vectors, 0.5, "Cosine", 1) == [0]
    assert diversified(-np.array([1.0, 2.0, 4.0]), vectors, 0.5, "Euclid", 3) == [0, 2, 1]  # -2 + 1.8 before -1 + 0.5
    assert diversified(np.zeros(0), np.zeros((0, 2), np.float32), 0.5, "Cosine", 3) == []
    assert [candidates(k) for k in (1, 10, 11, 100, 5000)] == [100, 100, 110, 1000, 1000]
    assert [comparisons(k, last) for k, last in ((5, 5), (5, 500), (100, 100), (100_000, 100_000))] == [
        500, 10_000, 100_000, 1_000_000,
    ]  # fmt: skip


def by_definition(relevance: np.ndarray, vectors: np.ndarray, diversity: float, distance: Distance) -> list[int]:
    """Maximal marginal relevance of all candidates, each compared with each."""
    if distance == "Cosine":
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        alike = unit @ unit.T
    else:
        alike = -np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    chosen = [0]
    while len(chosen) < len(vectors):
        marginal = (1 - diversity) * relevance - diversity * alike[chosen].max(axis=0)
        marginal[chosen] = -np.inf
        chosen.append(int(np.argmax(marginal)))
    return chosen


@pytest.mark.parametrize("distance", ["Cosine", "Euclid"])
@pytest.mark.parametrize("dim", [1, 7, 3_000, 70_000])
def test_the_varied_order_is_that_of_the_definition(distance: Distance, dim: int) -> None:
    """Of vectors of any length: those too long to be compared all at once as well."""
    chance = np.random.default_rng(dim)
    vectors = (100 + chance.normal(size=(30, dim)) * 10 ** chance.uniform(-1, 1, (30, 1))).astype(np.float32)
    relevance = np.sort(chance.normal(size=30))[::-1]
    found = diversified(relevance, vectors, 0.4, distance, 30)
    assert found == by_definition(relevance, vectors.astype(np.float64), 0.4, distance)


@pytest.mark.parametrize("distance", ["Cosine", "Euclid"])
def test_differences_of_all_vectors_are_never_held_at_once(distance: Distance) -> None:
    vectors = np.random.default_rng(1).normal(size=(1_000, 1_280)).astype(np.float32)
    relevance = np.linspace(1, 0, 1_000)
    tracemalloc.start()
    try:
        diversified(relevance, vectors, 0.5, distance, 3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    held = 2.1 if distance == "Cosine" else 1.1  # besides the result one copy, of unit length, or nearly nothing
    assert peak < held * vectors.nbytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price", Sort("price")),
        ("price:asc", Sort("price")),
        ("price:desc", Sort("price", True)),
        ("a:b", Sort("a:b")),
        ("a:b:desc", Sort("a:b", True)),
    ],
)
def test_sort_options(text: str, expected: Sort) -> None:
    assert Sort.parse(text) == expected


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (Parameters(k=0), "-k 0"),
        (Parameters(k=100_001), "-k 100001"),
        (Parameters(offset=-1), "--offset -1"),
        (Parameters(k=10, offset=99_991), "0 to 99,990"),
        (Parameters(diversity=1.1), "--diversity 1.1"),
        (Parameters(diversity=float("nan")), "--diversity nan"),
        (Parameters(min_score=float("inf")), "--min-score"),
        (Parameters(max_distance=-1.0), "--max-distance -1"),
        (Parameters(filters=["price"]), "no operator"),
        (Parameters(any_of=["price<3"]), "one alternative"),
    ],
    ids=str,
)
def test_what_no_answer_can_have(parameters: Parameters, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parameters.require_sane()
    with pytest.raises(UsageError, match="names no field"):
        Sort.parse(":desc")

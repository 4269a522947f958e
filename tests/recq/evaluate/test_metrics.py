"""The measures of `recq evaluate` against numbers worked out by hand, and against a slow second implementation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq.evaluate.metrics import (
    Confusion,
    LabelSets,
    Measures,
    average_precision,
    bootstrap,
    confusions,
    measure,
    precision_at,
    recall_at,
)
from recq.search import vector_file
from recq.search.vector_file import VectorFile, descending
from recq.space import Distance


@pytest.mark.parametrize(
    ("ranked", "expected"),
    [
        ([1], 1.0),
        ([1, 1, 0, 0], 1.0),
        ([0, 0, 0, 1], 1 / 4),
        ([1, 0, 1, 0], (1 / 1 + 2 / 3) / 2),
        ([0, 1, 0, 0, 1], (1 / 2 + 2 / 5) / 2),
        # Graded: means 0.5 and 0.75 where something is found, 1 and 0.75 in the best order.
        ([0.5, 1.0, 0.0], (0.5 + 0.75) / (1 + 0.75)),
        ([1.0, 0.5, 0.25], 1.0),
        ([0.0, 0.5], (0.5 / 2) / 0.5),
    ],
)
def test_average_precision(ranked: list[float], expected: float) -> None:
    assert average_precision(np.array(ranked, float)) == pytest.approx(expected)


def test_precision_and_recall() -> None:
    ranked = np.array([1, 0, 1, 1, 0, 0, 0, 1], float)
    assert [precision_at(ranked, k) for k in (1, 3, 4, 8)] == [1, 2 / 3, 3 / 4, 1 / 2]
    assert precision_at(ranked, 16) == 4 / 16  # also where the ranking is shorter
    assert [recall_at(ranked, k) for k in (1, 3, 4, 8, 16)] == [1 / 4, 2 / 4, 3 / 4, 1, 1]
    graded = np.array([0.5, 0.25, 0.0, 0.25])
    assert precision_at(graded, 2) == 0.375
    assert recall_at(graded, 2) == 0.75
    assert measure(graded, [2, 4]) == [average_precision(graded), 0.375, 0.25, 0.75, 1.0]


@given(st.lists(st.booleans(), min_size=1, max_size=40).filter(any))
def test_average_precision_is_the_area_below_the_steps(relevant: list[bool]) -> None:
    """Precision times the step of recall, summed over the ranking: how scikit-learn defines it."""
    area, found, last = 0.0, 0, 0.0
    for place, right in enumerate(relevant, start=1):
        found += right
        recall = found / sum(relevant)
        area += (recall - last) * found / place
        last = recall
    assert average_precision(np.array(relevant, float)) == pytest.approx(area)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=12).filter(any))
def test_graded_average_precision_is_one_for_the_best_order_alone(gains: list[float]) -> None:
    value = average_precision(np.array(gains))
    best = gains == sorted(gains, reverse=True)
    assert value == pytest.approx(1.0) if best else 0 < value < 1


def test_gains_are_the_overlap_of_labels() -> None:
    labels = LabelSets([["drama"], ["drama", "action"], ["action", "war", "action"], ["war"]])
    assert labels.names == ["action", "drama", "war"]
    assert labels.gains(0).tolist() == [1, 1 / 2, 0, 0]
    assert labels.gains(1).tolist() == [1 / 2, 1, 1 / 3, 0]
    assert labels.gains(2).tolist() == [0, 1 / 3, 1, 1 / 2]
    assert [labels.members(label).tolist() for label in range(3)] == [[1, 2], [0, 1], [2, 3]]
    with pytest.raises(ValueError, match="without a label"):
        LabelSets([["a"], []])


def test_what_is_taken_for_what() -> None:
    labels = LabelSets([["hat"], ["hat"], ["sofa"], ["bed"], ["sofa"]])
    neighbours = [np.array([1, 2, 4]), np.array([0, 3, 2]), np.array([4, 3])]
    assert confusions(labels, np.array([0, 1, 2]), neighbours) == [
        Confusion("hat", "sofa", 3 / 6, 3),
        Confusion("hat", "bed", 1 / 6, 1),
        Confusion("sofa", "bed", 1 / 2, 1),
    ]
    assert confusions(labels, np.array([0]), [np.array([1])]) == []


def test_a_list_is_taken_for_the_labels_that_it_has_not() -> None:
    labels = LabelSets([["drama", "war"], ["drama", "action"], ["war"]])
    assert confusions(labels, np.array([0, 2]), [np.array([1, 2]), np.array([0])]) == [
        Confusion("drama", "action", 1 / 2, 1),
        Confusion("war", "action", 1 / 3, 1),
        Confusion("war", "drama", 1 / 3, 1),
    ]


def test_measures_have_their_columns() -> None:
    measures = Measures.of_columns([0.5, 1, 0.6, 0.1, 0.4], [1, 5])
    assert measures == Measures(0.5, {1: 1.0, 5: 0.6}, {1: 0.1, 5: 0.4})
    assert list(measures) == [0.5, 1, 0.6, 0.1, 0.4]


def test_the_interval_is_that_of_a_mean() -> None:
    values = np.random.default_rng(3).random((400, 2))
    low, high = bootstrap(values, seed=1)
    half = 1.96 * values.std(axis=0, ddof=1) / 400**0.5  # the normal approximation, good at 400
    assert low == pytest.approx(values.mean(axis=0) - half, abs=0.004)
    assert high == pytest.approx(values.mean(axis=0) + half, abs=0.004)


def test_the_same_seed_draws_the_same_queries() -> None:
    values = np.random.default_rng(3).random((50, 1))
    assert bootstrap(values, 1)[0] == bootstrap(values, 1)[0] != bootstrap(values, 2)[0]
    low, high = bootstrap(np.hstack([values + 0.25 - values, values]), 1)  # a difference that is the same everywhere
    assert (low[0], high[0]) == pytest.approx((0.25, 0.25))


@given(st.lists(st.floats(-2, 2, width=32) | st.sampled_from([0.0, -0.0, 0.5]), max_size=60))
def test_descending_is_a_stable_sort(scores: list[float]) -> None:
    order = descending(np.array(scores, np.float32), np.arange(len(scores), dtype=np.uint64))
    assert order.tolist() == sorted(range(len(scores)), key=lambda n: -scores[n])


@pytest.mark.parametrize("distance", ["Cosine", "Euclid"])
def test_blocks_do_not_change_the_order(distance: Distance, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(57, 6)).astype(np.float32) * random.uniform(0.5, 2, (57, 1)).astype(np.float32)
    vectors[20] = vectors[5]  # a tie
    queries = np.array([0, 5, 33, 56])
    monkeypatch.setattr(vector_file, "_BLOCK", 7 * 6 * 4)
    monkeypatch.setattr(vector_file, "_SCORES", 3 * 50 * 4)
    with VectorFile(6, distance) as file:
        file.append(vectors[:30])
        file.append(vectors[30:])
        orders = [order.tolist() for order in file.ranked(queries, 50)]
    for query, order in zip(queries, orders, strict=True):
        if distance == "Cosine":
            units = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
            far = -(units @ units[query]).round(9)
        else:
            far = np.linalg.norm(vectors.astype(float) - vectors[query], axis=1).round(9)
        assert order == sorted(range(50), key=lambda n: (far[n], n))

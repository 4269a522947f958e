"""What held-out items tell beside means, by hand-made predictions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq.evaluate.metrics import Measures
from recq.learn.calibration import calibration_error
from recq.learn.held_out import (
    Taken,
    bins_of,
    counts_of,
    curve_of,
    label_precisions,
    some_of_each,
    taken_for,
)

PROBABILITIES = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], np.float32)
TRUTH = np.array([[1, 0], [0, 1], [0, 1]], bool)


def test_bins_add_up_to_the_calibration_error() -> None:
    bins = bins_of([(PROBABILITIES, TRUTH)] * 2, several=False)
    assert [each.count for each in bins] == [2, 2, 2]
    error = sum(each.count * abs(each.confidence - each.right) for each in bins) / 6
    assert error == pytest.approx(calibration_error(PROBABILITIES, TRUTH, several=False))
    assert sum(each.count for each in bins_of([(PROBABILITIES, TRUTH)], several=True)) == TRUTH.size


def test_which_class_is_taken_for_which_over_seeds_of_other_classes() -> None:
    fewer = (("b",), np.ones((1, 1), np.float32), np.zeros((1, 1), bool))  # its item is of a class that was not learned
    found = taken_for(["a", "b"], [(("a", "b"), PROBABILITIES, TRUTH), fewer])
    assert found == (Taken("a", "a", 1), Taken("b", "a", 1), Taken("b", "b", 1))


def test_the_precision_of_a_label_is_the_mean_of_the_seeds_that_can_tell() -> None:
    first = (("a", "b"), PROBABILITIES, TRUTH)
    second = (("a",), np.array([[0.1], [0.2]], np.float32), np.array([[1], [0]], bool))
    a, b = label_precisions([first, second])
    assert (a.label, a.average_precision) == ("a", (1.0 + 0.5) / 2)
    assert a.base_rate == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert (b.label, b.average_precision) == ("b", 1.0)


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=40), st.integers(1, 9))
def test_a_curve_learns_from_so_many_of_each_class(rows: list[list[bool]], count: int) -> None:
    indicators = np.array(rows, bool)
    some = some_of_each(indicators, count, 0)
    assert len(set(some.tolist())) == len(some)
    assert (indicators[some].sum(axis=0) >= np.minimum(indicators.sum(axis=0), count)).all()
    single = np.eye(3, dtype=bool)[np.arange(30) % 3]
    assert single[some_of_each(single, count, 0)].sum(axis=0).tolist() == [min(count, 10)] * 3


def test_the_points_of_a_curve_are_those_that_the_data_allow() -> None:
    assert counts_of([100, 90, 8]) == (5, 10, 20, 50)
    assert counts_of([5, 5]) == ()
    seeds: list[dict[int | None, Measures]] = [
        {0: Measures(each, {5: each}, {}), None: Measures(1.0, {5: 1.0}, {})} for each in (0.4, 0.6)
    ]
    assert [(point.labels, point.map.mean) for point in curve_of(seeds)] == [(0, 0.5), (None, 1.0)]

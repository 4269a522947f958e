"""Probabilities that are right as often as they say, and the p-value of being like nothing that has a label."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recq.learn.calibration import (
    COVERAGE,
    GOOD_ERROR,
    UNKNOWN,
    Calibration,
    OutOfFold,
    beyond_chance,
    calibrated,
    calibration_error,
    calibration_error_by_chance,
    nearness_of,
)
from recq.models.heads import probabilities_of


def overconfident(count: int, seed: int) -> OutOfFold:
    """Truth drawn of probabilities whose scores are shown four times as large."""
    random = np.random.default_rng(seed)
    scores = random.standard_normal((count, 4)).astype(np.float32)
    chances = probabilities_of(scores)
    drawn = (random.random((count, 1)) > np.cumsum(chances, axis=1)).sum(axis=1).clip(0, 3)
    nearness = random.normal(0.6, 0.1, count).astype(np.float32)
    return OutOfFold(4 * scores, np.eye(4, dtype=bool)[drawn], nearness, nearness)


def test_a_temperature_takes_back_what_was_too_sure() -> None:
    seen, tested = overconfident(3_000, 0), overconfident(3_000, 1)
    raw = calibration_error(probabilities_of(tested.scores), tested.truth, several=False)
    calibration = calibrated(seen, several=False)
    after = calibration_error(calibration.probabilities(tested.scores, several=False), tested.truth, several=False)
    assert 1 / calibration.scale[0] == pytest.approx(4, rel=0.15)
    assert after < 0.04 < 0.2 < raw


def test_each_of_several_labels_has_a_line_of_its_own() -> None:
    random = np.random.default_rng(2)
    scores = random.standard_normal((4_000, 2)).astype(np.float32)
    truth = random.random((4_000, 2)) < 1 / (1 + np.exp(-(scores * [2.0, 0.5] + [-1.0, 2.0])))
    calibration = calibrated(OutOfFold(scores, truth, *np.zeros((2, 4_000), np.float32)), several=True)
    assert np.allclose(calibration.scale, [2.0, 0.5], atol=0.25)
    assert np.allclose(calibration.offset, [-1.0, 2.0], atol=0.25)
    assert calibration_error(calibration.probabilities(scores, several=True), truth, several=True) < 0.03


def test_a_label_set_has_the_true_label_as_often_as_it_says() -> None:
    covered = []
    for seed in range(20):
        calibration = calibrated(overconfident(400, seed), several=False)
        tested = overconfident(400, 100 + seed)
        probabilities = calibration.probabilities(tested.scores, several=False)
        covered.append(float((probabilities[tested.truth] >= calibration.least).mean()))
    assert np.mean(covered) == pytest.approx(COVERAGE, abs=0.03)


def test_so_many_of_the_known_kinds_are_called_unknown() -> None:
    calibration = calibrated(overconfident(2_000, 3), several=False)
    fresh = overconfident(2_000, 4).nearness
    assert np.mean([calibration.known(each) < UNKNOWN for each in fresh.tolist()]) == pytest.approx(UNKNOWN, abs=0.02)
    assert calibration.known(-1.0) == 0
    assert calibration.known(1.0) == 1
    values = [calibration.known(each) for each in np.linspace(0, 1, 50).tolist()]
    assert values == sorted(values)


def test_a_calibration_is_the_same_after_json() -> None:
    calibration = calibrated(overconfident(500, 5), several=False)
    read = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    assert np.allclose(read.scale, calibration.scale)
    assert read.known(0.5) == pytest.approx(calibration.known(0.5), abs=1e-5)


def test_the_error_names_what_it_counts() -> None:
    truth = np.array([[True, False], [False, True]])
    sure = np.array([[0.9, 0.1], [0.9, 0.1]], np.float32)
    assert calibration_error(sure, truth, several=False) == pytest.approx(0.4, abs=1e-6)
    assert calibration_error(truth.astype(np.float32), truth, several=False) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("count", [70, 2_000])
@pytest.mark.parametrize("several", [False, True])
def test_exact_probabilities_show_an_error_by_chance_that_is_known(count: int, several: bool) -> None:
    """It is what is measured of as many items, a hundred times; with more items it vanishes."""
    random = np.random.default_rng(6)
    found, expected = [], []
    for _ in range(100):
        scores = random.standard_normal((count, 4)).astype(np.float32)
        exact = probabilities_of(scores, several=several)
        if several:
            truth = random.random((count, 4)) < exact
        else:
            drawn = (random.random((count, 1)) > np.cumsum(exact, axis=1)).sum(axis=1).clip(0, 3)
            truth = np.eye(4, dtype=bool)[drawn]
        found.append(calibration_error(exact, truth, several=several))
        expected.append(calibration_error_by_chance(exact, several=several))
    assert np.mean(expected) == pytest.approx(np.mean(found), rel=0.1)
    assert np.mean(found) > 0.04 if count == 70 else np.mean(found) < 0.03
    assert beyond_chance(float(np.mean(found)), float(np.mean(expected))) < GOOD_ERROR
    sure = np.where(exact == exact.max(axis=1, keepdims=True), 0.99, 0.0025).astype(np.float32)
    wrong = calibration_error(sure, truth, several=several)
    assert beyond_chance(wrong, calibration_error_by_chance(sure, several=several)) > GOOD_ERROR


def test_nearness_is_the_mean_of_the_nearest() -> None:
    known = np.eye(8, dtype=np.float32)
    assert nearness_of(known[:1], known).tolist() == pytest.approx([0.2])
    assert nearness_of(known[:1], known[:2]).tolist() == pytest.approx([0.5]), "of fewer all count"

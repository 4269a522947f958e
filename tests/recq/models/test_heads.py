"""Heads: the same numbers everywhere, through JSON and back; rows of length 1; what they were learned for."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq.errors import SpaceMismatch
from recq.models.heads import (
    Classifier,
    Head,
    Joined,
    Linear,
    RandomFeatures,
    Residual,
    digest_of,
    head_from_json,
    join,
    probabilities_of,
    random_signs,
    rounded,
)

TAKES, CLASSES, DIM = 12, ("bed", "chair", "sofa"), 5
RANDOM = np.random.default_rng(0)
SIGNS = [[-1, -1, -1, 1, -1], [-1, -1, 1, -1, 1], [1, -1, -1, 1, -1]]
"""Stored heads depend on them: another version of numpy must draw the same."""


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def units(count: int) -> np.ndarray:
    rows = floats(count, TAKES)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


CLASSIFIER = Classifier(CLASSES, floats(len(CLASSES), TAKES), floats(len(CLASSES)))
HEADS: list[Head] = [
    Joined(CLASSIFIER, 0.6),
    Joined(CLASSIFIER, 0.6, floats(len(CLASSES) + TAKES, DIM)),
    Joined(Classifier(CLASSES, floats(3, TAKES), floats(3), several=True), 1.0, floats(3 + TAKES, DIM)),
    Linear(floats(TAKES, DIM)),
    Linear(floats(TAKES, DIM), floats(TAKES)),
    RandomFeatures(50, 7, TAKES, floats(50, DIM)),
    Residual(floats(TAKES, 7), floats(7, TAKES), 0.4, floats(TAKES, DIM)),
]


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
def test_a_head_is_the_same_after_json(head: Head) -> None:
    vectors = units(20)
    read = head_from_json(json.loads(json.dumps(head.to_json())))
    assert np.array_equal(read.apply(vectors), head.apply(vectors))
    assert (read.takes, read.dim, read.kind) == (head.takes, head.dim, head.kind)
    assert digest_of(read) == digest_of(head)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
def test_rows_have_length_one_and_do_not_depend_on_the_others(head: Head) -> None:
    vectors = units(9)
    made = head.apply(vectors)
    assert made.shape == (9, head.dim)
    assert made.dtype == np.float32
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    assert np.allclose(made[4:5], head.apply(vectors[4:5]), atol=1e-5)


def test_a_head_is_what_is_stored_of_it() -> None:
    exact = floats(TAKES, DIM)
    assert np.array_equal(Linear(exact).matrix, rounded(exact))
    assert np.abs(rounded(exact) - exact).max() < 0.002


def test_many_rows_are_projected_in_parts_with_the_same_result() -> None:
    vectors = units(5_000)
    head = HEADS[1]
    assert np.allclose(head.apply(vectors)[4_500:], head.apply(vectors[4_500:]), atol=1e-5)


def test_joined_numbers_weigh_the_classes_as_asked() -> None:
    vectors = units(4)
    for weight in (0.3, 1.0):
        joined = join(CLASSIFIER.probabilities(vectors), vectors, weight)
        assert np.allclose(np.linalg.norm(joined[:, : len(CLASSES)], axis=1), weight, atol=1e-5)
        assert np.array_equal(joined[:, len(CLASSES) :], vectors)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=6), st.floats(0.02, 50), st.booleans())
def test_probabilities_are_probabilities(scores: list[float], temperature: float, several: bool) -> None:
    found = probabilities_of(np.array([scores], np.float32), temperature, several=several)[0]
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= 1).all()
    if not several:
        assert abs(float(found.sum()) - 1) < 1e-5
    best = int(np.argmax(scores))
    assert found[best] == found.max()


def test_random_signs_are_the_same_for_ever() -> None:
    signs = random_signs(3, 5, 42)
    assert set(np.unique(signs)) <= {-1.0, 1.0}
    assert signs.astype(int).tolist() == SIGNS


@pytest.mark.parametrize(
    "broken",
    [
        {"kind": "of tomorrow"},
        {},
        {"kind": "linear"},
        {"kind": "linear", "matrix": {"shape": [2, 2], "f16": "AAAA"}, "centre": None},
        {"kind": "joined", "classifier": {}, "weight": 1, "projection": None},
    ],
)
def test_what_cannot_be_read_says_so(broken: dict[str, Any]) -> None:
    with pytest.raises(SpaceMismatch, match=r"newer recq|train it again"):
        head_from_json(broken)

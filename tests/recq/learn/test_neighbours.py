"""Near-duplicates and nearest neighbours among many: through fewer numbers the same are found as by comparing all."""

from __future__ import annotations

import numpy as np
import pytest

from recq.learn import neighbours
from recq.learn.examples import NEAR_DUPLICATE
from recq.learn.neighbours import Floats, Rows, near_pairs, nearest_others

DIM = 40


def clustered(count: int = 700) -> Floats:
    """Vectors around few centres, some of them near-duplicates of others."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((30, DIM))
    rows = centres[random.integers(30, size=count)] + 0.5 * random.standard_normal((count, DIM))
    rows[400:] = rows[:300] + 0.2 * random.random((300, 1)) * random.standard_normal((300, DIM))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def all_pairs(vectors: Floats) -> set[tuple[int, int]]:
    return {
        (int(one), int(other)) for some in near_pairs(vectors, NEAR_DUPLICATE) for one, other in zip(*some, strict=True)
    }


def nearest(vectors: Floats, groups: Rows) -> list[set[int]]:
    return [
        set(row[there].tolist())
        for _, found, those in nearest_others(vectors, groups, 5)
        for row, there in zip(found, those, strict=True)
    ]


@pytest.fixture(params=["sparse", "dense"])
def many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few vectors are treated as many, in small tiles, of which little or much is compared exactly."""
    for name, value in {"MOST_EXACT": 10, "NUMBERS": 16, "_TILE": (64, 128), "_BLOCK": 32, "_PAIRS": 50}.items():
        monkeypatch.setattr(neighbours, name, value)
    monkeypatch.setattr(neighbours, "_SPARSE", 1.0 if request.param == "sparse" else 0.0)


@pytest.mark.usefixtures("many")
def test_no_near_duplicate_of_many_is_missed() -> None:
    vectors = clustered()
    scores = vectors @ vectors.T
    expected = {(one, other) for one, other in np.argwhere(scores >= NEAR_DUPLICATE).tolist() if one < other}
    assert len(expected) > 100
    assert all_pairs(vectors) == expected


def test_of_few_all_are_compared() -> None:
    vectors = clustered()
    scores = vectors @ vectors.T
    assert all_pairs(vectors) == {
        (one, other) for one, other in np.argwhere(scores >= NEAR_DUPLICATE).tolist() if one < other
    }


@pytest.mark.usefixtures("many")
def test_the_nearest_of_many_are_nearly_all_found(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, groups = clustered(), np.arange(700) // 2
    scores = vectors @ vectors.T
    scores[groups[:, None] == groups[None, :]] = -np.inf
    expected = [set(row.tolist()) for row in np.argsort(-scores, axis=1, kind="stable")[:, :5]]
    found = nearest(vectors, groups)
    assert np.mean([len(one & other) / 5 for one, other in zip(found, expected, strict=True)]) > 0.95
    monkeypatch.setattr(neighbours, "NUMBERS", DIM)
    assert nearest(vectors, groups) == expected, "all numbers leave nothing out"


@pytest.mark.usefixtures("many")
def test_there_may_be_fewer_others_than_are_asked_for() -> None:
    vectors, groups = clustered(), np.where(np.arange(700) < 697, 0, np.arange(700) - 696)
    found = nearest(vectors, groups)
    assert found[0] == {697, 698, 699}
    assert len(found[699]) == 5

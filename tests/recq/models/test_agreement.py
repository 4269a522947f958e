"""The cells of a map add up to the similarity, whatever the pooling."""

from __future__ import annotations

import numpy as np
import pytest

from recq.models.agreement import agreement
from recq.models.pooling import POOLINGS, pool


def maps(seed: int, *, negative: bool = False) -> np.ndarray:
    """A feature map (7, 7, 20), most cells of which are zero, as after a rectifier."""
    drawn = np.random.default_rng(seed).normal(size=(7, 7, 20)).astype(np.float32)
    return drawn if negative else np.maximum(drawn, 0)


@pytest.mark.parametrize(
    ("pooling", "negative"),
    [
        ("gem", False),
        ("centre", False),
        *((each, negative) for each in ("mean", "max", "rmac", "flatten") for negative in (False, True)),
    ],
)
def test_the_cells_add_up_to_the_cosine(pooling: str, negative: bool) -> None:
    one, other = maps(1, negative=negative), maps(2, negative=negative)
    first, second = (pool(each[np.newaxis], pooling)[0] for each in (one, other))
    cosine = float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
    added = agreement(one, pooling, 3 * second)
    assert added.shape == (7, 7)
    assert added.dtype == np.float32
    assert added.sum() == pytest.approx(cosine, abs=1e-5)
    assert agreement(other, pooling, first).sum() == pytest.approx(cosine, abs=1e-5)


def test_every_pooling_of_a_map_has_cells() -> None:
    for pooling in set(POOLINGS) - {"none"}:
        assert agreement(maps(1), pooling, pool(maps(2)[np.newaxis], pooling)[0]).shape == (7, 7)


@pytest.mark.parametrize("pooling", ["gem", "mean", "max", "rmac", "centre", "flatten"])
def test_the_cell_that_both_share_adds_most(pooling: str) -> None:
    one = np.full((5, 5, 4), 0.1, np.float32)
    other = one.copy()
    one[1, 3, 2] = other[1, 3, 2] = 5.0  # the same place, since `flatten` compares places
    one[4, 0, 0] = 4.0  # in one picture alone
    added = agreement(one, pooling, pool(other[np.newaxis], pooling)[0])
    assert divmod(int(added.argmax()), 5) == (1, 3)
    assert added[1, 3] > 2 * added[4, 0]

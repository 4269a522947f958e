"""The warmest place of an explanation becomes a region, and results of several liked pictures get their scale."""

from __future__ import annotations

import numpy as np
import pytest

from recq.images.resize import Placement
from recq.search.explain import Side
from recq.search.hottest import LEAST, hottest, warmest
from recq.search.nearest_liked import scores_of


def test_what_is_warm_and_hangs_together_is_the_place() -> None:
    heat = np.zeros((6, 8))
    heat[2, 3], heat[2, 4], heat[3, 4], heat[4, 4] = 1.0, 0.6, 0.7, 0.4
    heat[0, 0] = 0.9  # warm, but elsewhere
    assert warmest(heat) == (3, 2, 5, 4)
    assert warmest(np.zeros((3, 3))) is None
    assert warmest(-np.ones((3, 3))) is None


def side(added: np.ndarray, width: int, height: int, place: Placement) -> Side:
    return Side("a", "a", np.zeros((height, width, 3), np.uint8), place, 80, added.astype(np.float32))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 7), (4, 4), (7, 3)])
def test_the_region_holds_the_warmest_cell_and_lies_in_the_picture(row: int, column: int) -> None:
    added = np.zeros((8, 8))
    added[row, column] = 1.0
    region = hottest(side(added, 400, 200, Placement((0, 0, 400, 200), (0, 0, 80, 80))))
    assert region is not None
    assert region.percent
    assert region.x <= 12.5 * (column + 0.5) <= region.x + region.width
    assert region.y <= 12.5 * (row + 0.5) <= region.y + region.height
    assert min(region.x, region.y) >= 0
    assert max(region.x + region.width, region.y + region.height) <= 100
    assert LEAST <= region.width <= 40


def test_what_the_network_saw_in_the_middle_is_a_region_of_the_whole_picture() -> None:
    added = np.zeros((8, 8))
    added[0, 0] = 1.0  # the left upper corner of the centred square
    region = hottest(side(added, 400, 200, Placement((100, 0, 300, 200), (0, 0, 80, 80))))
    assert region is not None
    assert 20 <= region.x <= 30
    assert region.y == 0


def test_scores_of_pairs() -> None:
    some, others = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[3.0, 0.0], [1.0, 1.0]])
    assert scores_of(some, others, cosine=True) == pytest.approx(np.array([[1, 0.5**0.5], [0, 0.5**0.5]]))
    assert scores_of(some, others, cosine=False) == pytest.approx(np.array([[2, 1], [13**0.5, 2**0.5]]))

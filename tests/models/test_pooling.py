"""The poolings, on maps small enough to follow by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recq.models.pooling import pool
from recq.models.regions import Region, regions


def test_the_regions_of_a_map() -> None:
    """Of 7 cells a side, as MobileNetV2 gives them: widths 7, 4 and 3, spread from edge to edge."""
    found = regions(7)
    assert found[0] == Region(0, 0, 7)
    assert [(one.top, one.left) for one in found[1:5]] == [(0, 0), (0, 3), (3, 0), (3, 3)]
    assert {one.width for one in found[1:5]} == {4}
    assert [(one.top, one.left) for one in found[5:]] == [(top, left) for top in (0, 2, 4) for left in (0, 2, 4)]
    assert {one.width for one in found[5:]} == {3}


@pytest.mark.parametrize("side", [*range(1, 40), 64, 112])
def test_regions_cover_the_map_and_stay_inside(side: int) -> None:
    found = regions(side)
    assert len(found) == 1 + 4 + 9
    cells = np.zeros((side, side), int)
    for one in found[5:]:
        assert one.top + one.width <= side
        assert one.left + one.width <= side
        cells[one.top : one.top + one.width, one.left : one.left + one.width] += 1
    assert one.top + one.width == side
    assert side < 5 or cells.all()
    if side >= 12:  # half of a region's width belongs to its neighbour too, as far as whole cells allow
        assert (found[6].left - found[5].left) / found[5].width == pytest.approx(0.5, abs=0.1)


def test_rmac_adds_the_directions_of_the_regions() -> None:
    """Two channels: one strong spot in a corner, and a weak value everywhere."""
    maps = np.zeros((1, 7, 7, 2), np.float32)
    maps[0, 0, 0, 0] = 9
    maps[..., 1] = 3
    # The whole, one of the four and one of the nine see the spot: three regions of (9, 3), eleven of (0, 3).
    summed = 3 * np.array([9, 3]) / 90**0.5 + 11 * np.array([0, 1])
    np.testing.assert_allclose(pool(maps, "rmac")[0], summed / np.linalg.norm(summed), rtol=1e-6)
    assert pool(np.zeros((2, 7, 7, 3), np.float32), "rmac").tolist() == [[0.0] * 3] * 2

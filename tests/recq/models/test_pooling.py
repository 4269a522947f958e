"""The poolings, on maps small enough to follow by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recq.models.pooling import centre_weights, pool
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


def test_centre_squares_what_gem_makes_of_equal_cells() -> None:
    """Of four cells each is as far from the middle as the others."""
    maps = np.array([1, 2, 3, 4], np.float32).reshape(1, 2, 2, 1)
    assert pool(maps, "centre")[0, 0] == pytest.approx(((1 + 8 + 27 + 64) / 4) ** (2 / 3))
    assert pool(maps, "centre") == pytest.approx(pool(maps, "gem") ** 2)


def test_centre_sees_the_middle_more_than_the_edge() -> None:
    """Of nine cells, one step from the middle is a third of the side: exp(-(1/3 : 1/4)^2 / 2) on either axis."""
    weight = np.exp(-((4 / 3) ** 2) / 2)
    total = 1 + 4 * weight + 4 * weight**2
    for place, own in (((1, 1), 1), ((1, 2), weight), ((0, 0), weight**2)):
        maps = np.zeros((1, 3, 3, 1), np.float32)
        maps[(0, *place)] = 2
        assert pool(maps, "centre")[0, 0] == pytest.approx((8 * own / total) ** (2 / 3), rel=1e-5)
    assert centre_weights(7).sum() == pytest.approx(1)
    assert np.array_equal(centre_weights(7), centre_weights(7)[::-1, ::-1])

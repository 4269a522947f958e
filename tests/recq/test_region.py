"""Regions: how they are written, and which pixels they are."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recq.errors import UsageError
from recq.region import Beside, Region

NUMBERS = st.floats(-1e5, 1e5, allow_nan=False)
SIDES = st.floats(1e-3, 1e5)
LENGTHS = st.integers(1, 5_000)


@given(NUMBERS, NUMBERS, SIDES, SIDES, st.booleans(), LENGTHS, LENGTHS)
def test_a_box_lies_within_the_picture_or_there_is_none(
    x: float, y: float, w: float, h: float, percent: bool, width: int, height: int
) -> None:
    try:
        box = Region(x, y, w, h, percent).box(width, height)
    except Beside:
        box = None
    across, down = (width / 100, height / 100) if percent else (1.0, 1.0)
    beside = x * across >= width or (x + w) * across <= 0 or y * down >= height or (y + h) * down <= 0
    assert (box is None) == beside
    if box is not None:
        left, upper, right, lower = box
        assert 0 <= left < right <= width
        assert 0 <= upper < lower <= height
        for edge, wanted in ((left, x * across), (right, (x + w) * across)):
            assert abs(edge - min(max(wanted, 0), width)) <= 1


FAR = st.floats(-1e308, 1e308, allow_nan=False)
WIDE = st.floats(0, 1e308, exclude_min=True)


@given(FAR, FAR, WIDE, WIDE, st.booleans(), LENGTHS, LENGTHS)
@example(0.0, 0.0, 1e308, 1.0, True, 4_000, 3_000)
@example(-1e308, 0.0, 1e308, 1e308, True, 4_000, 3_000)
def test_numbers_of_any_size_are_a_box_or_beside(
    x: float, y: float, w: float, h: float, percent: bool, width: int, height: int
) -> None:
    try:
        left, upper, right, lower = Region(x, y, w, h, percent).box(width, height)
    except Beside:
        return
    assert 0 <= left < right <= width
    assert 0 <= upper < lower <= height


@given(NUMBERS, NUMBERS, SIDES, SIDES, st.booleans())
def test_what_is_written_is_read_again(x: float, y: float, w: float, h: float, percent: bool) -> None:
    region = Region.parse(str(Region(round(x, 3), round(y, 3), round(w, 3), round(h, 3), percent)))
    assert (region.x, region.y, region.width, region.height) == (round(x, 3), round(y, 3), round(w, 3), round(h, 3))
    assert region.percent is percent


@given(LENGTHS, LENGTHS)
def test_all_of_a_picture_is_the_picture(width: int, height: int) -> None:
    whole = (0, 0, width, height)
    assert Region.parse("0%,0%,100%,100%").box(width, height) == whole
    assert Region(-7, -7, width + 99, height + 99).box(width, height) == whole


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no region"),
        ("1,2,3", "is no region"),
        ("1,2,3,4,5", "is no region"),
        ("1;2;3;4", "is no region"),
        ("a,b,c,d", "is no region"),
        ("1,2,nan,4", "is no region"),
        ("1,2,1e3,4", "is no region"),
        ("1,2,3,4%", "mixes pixels and per cent"),
        ("10%,10%,0%,5%", "has no area"),
        ("10,10,5,-5", "has no area"),
        (f"0,0,{'9' * 400},1", "not finite"),
    ],
)
def test_what_is_no_region_is_told(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        Region.parse(text)
    assert "\n" not in str(caught.value)

"""Parts of a source: every item is in exactly one, and a part is a range of ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq.part import MOST, WHOLE, Part


@given(st.uuids(version=5), st.integers(2, MOST))
def test_every_item_is_in_one_part_which_is_a_range_of_ids(item: object, of: int) -> None:
    text = str(item)
    (part,) = (each for each in (Part(number, of) for number in range(1, of + 1)) if each.has(text))
    assert (part.first or "") <= text
    assert part.end is None or text < part.end
    assert WHOLE.has(text)


def test_ranges_meet() -> None:
    for of in (2, 3, 7, MOST):
        parts = [Part(number, of) for number in range(1, of + 1)]
        assert [each.end for each in parts[:-1]] == [each.first for each in parts[1:]]
        assert (parts[0].first, parts[-1].end) == (None, None)
        for part in parts[1:]:
            assert part.first is not None
            assert part.has(part.first)
            assert not parts[part.number - 2].has(part.first)


@pytest.mark.parametrize("text", ["", "2", "0/2", "3/2", "1/1", "1/1001", "-1/2", "1/2/3", "a/b", "1 / 2", "١/٢"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NUMBER/PARTS"):
        Part.parse(text)


def test_a_part_is_written_as_it_is_read() -> None:
    assert str(Part.parse(" 02/5")) == "2/5"
    assert Part.parse("2/5").key("shop") == "shop/2/5"
    assert WHOLE.key("shop") == "shop"

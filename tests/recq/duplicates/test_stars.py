"""A group is what is the same as the picture that is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recq.duplicates.kinds import Kind
from recq.duplicates.same_picture import Relation
from recq.duplicates.stars import Star, stars

COPY = Relation(Kind.COPY, (1, 1), (1, 1), 0.1)
CROP = Relation(Kind.CROP, (0.9, 0.9), (1, 1), 0.1)
EDGE = Relation(Kind.COPY, (1, 1), (1, 1), 0.95)
MORE = Relation(Kind.CROP, (1, 1), (0.9, 0.9), 0.1)


class Pictures:
    """Which are the same, and which are looked at for each."""

    def __init__(self, related: dict[tuple[int, int], Relation], neighbours: dict[int, list[int]] | None = None):
        back = {CROP: MORE, MORE: CROP}
        self.related = {(b, a): back.get(each, each) for (a, b), each in related.items()} | related
        self.near = neighbours
        self.asked: list[tuple[int, int]] = []

    def neighbours(self, row: int) -> list[int]:
        every = {row for pair in self.related for row in pair}
        return sorted(every - {row}) if self.near is None else self.near.get(row, [])

    def relate(self, row: int, other: int) -> Relation | None:
        self.asked.append((row, other))
        return self.related.get((row, other))

    def stars(self, count: int, pixels: dict[int, int] | None = None) -> list[Star]:
        pixels = pixels or dict.fromkeys(range(count), 100)
        return stars(range(count), pixels, self.neighbours, self.relate, lambda done: None)


def test_a_chain_is_no_group() -> None:
    # 1 is the same as 0, and 2 the same as 1, but not as 0.
    (star,) = Pictures({(1, 0): COPY, (2, 1): COPY}).stars(3)
    assert (star.kept, star.others) == (0, {1: COPY})


def test_what_is_left_of_a_chain_has_a_group_of_its_own() -> None:
    found = Pictures({(1, 0): COPY, (2, 1): COPY, (3, 2): COPY}).stars(4)
    assert [(star.kept, set(star.others)) for star in found] == [(0, {1}), (2, {3})]


def test_copies_of_copies_are_compared_with_the_one_that_is_kept() -> None:
    # A hundred copies are not all among the nearest of the original.
    near = {row: [each for each in (row - 1, row + 1) if 0 <= each < 6] for row in range(6)}
    pictures = Pictures({(row, 0): COPY for row in range(1, 6)}, near)
    (star,) = pictures.stars(6)
    assert set(star.others) == {1, 2, 3, 4, 5}
    assert all(other == 0 for _, other in pictures.asked)


def test_the_uncropped_picture_is_kept_where_pixels_tell() -> None:
    # 0 has a few more pixels, since it was enlarged, but shows less than 1; 2 is a copy of both.
    pictures = Pictures({(0, 1): CROP, (2, 0): COPY, (2, 1): CROP})
    (star,) = pictures.stars(3, {0: 120, 1: 100, 2: 50})
    assert (star.kept, set(star.others), star.uncropped) == (1, {0, 2}, True)
    (star,) = pictures.stars(3, {0: 300, 1: 100, 2: 50})  # a crop with all the detail
    assert (star.kept, set(star.others), star.uncropped) == (0, {1, 2}, False)


def test_no_pair_is_compared_twice_for_nothing() -> None:
    pictures = Pictures({}, {row: [each for each in range(5) if each != row] for row in range(5)})
    assert pictures.stars(5) == []
    assert len({frozenset(pair) for pair in pictures.asked}) == len(pictures.asked) == 10


def test_a_picture_on_the_edge_does_not_part_another_from_its_copies() -> None:
    # 0 is just about 1 in another colour, but not quite 2, which is a copy of 1.
    (star,) = Pictures({(1, 0): EDGE, (2, 1): COPY}).stars(3)
    assert (star.kept, star.others) == (1, {2: COPY})
    (star,) = Pictures({(1, 0): EDGE, (2, 0): EDGE, (2, 1): COPY}).stars(3)  # all of it, or nothing
    assert (star.kept, star.others) == (0, {1: EDGE, 2: EDGE})


@given(st.dictionaries(st.tuples(st.integers(0, 9), st.integers(0, 9)), st.sampled_from([COPY, CROP, MORE, EDGE])))
def test_every_member_is_the_same_as_the_kept_one_and_in_one_group(related: dict[tuple[int, int], Relation]) -> None:
    pictures = Pictures({(a, b): each for (a, b), each in related.items() if a < b})
    found = pictures.stars(10)
    rows = [row for star in found for row in (star.kept, *star.others)]
    assert len(rows) == len(set(rows))
    for star in found:
        assert star.others == {row: pictures.related[row, star.kept] for row in star.others}
        assert star.others

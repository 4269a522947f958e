"""Groups pictures that are the same as one that is kept: stars, not chains. Pure.

Two pictures that are each the same as a third need not be the same: chains joined films by their posters'
common design. So every picture of a group has been compared with the one that is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from recq.duplicates.same_picture import Relation

Relate = Callable[[int, int], Relation | None]
"""The relation of the first row's picture to the second's."""

KEEP_UNCROPPED = 0.5
"""The uncropped picture is kept, not its crop, when it has at least this share of the crop's pixels: what a crop lost
cannot be restored. With fewer it is a smaller copy, and the crop has the detail."""


@dataclass(frozen=True)
class Star:
    """The row that is kept and what the others are to it; `uncropped` tells that it is not the first of them in order,
    but shows more."""

    kept: int
    others: dict[int, Relation]
    uncropped: bool


CERTAIN = 0.7
"""The difference, of 1 where another picture begins, up to which pictures are surely the same: 99 of 100 copies of four
packs. What differs more joins a star as a whole or not at all, or a picture on the edge would take some of another's
copies and leave it the others."""


def stars(
    order: Sequence[int],
    pixels: Mapping[int, int],
    neighbours: Callable[[int], Collection[int]],
    relate: Relate,
    finished: Callable[[int], None],
) -> list[Star]:
    """The stars of more than one row, in the order of what is kept.

    Each row of the `order`, the best to keep first, is compared with its neighbours and with theirs, as far as they are
    surely the same as it. `pixels` are by row. `finished` is called with the number of rows that are done.
    """
    doubtful: dict[tuple[int, int], Relation] = {}

    def surely(row: int, other: int) -> Relation | None:
        relation = relate(row, other)
        if relation is None or relation.difference <= CERTAIN:
            return relation
        doubtful[row, other] = relation
        return None

    found: dict[int, Star] = {}  # by what is kept, lonely rows included
    settled: set[int] = set()
    for row in order:
        if row not in settled:
            star = _star(row, pixels, neighbours, surely, settled)
            found[star.kept] = star
            settled |= {star.kept, *star.others}
            finished(len(settled))
    for (row, kept), relation in doubtful.items():
        if row in found and kept in found:
            others = {each: relate(each, kept) for each in found[row].others}
            joining = {row: relation} | {each: its for each, its in others.items() if its is not None}
            if len(joining) == len(others) + 1:
                found[kept] = replace(found[kept], others=found[kept].others | joining)
                del found[row]
    place = {row: number for number, row in enumerate(order)}
    return sorted((star for star in found.values() if star.others), key=lambda star: place[star.kept])


def _star(
    row: int,
    pixels: Mapping[int, int],
    neighbours: Callable[[int], Collection[int]],
    relate: Relate,
    settled: Collection[int],
) -> Star:
    """The star of a row that has none yet, around an uncropped one instead where that is to be kept."""
    kept, others = row, _same_as(row, neighbours, relate, settled)
    tried = {row}
    while more := [
        each
        for each, relation in others.items()
        if relation.shows_more and each not in tried and pixels[each] >= KEEP_UNCROPPED * pixels[kept]
    ]:
        larger = max(more, key=lambda each: (others[each].beyond, pixels[each], -each))
        tried.add(larger)
        its = _same_as(larger, neighbours, relate, settled)
        if kept in its:  # else the alignment was found in one order only
            kept, others = larger, its
    return Star(kept, others, uncropped=kept != row)


def _same_as(
    kept: int, neighbours: Callable[[int], Collection[int]], relate: Relate, settled: Collection[int]
) -> dict[int, Relation]:
    """The rows that are the same as one row, among its neighbours and their neighbours."""
    found: dict[int, Relation] = {}
    seen = {kept}
    waiting = [kept]
    while waiting:
        for each in neighbours(waiting.pop()):
            if each in seen or each in settled:
                continue
            seen.add(each)
            relation = relate(each, kept)
            if relation is not None:
                found[each] = relation
                waiting.append(each)
    return found

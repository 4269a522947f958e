"""Which pictures are the same as one that is kept: stars, not chains. Pure.

Two pictures that are each the same as a third need not be the same: a chain joined films by way of their posters'
common design. So whatever is in a group has been compared with the one picture of it that is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from query.same_picture import Relation

Relate = Callable[[int, int], Relation | None]
"""What the first row's picture is to the second's."""

KEEP_UNCROPPED = 0.5
"""The uncropped picture is kept, not its crop, when it has at least this share of the crop's pixels: a crop loses what
nothing brings back. With fewer it is a smaller copy, and the crop has the detail."""


@dataclass(frozen=True)
class Star:
    """The row that is kept and what the others are to it; `uncropped` tells that it is not the first of them in order,
    but shows more."""

    kept: int
    others: dict[int, Relation]
    uncropped: bool


def stars(
    order: Sequence[int],
    pixels: Mapping[int, int],
    neighbours: Callable[[int], Collection[int]],
    relate: Relate,
    finished: Callable[[int], None],
) -> list[Star]:
    """The stars of more than one row, in the order of what is kept.

    Each row of the `order`, the best to keep first, is compared with its neighbours and with theirs, as far as they are
    the same as it. `pixels` are by row. `finished` is told how many rows have their place.
    """
    found: list[Star] = []
    settled: set[int] = set()  # rows of a star, and those that have been compared with all that may be the same
    for row in order:
        if row in settled:
            continue
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
            if kept in its:  # else alignment found it the one way round only
                kept, others = larger, its
        settled |= {kept, *others}
        if others:
            found.append(Star(kept, others, uncropped=kept != row))
        finished(len(settled))
    return found


def _same_as(
    kept: int, neighbours: Callable[[int], Collection[int]], relate: Relate, settled: Collection[int]
) -> dict[int, Relation]:
    """What is the same as one row, among its neighbours and the neighbours of those."""
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

"""How many paths may be under way."""

from __future__ import annotations

from ingest.pipeline.places import UNDER_WAY, Places


def filled(places: Places, sources: int) -> list[int]:
    """How many paths of each source get a place when each begins as many as it may, one after the other."""
    names = [str(number) for number in range(sources)]
    for name in names:
        places.add(name)
    taken = []
    for name in names:
        room = places.room(name).backlog
        for _ in range(room):
            places.enter(name)
        taken.append(room)
    return taken


def test_a_network_that_takes_few_at_once_leaves_the_places_as_they_are() -> None:
    assert filled(Places(capacity=8), 1) == [UNDER_WAY]


def test_the_next_batch_has_places_while_the_network_works_on_one() -> None:
    assert filled(Places(capacity=128), 1) == [256]


def test_each_source_has_its_share_of_them() -> None:
    assert filled(Places(capacity=128), 2) == [256, 128]

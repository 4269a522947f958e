"""Where a file may be now that has gone from this daemon's part."""

from __future__ import annotations

from ingest.events.other_parts import WAITS, OtherParts
from ingest.source.files import Key


def test_a_removal_waits_for_a_new_file_of_its_size_in_another_part() -> None:
    others = OtherParts()
    new, old = Key("shop", "new.jpg"), Key("shop", "old.jpg")
    others.appeared([(old, 100)], now=10.0)
    others.appeared([(new, 100), (Key("shop", "other size"), 99), (Key("press", "elsewhere"), 100)], now=30.0)
    assert others.places("shop", 100, since=29.0, now=31.0) == [new]
    assert others.places("shop", 100, since=31.0, now=31.0) == [new]
    assert others.places("shop", 100, since=41.0, now=41.0) == []  # it was there long before
    assert others.places("shop", 100, since=29.0, now=29.0 + WAITS + 1) == []  # nobody has indexed it for too long
    others.written([new, Key("shop", "unknown")])
    assert others.places("shop", 100, since=29.0, now=31.0) == []


def test_what_is_remembered_is_bounded_by_number_and_time() -> None:
    others = OtherParts()
    others.appeared(((Key("shop", str(number)), 1) for number in range(11_000)), now=0.0)
    assert len(others.places("shop", 1, since=0.0, now=0.0)) == 10_000
    others.appeared([(Key("shop", "late"), 1)], now=100.0)
    assert others.places("shop", 1, since=0.0, now=0.0) == [Key("shop", "late")]

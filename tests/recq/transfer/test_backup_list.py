"""What a backup's list amounts to, what is written again, and what a restore decides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np
import pytest

from recq import index
from recq.errors import Reason
from recq.index import (
    background,
    change_log,
    changes,
    collection,
    parts,
    pending_fields,
    predicted,
    problems,
    quantisation,
    schema,
    sources,
)
from recq.index.candidates import PREFIX as CANDIDATE
from recq.index.candidates import TRAINED_KEY
from recq.index.carried_records import is_carried, merged
from recq.index.changes import LOG_KEY, Stamp
from recq.index.points import ItemVector
from recq.index.predicted import Prediction
from recq.index.predicting_records import PREFIX as PREDICT
from recq.index.problems import PROBLEMS_PREFIX
from recq.index.reviews import PREFIX as DECISION
from recq.index.schema import FileFacts, Item, ItemError
from recq.index.taggings import PREFIX as TAGGING
from recq.transfer.backup_list import (
    MOST_ITEMS,
    Listed,
    Part,
    content,
    first_line,
    items_of_a_part,
    part_line,
    seen,
    worn,
)
from recq.transfer.restore import Fate, fate


def row(id_: str, content_: str = "c", seen_: str = "s", n: int = 1) -> list[Any]:
    return [id_, content_, seen_, n]


def listed(*parts: tuple[str, str]) -> Listed:
    """Parts by name, each with one item for each letter."""
    lines = [part_line(Part(name, 10, len(ids)), [row(id_) for id_ in ids]) for name, ids in parts]
    return Listed.of([first_line("space"), *lines])


def test_the_last_line_about_an_item_holds() -> None:
    found = listed(("one", "abc"), ("two", "bd"))
    found.take({"gone": ["c", "x"]})
    found.take({"seen": [["a", "later", 7]]})
    assert {id_: each.part for id_, each in found.rows.items()} == {"a": "one", "b": "two", "d": "two"}
    assert (found.rows["a"].content, found.rows["a"].seen, found.rows["a"].n) == ("c", "later", 7)
    assert found.live() == {"one": 1, "two": 2}
    assert found.is_of("b", "two")
    assert not found.is_of("b", "one")
    assert not found.is_of("c", "one")
    found.take({"gone": ["a"]})
    assert [part.name for part in found.in_use()] == ["two"]


@pytest.mark.parametrize(
    "line", [{}, {"list": 99}, {"part": {"name": "x"}}, {"seen": [["unknown", "s", 1]]}, {"gone": 5}]
)
def test_a_line_of_another_form_is_an_error(line: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        listed(("one", "a")).take(line)


def test_the_shortest_list_says_the_same() -> None:
    long = listed(("one", "abc"), ("two", "ab"), ("three", "abd"))
    long.take({"gone": ["c"]})
    short = Listed.of(long.lines())
    assert (short.rows, short.space, short.live()) == (long.rows, "space", {"three": 3})
    assert short.rows_written == 3


def test_a_list_is_long_when_most_of_it_is_dead() -> None:
    found = listed(("one", "a"))
    found.rows_written = 2 + MOST_ITEMS
    assert not found.is_long()
    found.rows_written += 1
    assert found.is_long()


def test_a_part_is_worn_when_less_than_half_of_it_is_alive() -> None:
    found = listed(("one", "abcd"))
    found.take({"gone": ["a", "b"]})
    assert worn(found, 4) == set()
    found.take({"gone": ["c"]})
    assert worn(found, 4) == {"one"}
    found.take({"gone": ["d"]})
    assert worn(found, 4) == set()  # nothing of it is left to be written again


def test_many_small_parts_are_joined_and_few_are_not() -> None:
    few = listed(("whole", "abcdefgh"), *((f"small-{n}", chr(200 + n)) for n in range(20)))
    assert worn(few, 8) == set()
    many = listed(("whole", "abcdefgh"), *((f"small-{n}", chr(200 + n)) for n in range(21)))
    assert worn(many, 8) == {f"small-{n}" for n in range(21)}


def test_a_part_is_bounded_in_items_and_in_memory() -> None:
    assert items_of_a_part(1280) == MOST_ITEMS
    assert items_of_a_part(65_536) == 61
    assert items_of_a_part(10**9) == 1


STAMP = Stamp(5, 1, (5, 5), 5, 1)
ITEM = Item(FileFacts("shop", "a.jpg", 1, 1, "ff"), {"price": 3}, stamp=STAMP)
VECTOR = np.array([1, 2], np.float32)


def test_content_is_payload_and_vector_and_not_when_it_was_written() -> None:
    entry = ItemVector(ITEM, VECTOR)
    later = replace(ITEM, stamp=replace(STAMP, n=6))
    assert content(ItemVector(later, VECTOR)) == content(entry)
    assert seen(later) != seen(ITEM)
    others = [
        ItemVector(replace(ITEM, metadata={"price": 4}), VECTOR),
        ItemVector(ITEM, np.array([1, 3], np.float32)),
        ItemVector(ITEM, None),
    ]
    assert len({content(each) for each in [entry, *others]}) == 4


@pytest.mark.parametrize(
    ("now", "overwrite", "expected"),
    [
        (None, False, Fate.RESTORED),
        ((3, 9), False, Fate.SAME),
        ((3, 9), True, Fate.SAME),
        ((4, 9), False, Fate.NEWER),
        ((4, 9), True, Fate.RESTORED),
        ((4, 5), False, Fate.RESTORED),
        ((4, 1), False, Fate.RESTORED),
    ],
)
def test_what_is_done_with_an_item(now: tuple[int, int] | None, overwrite: bool, expected: Fate) -> None:
    """`now`: the price in the catalog, and the number of its last write; the backup's are 3 and 5."""
    present = None
    if now is not None:
        present = ItemVector(replace(ITEM, metadata={"price": now[0]}, stamp=replace(STAMP, n=now[1])), VECTOR)
    assert fate(ItemVector(ITEM, VECTOR), 5, present, overwrite=overwrite) is expected


def noted(item: Item) -> Iterator[Item]:
    """What may become of an item without a stamp that tells of it."""
    yield replace(item, file=replace(item.file, ctime_ns=7))
    yield replace(item, file=replace(item.file, ctime_ns=None))
    if item.error is None:
        yield replace(item, predicted={"kind": Prediction("by", ("b",), (0.9,))})
        yield replace(item, predicted={})
    else:
        yield replace(item, error=replace(item.error, retry=True))


GUESSED = replace(ITEM, file=replace(ITEM.file, ctime_ns=5), predicted={"kind": Prediction("older", ("a",), (0.5,))})
FAILED = replace(ITEM, file=replace(ITEM.file, ctime_ns=5), error=ItemError(Reason.CORRUPT, "no picture", "2026"))


@pytest.mark.parametrize(("before", "vector"), [(GUESSED, VECTOR), (FAILED, None)], ids=["embedded", "failed"])
def test_what_is_noted_without_a_stamp_is_no_other_item(before: Item, vector: np.ndarray | None) -> None:
    """The stamp says that neither is later: what the catalog has was noted since, and is not put back."""
    of = ItemVector(before, vector)
    for now in noted(before):
        assert content(ItemVector(now, vector)) != content(of)
        assert fate(of, 5, ItemVector(now, vector), overwrite=False) is Fate.SAME
        assert fate(of, 5, ItemVector(now, vector), overwrite=True) is Fate.RESTORED
        assert fate(of, 4, ItemVector(now, vector), overwrite=False) is Fate.NEWER
        other = ItemVector(replace(now, metadata={"price": 4}), vector)
        assert fate(of, 5, other, overwrite=False) is Fate.RESTORED


def decision(at: str) -> dict[str, Any]:
    return {"seen": ["a", "b"], "keep": ["a"], "at": at}


def test_records_are_added_and_of_those_with_a_time_the_later_one_holds() -> None:
    source = {"roots": {"here": "/a"}, "watcher": {"host": "h", "pid": 1, "at": "2026"}}
    theirs = {
        "source:shop": source, "source:known": source, "decision:old": decision("2025"),
        "decision:new": decision("2027"), "candidate:x": {"made_at": "2027"}, "predict:category": "x",
        "confirm:shop": 30, "changes": {"log": "x"}, "tagging:new": {"at": "2027"}, "tagging:old": {"at": "2025"},
    }  # fmt: skip
    mine = {
        "source:known": {"roots": {"here": "/b"}}, "decision:old": decision("2026"), "decision:new": decision("2026"),
        "predict:category": "y", "candidate:x": None, "tagging:old": {"at": "2026"},
    }  # fmt: skip
    assert merged(mine, theirs) == {
        "source:shop": {**source, "watcher": None},
        "decision:new": decision("2027"),
        "candidate:x": {"made_at": "2027"},
        "tagging:new": {"at": "2027"},
    }
    assert merged(mine, theirs, overwrite=True)["decision:old"] == decision("2025")
    assert merged({**mine, **merged(mine, theirs)}, theirs).keys() == set()


def keys_in_the_code() -> set[str]:
    """The values of all constants of `recq.index` that are called a key, or what keys begin with."""
    modules = [import_module(f"{index.__name__}.{each.name}") for each in iter_modules(index.__path__)]
    return {
        value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, str) and re.search(r"(^|_)(KEY|PREFIX)$", name)
    }


def test_of_every_record_of_a_collection_it_is_decided_whether_it_is_carried() -> None:
    carried = {sources.METADATA_PREFIX, PROBLEMS_PREFIX, CANDIDATE, PREDICT, DECISION, TAGGING, background.KEY}
    stay = {
        schema.METADATA_KEY, LOG_KEY, TRAINED_KEY, collection.PREVIOUS_KEY, collection.NEXT_KEY,
        sources.CONFIRMATION_PREFIX, sources.METADATA_CONFIRMATION_PREFIX, parts.PART_PREFIX, quantisation.KEY,
        pending_fields.PENDING_PREFIX, pending_fields.REFUSED_PREFIX, pending_fields.PACE_KEY,
    }  # fmt: skip
    of_payloads = {changes.KEY, predicted.KEY, problems.KIND_KEY}
    assert set(change_log.new_log()) <= stay
    assert keys_in_the_code() == carried | stay | of_payloads, "a new record is carried, or it stays"
    assert all(is_carried(key if key == background.KEY else f"{key}x") for key in carried)
    assert not any(is_carried(key) or is_carried(f"{key}x") for key in stay)

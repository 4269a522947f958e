"""A watch in this process: what it reads again after a rebuild, what it does while a rule cannot be answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recq.errors import CursorGone, FilterError, IndexUnreachable, TargetNotFound, UsageError
from recq.index.catalog import Catalog
from recq.index.change_log import ChangeLog
from recq.index.changes import ChangeKind
from recq.index.connect import connect_or_make
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.settings import Settings
from recq.watch import watching
from recq.watch.matching import _older
from recq.watch.rules import Rule, RuleKind
from recq.watch.sending import Undelivered
from recq.watch.state import Delivery
from recq.watch.watching import Wanted, Watch
from tests.recq.index.conftest import SPACE

RULE = Rule("all", RuleKind.LIKE, "images", like=("shop/000.jpg",), min_score=-1.0, run=("true",))


class Case:
    """An index without files, and what was delivered of it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=folder / "data", workers=1)
        self.delivered: list[str] = []
        self.reported: list[str] = []
        self.refuses = False

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        with connect_or_make(self.settings) as client:
            yield Catalog.create(client, "images", SPACE)

    def write(self, *numbers: int) -> None:
        with self.catalog() as catalog:
            catalog.writes.upsert([entry(number) for number in numbers])

    def watch(self, rule: Rule = RULE, **wanted: bool) -> list[int]:
        """Watch to the end; the numbers of the pictures that were delivered."""
        self.delivered.clear()
        made = Wanted(once=True, **wanted)
        Watch(self.settings, [rule], made, lambda what, *_: self.reported.append(what), threading.Event()).run()
        return sorted(int(each.rpartition(".")[2], 16) for each in self.delivered)

    def deliver(self, _: Rule, delivery: Delivery, __: threading.Event) -> None:
        if self.refuses:
            raise Undelivered("no")
        self.delivered.append(delivery.id)


def entry(number: int, dim: int = 8) -> ItemVector:
    file = FileFacts("shop", f"{number:03}.jpg", 10, 20, sha256=f"{number:064x}")
    return ItemVector(Item(file), np.eye(dim, dtype=np.float32)[number % dim])


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    made = Case(tmp_path)
    monkeypatch.setattr(watching, "deliver", made.deliver)
    made.write(0, 1, 2)
    return made


def test_a_rule_begins_with_what_comes_or_with_all(case: Case) -> None:
    assert case.watch() == []
    case.write(3, 4)
    assert case.watch() == [3, 4]
    assert case.watch() == []
    assert case.watch(replace(RULE, name="other"), all_=True) == [0, 1, 2, 3, 4]


def test_what_was_refused_is_tried_at_the_next_run(case: Case) -> None:
    case.watch()
    case.write(3)
    case.refuses = True
    assert case.watch() == []
    case.refuses = False
    assert case.watch() == [3]


def test_a_single_run_tries_each_delivery_once(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a receiver hangs for so long that the first ones would be due again."""
    case.watch()
    case.write(3, 4, 5)
    clock = time.time()
    tried: list[str] = []

    def hang(_: Rule, delivery: Delivery, __: threading.Event) -> None:
        nonlocal clock
        clock += 1_000.0
        tried.append(delivery.id)
        assert len(tried) < 20, "it does not end"
        raise Undelivered("it hangs")

    monkeypatch.setattr(watching, "deliver", hang)
    monkeypatch.setattr("recq.watch.watching.time.time", lambda: clock)
    case.watch()
    assert len(tried) == len(set(tried)) == 3
    case.watch()
    assert len(tried) == 6


def test_of_many_that_are_alike_and_come_together_one_is_new(case: Case) -> None:
    """The older ones stand after more newer ones than are compared at first: of the same score the path decides."""
    alike = [3 + 8 * n for n in reversed(range(120))]
    case.write(*alike)
    rule = Rule("new", RuleKind.NOVELTY, "images", min_score=0.5, run=("true",))
    assert case.watch(rule, all_=True) == [0, 1, 2, alike[0]]


@pytest.mark.parametrize("wanted", [1, 12])
@pytest.mark.parametrize("before", [0, 1, 5, 13, 119])
def test_older_ones_are_found_behind_any_number_of_newer_ones(case: Case, before: int, wanted: int) -> None:
    alike = [3 + 8 * n for n in reversed(range(120))]
    case.write(*alike)
    item = entry(alike[before]).item.id
    with case.catalog() as catalog:
        whole = catalog.ledger.get_many([item])[item]
        older = _older(catalog, whole, 12, lambda score: score > 0.5, wanted=wanted)
        assert [each.item.id for each in older if each.score > 0.5] == [
            entry(number).item.id for number in sorted(alike[:before])[:wanted]
        ]
        few = _older(catalog, whole, 12, lambda score: score > 1.5, wanted=wanted)
        assert len(few) <= 12, "what comes after the twelve nearest does not matter"


def test_a_rebuilt_catalog_is_read_anew_and_only_what_is_new_is_delivered(case: Case) -> None:
    case.watch()
    case.write(3)
    assert case.watch() == [3]
    with case.catalog() as catalog:
        stored = catalog.ledger.get_many([entry(number).item.id for number in range(4)])
        other = Catalog.begin_rebuild(catalog._client, "images", replace(SPACE, size=9))
        known = [entry(number) for number in range(4)]
        # As the daemon does: bytes that were known keep their first number.
        other.writes.upsert(
            [replace(each, item=replace(each.item, stamp=stored[each.item.id].stamp)) for each in known]
        )
        other.writes.upsert([entry(4)])
        other.finish_rebuild()
        kinds = [each.kind for each in other.changes.since(other.changes.start()).changes]
        assert kinds == [ChangeKind.INDEXED] * 5
        settings = case.settings
    case.catalog = lambda: connected(settings, other)  # type: ignore[method-assign]
    assert case.watch() == [4]
    assert case.watch() == []


@contextmanager
def connected(settings: Settings, like: Catalog) -> Iterator[Catalog]:
    with connect_or_make(settings) as client:
        yield Catalog.create(client, like.name, like.space)


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (replace(RULE, like=("nothing.jpg",)), TargetNotFound),
        (replace(RULE, filters=("prise<5",)), FilterError),
        (replace(RULE, min_score=7.0), UsageError),
        (replace(RULE, min_score=None), UsageError),  # too few items for `auto`
        (replace(RULE, catalog="none"), TargetNotFound),
    ],
)
def test_what_is_wrong_with_a_rule_is_told_at_once(case: Case, rule: Rule, error: type[Exception]) -> None:
    case.watch()
    case.write(3)
    with pytest.raises(error) as caught:
        case.watch(rule)
    assert "\n" not in str(caught.value)
    assert case.delivered == []


def test_a_dry_run_keeps_nothing(case: Case) -> None:
    case.watch()
    case.write(3)
    case.reported.clear()
    assert case.watch(dry=True) == []
    assert case.reported == ["matched"]
    assert case.watch() == [3]


@pytest.mark.parametrize("rebuilt", [False, True])
def test_an_index_that_is_away_is_told_once_and_waited_for(
    case: Case, monkeypatch: pytest.MonkeyPatch, rebuilt: bool
) -> None:
    case.watch()
    stop, told = threading.Event(), threading.Event()
    found: list[str] = []

    def report(what: str, _: Rule, details: dict[str, Any]) -> None:
        found.append(what)
        if what == "error":
            assert details["detail"] == "away"
            monkeypatch.undo()
            monkeypatch.setattr(watching, "deliver", case.deliver)
            case.write(3)
            told.set()
        if what == "delivered":
            stop.set()

    def away(*_: object) -> None:
        raise IndexUnreachable("away")

    def gone(*_: object) -> None:
        raise CursorGone("rebuilt")

    monkeypatch.setattr(ChangeLog, "since", gone if rebuilt else away)
    monkeypatch.setattr(ChangeLog, "start", away)
    case.delivered.clear()
    Watch(case.settings, [RULE], Wanted(), report, stop).run()
    assert told.is_set()
    assert found == ["error", "matched", "delivered"]

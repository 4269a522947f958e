"""A watch in this process: what it reads again after a rebuild, what it does while a rule cannot be answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recq.errors import FilterError, IndexUnreachable, TargetNotFound, UsageError
from recq.index.catalog import Catalog
from recq.index.changes import ChangeKind
from recq.index.connect import connect_or_make
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.settings import Settings
from recq.watch import watching
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


def test_an_index_that_is_away_is_told_once_and_waited_for(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
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

    monkeypatch.setattr("recq.index.change_log.ChangeLog.since", away)
    case.delivered.clear()
    Watch(case.settings, [RULE], Wanted(), report, stop).run()
    assert told.is_set()
    assert found == ["error", "matched", "delivered"]

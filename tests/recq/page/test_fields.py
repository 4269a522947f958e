"""The fields that the page offers: read once for all who wait, and nothing is kept for catalogs that are not there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from recq.api.service import Served, Service
from recq.errors import RecqError, TargetNotFound, UsageError
from recq.page import fields
from recq.page.fields import FacetedFields


class Index:
    """A service of the catalogs in `there`; `meanwhile` is called while one is read."""

    def __init__(self, *there: str) -> None:
        self.there = {*there}
        self.asked: list[str | None] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def ask(self, catalog: str | None, _: Any) -> Sequence[str]:
        self.asked.append(catalog)
        self.meanwhile()
        if catalog is not None and " " in catalog:
            raise UsageError("no name")
        if catalog not in self.there:
            raise TargetNotFound("no catalog")
        return ("colour",)


def faceted(index: Index) -> FacetedFields:
    return FacetedFields(cast(Service, index))


def kept(faceted: FacetedFields) -> int:
    """How much all that it keeps holds."""
    return sum(len(each) for each in vars(faceted).values() if isinstance(each, Sized))


class Counted:
    """A catalog with few items."""

    def count(self) -> int:
        return 7


AT = Served(cast(Any, Counted()), cast(Any, None))


@pytest.mark.parametrize("name", ["none-{}", "im possible {}"])
def test_names_of_catalogs_that_do_not_exist_leave_nothing_behind(name: str) -> None:
    fields = faceted(Index("images"))
    for number in range(30):
        with pytest.raises(RecqError):
            fields.of(name.format(number), wait=True)
    assert kept(fields) == 0
    assert [fields.of("images", wait=True) for _ in range(2)] == [("colour",)] * 2
    assert kept(fields) == 1


def test_who_asks_at_the_same_time_shares_one_reading_and_other_catalogs_do_not_wait() -> None:
    index, reading, may_end = Index("images", "other"), threading.Event(), threading.Event()
    fields = faceted(index)

    def slowly() -> None:
        if index.asked[-1] == "images":
            reading.set()
            assert may_end.wait(30)

    index.meanwhile = slowly
    with ThreadPoolExecutor(3) as threads:
        found = [threads.submit(fields.of, "images", wait=True)]
        assert reading.wait(30)
        found += [threads.submit(fields.of, "images", wait=True) for _ in range(2)]
        try:
            assert fields.of("other", wait=True) == ("colour",)
        finally:
            may_end.set()
        assert [each.result(30) for each in found] == [("colour",)] * 3
    assert index.asked == ["images", "other"]


def test_a_catalog_that_was_dropped_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "KEPT_FOR", -1.0)
    monkeypatch.setattr(fields, "_SHARE", 0)
    index, before = Index("images"), {*threading.enumerate()}
    own = faceted(index)
    assert not own.many(AT, "images")
    assert own.of("images", wait=True) == ("colour",)
    assert kept(own) == 2
    index.there.clear()
    assert own.of("images", wait=True) == ("colour",), "what is known is read again beside"
    for each in {*threading.enumerate()} - before:
        each.join(30)
    assert (index.asked, kept(own)) == (["images"] * 2, 0)

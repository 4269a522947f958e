"""When a daemon says that another one is at work."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingest.source.other_daemons import double_of, doubled, is_living_other, own_watcher, started
from recq.errors import Reason
from recq.index.schema import FileFacts, Item, ItemError
from recq.index.sources import Watcher

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OWN = Watcher("here", 10, NOW.isoformat())


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize(
    ("last", "other"),
    [
        (None, False),
        (replace(OWN, at=ago(5)), False),  # this daemon itself
        (Watcher("here", 11, ago(5)), True),
        (Watcher("here", 11, ago(500_000)), False),  # a younger process that has the number now
        (Watcher("here", 12, ago(5)), False),  # a process that has ended
        (Watcher("there", 10, ago(5)), True),
        (Watcher("there", 10, ago(-5)), True),  # its clock is ahead
        (Watcher("there", 10, ago(601)), False),
    ],
)
def test_another_daemon(last: Watcher | None, other: bool) -> None:
    alive = {11: (NOW - timedelta(seconds=1000)).timestamp()}
    assert is_living_other(last, OWN, within=600, started=alive.get) is other


def test_processes() -> None:
    own = own_watcher()
    assert own.pid == os.getpid()
    began = started(own.pid)
    assert began is not None
    assert began < time.time()
    assert started(2**30) is None


def items(source: str, digests: Iterable[int], at: int, *, failed: bool = False) -> list[Item]:
    error = ItemError(Reason.CORRUPT, "", NOW.isoformat(), 1) if failed else None
    return [
        Item(
            FileFacts(source, f"{digest}.jpg", 1, 1, sha256=f"{digest:064}", ingested_at=ago(-at)),
            error=error,
        )
        for digest in digests
    ]


@pytest.mark.parametrize(
    ("others", "double"),
    [
        ([], None),
        (items("first", range(10), 0), "first"),
        (items("first", range(6), 0), "first"),  # most
        (items("first", range(5), 0), None),  # some
        (items("later", range(10), 9), None),  # the other one is the double
        (items("first", range(4), 0) + items("second", range(3, 8), 0), None),  # a few in each
        (items("own", range(10), 0), None),
        (items("alike", range(10), 5), "alike"),  # at the same time: one of the two, and only one
        (items("zebra", range(10), 5), None),
        (items("first", range(10), 0, failed=True), None),
    ],
)
def test_most_files_of_a_source_in_another_are_one_folder_under_two_names(
    others: list[Item], double: str | None
) -> None:
    assert doubled("own", items("own", range(10), 5), others) == double


def test_few_pictures_tell_nothing() -> None:
    assert doubled("own", items("own", range(2), 5), items("first", range(2), 0)) is None


def test_two_folders_of_one_host_are_told_of_each_other() -> None:
    """One name for both would be refused: a source is one folder of a host."""
    elsewhere = double_of("shop-2", "shop", Path("/mnt/shop"), None)
    assert elsewhere.endswith("start the daemon of this one with --source shop=/mnt/shop")
    here = double_of("shop-2", "shop", Path("/mnt/shop"), Path("/srv/shop"))
    assert "where /mnt/shop is a copy of /srv/shop, start the daemon without it; where" in here
    assert "a copy of" not in elsewhere

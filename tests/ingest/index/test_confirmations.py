"""A comparison uses up the confirmation that it began with, and no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.index.retrying import Retrier
from ingest.index.retrying_index import RetryingIndex
from ingest.source.watched_source import WatchedSource
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.settings import Settings
from tests.recq.index.conftest import SPACE


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with own_folder(Settings(data_dir=tmp_path / "data")) as owned:
        made = Catalog.create(owned.client, "images", SPACE)
        made.sources.register(tmp_path, "s")
        yield made


@pytest.mark.parametrize(
    ("stored", "began_with", "left"),
    [
        (60, 60, None),
        (60, None, 60),  # it came while the comparison ran
        (70, 60, 70),  # another one came
        (None, 60, None),  # it was taken back
    ],
)
@pytest.mark.parametrize("metadata", [False, True])
def test_a_comparison_uses_up_the_confirmation_that_it_began_with(
    catalog: Catalog, tmp_path: Path, stored: int | None, began_with: int | None, left: int | None, metadata: bool
) -> None:
    retrier = Retrier(threading.Event(), waiting=lambda _: None, recovered=lambda: None, give_up_after=None)
    index = RetryingIndex(catalog, retrier)
    watched = WatchedSource("s", tmp_path, table_path=None, types=dict, say=lambda *_: None)
    confirm = catalog.sources.confirm_metadata if metadata else catalog.sources.confirm
    confirm("s", stored)
    if metadata:
        index.record_reconcile(watched, watcher=None, confirmed_metadata=began_with)
    else:
        index.record_reconcile(watched, watcher=None, confirmed=began_with)
    found = catalog.sources.confirmed_metadata() if metadata else catalog.sources.confirmed()
    assert found.get("s") == left

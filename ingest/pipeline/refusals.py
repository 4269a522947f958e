"""Items that the index refuses in every form have no point: the refusals are stored with their source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ingest.index.retrying import Retrier
from ingest.source.watched_source import WatchedSource
from recq.index.catalog import Catalog


@contextmanager
def refusals_kept(sources: Mapping[str, WatchedSource], catalog: Catalog, retrier: Retrier) -> Iterator[None]:
    """Store the refusals of the sources where they changed within the block."""
    before = {name: watched.refused for name, watched in sources.items()}
    yield
    for name, watched in sources.items():
        if watched.refused != before.get(name, watched.refused):  # a source without a `before` was added meanwhile
            retrier(catalog.problems.record, name, watched.own_problems())

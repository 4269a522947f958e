"""What the index takes in no form can stand in no point: it is kept with its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ingest.index.retrying import Retrier
from ingest.source.watched_source import WatchedSource
from recq.index.catalog import Catalog


@contextmanager
def refusals_kept(sources: Mapping[str, WatchedSource], catalog: Catalog, retrier: Retrier) -> Iterator[None]:
    """Keep the refusals of those sources where they have changed meanwhile."""
    before = {name: watched.refused for name, watched in sources.items()}
    yield
    for name, watched in sources.items():
        if watched.refused != before.get(name, watched.refused):  # else it was added meanwhile
            retrier(catalog.problems.record, name, watched.own_problems())

"""Problems of a source that the pipeline finds, beside those of comparisons: they are stored with the source.

Items that the index refuses in every form have no point, and plug-ins that do not answer concern no single item.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ingest.index.retrying import Retrier
from ingest.source.watched_source import WatchedSource
from recq.index.catalog import Catalog


@contextmanager
def problems_kept(sources: Mapping[str, WatchedSource], catalog: Catalog, retrier: Retrier) -> Iterator[None]:
    """Store the problems of the sources in which something was refused, or a plug-in was given up, within the block."""
    before = {name: (watched.refused, watched.missing) for name, watched in sources.items()}
    yield
    for name, watched in sources.items():
        now = watched.refused, watched.missing
        if watched.records_problems and now != before.get(name, now):  # a source without a `before` was added meanwhile
            retrier(catalog.problems.record, watched.key, watched.own_problems())

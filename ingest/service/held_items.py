"""Which items are held, for whoever is asked to confirm it: found anew, by a comparison that changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

from ingest.index.retrying import Retrier
from ingest.index.retrying_index import RetryingIndex
from ingest.reconcile.compare import Reconciliation
from ingest.service.roots import ready
from ingest.source.watched_source import WatchedSource
from recq import paths
from recq.errors import TargetNotFound
from recq.index.catalog import Catalog
from recq.operate.held import HeldItem, HeldItems, HeldKind
from recq.paths import printable
from recq.settings import Settings


def held_items(
    catalog: Catalog,
    settings: Settings,
    sources: Mapping[str, WatchedSource],
    source: str | None,
    *,
    offset: int,
    limit: int,
) -> HeldItems:
    """`limit` items after the first `offset` of those that the sources of a running daemon hold.

    Raises TargetNotFound for a source that it does not watch.
    """
    if source is not None and source not in sources:
        raise TargetNotFound(f"no source is called '{printable(source)}'")
    found: list[HeldItem] = []
    for name, watched in sorted(sources.items()):
        if source in (None, name) and (watched.held or watched.held_metadata):
            found += sorted(_held_of(catalog, settings, watched), key=lambda each: (each.path, each.kind))
    return HeldItems(tuple(found[offset : offset + limit]), len(found))


def _held_of(catalog: Catalog, settings: Settings, watched: WatchedSource) -> Iterator[HeldItem]:
    """With a state of the source of its own, so that what the daemon counts stays as it is."""
    fresh = ready(catalog, settings, watched.name, watched.root, watched.table_path, lambda _path, _message: None)
    retrier = Retrier(
        threading.Event(), give_up_after=settings.connect_timeout, waiting=lambda _: None, recovered=lambda: None
    )
    comparison = Reconciliation(fresh, RetryingIndex(catalog, retrier, part=settings.part))
    differences = list(comparison.differences())
    if watched.held:
        beyond = comparison.undecided or comparison.held
        for each in comparison.gone() if beyond else (each for each in differences if each.state is None):
            rule = fresh.rule_ignoring(each.path)
            why = "its file is not in the folder any more" if rule is None else f"it is ignored, by {rule}"
            yield HeldItem(watched.name, paths.to_text(each.path)[0], HeldKind.DELETION, why)
    if watched.held_metadata:
        for path, lost in comparison.losses():
            why = "it would lose " + ", ".join(map(printable, lost))
            yield HeldItem(watched.name, paths.to_text(path)[0], HeldKind.METADATA, why)

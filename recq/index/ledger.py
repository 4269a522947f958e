"""The part of the catalog that the daemon keeps: what is done, what failed, which sources there are, what is asked for.

The index itself is the ledger: everything here is read from the items' `file` and `error`, or stands in the
collection's metadata.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from recq import paths
from recq.errors import TargetNotFound
from recq.index.errors import translated
from recq.index.filters import NO_ERROR, NO_FILE
from recq.index.problems import KIND_KEY, PROBLEMS_PREFIX, Problem, ProblemKind
from recq.index.schema import FACTS, VECTOR, Item
from recq.index.sources import (
    CONFIRMATION_PREFIX,
    METADATA_CONFIRMATION_PREFIX,
    METADATA_PREFIX,
    Source,
    Watcher,
    choose_name,
    host_name,
)

PAGE = 500
"""Points a scroll asks for at a time: bounds the memory of a pass over the whole catalog."""

_TRIES = 3  # of a write to points that somebody may delete meanwhile
_NOT_FOUND = 404  # one of the points of a request is not there

_LEDGER = ["file", "error"]
"""The part of a payload that tells what is done and what failed."""


def _empty(key: str) -> models.IsEmptyCondition:
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))


_FOREIGN = models.Filter(
    should=[
        *(_empty(f"file.{key}") for key in FACTS),
        *(models.Filter(must_not=[_empty(f"file.{key}[]")]) for key in FACTS),  # a list of it
        *(
            models.Filter(must_not=[models.FieldCondition(key=key, match=models.MatchExcept(**{"except": [""]}))])
            for key in ("file.source", "file.path")
        ),
        *(
            models.Filter(must_not=[models.FieldCondition(key=key, range=models.Range(gte=-(2.0**64)))])
            for key in ("file.size", "file.mtime_ns")
        ),
    ]
)
"""Finds every point that is no item, and some that are: what is found has to be looked at (`item_of`)."""

_FAILED = models.Filter(must_not=[NO_ERROR, NO_FILE])
_HAS_PROBLEMS = models.Filter(must_not=[_empty(KIND_KEY), NO_FILE])


Page = tuple[list[models.Record], Any]
Asking = Callable[..., Page]
"""Calls the function that it is given with the rest, at once or with patience."""


def _at_once(function: Callable[..., Page], *args: Any) -> Page:
    """The default for `Ledger.asked_through`."""
    return function(*args)


class Ledger:
    """What one collection says about its items and sources. All methods raise only errors of `recq.errors`."""

    name: str
    """The catalog's."""

    def __init__(self, client: QdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection
        self._asking: Asking = _at_once

    def asked_through(self, asking: Asking) -> Self:
        """The same, whose long answers ask for each of their pages through `asking`: who waits, goes on where it was.

        A stream that fails is over; to begin it again would ask for the same page at once, and for ever.
        """
        patient = copy(self)
        patient._asking = asking
        return patient

    # -- items ----------------------------------------------------------------------------------------------------

    def get(self, item_id: str) -> Item | None:
        """One item, failed ones included."""
        return self.get_many([item_id]).get(item_id)

    @translated
    def get_many(self, ids: Sequence[str]) -> dict[str, Item]:
        """The items of those ids that exist."""
        if not ids:
            return {}
        return self._retrieve(ids, payload=True)

    @translated
    def known(self, ids: Sequence[str]) -> dict[str, Item]:
        """The items of those ids that exist, without metadata: file facts and error alone."""
        return self._retrieve(ids, payload=_LEDGER) if ids else {}

    def _retrieve(self, ids: Sequence[str], *, payload: bool | list[str]) -> dict[str, Item]:
        records = self._client.retrieve(self._collection, ids=list(ids), with_payload=payload, with_vectors=False)
        return {str(record.id): item for record in records if (item := item_of(record)) is not None}

    @translated
    def holders(
        self,
        digests: Collection[str],
        *,
        names: Collection[str] | None = None,
        source: str | None = None,
        page: int = PAGE,
    ) -> Iterator[Item]:
        """Items with those SHA-256 (and one of those file names), of all sources or of one, without metadata.

        Streams, `page` items at a time.
        """
        conditions: list[models.Condition] = [
            models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))
            for key, values in (("file.sha256", digests), ("file.name", names))
            if values is not None
        ]
        return items_of(self._scroll(within(models.Filter(must=conditions), source), payload=_LEDGER, page=page))

    @translated
    def count_failed(self, *, source: str | None = None) -> int:
        """How many items could not be embedded."""
        return self._count(_FAILED, source)

    def failed(self, source: str | None = None) -> Iterator[Item]:
        """Items that could not be embedded, metadata included. Streams."""
        return items_of(self._scroll(within(_FAILED, source), payload=True))

    def marked(self, source: str) -> Iterator[Item]:
        """Failed items of a source that somebody has marked to be tried again, without metadata."""
        mark = models.FieldCondition(key="error.retry", match=models.MatchValue(value=True))
        return items_of(self._scroll(within(models.Filter(must=[mark]), source), payload=_LEDGER))

    def scan(self, source: str) -> Iterator[Item]:
        """Every item of a source, failed ones included, without metadata: file facts and error alone. Streams."""
        return items_of(self._scroll(within(models.Filter(), source), payload=_LEDGER))

    def foreign_points(self) -> Iterator[str]:
        """The ids of points that are no items: other programs wrote them, without what recq needs. Streams."""
        for record in self._scroll(_FOREIGN, payload=_LEDGER):
            if item_of(record) is None:
                yield str(record.id)

    @translated
    def mark_for_retry(self, ids: Sequence[str]) -> None:
        """Ask whoever watches their sources to try failed items again; items that have not failed stay as they are."""
        if not ids:
            return
        failed = models.Filter(must=[models.HasIdCondition(has_id=list(ids))], must_not=[NO_ERROR])
        self._client.set_payload(self._collection, payload={"retry": True}, key="error", points=failed, wait=True)

    @translated
    def keep_ctimes(self, ctimes: Mapping[str, int]) -> None:
        """Note the ctime (nanoseconds since the epoch) of items by their ids: vectors and all other payload stay.

        Ids that do not exist any more are passed over. What cannot be noted since others delete all the time is left to
        the next comparison of folder and index.
        """
        for _ in range(_TRIES):
            existing = self._client.retrieve(
                self._collection, ids=list(ctimes), with_payload=False, with_vectors=False
            )  # engines refuse to change what is not there
            operations: list[models.UpdateOperation] = [
                models.SetPayloadOperation(
                    set_payload=models.SetPayload(
                        payload={"ctime_ns": ctimes[str(record.id)]}, key="file", points=[record.id]
                    )
                )
                for record in existing
            ]
            try:
                if operations:
                    self._client.batch_update_points(self._collection, operations, wait=True)
            except UnexpectedResponse as error:
                if error.status_code != _NOT_FOUND:
                    raise
            else:
                return

    def _count(self, condition: models.Filter, source: str | None) -> int:
        return self._client.count(self._collection, count_filter=within(condition, source), exact=True).count

    def _scroll(
        self, condition: models.Filter, *, payload: bool | list[str], page: int = PAGE, vectors: bool = False
    ) -> Iterator[models.Record]:
        """Every matching point, a page at a time, in the order of ids."""
        offset: Any = None
        while True:
            records, offset = self._asking(self._page, condition, payload, page, offset, vectors)
            yield from records
            if offset is None:
                return

    @translated
    def _page(self, condition: models.Filter, payload: bool | list[str], page: int, offset: Any, vectors: bool) -> Page:
        return self._client.scroll(
            self._collection,
            scroll_filter=condition,
            limit=page,
            offset=offset,
            with_payload=payload,
            with_vectors=[VECTOR] if vectors else False,
        )

    # -- sources --------------------------------------------------------------------------------------------------

    @translated
    def sources(self) -> dict[str, Source]:
        """All sources of the catalog, by name."""
        metadata = self._client.get_collection(self._collection).config.metadata or {}
        return {
            name: Source.from_json(name, value)
            for key, value in sorted(metadata.items())
            if key.startswith(METADATA_PREFIX) and (name := key.removeprefix(METADATA_PREFIX))
        }

    def source(self, name: str) -> Source:
        """One source. Raises TargetNotFound, which names those that there are."""
        known = self.sources()
        if name not in known:
            there_is = f"there is: {', '.join(map(paths.printable, known))}" if known else "it has none"
            raise TargetNotFound(f"catalog {self.name!r} has no source {name!r} ({there_is})")
        return known[name]

    def source_names(self, folders: Iterable[tuple[Path, str | None]]) -> dict[str, Path]:
        """Folders (absolute, on this host; each with the name that is wanted) by what their sources are to be called.

        Nothing is recorded: where one of them cannot be, none is. Raises UsageError; `choose_name` tells the rules.
        """
        known, host = dict(self.sources()), host_name()
        named = {}
        for folder, name in folders:
            holder = known[name].root_here() if name is not None and name in known else None
            chosen = choose_name(known, folder, host, name, root_alive=holder is not None and holder.is_dir())
            known[chosen] = known.get(chosen, Source(chosen)).with_root(host, folder)
            named[chosen] = folder
        return named

    def register_source(self, folder: Path, name: str | None = None) -> str:
        """Record the folder (absolute, on this host) and return its source's name. Raises as `source_names`."""
        (chosen,) = self.source_names([(folder, name)])
        known, host = self.sources(), host_name()
        source = known.get(chosen, Source(chosen))
        if source.root_on(host) != folder:
            self._write_source(source.with_root(host, folder))
        return chosen

    def record_reconcile(
        self,
        name: str,
        *,
        ignored: int,
        held: int = 0,
        held_metadata: int = 0,
        at: str,
        watcher: Watcher | None = None,
    ) -> Watcher | None:
        """Keep what the last reconcile of a source saw, did not delete and did not replace; `at` is ISO 8601 UTC.

        `watcher` is the daemon that goes on watching; returns the one that the record named until now.
        """
        source = self.sources().get(name)
        if source is None:
            return None
        self._write_source(
            replace(
                source,
                ignored=ignored,
                held=held,
                held_metadata=held_metadata,
                reconciled_at=at,
                watcher=watcher or source.watcher,
            )
        )
        return source.watcher

    def adopt_source(self, source: Source) -> None:
        """Record a source that came with imported items; one of that name that is known already stays as it is."""
        if source.name not in self.sources():
            self._write_source(source)

    @translated
    def confirm(self, name: str, items: int | None) -> None:
        """Allow the next reconcile of a source to delete as many items as were held; None takes that back."""
        self._client.update_collection(self._collection, metadata={CONFIRMATION_PREFIX + name: items})

    @translated
    def confirm_metadata(self, name: str, items: int | None) -> None:
        """Allow the next reconcile to take metadata from as many items as were held; None takes that back."""
        self._client.update_collection(self._collection, metadata={METADATA_CONFIRMATION_PREFIX + name: items})

    def confirmed(self) -> dict[str, int]:
        """Deletions that were confirmed and not made yet: how many items, by source."""
        return self._numbers(CONFIRMATION_PREFIX)

    def confirmed_metadata(self) -> dict[str, int]:
        """Losses of metadata that were confirmed and not made yet: how many items, by source."""
        return self._numbers(METADATA_CONFIRMATION_PREFIX)

    @translated
    def _numbers(self, prefix: str) -> dict[str, int]:
        metadata = self._client.get_collection(self._collection).config.metadata or {}
        return {
            key.removeprefix(prefix): int(number)
            for key, number in metadata.items()
            if key.startswith(prefix) and number is not None
        }

    # -- problems -------------------------------------------------------------------------------------------------

    @translated
    def record_problems(self, name: str, problems: Sequence[Problem]) -> None:
        """Keep what is wrong with a source as a whole, in place of what was kept of it; each has its `path`."""
        kept = [problem.to_json() for problem in problems] or None
        self._client.update_collection(self._collection, metadata={PROBLEMS_PREFIX + name: kept})

    @translated
    def source_problems(self, name: str) -> tuple[Problem, ...]:
        """What is kept of a source as a whole."""
        metadata = self._client.get_collection(self._collection).config.metadata or {}
        kept = metadata.get(PROBLEMS_PREFIX + name) or ()
        return tuple(problem for data in kept if (problem := Problem.from_json(data)))

    def items_with_problems(self, source: str | None = None) -> Iterator[Item]:
        """The items whose metadata have problems, without the metadata. Streams."""
        return items_of(self._scroll(within(_HAS_PROBLEMS, source), payload=_LEDGER))

    @translated
    def count_problems(self, source: str) -> dict[ProblemKind, int]:
        """How many problems of each kind are kept of a source and of its items (there, items that have such)."""
        counts: Counter[ProblemKind] = Counter()
        for problem in self.source_problems(source):
            counts[problem.kind] += problem.count
        if self._count(_HAS_PROBLEMS, source):
            for kind in ProblemKind:
                has = models.FieldCondition(key=KIND_KEY, match=models.MatchValue(value=kind.value))
                counts[kind] += self._count(models.Filter(must=[has]), source)
        return {kind: counts[kind] for kind in ProblemKind if counts[kind]}

    @translated
    def _write_source(self, source: Source) -> None:
        self._client.update_collection(self._collection, metadata={METADATA_PREFIX + source.name: source.to_json()})

    def absolute_path(self, item: Item, sources: Mapping[str, Source] | None = None) -> Path | None:
        """Where the item's file is on this host (else where another host sees it); None for an unknown source."""
        source = (self.sources() if sources is None else sources).get(item.file.source)
        root = source.any_root() if source is not None else None
        return None if root is None else root / paths.from_text(item.file.path, item.file.encoded)


def item_of(record: models.Record | models.ScoredPoint) -> Item | None:
    """The item that a point is; None for one that another program wrote (any client of the server can)."""
    try:
        return Item.from_payload(record.payload or {})
    except (KeyError, TypeError):
        return None


def items_of(records: Iterable[models.Record]) -> Iterator[Item]:
    """The items among some points. Every reader goes through here: what is no item is passed over."""
    return (item for record in records if (item := item_of(record)) is not None)


def vector_of(record: models.Record) -> np.ndarray | None:
    """The vector of a point, float32 (dim,); None where it has none, or it was not asked for."""
    if not isinstance(record.vector, dict) or VECTOR not in record.vector:
        return None
    return np.asarray(record.vector[VECTOR], dtype=np.float32)


def within(condition: models.Filter, source: str | None) -> models.Filter:
    """`condition`, within one source when one is named."""
    if source is None:
        return condition
    own = models.FieldCondition(key="file.source", match=models.MatchValue(value=source))
    return models.Filter(must=[own, condition]) if condition.must or condition.must_not else models.Filter(must=[own])

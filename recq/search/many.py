"""Many targets in one process: resolved, embedded and compared chunk by chunk, with one answer each, in order.

A target that cannot be answered becomes a `FailedTarget`; the others are answered. The index is released while pictures
are embedded, as for a single target; the network is loaded once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from recq import paths
from recq.errors import IndexRefused, SpaceMismatch, TargetError, UsageError
from recq.index.parameters import Parameters
from recq.progress import Progress, silent
from recq.search.answers import answer_of, asked_of, notes_of, notes_on
from recq.search.no_results import NoResults, why_no_items, why_no_results
from recq.search.own_group import own_of
from recq.search.prepare import Preparer, Query
from recq.search.results import Answer
from recq.search.scale import Scaled, scaled
from recq.search.session import Session
from recq.search.target import (
    Given,
    IndexedTarget,
    Target,
    VectorTarget,
    can_be_name,
    id_of,
    read_once,
    resolve,
    text_of,
)
from recq.search.target_suggestions import MOST_PLACES
from recq.search.trained import candidate_of, finder_of
from recq.space import require_same

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.index.finder import Finder, Found
    from recq.index.lookups import Lookups
    from recq.index.schema import Item
    from recq.index.sources import Source

MOST_COMPARED = 200_000
"""The most names that all mistyped targets together are compared with: some seconds."""

_OVERHEAD = 1_000  # names that the other work for a mistyped target counts for

CHUNK = 50
"""Targets whose requests are made together: some hundred kB of vectors, and a short time to the first answers."""


@dataclass(frozen=True)
class FailedTarget:
    """A target that has no answer: its `text` as typed, and the reason, `error`, which may have several lines."""

    text: str
    error: str

    def to_json(self) -> dict[str, Any]:
        """One line of jsonl."""
        text = paths.to_text(self.text)[0] if can_be_name(self.text) else self.text
        return {"text": text, "error": self.error}


def similar_many(
    session: Session, targets: Sequence[Given | FailedTarget], parameters: Parameters, progress: Progress = silent
) -> Iterator[Answer | FailedTarget]:
    """The answer of `recq.search.search.similar` for each of the targets, in order; failed targets are passed on.

    Raises FilterError and UsageError at once for unusable parameters, IndexError_ and SpaceError for failures that
    concern all targets. `took_ms` is the target's share of its chunk's time. An embedded data folder is held while
    answers are taken, but not while pictures are embedded.
    """
    parameters.require_sane()
    return _in_chunks(session, targets, parameters, progress)


def _in_chunks(
    session: Session, targets: Sequence[Given | FailedTarget], parameters: Parameters, progress: Progress
) -> Iterator[Answer | FailedTarget]:
    with _Holder(session) as holder:
        for done in range(0, len(targets), CHUNK):
            chunk = targets[done : done + CHUNK]
            started = time.perf_counter()
            answers = _answers(holder, chunk, parameters, again=True)
            took = (time.perf_counter() - started) * 1000 / len(chunk)
            for answer in answers:
                yield replace(answer, took_ms=took) if isinstance(answer, Answer) else answer
            progress("asking", done + len(chunk), len(targets))


def read_targets(name: str, stdin: BinaryIO | None = None) -> list[str]:
    """The targets in the file `name`, or on standard input for `-`: one a line, or each ended by a NUL.

    Bytes that are not UTF-8 are kept. Raises UsageError.
    """
    try:
        if name == "-":
            stream = stdin if stdin is not None else getattr(sys.stdin, "buffer", None)
            if stream is None or stream.isatty():
                raise UsageError("--targets -: standard input has no data: pipe names in, one a line")
            data = stream.read()
        else:
            with open(name, "rb") as file:  # noqa: PTH123 - the name may have any bytes
                data = file.read()
    except OSError as error:
        raise UsageError(f"--targets {paths.printable(name)} cannot be read: {error.strerror}") from error
    data = data.removeprefix(b"\xef\xbb\xbf")
    parts = data.split(b"\0") if b"\0" in data else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    found = [os.fsdecode(part) for part in parts if part]
    if not found:
        raise UsageError(f"--targets {paths.printable(name)} names no target: write one a line")
    return found


class _Holder:
    """The session's catalog, which is open only while it is used."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._index = ExitStack()
        self._catalog: Catalog | None = None
        self._sources: Mapping[str, Source] | None = None
        self._preparer: Preparer | None = None
        self._scale: Scaled | None = None
        self.hints = _Hints()
        self._no_items: tuple[NoResults | None] | None = None

    def catalog(self) -> Catalog:
        """The catalog, opened if it is not. Raises SpaceMismatch when it was rebuilt meanwhile."""
        if self._catalog is None:
            catalog = self._index.enter_context(self._session.opened())
            if self._preparer is None:
                self._preparer = self._session.preparer(catalog)
            require_same(catalog.space, self._preparer.space, catalog.name)
            self._catalog, self._sources = catalog, catalog.sources_at_opening()
        return self._catalog

    def preparer(self) -> Preparer:
        """Makes queries from targets."""
        self.catalog()
        assert self._preparer is not None
        return self._preparer

    def sources(self) -> Mapping[str, Source]:
        """The catalog's sources, read when it was opened."""
        self.catalog()
        assert self._sources is not None
        return self._sources

    def scaled(self, parameters: Parameters) -> Scaled:
        """The parameters with the limits of this catalog's random pairs; its notes are reported once."""
        if self._scale is None:
            self._scale = scaled(self.catalog(), parameters)
            return self._scale
        return replace(self._scale, notes=())

    def no_items(self, parameters: Parameters) -> NoResults | None:
        """Why no item matches the filters. They are the same for all targets, so this is computed once."""
        if self._no_items is None:
            self._no_items = (why_no_items(self.catalog(), parameters.conditions),)
        return self._no_items[0]

    def begin_anew(self) -> None:
        """Forget the catalog as it was: it has moved to another space."""
        self.release()
        self._sources = self._preparer = self._scale = self._no_items = None
        self.hints = _Hints()

    def release(self) -> None:
        """Release the index."""
        self._catalog = None
        self._index.close()

    def __enter__(self) -> _Holder:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


class _Hints:
    """The names that mistyped targets are compared with: read once, and used for the first few of them."""

    def __init__(self) -> None:
        self._places: list[tuple[str, str]] | None = None
        self._left = MOST_COMPARED

    def places(self, lookups: Lookups) -> Sequence[tuple[str, str]]:
        """Source and path of the catalog's items; empty once enough names have been compared."""
        if self._left <= 0:
            return ()
        if self._places is None:
            self._places = list(islice(lookups.places(), MOST_PLACES))
        self._left -= len(self._places) + _OVERHEAD
        return self._places

    def others(self, lookups: Lookups) -> Iterator[tuple[str, Lookups]]:
        """The other catalogs, as long as suggestions are made."""
        return lookups.others() if self._left > 0 else iter(())


@dataclass(frozen=True)
class _Lookup:
    """A catalog for `resolve`, whose sources are not read again for each target."""

    lookups: Lookups
    known: Mapping[str, Source]
    hints: _Hints
    ids: frozenset[str]
    items: Mapping[str, Item]
    """Those of `ids` that there are: all that the targets name are read at once."""

    @property
    def catalog(self) -> str:
        return self.lookups.catalog

    def get(self, item_id: str) -> Item | None:
        return self.items.get(item_id) if item_id in self.ids else self.lookups.get(item_id)

    def find_path(self, path: str) -> Sequence[Item]:
        return self.lookups.find_path(path)

    def find_name(self, name: str) -> Sequence[Item]:
        return self.lookups.find_name(name)

    def sources(self) -> Mapping[str, Source]:
        return self.known

    def places(self) -> Sequence[tuple[str, str]]:
        return self.hints.places(self.lookups)

    def others(self) -> Iterator[tuple[str, Lookups]]:
        return self.hints.others(self.lookups)


def _answers(
    holder: _Holder, chunk: Sequence[Given | FailedTarget], parameters: Parameters, *, again: bool = False
) -> list[Answer | FailedTarget]:
    """The answers to a chunk; with `again` once more from its beginning where the catalog moves to another space while
    pictures are embedded. Raises SpaceMismatch."""
    from recq.index.similarity import metric_of

    catalog = holder.catalog()
    scale = holder.scaled(parameters)
    finder = finder_of(catalog, parameters)
    finder.check(scale.parameters, metric_of("", finder.space))
    ids = frozenset(
        item_id for given in chunk if not isinstance(given, FailedTarget) and (item_id := id_of(given)) is not None
    )
    items = catalog.lookups.get_many(sorted(ids))
    lookup = _Lookup(catalog.lookups, holder.sources(), holder.hints, ids, items)
    resolved = [_resolved(lookup, given) for given in chunk]
    preparer = holder.preparer()
    if any(not isinstance(each, IndexedTarget | VectorTarget | FailedTarget) for each in resolved):
        holder.release()  # pictures are going to be read and embedded
    prepared = _prepared(preparer, chunk, resolved)
    try:
        holder.catalog()
    except SpaceMismatch:
        if not again:
            raise
        holder.begin_anew()
        return _answers(holder, _read(chunk, prepared), parameters)
    queries = [each for each in prepared if isinstance(each, Query)]
    found = iter(_found(finder_of(holder.catalog(), parameters), queries, scale.parameters))
    answers = [
        each if isinstance(each, FailedTarget) else _answer(holder, each, next(found), scale, parameters)
        for each in prepared
    ]
    for number, each in enumerate(answers):
        if isinstance(each, Answer):
            answers[number] = replace(each, notes=(*scale.notes, *each.notes))
            break
    return answers


def _resolved(lookup: _Lookup, given: Given | FailedTarget) -> Target | FailedTarget:
    if isinstance(given, FailedTarget):
        return given
    try:
        return resolve(lookup, given)
    except (TargetError, UsageError) as error:
        return FailedTarget(text_of(given), str(error))


def _prepared(
    preparer: Preparer, chunk: Sequence[Given | FailedTarget], resolved: Sequence[Target | FailedTarget]
) -> list[Query | FailedTarget]:
    """The query of each target; all pictures are embedded together."""
    sound = [
        (target, text_of(given))
        for given, target in zip(chunk, resolved, strict=True)
        if not isinstance(given, FailedTarget) and not isinstance(target, FailedTarget)
    ]
    made = zip(sound, preparer.prepare_many(sound), strict=True)
    prepared: list[Query | FailedTarget] = []
    for target in resolved:
        if isinstance(target, FailedTarget):
            prepared.append(target)
            continue
        (_, text), query = next(made)
        prepared.append(query if isinstance(query, Query) else FailedTarget(text, str(query)))
    return prepared


def _read(
    chunk: Sequence[Given | FailedTarget], prepared: Sequence[Query | FailedTarget]
) -> list[Given | FailedTarget]:
    """The chunk to ask once more: what failed has failed, and what was on standard input has been read."""
    left: list[Given | FailedTarget] = []
    for given, query in zip(chunk, prepared, strict=True):
        if isinstance(given, FailedTarget) or isinstance(query, FailedTarget):
            left.append(query if isinstance(query, FailedTarget) else given)
        else:
            left.append(read_once(given, query.content))
    return left


def _found(finder: Finder, queries: Sequence[Query], parameters: Parameters) -> list[Found | FailedTarget]:
    try:
        return _ranked(finder, queries, parameters)
    except IndexRefused:  # one item that was just deleted fails the whole chunk
        return [_found_alone(finder, query, parameters) for query in queries]


def _ranked(finder: Finder, queries: Sequence[Query], parameters: Parameters) -> list[Found | FailedTarget]:
    owns = [own_of(parameters, [query]) for query in queries]
    return list(finder.rank_many([query.example for query in queries], parameters, own=owns)) if queries else []


def _found_alone(finder: Finder, query: Query, parameters: Parameters) -> Found | FailedTarget:
    try:
        return finder.rank(query.example, parameters, own=own_of(parameters, [query]))
    except IndexRefused as error:
        return FailedTarget(query.text, str(error))


def _answer(
    holder: _Holder, query: Query, found: Found | FailedTarget, scale: Scaled, parameters: Parameters
) -> Answer | FailedTarget:
    from recq.index.similarity import metric_of

    if isinstance(found, FailedTarget):
        return found
    catalog, sources = holder.catalog(), holder.sources()
    finder = finder_of(catalog, parameters)
    nothing: NoResults | None = None
    if not found.hits:

        def ask(parameters: Parameters) -> Found:
            return finder.rank(query.example, parameters, own=own_of(parameters, [query]))

        nothing = holder.no_items(parameters) or why_no_results(catalog, scale.parameters, ask, parameters)
    return answer_of(
        catalog,
        found,
        sources,
        scale.parameters,
        time.perf_counter(),
        metric=metric_of(query.example, finder.space),
        target=asked_of(query, catalog, sources),
        background=scale.background,
        notes=(*notes_of([query]), *notes_on(found, candidate_of(catalog, parameters))),
        no_results=nothing,
    )

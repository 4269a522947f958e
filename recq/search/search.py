"""The questions that `recq.face` and the command line ask: a target becomes a vector, a vector becomes results.

    with Session(settings) as session:
        answer = similar(session, "sofa_226.jpg", Parameters(k=5, filters=["price<=500"]))

An indexed target is compared by its stored vector: no model is loaded. The index is released while a model runs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recq.commands import command, operand
from recq.errors import IndexFailing, IndexUnreachable, RecqError, TargetNotFound
from recq.index.grammar import Condition, parse_all
from recq.index.operators import Op
from recq.index.parameters import Parameters
from recq.search.answers import answer_of, asked_of, notes_of, notes_on
from recq.search.no_results import NoResults, why_no_items, why_no_results
from recq.search.own_group import own_of
from recq.search.prepare import Query
from recq.search.results import Answer, ItemDetails
from recq.search.scale import Scaled, scaled
from recq.search.session import Session
from recq.search.target import FileTarget, Given, IndexedTarget, SeenName, describe, id_of, resolve, text_of
from recq.search.trained import candidate_of, finder_of

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.index.facets import Facets
    from recq.index.finder import Found
    from recq.index.grammar import Where
    from recq.index.schema import Item

FIRST = Parameters()
"""The five nearest, as `similar` answers by default."""

FIRST_MATCHES = Parameters(k=20)
"""The first twenty, as `search` answers by default."""


def similar(session: Session, target: Given, parameters: Parameters = FIRST) -> Answer:
    """The items that look most like `target`, best first, ties by path.

    The target and what belongs to it (`recq.search.own_group`) are not among them.

    Raises TargetError, FilterError, UsageError, and for a picture outside the index what reading, decoding and
    embedding it raise.
    """
    started = time.perf_counter()
    parameters.require_sane()

    def ask() -> Answer:
        if (answer := _near_item(session, target, parameters, started)) is not None:
            return answer
        with session.prepared([target], lambda catalog: _check(catalog, parameters)) as (catalog, queries):
            return _nearest(catalog, queries[0], parameters, started)

    return session.asked(ask)


def search(session: Session, parameters: Parameters = FIRST_MATCHES) -> Answer:
    """The first k items that all filters hold for, ordered by path or as `sort` says; no picture is compared."""
    started = time.perf_counter()
    parameters.require_sane()
    with session.opened() as catalog:
        found = catalog.finder.find(parameters)
        total, shown = found.total or 0, len(found.hits)
        notes: tuple[str, ...] = ()
        if total > parameters.offset + shown and shown:
            first, last = parameters.offset + 1, parameters.offset + shown
            place = f"{shown:,}" if not parameters.offset else f"{first:,} to {last:,}"
            more = "" if parameters.offset else ": -k shows more, --page 2 the next"
            notes = (f"{place} of {total:,} matching items shown{more}",)
        nothing = None if found.hits else why_no_results(catalog, parameters, catalog.finder.find)
        return answer_of(
            catalog, found, catalog.sources_at_opening(), parameters, started, notes=notes, no_results=nothing
        )


def show(session: Session, target: Given) -> ItemDetails:
    """Everything about one item, failed ones included. Raises TargetError for what is not indexed."""
    with session.opened() as catalog:
        resolved = resolve(catalog.lookups, target)
        if isinstance(resolved, IndexedTarget):
            return ItemDetails(resolved.item, catalog.sources.path_of(resolved.item), catalog.name)
    yet = " yet" if isinstance(resolved, FileTarget) and resolved.source is not None else ""
    typed = isinstance(target, str | SeenName)
    takes = command("recq", "similar", *operand(text_of(target))) if typed else "similar()"
    raise TargetNotFound(f"{describe(resolved)} is not in the index{yet}: use {takes} for other pictures")


def facets(
    session: Session, field: str, filters: Sequence[Where] = (), limit: int = 50
) -> tuple[Facets, NoResults | None]:
    """The values of a field with the number of items of each, and the reason where there are none."""
    read = parse_all(filters)
    with session.opened() as catalog:
        found = catalog.values.facets(field, read, limit)
        return found, None if found.total else why_no_items(catalog, (*read, Condition(field, Op.EXISTS)))


def _near_item(session: Session, target: Given, parameters: Parameters, started: float) -> Answer | None:
    """The answer for an item that is given by its id, in one request.

    None for another target, and where anything is missing or wrong: then each thing is looked up, which finds out what.
    """
    item_id = id_of(target)
    if item_id is None:
        return None
    with session.opened() as catalog:

        def query_of(item: Item) -> Query:
            return Query(IndexedTarget(item), text_of(target), item.id)

        try:
            scale = scaled(catalog, parameters)
            near = finder_of(catalog, parameters).rank_from(
                item_id, scale.parameters, lambda item: own_of(scale.parameters, [query_of(item)])
            )
        except (IndexUnreachable, IndexFailing):
            raise
        except RecqError:
            return None
        return None if near is None else _answer(catalog, query_of(near[0]), near[1], scale, parameters, started)


def _nearest(catalog: Catalog, query: Query, parameters: Parameters, started: float) -> Answer:
    scale = scaled(catalog, parameters)
    finder = finder_of(catalog, parameters)
    found = finder.rank(query.example, scale.parameters, own=own_of(scale.parameters, [query]))
    return _answer(catalog, query, found, scale, parameters, started)


def _answer(
    catalog: Catalog, query: Query, found: Found, scale: Scaled, parameters: Parameters, started: float
) -> Answer:
    from recq.index.similarity import metric_of

    finder = finder_of(catalog, parameters)

    def ask(parameters: Parameters) -> Found:
        return finder.rank(query.example, parameters, own=own_of(parameters, [query]))

    nothing = None if found.hits else why_no_results(catalog, scale.parameters, ask, parameters)
    sources = catalog.sources_at_opening()
    return answer_of(
        catalog,
        found,
        sources,
        scale.parameters,
        started,
        metric=metric_of(query.example, finder.space),
        target=asked_of(query, catalog, sources),
        background=scale.background,
        notes=(*notes_of([query]), *scale.notes, *notes_on(found, candidate_of(catalog, parameters))),
        no_results=nothing,
    )


def _check(catalog: Catalog, parameters: Parameters) -> None:
    from recq.index.similarity import metric_of

    named = parameters.unusual or parameters.space is not None
    scale = scaled(catalog, parameters) if named else Scaled(parameters, None)
    finder = finder_of(catalog, parameters)
    finder.check(scale.parameters, metric_of("", finder.space))

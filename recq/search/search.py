"""A target becomes a vector, a vector becomes results: what the commands call, and what a notebook can.

    with connect(settings) as client:
        catalog = Catalog.open(client, "images")
        answer = similar(catalog, "sofa_226.jpg", Parameters(k=5, filters=["price<=500"]))

An indexed target is compared by its stored vector: no model is loaded. The `..._in` functions open the index named in
the settings themselves, and let go of it while a model runs: an embedded folder has one user at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from recq.commands import command, operand
from recq.errors import RecqError, TargetNotFound
from recq.index.grammar import Condition, parse_all
from recq.index.operators import Op
from recq.index.parameters import Parameters
from recq.search.answers import answer_of, asked_of, notes_of, notes_on
from recq.search.no_results import why_no_items, why_no_results
from recq.search.own_group import own_of
from recq.search.prepare import Preparer, Query
from recq.search.results import Answer, ItemDetails
from recq.search.scale import scaled
from recq.search.target import FileTarget, IndexedTarget, describe, resolve
from recq.settings import Settings
from recq.space import require_same

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.index.facets import Facets
    from recq.index.finder import Found
    from recq.index.grammar import Where

FIRST = Parameters()
"""The five nearest, as `similar` answers unless told otherwise."""

FIRST_MATCHES = Parameters(k=20)
"""The first twenty, as `search` answers unless told otherwise."""


def similar(catalog: Catalog, target: str, parameters: Parameters = FIRST, settings: Settings | None = None) -> Answer:
    """The items that look most like `target`, best first, ties by path.

    The target itself is never among them, nor what `recq.search.own_group` says.

    Raises TargetError, FilterError, UsageError, and for a picture outside the index what reading, decoding and
    embedding it raise.
    """
    started = time.perf_counter()
    parameters.require_sane()
    with Preparer(catalog.space, settings if settings is not None else Settings.load()) as preparer:
        query = preparer.prepare(resolve(catalog.lookups, target), target)
    return _nearest(catalog, query, parameters, started)


def similar_in(settings: Settings, target: str, parameters: Parameters = FIRST) -> Answer:
    """`similar` in the catalog that the settings name; the index is not held while a picture is read and embedded."""
    started = time.perf_counter()
    parameters.require_sane()
    with prepared_in(settings, [target], lambda catalog: _check(catalog, parameters)) as (catalog, queries):
        return _nearest(catalog, queries[0], parameters, started)


def search(catalog: Catalog, parameters: Parameters = FIRST_MATCHES) -> Answer:
    """The first k items that all filters hold for, ordered by path or as `sort` says; no picture is compared."""
    started = time.perf_counter()
    parameters.require_sane()
    found = catalog.finder.find(parameters)
    total, shown = found.total or 0, len(found.hits)
    notes: tuple[str, ...] = ()
    if total > parameters.offset + shown and shown:
        place = f"{shown:,}" if not parameters.offset else f"{parameters.offset + 1:,} to {parameters.offset + shown:,}"
        notes = (f"{place} of {total:,} matching items shown: -k shows more, --page 2 the next",)
        if parameters.offset:
            notes = (f"{place} of {total:,} matching items shown",)
    nothing = None if found.hits else why_no_results(catalog, parameters, catalog.finder.find)
    return answer_of(catalog, found, catalog.sources.all(), parameters, started, notes=notes, no_results=nothing)


def search_in(settings: Settings, parameters: Parameters = FIRST_MATCHES) -> Answer:
    """`search` in the catalog that the settings name."""
    parameters.require_sane()
    with opened(settings) as catalog:
        return search(catalog, parameters)


def show(catalog: Catalog, target: str) -> ItemDetails:
    """Everything about one item, failed ones included. Raises TargetError for what is not indexed."""
    resolved = resolve(catalog.lookups, target)
    if isinstance(resolved, IndexedTarget):
        return ItemDetails(resolved.item, catalog.sources.path_of(resolved.item))
    yet = " yet" if isinstance(resolved, FileTarget) and resolved.source is not None else ""
    takes = command("recq", "similar", *operand(target))
    raise TargetNotFound(f"{describe(resolved)} is not in the index{yet}: only {takes} takes other pictures")


def show_in(settings: Settings, target: str) -> ItemDetails:
    """`show` in the catalog that the settings name."""
    with opened(settings) as catalog:
        return show(catalog, target)


def facets_in(settings: Settings, field: str, filters: Sequence[Where] = (), limit: int = 50) -> Facets:
    """`Values.facets` in the catalog that the settings name."""
    read = parse_all(filters)
    with opened(settings) as catalog:
        return catalog.values.facets(field, read, limit)


def why_nothing_in(settings: Settings, filters: Sequence[Where] = (), field: str | None = None) -> str | None:
    """Why no item fits all filters and has the field, in the catalog that the settings name; None where some do."""
    asked = parse_all(filters)
    if field is not None:
        asked = (*asked, Condition(field, Op.EXISTS))
    with opened(settings) as catalog:
        found = why_no_items(catalog, asked)
    return None if found is None else found.text


@contextmanager
def opened(settings: Settings) -> Iterator[Catalog]:
    """The catalog that the settings name, for the length of the block."""
    from recq.index.catalog import Catalog
    from recq.index.connect import connect

    with connect(settings) as client:
        yield Catalog.open(client, settings.catalog)


def text_fields_in(settings: Settings) -> list[str] | None:
    """The fields of texts, by name, of the catalog that the settings name; None where it cannot be asked."""
    from recq.index.schema import FieldType

    with suppress(RecqError), opened(settings) as catalog:
        return sorted(name for name, kind in catalog.fields.types().items() if kind is FieldType.STRING)
    return None


@contextmanager
def prepared_in(
    settings: Settings, targets: Sequence[str], check: Callable[[Catalog], None]
) -> Iterator[tuple[Catalog, list[Query]]]:
    """The catalog that the settings name and queries of the targets; not held while pictures are read and embedded.

    `check` raises what would make the question impossible, before a model is loaded for nothing.
    """
    with opened(settings) as catalog:
        resolved = [(resolve(catalog.lookups, text), text) for text in targets]
        space = catalog.space
        if all(isinstance(target, IndexedTarget) for target, _ in resolved):
            with Preparer(space, settings) as preparer:
                yield catalog, [preparer.prepare(*each) for each in resolved]
            return
        check(catalog)
    with Preparer(space, settings) as preparer:
        queries = [preparer.prepare(*each) for each in resolved]
    with opened(settings) as catalog:
        require_same(catalog.space, space, catalog.name)  # rebuilt meanwhile?
        yield catalog, queries


def _nearest(catalog: Catalog, query: Query, parameters: Parameters, started: float) -> Answer:
    from recq.index.similarity import metric_of

    scale = scaled(catalog, parameters)

    def ask(parameters: Parameters) -> Found:
        return catalog.finder.rank(query.example, parameters, own=own_of(parameters, [query]))

    found = ask(scale.parameters)
    nothing = None if found.hits else why_no_results(catalog, scale.parameters, ask, parameters)
    sources = catalog.sources.all()
    return answer_of(
        catalog,
        found,
        sources,
        scale.parameters,
        started,
        metric=metric_of(query.example, catalog.space),
        target=asked_of(query, catalog, sources),
        background=scale.background,
        notes=(*notes_of([query]), *scale.notes, *notes_on(found)),
        no_results=nothing,
    )


def _check(catalog: Catalog, parameters: Parameters) -> None:
    from recq.index.similarity import metric_of

    limited = scaled(catalog, parameters).parameters if parameters.unusual else parameters
    catalog.finder.check(limited, metric_of("", catalog.space))

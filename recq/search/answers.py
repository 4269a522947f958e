"""Builds an answer from what the catalog found: results with ranks and paths, the target, remarks. Asks nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from recq import paths
from recq.index.grammar import AnyOf
from recq.index.parameters import Parameters
from recq.search.prepare import Query
from recq.search.results import Answer, Asked, Examples, result_of
from recq.search.target import FileTarget, IndexedTarget, describe, name_of, region_of, whole_of
from recq.search.trained import candidate_of, finder_of, trained_of

if TYPE_CHECKING:
    from recq.index.background import Background
    from recq.index.candidates import Candidate
    from recq.index.catalog import Catalog
    from recq.index.finder import Found
    from recq.index.similarity import Metric
    from recq.index.sources import Source
    from recq.search.no_results import NoResults


def asked_of(query: Query, catalog: Catalog, sources: Mapping[str, Source]) -> Asked:
    """The target of the question, as the answer shows it."""
    name = name_of(query.target)
    region = region_of(query.target)
    match whole_of(query.target):
        case IndexedTarget(item):
            location = catalog.sources.path_of(item, sources)
            return Asked(query.text, name, item.id, item.file.source, location, query.content, region)
        case FileTarget(path):
            return Asked(query.text, name, location=path, content=query.content, region=region)
        case _:
            return Asked(query.text, name, content=query.content, region=region)


def notes_of(queries: Sequence[Query]) -> tuple[str, ...]:
    """A remark for each file of a source that is not indexed yet."""
    return tuple(
        f"{describe(target)} is in source '{paths.printable(target.source)}', but not indexed yet: "
        "its content is compared"
        for target in (whole_of(query.target) for query in queries)
        if isinstance(target, FileTarget) and target.source is not None
    )


def notes_on(found: Found, candidate: Candidate | None = None) -> tuple[str, ...]:
    """Remarks on items that were left out or not looked at."""
    from recq.index.ranking import DEEPEST
    from recq.index.reranked import RERANKED

    notes = []
    if found.copies:
        some = "1 item has" if found.copies == 1 else f"{found.copies:,} items have"
        notes.append(f"{some} the same bytes as the target, left out: --keep-duplicates shows them")
    if found.cut and candidate is not None:
        notes.append(
            f"only the {RERANKED:,} nearest in the catalog's own space were put into the order of "
            f"{paths.printable(candidate.name)}: add filters to reach others"
        )
    elif found.cut:
        notes.append(
            f"only the {DEEPEST:,} nearest items were looked at, most of them folded: add filters to reach others"
        )
    return tuple(notes)


def answer_of(
    catalog: Catalog,
    found: Found,
    sources: Mapping[str, Source],
    parameters: Parameters,
    started: float,
    *,
    metric: Metric | None = None,
    target: Asked | None = None,
    examples: Examples | None = None,
    background: Background | None = None,
    notes: tuple[str, ...] = (),
    no_results: NoResults | None = None,
) -> Answer:
    """The answer to a question that began at `started` (`time.perf_counter`).

    `background` is the scale of its scores, where these are scores of pairs.
    """
    results = tuple(
        result_of(
            parameters.offset + number,
            hit.item,
            None if math.isnan(hit.score) else hit.score,
            catalog.sources.path_of(hit.item, sources),
            share=None if background is None or math.isnan(hit.score) else background.share_below(hit.score),
            copies=hit.copies,
            fields=parameters.fields,
            catalog=catalog.name,
        )
        for number, hit in enumerate(found.hits, start=1)
    )
    lost = {result.source for result in results if result.location is None}
    notes += tuple(f"no folder is on record for source '{paths.printable(name)}': no paths" for name in sorted(lost))
    return Answer(
        finder_of(catalog, parameters).space,
        results,
        (time.perf_counter() - started) * 1000,
        target,
        filters_of(parameters),
        notes,
        metric,
        examples,
        named_in(parameters),
        parameters.fields,
        no_results,
        trained_of(candidate_of(catalog, parameters)),
    )


def filters_of(parameters: Parameters) -> tuple[str, ...]:
    """Filters and groups as they were typed."""
    return tuple(each if isinstance(each, str) else each.text for each in (*parameters.filters, *parameters.any_of))


def named_in(parameters: Parameters) -> tuple[str, ...]:
    """The fields that a question names: each gets a column."""
    conditions = [
        condition
        for each in parameters.conditions
        for condition in (each.alternatives if isinstance(each, AnyOf) else (each,))
    ]
    sort = (parameters.sort.field,) if parameters.sort is not None else ()
    group = (parameters.group_by,) if parameters.group_by is not None else ()
    return tuple(dict.fromkeys([*group, *sort, *(condition.field for condition in conditions)]))

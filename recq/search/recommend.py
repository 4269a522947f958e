"""Recommendations: items near to liked pictures and far from disliked ones, whether these are indexed or not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recq.errors import UsageError
from recq.index.parameters import Parameters
from recq.search.answers import answer_of, asked_of, notes_of, notes_on
from recq.search.no_results import why_no_results
from recq.search.own_group import own_of
from recq.search.prepare import Query
from recq.search.results import Answer, Examples
from recq.search.search import FIRST
from recq.search.session import Session
from recq.search.target import Given
from recq.search.trained import candidate_of, finder_of, remarks_on

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.index.finder import Found
    from recq.index.similarity import Strategy


def recommend(
    session: Session,
    like: Sequence[Given],
    dislike: Sequence[Given] = (),
    strategy: Strategy | str = "average",
    parameters: Parameters = FIRST,
) -> Answer:
    """The items nearest to the liked pictures and far from the disliked ones, weighed by `strategy`.

    These pictures and what belongs to them (`recq.search.own_group`) are not among the results.

    `recq.index.similarity` describes the strategies. Raises what `recq.search.search.similar` raises.
    """
    started = time.perf_counter()
    _require_sane(like, parameters)
    from recq.index.similarity import Liked, Strategy, metric_of

    def check(catalog: Catalog) -> None:
        finder = finder_of(catalog, parameters)
        finder.check(parameters, metric_of(Liked(("",), strategy=Strategy(strategy)), finder.space))

    def ask() -> Answer:
        with session.prepared([*like, *dislike], check) as (catalog, queries):
            return _recommended(catalog, queries, len(like), strategy, parameters, started)

    return session.asked(ask)


def _recommended(
    catalog: Catalog,
    queries: Sequence[Query],
    liked: int,
    strategy: Strategy | str,
    parameters: Parameters,
    started: float,
) -> Answer:
    from recq.index.similarity import Liked, Strategy, metric_of

    chosen = Strategy(strategy)
    examples = [query.example for query in queries]
    question = Liked(tuple(examples[:liked]), tuple(examples[liked:]), chosen)
    candidate = candidate_of(catalog, parameters)
    finder = finder_of(catalog, parameters)

    def ask(parameters: Parameters) -> Found:
        return finder.rank(question, parameters, own=own_of(parameters, queries[:liked], queries[liked:]))

    found = ask(parameters)
    sources = catalog.sources_at_opening()
    asked = [asked_of(query, catalog, sources) for query in queries]
    return answer_of(
        catalog,
        found,
        sources,
        parameters,
        started,
        metric=metric_of(question, finder.space),
        examples=Examples(tuple(asked[:liked]), tuple(asked[liked:]), chosen),
        notes=(*notes_of(queries), *remarks_on(candidate), *notes_on(found, candidate)),
        no_results=None if found.hits else why_no_results(catalog, parameters, ask),
    )


def _require_sane(like: Sequence[Given], parameters: Parameters) -> None:
    parameters.require_sane()
    if not like:
        raise UsageError("nothing is liked: name one picture at least, as in --like sofa.jpg")
    if parameters.unusual:
        raise UsageError("recommend takes no 'auto': its scores are not those of pairs of pictures; give a number")

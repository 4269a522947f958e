"""Browsing: the items that filters hold for, the newest first, a page of them as an answer and how many there are."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recq.search.answers import answer_of
from recq.search.no_results import why_no_results
from recq.search.results import Answer
from recq.search.session import Session

if TYPE_CHECKING:
    from recq.index.parameters import Parameters


@dataclass(frozen=True)
class LatestPage:
    """Some of `total` items; `copies` of newer ones among them were left out."""

    answer: Answer
    total: int
    copies: int


def latest(session: Session, parameters: Parameters) -> LatestPage:
    """`k` items after the first `offset`, however many those are; what sorts, groups and varies is left alone.

    Raises FilterError.
    """
    started = time.perf_counter()
    with session.opened() as catalog:
        found = catalog.latest.page(parameters)
        nothing = None if found.total else why_no_results(catalog, parameters, catalog.finder.find)
        answer = answer_of(catalog, found, catalog.sources_at_opening(), parameters, started, no_results=nothing)
        return LatestPage(answer, found.total or 0, found.copies)

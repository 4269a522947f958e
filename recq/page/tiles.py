"""What the templates show of answers: tiles, chips, facets, numbers of pages. Pure: records in, printable text out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recq.display.table import KIND_FIELDS, TITLE_FIELDS, cell, columns_of
from recq.face.results import Facets
from recq.index.schema import FieldType
from recq.page.state import PAGE_SIZE, State, negated, range_of, without_range
from recq.paths import printable
from recq.search.results import Answer, Result, percent_text

MOST_FACETS = 8
"""Fields that are offered beside the results."""

MOST_VALUES = 12
"""Values of each that are shown at once."""


@dataclass(frozen=True)
class Tile:
    """One result: `alt` says title, category and how near; `near` is the percentile in words, `score` the cosine,
    `digest` that of the picture's bytes."""

    id: str
    title: str
    name: str
    alt: str
    near: str
    score: str
    copies: int
    facts: tuple[tuple[str, str], ...]
    width: int | None
    height: int | None
    digest: str = ""


@dataclass(frozen=True)
class Chip:
    """Something that steers the answer, and the address without it."""

    kind: str
    text: str
    without: str
    id: str = ""


@dataclass(frozen=True)
class FacetValue:
    """A value with the number of items that have it, and the addresses with it, and with all but it."""

    text: str
    count: int
    chosen: bool
    address: str
    excluded: bool
    without: str


@dataclass(frozen=True)
class Typed:
    """A range that can be typed: the kind of input, its ends as they are now, and all else that the address has."""

    input: str
    low: str
    high: str
    others: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Facet:
    """The values of a field; for numbers and dates ranges, and `typed` others."""

    field: str
    values: tuple[FacetValue, ...]
    typed: Typed | None = None


@dataclass(frozen=True)
class Near:
    """How near a result is to a picture: the cosine, and the share of pairs that are less alike. `to` is the picture's
    name where it may be one of several."""

    to: str
    score: float
    share: float | None


def tiles_of(answer: Answer, near: Mapping[str, Near] | None = None) -> list[Tile]:
    """A tile for each result. Where several pictures steer, `near` has for each id the one that it is nearest to."""
    seen = columns_of(answer)
    return [_tile(result, seen, (near or {}).get(result.id)) for result in answer.results]


def _tile(result: Result, seen: Sequence[str], nearest: Near | None) -> Tile:
    title = title_of(result.metadata, result.name)
    kind = next((cell(result.metadata[name]) for name in KIND_FIELDS if name in result.metadata), "")
    share, score, to = result.share, result.score, ""
    if share is None and nearest is not None:
        share, score, to = nearest.share, nearest.score, f" to {nearest.to}" if nearest.to else ""
    near = "" if share is None else f"closer{to} than {percent_text(share)} of pairs"
    facts = [
        (printable(name), text) for name in seen if name not in TITLE_FIELDS and (text := cell(result.value(name)))
    ]
    file = result.payload["file"]
    return Tile(
        result.id,
        title,
        printable(result.name),
        ", ".join(part for part in (title, kind, near) if part),
        near,
        "" if score is None else f"{score:.2f}",
        result.copies,
        tuple(facts),
        file.get("width"),
        file.get("height"),
        file.get("sha256") or "",
    )


def title_of(metadata: Mapping[str, Any], name: str) -> str:
    """What an item is called: its title, else its file's name."""
    found = next((text for each in TITLE_FIELDS if (text := cell(metadata.get(each)))), "")
    return found or printable(name)


def chips_of(state: State, names: Mapping[str, str]) -> list[Chip]:
    """What steers, in the order in which it acts; `names` are those of liked and disliked items, by id."""
    chips = []
    if state.picture:
        chips.append(Chip("picture", "your picture", state.with_(picture=False).address))
    part = f" (the part {state.region})" if state.region else ""
    chips += [Chip("like", names.get(each, each) + part, state.without(each).address, each) for each in state.like]
    chips += [Chip("dislike", names.get(each, each), state.without(each).address, each) for each in state.dislike]
    if state.text:
        chips.append(Chip("text", state.text, state.with_(text="").address))
    chips += [Chip("filter", printable(each), state.filtered(each).address) for each in state.filters]
    return chips


def facet_of(state: State, facets: Facets) -> Facet:
    """A field's values as links."""
    values = []
    for (value, count), filter_ in zip(facets.rows, facets.filters, strict=True):
        other = negated(filter_, facets.field)
        chosen = filter_ in state.filters
        cleared = state.filtered(other) if other in state.filters else state
        values.append(
            FacetValue(
                printable(value),
                count,
                chosen,
                cleared.filtered(filter_).address,
                other in state.filters,
                (state.filtered(filter_) if chosen else state).filtered(other).address,
            )
        )
    return Facet(facets.field, tuple(values), _typed(state, facets))


def _typed(state: State, facets: Facets) -> Typed | None:
    if facets.type not in (FieldType.INTEGER, FieldType.FLOAT, FieldType.DATE):
        return None
    others = state.with_(filters=without_range(state.filters, facets.field)).pairs()
    kind = "date" if facets.type is FieldType.DATE else "number"
    return Typed(kind, *range_of(state.filters, facets.field), tuple(others))


@dataclass(frozen=True)
class Pages:
    """Where a page stands: `first` to `last` of `total` items, the addresses around it (None at an end)."""

    page: int
    pages: int
    first: int
    last: int
    total: int
    before: str | None
    after: str | None


def pages_of(state: State, shown: int, total: int) -> Pages:
    """`shown` items are on the page, `total` match in all. Where copies are left out, their places are not shown."""
    pages = max(1, math.ceil(total / PAGE_SIZE))
    first = (state.page - 1) * PAGE_SIZE
    shown = max(shown, min(PAGE_SIZE, total - first)) if state.browses else shown
    return Pages(
        state.page,
        pages,
        first + 1 if shown else 0,
        first + shown,
        total,
        state.at(state.page - 1).address if state.page > 1 else None,
        state.at(state.page + 1).address if state.page < pages else None,
    )

"""Which columns and rows a table for eyes has. Pure: records in, cells of printable text out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from query.results import Answer, Result, Shown
from recq.paths import printable

if TYPE_CHECKING:
    from query.duplicates import Duplicates
    from recq.index.facets import Facets

FIRST_FIELDS = ("category", "title", "price")
"""Metadata that says what a thing is; shown when present, after the fields that the filters name."""

MOST_FIELDS = 4
"""Metadata columns of an answer: more than these do not fit beside the paths on 100 columns."""

_FILTER_FIELD = re.compile(r"!?(?:has:|no:)?([^=<>~!?]+)")


@dataclass(frozen=True)
class Table:
    """Cells of printable text. `right` tells which columns hold numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[bool, ...]
    title: str = ""
    caption: str = ""


def answer_table(answer: Answer) -> Table:
    """One row for each result: rank, score, the metadata that matters, the path that works as a TARGET."""
    scored = answer.target is not None
    fields = columns_of(answer)
    several = len({result.source for result in answer.results}) > 1
    header = ("#", *(("score",) if scored else ()), "file", *(("source",) if several else ()), *fields)
    rows = tuple(
        (
            str(result.rank),
            *((f"{result.score:.3f}",) if scored and result.score is not None else ()),
            printable(result.within),
            *((printable(result.source),) if several else ()),
            *(cell(result.metadata.get(name)) for name in fields),
        )
        for result in answer.results
    )
    right = tuple(name in ("#", "score") or _is_numeric(answer.results, name) for name in header)
    title = f"like {printable(answer.target.name)}" if answer.target is not None else ""
    return Table(tuple(map(printable, header)), rows, right, title, caption_of(answer))


def columns_of(answer: Answer) -> tuple[str, ...]:
    """The metadata fields worth a column: those of the filters, then `FIRST_FIELDS`, where any result has them."""
    present = {name for result in answer.results for name in result.metadata}
    asked = [match[1].strip() for text in answer.filters if (match := _FILTER_FIELD.match(text.strip()))]
    return tuple(name for name in dict.fromkeys([*asked, *FIRST_FIELDS]) if name in present)[:MOST_FIELDS]


def caption_of(answer: Answer) -> str:
    """Filters and embedding space in one line, as the table and the grid show them."""
    filters = " · ".join(printable(text) for text in answer.filters)
    space = answer.space.label if answer.target is not None else ""
    return "   ".join(part for part in (filters, space) if part)


def duplicates_table(found: Duplicates) -> Table:
    """A row for each item: its group, how near its nearest there is, size, and the path that works as a TARGET."""
    results = [result for group in found.groups for result in group.results]
    several = len({result.source for result in results}) > 1
    header = ("group", "score", "pixels", "bytes", "file", *(("source",) if several else ()))
    rows = tuple(
        (
            str(number) if result.rank == 1 else "",
            "same bytes" if group.exact else f"{result.score:.3f}",
            pixels(result.payload["file"]),
            f"{result.payload['file']['size']:,}",
            printable(result.within),
            *((printable(result.source),) if several else ()),
        )
        for number, group in enumerate(found.groups, start=1)
        for result in group.results
    )
    return Table(header, rows, tuple(name in ("group", "score", "pixels", "bytes") for name in header))


def pixels(file: Mapping[str, Any]) -> str:
    """Width and height of a file."""
    return f"{file['width']}x{file['height']}" if "width" in file else ""


def facets_table(facets: Facets) -> Table:
    """Values or ranges with their counts."""
    rows = tuple((printable(value), f"{count:,}") for value, count in facets.rows)
    noun = "item has" if facets.total == 1 else "items have"
    title = f"{facets.total:,} {noun} {printable(facets.field)} ({facets.type})"
    return Table((printable(facets.field), "items"), rows, (False, True), title)


def shown_table(shown: Shown) -> Table:
    """A row for each thing known of the item."""
    document = shown.to_json()
    payload = dict(document["payload"])
    file = payload.pop("file")
    known: dict[str, Any] = {"id": document["id"], "path": document["path"] or "(no folder on record)"}
    file.pop("name", None)  # the end of the path
    if document["error"] is not None:
        known |= _prefixed("error", document["error"])
    known |= payload
    known |= _prefixed("file", file)
    rows = tuple((printable(name), cell(value)) for name, value in known.items())
    return Table(("field", "value"), rows, (False, False))


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def cell(value: Any) -> str:
    """A metadata value as one printable line."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(cell(element) for element in value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return printable(" ".join(str(value).split()))


def _is_numeric(results: Sequence[Result], name: str) -> bool:
    values = [result.metadata[name] for result in results if name in result.metadata]
    return bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)

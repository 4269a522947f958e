"""The columns and rows of the tables for people. Pure: records in, cells of printable text out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recq.duplicates.kinds import Kind
from recq.index.field_value import field_value
from recq.index.grammar import escape, escape_field
from recq.index.predicted import KEY
from recq.paths import printable
from recq.search.inventory import MOST_VALUES
from recq.search.results import Answer, ItemDetails, Result, percent_text, predicted_names

if TYPE_CHECKING:
    from recq.duplicates.groups import Duplicates
    from recq.index.changes import Change
    from recq.index.facets import Facets
    from recq.search.compare import Comparison
    from recq.search.inventory import CatalogSummary, FieldSummary


FIRST_FIELDS = ("category", "title", "price")
"""Metadata fields that are shown where an item has them, after the fields that the filters name."""

TITLE_FIELDS = ("title", "name")
"""Where an item's name for people is looked for; else it is that of its file."""

KIND_FIELDS = ("category", "labels", "kind", "type", "genre", "genres")
"""Where it is looked for what an item is."""

MOST_FIELDS = 4
"""Metadata columns of an answer: more than these do not fit beside the paths on 100 columns."""

_IN_THE_PATH = frozenset({"file.path", "file.name", "file.folders", "file.source"})  # a row shows these anyway

SCALE = "score: of this catalog's random pairs, so many per cent are less alike"

SCORE_HEADERS = {"cosine": "score", "euclid": "distance", "best_score": "best_score", "sum_scores": "sum_scores"}
"""The header of the column of scores."""


@dataclass(frozen=True)
class TextTable:
    """Cells of printable text. `right` tells which columns hold numbers.

    On a terminal each row of a `one_line` table is a line, whose cells are cut where there is no room; `names` is the
    header of the column that names a row, and the first `kept` columns are shown on any terminal. `chosen`: the columns
    after them were chosen with --fields.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[bool, ...]
    title: str = ""
    caption: str = ""
    one_line: bool = False
    names: str = ""
    kept: int = 1
    chosen: bool = False


def answer_table(answer: Answer) -> TextTable:
    """One row for each result: rank, score, the path that works as a TARGET, the main metadata."""
    fields = columns_of(answer)
    several = len({result.source for result in answer.results}) > 1
    folded = any(result.copies > 1 for result in answer.results)
    header = (
        "#",
        *((SCORE_HEADERS[answer.metric.name],) if answer.metric is not None else ()),
        "file",
        *(("source",) if several else ()),
        *(("copies",) if folded else ()),
        *fields,
    )
    percents = [percent_text(result.share) for result in answer.results if result.share is not None]
    widest = max(map(len, percents), default=0)
    rows = tuple(
        (
            str(result.rank),
            *((_score(result, widest),) if result.score is not None else ()),
            printable(result.within),
            *((printable(result.source),) if several else ()),
            *((str(result.copies),) if folded else ()),
            *(cell(result.value(name)) for name in fields),
        )
        for result in answer.results
    )
    numbers = {"#", "copies", *SCORE_HEADERS.values(), *(name for name in fields if _is_numeric(answer.results, name))}
    right = tuple(name in numbers for name in header)
    return TextTable(
        tuple(map(printable, header)),
        rows,
        right,
        title_of(answer),
        "\n".join(part for part in (caption_of(answer), SCALE if percents else "") if part),
        one_line=True,
        names="file",
        kept=header.index("file") + 1,
        chosen=answer.fields is not None,
    )


def _score(result: Result, widest: int) -> str:
    """The score; with the share of random pairs that are less alike, the per cents `widest` characters wide."""
    score = result.score or 0.0
    return f"{score:.3f}" if result.share is None else f"{score:.2f}  {percent_text(result.share):>{widest}}"


def title_of(answer: Answer) -> str:
    """What was compared with, in one line."""
    if answer.target is not None:
        return f"like {printable(answer.target.name)}"
    if answer.examples is None:
        return ""
    liked = ", ".join(printable(each.name) for each in answer.examples.liked)
    disliked = ", ".join(printable(each.name) for each in answer.examples.disliked)
    return f"like {liked}" + (f", unlike {disliked}" if disliked else "")


def columns_of(answer: Answer) -> tuple[str, ...]:
    """The fields that get a column: the chosen ones, else those that the question names and then `FIRST_FIELDS`."""
    if answer.fields is not None:
        return answer.fields
    present = {name for result in answer.results for name in result.metadata}
    asked = [name for name in answer.named if name not in _IN_THE_PATH]
    some = [name for name in asked if any(result.value(name) is not None for result in answer.results)]
    return tuple(dict.fromkeys([*some, *(name for name in FIRST_FIELDS if name in present)]))[:MOST_FIELDS]


def caption_of(answer: Answer) -> str:
    """Filters and embedding space in one line, as the table and the grid show them."""
    filters = " · ".join(printable(text) for text in answer.filters)
    space = answer.space.label if answer.metric is not None else ""
    return "   ".join(part for part in (filters, space) if part)


def comparison_table(comparison: Comparison) -> TextTable:
    """A row for each rank, a column for each catalog: the score there, and the path that works as a TARGET."""
    answers = [each.answer for each in comparison.columns]
    rows = tuple(
        (
            str(place + 1),
            *(
                f"{result.score:.3f} {printable(result.within)}" if result is not None else ""
                for result in (answer.results[place] if place < len(answer.results) else None for answer in answers)
            ),
        )
        for place in range(max(len(answer.results) for answer in answers))
    )
    header = ("#", *(each.catalog for each in comparison.columns))
    caption = "\n".join(f"{each.catalog}: {each.answer.space.label}" for each in comparison.columns)
    right = (True, *(False for _ in answers))
    return TextTable(header, rows, right, title_of(answers[0]), caption, one_line=True, kept=len(header))


def duplicates_table(found: Duplicates) -> TextTable:
    """A row for each item: its group, its relation to the first or why that is kept, size, the path as a TARGET."""
    results = [result for group in found.groups for result in group.results]
    several = len({result.source for result in results}) > 1
    header = ("group", "kind", "pixels", "bytes", "file", *(("source",) if several else ()))
    rows = tuple(
        (
            str(number) if result.rank == 1 else "",
            f"keep: {group.why}" if result.rank == 1 else kind_text(result, kind),
            pixels(result.payload["file"]),
            f"{result.payload['file']['size']:,}",
            printable(result.within),
            *((printable(result.source),) if several else ()),
        )
        for number, group in enumerate(found.groups, start=1)
        for result, kind in zip(group.results, group.kinds, strict=True)
    )
    right = tuple(name in ("group", "pixels", "bytes") for name in header)
    return TextTable(header, rows, right, one_line=True, names="file", kept=header.index("file") + 1)


def kind_text(result: Result, kind: Kind) -> str:
    """The relation of a picture to the one that is kept, and how near it is."""
    return "same bytes" if kind is Kind.EXACT else f"{kind} {result.score:.3f}"


def pixels(file: Mapping[str, Any]) -> str:
    """Width and height of a file."""
    return f"{file['width']}x{file['height']}" if "width" in file else ""


def facets_table(facets: Facets) -> TextTable:
    """Values, as they are written in a filter, or ranges with their counts."""
    rows = tuple((printable(escape(value)), f"{count:,}") for value, count in facets.rows)
    noun = "item has" if facets.total == 1 else "items have"
    title = f"{facets.total:,} {noun} {printable(facets.field)} ({facets.type})"
    return TextTable((printable(facets.field), "items"), rows, (False, True), title)


def catalogs_table(found: Sequence[CatalogSummary]) -> TextTable:
    """A row for each catalog."""
    header = ("catalog", "items", "failed", "space", "sources", "indexed")
    rows = tuple(
        (
            printable(each.name),
            f"{each.items:,}" if each.problem is None else "",
            f"{each.failed:,}" if each.problem is None else "",
            printable(each.problem or (each.space.label if each.space is not None else "")),
            ", ".join(map(printable, each.sources)),
            moment(each.indexed),
        )
        for each in found
    )
    right = tuple(name in ("items", "failed") for name in header)
    return TextTable(header, rows, right, one_line=True, names="catalog")


def moment(text: str | None) -> str:
    """A moment of ISO 8601 in UTC to the minute."""
    return "" if text is None else f"{text[:10]} {text[11:16]} UTC"


def changes_table(changes: Sequence[Change]) -> TextTable:
    """A row for each change, in their order."""
    rows = tuple(
        (each.kind.value, each.at, printable(f"{each.source}/{each.path}"), printable(each.reason or ""))
        for each in changes
    )
    header = ("change", "at", "item", "reason")
    return TextTable(header, rows, (False,) * 4, one_line=True, names="item", kept=3)


def fields_table(found: Sequence[FieldSummary]) -> TextTable:
    """A row for each field: the name and an example as they are written in a filter."""
    rows = tuple(
        (printable(escape_field(each.name)), str(each.type), f"{each.items:,}", _values(each), cell(each.example))
        for each in found
    )
    header = ("field", "type", "items", "values", "example")
    return TextTable(header, rows, (False, False, True, False, False), one_line=True, names="field", kept=2)


def _values(field: FieldSummary) -> str:
    """How many different ones, or from where to where."""
    if field.waiting:
        return "index being made"
    if field.problem is not None:
        return "no index"
    if field.least is not None:
        ends = dict.fromkeys((cell(field.least), cell(field.greatest)))
        return "..".join(ends)
    if field.distinct is not None:
        return f"{field.distinct:,} different" if field.items else ""
    return "" if field.type.is_number or field.type == "date" else f"more than {MOST_VALUES:,}"


def shown_table(shown: ItemDetails) -> TextTable:
    """A row for each thing known of the item."""
    document = shown.to_json()
    payload = dict(document["payload"])
    file = payload.pop("file")
    known: dict[str, Any] = {"id": document["id"], "path": document["path"] or "(no folder on record)"}
    file.pop("name", None)  # the end of the path
    if document["error"] is not None:
        known |= _prefixed("error", document["error"])
    guessed = {name: field_value(payload, name) for name in predicted_names(payload)}
    payload.pop(KEY, None)
    known |= payload
    known |= guessed
    known |= _prefixed("file", file)
    rows = tuple((printable(name), cell(value)) for name, value in known.items())
    return TextTable(("field", "value"), rows, (False, False))


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
    return "".join(each if each in _JOINERS else printable(each) for each in _PARTS.split(" ".join(str(value).split())))


_JOINERS = "\u200c\u200d"  # of no width, but they decide how letters and emoji around them look
_PARTS = re.compile(f"([{_JOINERS}])")


def _is_numeric(results: Sequence[Result], name: str) -> bool:
    values = [value for result in results if (value := result.value(name)) is not None]
    return bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)

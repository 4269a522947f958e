"""An answer as text: JSON, JSON lines, CSV, paths, or a table. Pure: records in, text out.

The formats of `similar`, `recommend` and `search` use the same interface as plug-ins (`query.text.formats`).

Machine-readable formats are a contract (docs/query.md) and are the same on a terminal and in a pipe. The table is for
people: on a terminal with colours and as wide as it; elsewhere plain columns, in which nothing is cut.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from recq.csv_text import csv_text
from recq.display.layout import plain
from recq.display.table import (
    TextTable,
    answer_table,
    catalogs_table,
    changes_table,
    comparison_table,
    duplicates_table,
    facets_table,
    fields_table,
    shown_table,
)
from recq.json_text import json_text
from recq.paths import printable
from recq.search.output_format import OutputFormat, Page
from recq.search.results import SCORE_DIGITS, Answer, ItemDetails, Result, facets_json, score_text

if TYPE_CHECKING:
    from recq.duplicates.groups import Duplicates
    from recq.evaluate.index_results import IndexEvaluation
    from recq.evaluate.judged_results import JudgedEvaluation
    from recq.evaluate.results import Evaluation
    from recq.index.changes import Changes
    from recq.index.facets import Facets
    from recq.learn.label_findings import LabelFindings
    from recq.learn.prediction import Prediction
    from recq.search.compare import Comparison
    from recq.search.explain import Explanation
    from recq.search.inventory import CatalogSummary, FieldSummary
    from recq.search.many import FailedTarget


class Format(StrEnum):
    """The formats of `duplicates` and `labels`; `similar`, `recommend` and `search` have those of plug-ins as well."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PATHS = "paths"


class FacetsFormat(StrEnum):
    """The formats of `facets`, `compare` and `predict`."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


class ShowFormat(StrEnum):
    """The formats of `show`, `catalogs` and `fields`."""

    TABLE = "table"
    JSON = "json"


class ChangesFormat(StrEnum):
    """The formats of `changes`."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


COLUMNS = ("rank", "score", "id", "source", "path", "name", "copies")
"""The first columns of the CSV; the metadata fields follow, alphabetically."""


FINDING_COLUMNS = ("rank", "certainty", "id", "source", "path", "name", "now", "remove", "add", "unknown")
"""The columns of findings about labels."""


class Table(OutputFormat):
    """A table for people; for several targets one under each target's name."""

    def answer(self, answer: Answer, page: Page) -> str:
        """The rows; empty where there are none."""
        return _table(answer_table(answer), page.terminal)

    def one_of_several(self, answer: Answer, page: Page) -> str:
        """The same, under the target's name."""
        text = self.answer(answer, page)
        return text if answer.target is None else f"==> {printable(answer.target.text)} <==\n{text}\n"


class Json(OutputFormat):
    """One JSON document, which holds one answer."""

    several = False

    def answer(self, answer: Answer, page: Page) -> str:  # noqa: ARG002
        """The whole document."""
        return json_text(answer.to_json(), indent=2)


class JsonLines(OutputFormat):
    """A JSON object a line: a result, or the whole document of one of several targets."""

    def answer(self, answer: Answer, page: Page) -> str:  # noqa: ARG002
        """The results."""
        return "".join(json_text(result.to_json()) for result in answer.results)

    def one_of_several(self, answer: Answer, page: Page) -> str:  # noqa: ARG002
        """The document."""
        return json_text(answer.to_json())

    def failure(self, failure: FailedTarget) -> str:
        """A line of its own."""
        return json_text(failure.to_json())


class Csv(OutputFormat):
    """Comma-separated values with one header, which has the fields of all results."""

    together = True

    def answer(self, answer: Answer, page: Page) -> str:  # noqa: ARG002
        """The results."""
        fields = _csv_fields([answer])
        return csv_text([(*COLUMNS, *_csv_names(fields, COLUMNS)), *_csv_rows(answer, fields)])

    def answers(self, answers: Sequence[Answer], page: Page) -> str:  # noqa: ARG002
        """The results of several targets, each row with its target first."""
        columns = ("target", *COLUMNS)
        fields = _csv_fields(answers)
        rows = [
            (printable(answer.target.text) if answer.target is not None else "", *row)
            for answer in answers
            for row in _csv_rows(answer, fields)
        ]
        return csv_text([(*columns, *_csv_names(fields, columns)), *rows])


class Paths(OutputFormat):
    """Absolute paths, one a line, or each ended by a NUL, the only byte that no path has."""

    def answer(self, answer: Answer, page: Page) -> str:
        """The paths of the results whose folder is on record."""
        return _paths(answer.results, page)


def facets_text(facets: Facets, form: FacetsFormat, terminal: bool = False) -> str:
    """The answer of `facets`."""
    document = facets_json(facets)
    match form:
        case FacetsFormat.TABLE:
            return _table(facets_table(facets), terminal)
        case FacetsFormat.JSON:
            return json_text(document, indent=2)
        case FacetsFormat.JSONL:
            return "".join(json_text(row) for row in document["values"])
        case FacetsFormat.CSV:
            return csv_text([("value", "count", "filter"), *(tuple(row.values()) for row in document["values"])])


def catalogs_text(found: Sequence[CatalogSummary], form: ShowFormat, terminal: bool = False) -> str:
    """The answer of `catalogs`."""
    if form is ShowFormat.JSON:
        return json_text([each.to_json() for each in found], indent=2)
    return _table(catalogs_table(found), terminal)


def changes_text(found: Changes, form: ChangesFormat, terminal: bool = False) -> str:
    """The answer of `changes`."""
    match form:
        case ChangesFormat.TABLE:
            return _table(changes_table(found.changes), terminal)
        case ChangesFormat.JSON:
            return json_text(found.to_json(), indent=2)
        case ChangesFormat.JSONL:
            return change_lines(found, form)


def change_lines(found: Changes, form: ChangesFormat) -> str:
    """A line for each change, as it comes: JSON, or for people its time, what it is, and the item."""
    if form is not ChangesFormat.TABLE:
        return "".join(json_text(each.to_json()) for each in found.changes)
    rows = changes_table(found.changes).rows
    return "".join(f"{at}  {kind:7}  {'  '.join(filter(None, rest))}\n" for kind, at, *rest in rows)


def fields_text(found: Sequence[FieldSummary], form: ShowFormat, terminal: bool = False) -> str:
    """The answer of `fields`."""
    if form is ShowFormat.JSON:
        return json_text([each.to_json() for each in found], indent=2)
    return _table(fields_table(found), terminal)


def shown_text(shown: ItemDetails, form: ShowFormat, terminal: bool = False) -> str:
    """The answer of `show`."""
    if form is ShowFormat.JSON:
        return json_text(shown.to_json(), indent=2)
    return _table(shown_table(shown), terminal)


def index_evaluation_text(evaluation: IndexEvaluation, form: ShowFormat, terminal: bool = False) -> str:
    """The answer of `evaluate --index`."""
    if form is ShowFormat.JSON:
        from recq.evaluate.index_results import index_evaluation_json

        return json_text(index_evaluation_json(evaluation), indent=2)
    from recq.display.index_table import index_table

    return _table(index_table(evaluation), terminal)


def judged_text(found: JudgedEvaluation, form: ShowFormat, terminal: bool = False) -> str:
    """What was measured by judgements, as a table or as JSON."""
    if form is ShowFormat.JSON:
        from recq.evaluate.judged_results import judged_json

        return json_text(judged_json(found), indent=2)
    from recq.display.judged_table import judged_table

    return _table(judged_table(found), terminal)


def evaluation_text(evaluation: Evaluation, form: ShowFormat, terminal: bool = False) -> str:
    """The answer of `evaluate`."""
    if form is ShowFormat.JSON:
        from recq.evaluate.results import evaluation_json

        return json_text(evaluation_json(evaluation), indent=2)
    from recq.display.evaluation_table import evaluation_tables

    if terminal:
        return "".join(_table(table, terminal) for table in evaluation_tables(evaluation))
    return "\n".join(plain(table) for table in evaluation_tables(evaluation))


def predictions_text(found: Sequence[Prediction], form: FacetsFormat, terminal: bool = False) -> str:
    """The answer of `predict`; CSV has a row for each guess."""
    match form:
        case FacetsFormat.TABLE:
            from recq.display.prediction_table import predictions_table

            return _table(predictions_table(found), terminal)
        case FacetsFormat.JSON:
            return json_text([each.to_json() for each in found], indent=2)
        case FacetsFormat.JSONL:
            return "".join(json_text(each.to_json()) for each in found)
        case FacetsFormat.CSV:
            rows = [
                (
                    document["text"],
                    rank,
                    guess["label"],
                    guess["probability"],
                    _cell(each.unknown),
                    "" if document["known"] is None else document["known"],
                )
                for each in found
                for document in [each.to_json()]
                for rank, guess in enumerate(document["guesses"], start=1)
            ]
            return csv_text([("target", "rank", "label", "probability", "unknown", "known"), *rows])


def label_findings_text(found: LabelFindings, form: Format, page: Page) -> str:
    """The answer of `labels audit` and `labels suggest`. `paths` has each item once."""
    match form:
        case Format.TABLE:
            from recq.display.label_table import label_table

            return _table(label_table(found), page.terminal)
        case Format.JSON:
            return json_text(found.to_json(), indent=2)
        case Format.JSONL:
            return "".join(json_text(each.to_json()) for each in found.findings)
        case Format.CSV:
            rows = [
                tuple(_cell("" if value is None else value) for value in each.to_json().values())
                for each in found.findings
            ]
            return csv_text([FINDING_COLUMNS, *rows])
        case Format.PATHS:
            results = {each.result.id: each.result for each in found.findings}.values()
            return _paths(results, page)


def explanation_text(explanation: Explanation, form: ShowFormat) -> str:
    """The answer of `explain`; only JSON has the maps."""
    if form is ShowFormat.JSON:
        return json_text(explanation.to_json())
    return score_text(explanation.score, explanation.share) + "\n"


def comparison_text(comparison: Comparison, form: FacetsFormat, terminal: bool = False) -> str:
    """The answer of `compare`; jsonl has a line for each catalog."""
    match form:
        case FacetsFormat.TABLE:
            return _table(comparison_table(comparison), terminal)
        case FacetsFormat.JSON:
            return json_text(comparison.to_json(), indent=2)
        case FacetsFormat.JSONL:
            return "".join(json_text(column.to_json()) for column in comparison.columns)
        case FacetsFormat.CSV:
            rows = [(each.catalog, *_columns(result)) for each in comparison.columns for result in each.answer.results]
            return csv_text([("catalog", *COLUMNS), *rows])


def duplicates_text(found: Duplicates, form: Format, page: Page) -> str:
    """The answer of `duplicates`. `paths` has all items but the first of each group."""
    match form:
        case Format.TABLE:
            return _table(duplicates_table(found), page.terminal)
        case Format.JSON:
            return json_text(found.to_json(), indent=2)
        case Format.JSONL:
            return "".join(json_text(group.to_json()) for group in found.groups)
        case Format.CSV:
            rows = [
                (number, *(_cell(member[name]) for name in ("kind", "pixels", "bytes")), *_columns(result))
                for number, group in enumerate(found.groups, start=1)
                for result, member in zip(group.results, group.to_json()["results"], strict=True)
            ]  # fmt: skip
            return csv_text([("group", "kind", "pixels", "bytes", *COLUMNS), *rows])
        case Format.PATHS:
            return _paths((result for group in found.groups for result in group.results[1:]), page)


def _csv_fields(answers: Sequence[Answer]) -> list[str]:
    """The fields of `--fields`, else all fields of all results."""
    chosen = next((answer.fields for answer in answers), None)
    every = {name for answer in answers for result in answer.results for name in result.metadata}
    guessed = {name for answer in answers for result in answer.results for name in result.predicted_fields}
    return [*sorted(every), *sorted(guessed)] if chosen is None else list(chosen)


def _csv_names(fields: Sequence[str], taken: Sequence[str]) -> list[str]:
    return [f"payload.{name}" if name in taken else name for name in fields]


def _csv_rows(answer: Answer, fields: Sequence[str]) -> list[tuple[object, ...]]:
    return [
        (
            *_columns(result),
            *(_cell(value) if (value := result.value(name)) is not None else "" for name in fields),
        )
        for result in answer.results
    ]


def _columns(result: Result) -> tuple[object, ...]:
    """The values of `COLUMNS`."""
    score = "" if result.score is None else round(result.score, SCORE_DIGITS)
    return result.rank, score, result.id, result.source, result.path or "", result.name, result.copies


def _cell(value: Any) -> str:
    """A metadata value as `metadata.csv` would have it: lists with bars, `true` and `false` in lower case."""
    if isinstance(value, list):
        return "|".join(_cell(element) for element in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _paths(results: Iterable[Result], page: Page) -> str:
    """The paths of the results whose folder is on record: exact for a program, escaped for a terminal."""
    found = [os.fspath(result.location) for result in results if result.location is not None]
    if page.null:
        return "".join(f"{path}\0" for path in found)
    return "".join(f"{printable(path) if page.terminal else path}\n" for path in found)


def _table(table: TextTable, terminal: bool) -> str:
    if not table.rows:
        return ""  # that nothing matches is reported on standard error
    if terminal:
        from query.text.terminal import draw  # Rich: only where there are colours to see

        return draw(table)
    return plain(table)

"""The table of `recq labels`: a row for each finding, the label now, the one proposed, and how certain that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recq.display.prediction_table import UNKNOWN
from recq.display.table import TextTable, cell
from recq.learn.label_findings import LabelFinding, LabelFindings, Question
from recq.paths import printable

if TYPE_CHECKING:
    from collections.abc import Sequence


def label_table(found: LabelFindings) -> TextTable:
    """A row for each finding. Of lists the labels to be added have a `+`, those to be removed a `-`."""
    audit = found.question is Question.AUDIT
    several = len({each.result.source for each in found.findings}) > 1
    header = (
        "#",
        "file",
        *(("source",) if several else ()),
        *((printable(found.field),) if audit else ()),
        "proposed",
        "%",
    )
    rows = tuple(
        (
            str(each.result.rank),
            printable(each.result.within),
            *((printable(each.result.source),) if several else ()),
            *((labels_text(each.now),) if audit else ()),
            proposed_text(found, each),
            percent_text(each),
        )
        for each in found.findings
    )
    right = tuple(name in ("#", "%") for name in header)
    return TextTable(header, rows, right, one_line=True, names="file", kept=len(header))


def proposed_text(found: LabelFindings, each: LabelFinding) -> str:
    """What the item should have in place of what it has."""
    if each.unknown:
        return UNKNOWN
    if found.question is Question.AUDIT and found.several:
        return ", ".join(
            f"{sign}{cell(label)}" for sign, labels in (("-", each.removed), ("+", each.added)) for label in labels
        )
    return labels_text(each.added)


def percent_text(each: LabelFinding) -> str:
    """The certainty in per cent; nothing where the item is like nothing known."""
    return "" if each.unknown else f"{100 * each.certainty:.0f}"


def labels_text(labels: Sequence[str]) -> str:
    """Labels in one printable line."""
    return cell(list(labels))

"""The table of `recq predict`: a row for each target with its most probable labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recq.display.table import TextTable
from recq.paths import printable

if TYPE_CHECKING:
    from recq.learn.prediction import Prediction

UNKNOWN = "unknown: nothing with a label is like it"
UNSURE = "unsure"


def predictions_table(predictions: Sequence[Prediction]) -> TextTable:
    """A row for each prediction."""
    fields = dict.fromkeys(printable(each.field) for each in predictions)
    header = ("file", next(iter(fields), "label"), "%", "then", "as near, %")
    rows = tuple(_row(each) for each in predictions)
    columns = len(header) - all(each.known is None for each in predictions)  # ImageNet's classes have no nearness
    right = (False, False, True, False, True)
    return TextTable(
        header[:columns],
        tuple(row[:columns] for row in rows),
        right[:columns],
        one_line=True,
        names="file",
        kept=3,
    )


def _row(found: Prediction) -> tuple[str, ...]:
    known = "" if found.known is None else f"{100 * found.known:.0f}"
    if found.unknown and found.known is None:
        perhaps = ", ".join(f"{printable(each.label)} {100 * each.probability:.0f}" for each in found.guesses)
        return printable(found.text), UNSURE, "", f"perhaps {perhaps}", known
    if found.unknown:
        return printable(found.text), UNKNOWN, "", "", known
    first, *others = found.guesses
    then = ", ".join(f"{printable(each.label)} {100 * each.probability:.0f}" for each in others)
    return printable(found.text), printable(first.label), f"{100 * first.probability:.0f}", then, known

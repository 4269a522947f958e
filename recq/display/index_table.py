"""`recq evaluate --index` for eyes: the recall of each shape of filter, and what that means. Per cent."""

from __future__ import annotations

from recq.display.table import TextTable
from recq.evaluate.index_results import IndexEvaluation, Recalled
from recq.paths import printable


def index_table(evaluation: IndexEvaluation) -> TextTable:
    """A row for each shape and band of selectivity, and one for all."""
    header = (
        "filter, %",
        "holds for",
        f"recall@{evaluation.k}",
        "95 % interval",
        "worst",
        "queries",
        "ms",
        "exact ms",
        "such as",
    )
    rows = [
        (
            str(each.shape),
            _shares(each.least, each.most),
            *_recalled(each.recalled),
            f"{each.ms:.1f}",
            "" if each.exact_ms is None else f"{each.exact_ms:.1f}",
            printable(each.example),
        )
        for each in evaluation.shapes
    ]
    rows.append(("all", "", *_recalled(evaluation.overall), "", "", ""))
    right = (False, True, True, True, True, True, True, True, False)
    return TextTable(header, tuple(rows), right, _title(evaluation))


def _title(evaluation: IndexEvaluation) -> str:
    graph = f"graphs lead to {evaluation.in_graphs:,} of them" if evaluation.in_graphs else "no graph"
    return f"{printable(evaluation.catalog)}: {evaluation.items:,} items ({evaluation.engine}, {graph})"


def _recalled(recalled: Recalled) -> tuple[str, str, str, str]:
    return (
        f"{100 * recalled.recall:.2f}",
        f"{100 * recalled.low:.1f}..{100 * recalled.high:.1f}",
        f"{100 * recalled.worst:.0f}",
        f"{recalled.queries:,}",
    )


def _shares(least: float, most: float) -> str:
    low, high = (f"{100 * share:.3g}" for share in (least, most))
    return low if low == high else f"{low}..{high}"

"""The tables of `recq evaluate`: the measures with their intervals, the classes, the confusions, in per cent."""

from __future__ import annotations

from collections.abc import Iterator

from recq.display.table import TextTable
from recq.evaluate.metrics import LEVEL, Measures
from recq.evaluate.results import Evaluation, Interval
from recq.paths import printable

MOST_CLASSES = 40
"""Classes of the table, those with the most items; JSON has all."""

MOST_CONFUSIONS = 10

_LEVEL = f"{LEVEL:.0%}".replace("%", " %")


def evaluation_tables(evaluation: Evaluation) -> list[TextTable]:
    """The measures, a row for each class, and the most frequent confusions where there are any."""
    return [_measures(evaluation), _classes(evaluation), *_confusions(evaluation)]


def _measures(evaluation: Evaluation) -> TextTable:
    rows = [(printable(evaluation.catalog), *_numbers(evaluation.measures)), _interval(evaluation.interval)]
    for other in evaluation.against:
        rows.append((printable(other.catalog), *_numbers(other.measures)))
        rows.append(_interval(other.interval))
        rows.append(("  less the first", *(f"{100 * number:+.1f}" for number in other.difference)))
        rows.append(_interval(other.difference_interval))
    header = ("catalog, %", *_header(evaluation.ks))
    title = (
        f"{printable(evaluation.label)}: {evaluation.queries:,} queries, each among {evaluation.items:,} items of "
        f"{len(evaluation.per_class):,} classes"
    )
    spaces = [evaluation.space, *(other.space for other in evaluation.against)]
    return TextTable(header, tuple(rows), _right(header), title, "   ".join(space.label for space in spaces))


def _header(ks: tuple[int, ...]) -> tuple[str, ...]:
    return ("mAP", *(f"P@{k}" for k in ks), *(f"R@{k}" for k in ks))


def _right(header: tuple[str, ...]) -> tuple[bool, ...]:
    return (False, *(True for _ in header[1:]))


def _numbers(measures: Measures) -> Iterator[str]:
    return (f"{100 * number:.1f}" for number in measures)


def _interval(interval: Interval) -> tuple[str, ...]:
    ends = zip(interval.low, interval.high, strict=True)
    return (f"  {_LEVEL} interval", *(f"{100 * low:.1f}..{100 * high:.1f}" for low, high in ends))


def _classes(evaluation: Evaluation) -> TextTable:
    by_size = sorted(evaluation.per_class, key=lambda each: (-each.items, each.label))
    width = 1 + 2 * len(evaluation.ks)
    rows = tuple(
        (
            printable(each.label),
            f"{each.items:,}",
            f"{each.queries:,}",
            *(_numbers(each.measures) if each.measures else ("",) * width),
        )
        for each in by_size[:MOST_CLASSES]
    )
    header = (f"{printable(evaluation.label)}, %", "items", "queries", *_header(evaluation.ks))
    left = len(by_size) - len(rows)
    caption = f"{left:,} smaller classes are not shown: --format json has all" if left else ""
    return TextTable(header, rows, _right(header), "by class", caption)


def _confusions(evaluation: Evaluation) -> list[TextTable]:
    if not evaluation.confusion:
        return []
    k = evaluation.ks[-1]
    header = (printable(evaluation.label), "taken for", "times", f"% of {k} nearest" if k > 1 else "% of nearest")
    rows = tuple(
        (printable(each.label), printable(each.taken_for), f"{each.count:,}", f"{100 * each.share:.1f}")
        for each in evaluation.confusion[:MOST_CONFUSIONS]
    )
    return [TextTable(header, rows, (False, False, True, True), "most frequently taken for another")]

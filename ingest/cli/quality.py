"""What a training gives, as lines of a report: measures with their intervals, and classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from recq.paths import printable

if TYPE_CHECKING:
    from recq.learn.held_out import CurvePoint, Spread
    from recq.learn.training_result import ClassQuality, LabelRanking, Quality

_CLASSES = 20  # classes of the table, those with the most items; JSON has all

MEASURES = f"{'mAP':17}  {'P@1':17}  {'P@5':17}"
"""The columns of `told`."""


def told(quality: Quality) -> str:
    """In %, each with its interval."""
    return "  ".join(f"{interval(each):17}" for each in (quality.map, *quality.precision.values()))


def class_lines(classes: Sequence[ClassQuality]) -> Iterator[str]:
    """The largest classes, a line each."""
    longest = max(len(printable(each.label)) for each in classes)
    by_size = sorted(classes, key=lambda each: (-each.items, each.label))
    for each in by_size[:_CLASSES]:
        numbers = (
            "" if each.before is None or each.after is None else f"{100 * each.before:5.1f} -> {100 * each.after:5.1f}"
        )
        yield f"  {printable(each.label):{longest}}  {each.items:>6,} items  mAP {numbers}"
    if len(by_size) > _CLASSES:
        yield f"  and {len(by_size) - _CLASSES:,} smaller classes: --json has all"


def curve_lines(curve: Sequence[CurvePoint], width: int) -> Iterator[str]:
    """What fewer labels of each class give, a line for each number; nothing where that was not measured."""
    for each in curve:
        count = "all labels" if each.labels is None else f"{each.labels} labels a class"
        yield f"  {count:{width}}  mAP {interval(each.map)}"


def ranking_line(ranking: LabelRanking) -> str:
    """What the probabilities of several labels are worth."""
    return (
        f"items that have a label before those that have not: macro-AP {interval(ranking.macro)}, by "
        f"chance {interval(ranking.base_rate)}"
    )


def calibration_line(error: Spread, by_chance: float) -> str:
    """How far probabilities can be believed."""
    exact = f"exact ones would show {by_chance:.3f} of as many items"
    return f"probabilities: expected calibration error {error.mean:.3f}; {exact}"


def interval(spread: Spread) -> str:
    """In %, the mean and its interval."""
    return f"{100 * spread.mean:.1f} ({100 * spread.low:.1f}..{100 * spread.high:.1f})"

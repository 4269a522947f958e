"""`recq evaluate --judgements` for eyes: nDCG of each catalog with its interval, in per cent, and what was not used."""

from __future__ import annotations

from collections.abc import Sequence

from recq.display.table import TextTable
from recq.evaluate.judged_results import Gain, Gained, JudgedEvaluation, JudgedIn
from recq.paths import printable


def judged_table(found: JudgedEvaluation) -> TextTable:
    """A row for each catalog, and its interval; for the others what they have more than the first."""
    header = ("catalog, %", "nDCG of judged", *(f"nDCG@{k}" for k in found.ks))
    rows = [_means(found.first, found.ks), _intervals(found.first, found.ks)]
    for each in found.against:
        less = [each.less, *((each.less_at or {}).get(k) for k in found.ks)]
        rows += [
            _means(each, found.ks),
            _intervals(each, found.ks),
            ("  less the first", *("" if gain is None else f"{100 * gain.mean:+.1f}" for gain in less)),
            ("  95 % interval", *map(_span, less)),
        ]
    right = (False, *(True for _ in header[1:]))
    labels = "   ".join(each.space.label for each in (found.first, *found.against))
    return TextTable(header, tuple(rows), right, found.told, labels)


def _means(each: JudgedIn, ks: Sequence[int]) -> tuple[str, ...]:
    return (printable(each.catalog), *("" if one is None else f"{100 * one.mean:.1f}" for one in _gained(each, ks)))


def _intervals(each: JudgedIn, ks: Sequence[int]) -> tuple[str, ...]:
    ends = ("" if one is None else f"{100 * one.low:.1f}..{100 * one.high:.1f}" for one in _gained(each, ks))
    return ("  95 % interval", *ends)


def _gained(each: JudgedIn, ks: Sequence[int]) -> list[Gained | None]:
    return [each.order, *(each.at.get(k) for k in ks)]


def _span(gain: Gain | None) -> str:
    if gain is None or gain.interval is None:
        return ""
    low, high = gain.interval
    return f"{100 * low:.1f}..{100 * high:.1f}"

"""The plots of a training's page, as SVG elements that stand in HTML: matplotlib draws them, the page gives colours.

A plot is drawn in colours that stand for the page's own (`_COLOURS`), so that it is readable in light and in dark.
Texts stay texts: labels are escaped as all text of an element is, and none is taken for a formula.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, fromstring

from recq.errors import UsageError
from recq.learn.held_out import Bin, CurvePoint, LabelPrecision, Spread, Taken
from recq.learn.training_result import ClassQuality, Quality
from recq.paths import printable

MOST_CLASSES = 30
"""Classes of a plot: the worst; the table beside it has more."""

MOST_MATRIX = 16
"""Classes of a confusion matrix; of more the most frequent confusions are drawn."""

_INK, _LINE, _BEFORE, _AFTER = "#000001", "#000002", "#000003", "#000004"
_COLOURS = {_INK: "var(--ink)", _LINE: "var(--line)", _BEFORE: "var(--grey)", _AFTER: "var(--accent)"}
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.parse_math": False,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _LINE,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "grid.color": _LINE,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.1,
}
_WIDTH = 7.2  # inches, 518 points: what a page of text is wide
_LONGEST = 28  # characters of a label


@dataclass(frozen=True)
class Drawn:
    """A plot, and what it shows in one sentence."""

    svg: Element
    told: str


def require_matplotlib() -> None:
    """Raise UsageError where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError("a page with plots needs the package matplotlib: pip install 'recq[train]'") from error


def measures_plot(before: Quality, after: Quality) -> Drawn:
    """Each measure before and after, with its interval."""
    names = ["mAP", *(f"P@{k}" for k in before.precision)]
    ends = [[each.map, *each.precision.values()] for each in (before, after)]

    def draw(axes: Any) -> None:
        for n, (spreads, colour, name) in enumerate(zip(ends, (_BEFORE, _AFTER), ("before", "after"), strict=True)):
            at = [row + (0.14 if n == 0 else -0.14) for row in range(len(names))][::-1]
            _intervals(axes, spreads, at, colour, name, filled=n == 1)
        axes.set_yticks(range(len(names)), names[::-1])
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.grid(axis="y", visible=False)
        _percent(axes, "x")
        axes.set_xlabel("%, mean and 95 % interval")
        _legend(axes)

    told = "; ".join(
        f"{name} {100 * one.mean:.1f} before, {100 * other.mean:.1f} after"
        for name, one, other in zip(names, *ends, strict=True)
    )
    return Drawn(_svg("measures", draw, 2.3), f"Held-out items, in %: {told}.")


def curve_plot(points: Sequence[CurvePoint], items: int) -> Drawn:
    """mAP and precision at 5 by the number of labels of each class, with the band of the seeds."""
    names = [f"all\n({items:,} items)" if each.labels is None else str(each.labels) for each in points]

    def draw(axes: Any) -> None:
        for spreads, colour, line, name in (
            ([each.map for each in points], _AFTER, "-", "mAP"),
            ([each.precision_at_5 for each in points], _BEFORE, "--", "P@5"),
        ):
            at = range(len(points))
            low, high = ([100 * getattr(each, end) for each in spreads] for end in ("low", "high"))
            axes.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(at, [100 * each.mean for each in spreads], line, color=colour, marker="o", label=name)
        axes.set_xticks(range(len(points)), names)
        axes.set_xlabel("labels of each class that are learned from")
        axes.set_ylabel("%, mean and 95 % interval")
        _legend(axes)

    told = ", ".join(f"{100 * each.map.mean:.1f} with {_labels(each)}" for each in points)
    return Drawn(_svg("curve", draw, 3.4), f"mAP of held-out items by labels of each class, in %: {told}.")


def classes_plot(classes: Sequence[ClassQuality]) -> Drawn:
    """mAP of each class before and after, the worst after training first; at most `MOST_CLASSES`."""
    shown = [each for each in classes if each.after is not None][:MOST_CLASSES]

    def draw(axes: Any) -> None:
        at = list(range(len(shown)))[::-1]
        before, after = ([100 * (getattr(each, end) or 0.0) for each in shown] for end in ("before", "after"))
        axes.hlines(at, before, after, color=_LINE, linewidth=3)
        axes.plot(before, at, "o", color=_BEFORE, fillstyle="none", label="before")
        axes.plot(after, at, "o", color=_AFTER, label="after")
        axes.set_yticks(at, [_short(each.label) for each in shown])
        axes.set_ylim(-0.7, len(shown) - 0.3)
        _percent(axes, "x")
        axes.set_xlabel("mAP of the held-out items of the class, %")
        _legend(axes)

    worst = ", ".join(f"{_short(each.label)} {100 * (each.after or 0.0):.0f}" for each in shown[:3])
    return Drawn(_svg("classes", draw, 1.2 + 0.26 * len(shown)), f"The lowest mAP after training, in %: {worst}.")


def confusion_plot(taken: Sequence[Taken]) -> Drawn:
    """A matrix of few classes, the most frequent confusions of many."""
    classes = sorted({name for each in taken for name in (each.label, each.as_)})
    wrong = sorted((each for each in taken if each.label != each.as_), key=lambda each: (-each.count, each.label))
    if wrong:
        first = wrong[0]
        told = f"Most often {_short(first.label)} is taken for {_short(first.as_)}: {first.count:,} times."
    else:
        told = "No held-out item was taken for one of another class."
    if len(classes) <= MOST_MATRIX:
        return Drawn(_svg("confusion", lambda axes: _matrix(axes, classes, taken), 2.0 + 0.3 * len(classes)), told)
    shown = wrong[:MOST_CLASSES]
    return Drawn(_svg("confusion", lambda axes: _confusions(axes, shown), 1.0 + 0.26 * len(shown)), told)


def _matrix(axes: Any, classes: Sequence[str], taken: Sequence[Taken]) -> None:
    from matplotlib.patches import Rectangle

    number = {name: n for n, name in enumerate(classes)}
    totals = dict.fromkeys(classes, 0)
    for each in taken:
        totals[each.label] += each.count
    for each in taken:
        share = each.count / totals[each.label]
        row, column = number[each.label], number[each.as_]
        cell = Rectangle((column - 0.5, row - 0.5), 1, 1, color=_AFTER, alpha=0.06 + 0.5 * share, linewidth=0)
        axes.add_patch(cell)
        text = "<1" if 0 < share < 0.005 else f"{100 * share:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=9)
    names = [_short(each, 18) for each in classes]
    axes.set_xticks(range(len(classes)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), names)
    axes.set_xlim(-0.5, len(classes) - 0.5)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")


def _confusions(axes: Any, shown: Sequence[Taken]) -> None:
    at = list(range(len(shown)))[::-1]
    axes.barh(at, [each.count for each in shown], color=_AFTER, alpha=0.7, height=0.7)
    axes.set_yticks(at, [f"{_short(each.label, 22)} → {_short(each.as_, 22)}" for each in shown])
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("held-out items, over all seeds")


def precisions_plot(precisions: Sequence[LabelPrecision]) -> Drawn:
    """The average precision of each label beside its base rate, the one that gains least first."""
    shown = precisions[:MOST_CLASSES]

    def draw(axes: Any) -> None:
        at = list(range(len(shown)))[::-1]
        chance, found = ([100 * getattr(each, end) for each in shown] for end in ("base_rate", "average_precision"))
        axes.hlines(at, chance, found, color=_LINE, linewidth=3)
        axes.plot(chance, at, "o", color=_BEFORE, fillstyle="none", label="by chance")
        axes.plot(found, at, "o", color=_AFTER, label="average precision")
        axes.set_yticks(at, [_short(each.label) for each in shown])
        axes.set_ylim(-0.7, len(shown) - 0.3)
        _percent(axes, "x")
        axes.set_xlabel("%")
        _legend(axes)

    below = sum(each.average_precision <= each.base_rate for each in precisions)
    told = f"{below:,} of {len(precisions):,} labels are ranked no better than by chance."
    return Drawn(_svg("precisions", draw, 1.2 + 0.26 * len(shown)), told)


def calibration_plot(bins: Sequence[Bin], error: Spread) -> Drawn:
    """The share of right predictions by their probability; a point's area grows with how many there are."""
    total = sum(each.count for each in bins)

    def draw(axes: Any) -> None:
        axes.plot([0, 100], [0, 100], "--", color=_BEFORE, linewidth=1, label="as often right as it says")
        at, right = ([100 * getattr(each, end) for each in bins] for end in ("confidence", "right"))
        axes.plot(at, right, "-", color=_AFTER, linewidth=1)
        sizes = [20 + 380 * each.count / total for each in bins]
        axes.scatter(at, right, s=sizes, color=_AFTER, alpha=0.6, linewidths=0, clip_on=False)
        _percent(axes, "x")
        _percent(axes, "y")
        axes.set_box_aspect(0.6)
        axes.set_xlabel("probability, %")
        axes.set_ylabel("right, %")
        _legend(axes)

    told = f"Expected calibration error {100 * error.mean:.1f} points over {len(bins)} bins and {total:,} predictions."
    return Drawn(_svg("calibration", draw, 4.0), told)


def losses_plot(losses: Sequence[tuple[float, float]], best: int) -> Drawn:
    """The losses of a training's epochs, of what is learned from and of the validation part; `best` counts from 1."""

    def draw(axes: Any) -> None:
        at = range(1, len(losses) + 1)
        axes.plot(at, [each[0] for each in losses], "--", color=_BEFORE, marker="o", fillstyle="none", label="learned")
        axes.plot(at, [each[1] for each in losses], "-", color=_AFTER, marker="o", label="validation")
        axes.axvline(best, color=_LINE, linewidth=3, zorder=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("epoch (the line: whose weights are kept)")
        axes.set_ylabel("loss")
        _legend(axes)

    told = f"The lowest validation loss is {losses[best - 1][1]:.4f}, of epoch {best} of {len(losses)}."
    return Drawn(_svg("losses", draw, 3.2), told)


def _intervals(
    axes: Any, spreads: Sequence[Spread], at: Sequence[float], colour: str, name: str, *, filled: bool
) -> None:
    means = [100 * each.mean for each in spreads]
    ends = [[100 * abs(getattr(each, end) - each.mean) for each in spreads] for end in ("low", "high")]
    style = "full" if filled else "none"
    axes.errorbar(
        means, at, xerr=ends, fmt="o", color=colour, ecolor=colour, fillstyle=style, elinewidth=2, capsize=4, label=name
    )


def _percent(axes: Any, side: str) -> None:
    (axes.set_xlim if side == "x" else axes.set_ylim)(-2, 102)
    (axes.set_xticks if side == "x" else axes.set_yticks)(range(0, 101, 20))


def _legend(axes: Any) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)


def _labels(point: CurvePoint) -> str:
    return "all" if point.labels is None else str(point.labels)


def _short(label: str, most: int = _LONGEST) -> str:
    text = printable(label)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _svg(name: str, draw: Callable[[Any], None], height: float) -> Element:
    """The plot as an element of HTML: ids that no other plot of the page has, no metadata, the page's colours."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": f"recq-{name}"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # the browser has fonts for what matplotlib's lacks
        figure = Figure(figsize=(_WIDTH, height))
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _in_html(fromstring(buffer.getvalue().decode()), name)


_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


def _in_html(svg: Element, name: str) -> Element:
    for parent in svg.iter():
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    for each in svg.iter():
        each.tag = each.tag.removeprefix(_SVG)
        for key, value in list(each.attrib.items()):
            del each.attrib[key]
            if key == "id":
                value = f"{name}-{value}"
            elif key == f"{_LINK}href":
                key, value = "href", value.replace("#", f"#{name}-", 1)
            elif "url(#" in value:
                value = value.replace("url(#", f"url(#{name}-")
            if key in ("style", "fill", "stroke"):
                value = re.sub("|".join(_COLOURS), lambda found: _COLOURS[found[0]], value)
            each.set(key, value)
    for size in ("width", "height", "version"):
        svg.attrib.pop(size, None)
    svg.set("role", "img")
    return svg

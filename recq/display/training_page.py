"""What a training gives as one HTML page: plots, each with a sentence and a table of the same numbers.

    page_of_training(training, "images"), page_of_finetuning(tuning, "images")

give the document in parts. Whoever cannot see a plot has its sentence and its table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from recq.commands import command
from recq.display.html_element import element
from recq.display.html_page import line, opening
from recq.display.training_plots import (
    MOST_CLASSES,
    Drawn,
    calibration_plot,
    classes_plot,
    confusion_plot,
    curve_plot,
    losses_plot,
    measures_plot,
    precisions_plot,
)
from recq.learn.calibration import GOOD_ERROR, beyond_chance
from recq.learn.held_out import Bin, CurvePoint, LabelPrecision, Spread, Taken
from recq.learn.training_result import ClassQuality, Quality
from recq.paths import printable

if TYPE_CHECKING:
    from recq.learn.finetuning_result import Finetuning, NetworkTraining
    from recq.learn.training_result import Training

MOST_ROWS = 500
"""Rows of a table; JSON has all."""

Cells = Sequence[str]


def page_of_training(training: Training, catalog: str) -> Iterator[str]:
    """The page of a head."""
    yield from _top(training.label, _facts(training, catalog), _warnings(training))
    yield from _quality(training.before, training.after, "The mean of five seeds, each with its own held-out items.")
    if training.curve:
        yield from _curve(training.curve, "the same head", training.sampled[0])
    yield from _classes(training.classes)
    if training.precisions:
        yield from _precisions(training.precisions)
    if training.taken:
        yield from _confusion(training.taken)
    if training.bins:
        yield from _calibration(
            training.bins, training.calibration_error, training.calibration_by_chance, several=training.several
        )
    yield from _unseen(training)
    yield "</main>\n</body>\n</html>\n"


def page_of_finetuning(tuning: Finetuning, catalog: str) -> Iterator[str]:
    """The page of a network."""
    many = "" if tuning.seeds == 1 else f" in each of {tuning.seeds} seeds"
    facts = [
        ("items", f"{tuning.items:,}, of which {tuning.held:,} were held out{many}"),
        ("groups", f"{tuning.groups:,}"),
        ("classes", f"{len(tuning.classes):,}"),
        ("network", f"{tuning.network.model}, {tuning.space.dim:,} numbers, {tuning.network.size} pixels a side"),
        ("trainings", f"{len(tuning.trainings):,} in {tuning.took_s:,.0f} s"),
        ("to use it", command("recq-ingest", "rebuild", "--model", tuning.network.model, catalog=catalog)),
    ]
    notes = [f"{count:,} pictures are {reason} and were left out." for reason, count in tuning.unread.items()]
    if not tuning.unseen:
        notes.append("Classes without a label were not measured: --unseen N leaves some out.")
    yield from _top(tuning.label, facts, notes)
    how = "the mean of the seeds" if tuning.seeds > 1 else "one holdout, with bootstrap intervals over its items"
    yield from _quality(tuning.before, tuning.after, f"What is shown is {how}.")
    if tuning.curve:
        yield from _curve(tuning.curve, "a network that is trained in the same way", tuning.items)
    yield from _epochs(tuning.trainings)
    yield from _classes(tuning.classes)
    if tuning.precisions:
        yield from _precisions(tuning.precisions)
    if tuning.taken:
        yield from _confusion(tuning.taken)
    if tuning.bins:
        yield from _calibration(
            tuning.bins, tuning.calibration_error, tuning.calibration_by_chance, several=tuning.network.several
        )
    if tuning.unseen:
        rows = [
            [", ".join(each.classes), _number(each.before), _number(each.after), _gain(each.after - each.before)]
            for each in tuning.unseen
        ]
        told = f"{_points(tuning.gains)} points of mAP on average, {_gain(min(tuning.gains))} for the worst."
        yield from _listed("Classes that a network has not seen", told, ["classes", "before", "after", "gain"], rows)
    yield "</main>\n</body>\n</html>\n"


def _curve(curve: Sequence[CurvePoint], what: str, items: int) -> Iterator[str]:
    yield from _section(
        "How many labels it takes",
        f"What {what} gives when fewer items of each class have a label. Where the curve still rises at its end, more "
        "labels are worth the work.",
        curve_plot(curve, items),
        ["labels of each class", "mAP", "P@5"],
        [
            ["all" if each.labels is None else f"{each.labels}", _told(each.map), _told(each.precision_at_5)]
            for each in curve
        ],
    )


def _epochs(trainings: Sequence[NetworkTraining]) -> Iterator[str]:
    """The first training that was told when to stop, with its plot; of the others the table alone."""
    rows = [
        [each.name, f"{n}", epoch.part, f"{epoch.loss:.4f}", _loss(epoch.validation)]
        for each in trainings
        for n, epoch in enumerate(each.epochs, start=1)
    ]
    head = ["training", "epoch", "changes", "loss", "validation loss"]
    for training in trainings:
        losses = [(each.loss, each.validation) for each in training.epochs if each.validation is not None]
        if losses and len(losses) == len(training.epochs):
            told = f"Of the training {training.name}: what was learned from, and the part that says when to stop."
            yield from _section("Epochs", told, losses_plot(losses, training.best), head, rows)
            return
    yield from _listed("Epochs", "The losses of what was learned from.", head, rows)


def _loss(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.4f}"


def _gain(gain: float | None) -> str:
    return "" if gain is None else f"{100 * gain:+.1f}"


def _facts(training: Training, catalog: str) -> list[tuple[str, str]]:
    groups = "" if training.groups == training.sampled[0] else f", {training.groups:,} groups of views and copies"
    sampled = "" if training.sampled[0] == training.items else f" (measured on {training.sampled[0]:,}{groups})"
    facts = [
        ("items", f"{training.items:,}{sampled or groups}"),
        ("classes", f"{len(training.classes):,}"),
        ("head", f"{training.chosen.recipe.told}; {training.candidate.head.dim:,} numbers"),
        ("fits", f"{training.fits:,} in {training.took_s:,.0f} s"),
        ("catalog", catalog),
    ]
    if training.stored:
        asked = command("recq", "similar", "TARGET", "--space", training.candidate.name, catalog=catalog)
        facts.append(("to try it", asked))
    return facts


def _warnings(training: Training) -> list[str]:
    found = []
    mean = training.chosen.mean_gain
    if mean is None:
        found.append(
            "Classes without a label were not measured: there are too few classes to leave two out. Take this space "
            "for a closed set, which knows the labels it has seen and no others."
        )
    elif training.candidate.closed_set:
        found.append(
            f"A closed set: pictures of classes without a label are found worse than before ({100 * mean:+.1f} points "
            "of mAP on average)."
        )
    if not training.stored:
        found.append("Nothing was stored: --closed-set stores it all the same.")
    if training.ungrouped is not None:
        flattered = training.ungrouped.map.mean
        found.append(
            f"With views of one thing on both sides of a split the estimate would be {100 * flattered:.1f} % mAP, "
            f"{100 * (flattered - training.after.map.mean):+.1f} points: that is not what new things will get."
        )
    else:
        found.append(
            "Only copies and near-duplicates were kept together. If several pictures show one thing, give --group-by: "
            "without it the figures are too good."
        )
    measured = training.sampled[1]
    if measured < len(training.classes):
        found.append(
            f"Measured on {measured:,} of {len(training.classes):,} classes, which is easier than all of them."
        )
    error, by_chance = training.calibration_error.mean, training.calibration_by_chance
    if beyond_chance(error, by_chance) > GOOD_ERROR:
        found.append(f"Probabilities are {100 * error:.1f} points off on average: do not take them at their word.")
    elif error > GOOD_ERROR:
        found.append(
            f"Whether probabilities can be taken at their word cannot be told of so few items: they are "
            f"{100 * error:.1f} points off on average, exact ones would be {100 * by_chance:.1f}."
        )
    return found


def _top(label: str, facts: Sequence[tuple[str, str]], notes: Sequence[str]) -> Iterator[str]:
    title = f"Learned from {printable(label)}"
    yield from opening(title, "grid.css", "training.css")
    yield "<header>\n"
    yield line(element("h1", title))
    pairs = [part for name, value in facts for part in (element("dt", name), element("dd", printable(value)))]
    yield line(element("dl", *pairs, class_="facts"))
    yield from (line(element("p", each, class_="warning")) for each in notes)
    yield "</header>\n<main>\n"


def _quality(before: Quality, after: Quality, how: str) -> Iterator[str]:
    names = ["mAP", *(f"P@{k}" for k in before.precision)]
    ends = [[each.map, *each.precision.values()] for each in (before, after)]
    yield from _section(
        "Before and after",
        f"Held-out items look for each other, by the vectors as they are and in the new space. {how}",
        measures_plot(before, after),
        ["measure, in %", "before", "after"],
        [[name, *map(_told, pair)] for name, *pair in zip(names, *ends, strict=True)],
    )


def _classes(classes: Sequence[ClassQuality]) -> Iterator[str]:
    ordered = sorted(classes, key=lambda each: (each.after is None, each.after, each.label))
    if not any(each.after is not None for each in classes):
        return
    yield from _section(
        "Class by class",
        f"The worst after training first{_first(len(ordered))}.",
        classes_plot(ordered),
        ["class", "items", "mAP before, %", "mAP after, %"],
        [[each.label, f"{each.items:,}", _number(each.before), _number(each.after)] for each in ordered],
    )


def _precisions(precisions: Sequence[LabelPrecision]) -> Iterator[str]:
    ordered = sorted(precisions, key=lambda each: (each.average_precision - each.base_rate, each.label))
    yield from _section(
        "Label by label",
        "Held-out items ordered by the probability of each label: the average precision, beside what an order by "
        f"chance gives. The least gain first{_first(len(ordered))}.",
        precisions_plot(ordered),
        ["label", "average precision, %", "by chance, %"],
        [[each.label, _number(each.average_precision), _number(each.base_rate)] for each in ordered],
    )


def _confusion(taken: Sequence[Taken]) -> Iterator[str]:
    totals: dict[str, int] = {}
    for each in taken:
        totals[each.label] = totals.get(each.label, 0) + each.count
    wrong = sorted(
        (each for each in taken if each.label != each.as_),
        key=lambda each: (-each.count, each.label, each.as_),
    )
    yield from _section(
        "What is taken for what",
        "The most probable class of each held-out item, over all seeds; in a matrix, % of the items of a row.",
        confusion_plot(taken),
        ["label", "predicted", "items", "% of the label's"],
        [[each.label, each.as_, f"{each.count:,}", _number(each.count / totals[each.label])] for each in wrong],
        texts=2,
    )


def _calibration(bins: Sequence[Bin], error: Spread, by_chance: float, *, several: bool) -> Iterator[str]:
    of = "of each label" if several else "of the most probable class"
    yield from _section(
        "How far probabilities can be believed",
        f"Predictions {of} on held-out items, in bins of one width: how often those were right that said so much. Of "
        f"as many items exact probabilities would be {100 * by_chance:.1f} points off as well.",
        calibration_plot(bins, error),
        ["mean probability, %", "right, %", "predictions"],
        [[_number(each.confidence), _number(each.right), f"{each.count:,}"] for each in bins],
    )


def _unseen(training: Training) -> Iterator[str]:
    gains = training.chosen.gains
    if gains:
        told = (
            f"Learned without some classes, whose items then look for each other among all: {_points(gains)} points of "
            f"mAP against the vectors as they are, {100 * min(gains):+.1f} for the worst set of classes. Heads that "
            "lose more than one point on average are closed sets."
        )
    else:
        told = "There are too few classes to leave some out."
    rows = [
        [
            each.recipe.told + (" (chosen)" if each is training.chosen else ""),
            _number(each.seen),
            *map(_gain, (each.mean_gain, each.worst_gain)),
            "yes" if each.open_set else "no",
        ]
        for each in sorted(training.selection.trials, key=lambda each: -each.seen)
    ]
    head = ["head", "mAP, seen classes, %", "unseen, mean", "unseen, worst", "open set"]
    yield from _listed("Classes without a label, and the heads that were tried", told, head, rows)


def _listed(title: str, told: str, head: Cells, rows: Sequence[Cells]) -> Iterator[str]:
    """A sentence and a table."""
    yield "<section>\n"
    yield line(element("h2", title))
    yield line(element("p", told))
    yield line(_table(head, rows, 1))
    yield "</section>\n"


def _section(
    title: str, told: str, drawn: Drawn, head: Cells, rows: Sequence[Cells], *, texts: int = 1
) -> Iterator[str]:
    """A plot between two sentences, and its numbers; the first `texts` columns of the table are texts."""
    drawn.svg.set("aria-label", drawn.told)
    yield "<section>\n"
    yield line(element("h2", title))
    yield line(element("p", told))
    yield line(element("figure", drawn.svg, element("figcaption", drawn.told)))
    if rows:
        yield line(element("details", element("summary", "the numbers"), _table(head, rows, texts)))
    yield "</section>\n"


def _table(head: Cells, rows: Sequence[Cells], texts: int) -> Element:
    columns = [_cell("th", name, n < texts, scope="col") for n, name in enumerate(head)]
    body = [
        element("tr", *(_cell("td" if n else "th", each, n < texts, **_scope(n)) for n, each in enumerate(row)))
        for row in rows[:MOST_ROWS]
    ]
    table = element("table", element("thead", element("tr", *columns)), element("tbody", *body))
    if len(rows) > MOST_ROWS:
        table.insert(0, element("caption", f"The first {MOST_ROWS:,} of {len(rows):,}: --json has all."))
    return element("div", table, class_="wide")


def _scope(column: int) -> dict[str, str]:
    return {} if column else {"scope": "row"}


def _cell(tag: str, text: str, is_text: bool, **attributes: str) -> Element:
    return element(tag, printable(text), **attributes, **({"class_": "text"} if is_text else {}))


def _first(count: int) -> str:
    return f"; the plot has {MOST_CLASSES} of {count:,}" if count > MOST_CLASSES else ""


def _told(spread: Spread) -> str:
    return f"{100 * spread.mean:.1f} ({100 * spread.low:.1f}..{100 * spread.high:.1f})"


def _number(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _points(gains: Sequence[float]) -> str:
    return f"{100 * sum(gains) / len(gains):+.1f}"

"""What a training found: its record, and how the figures of the holdouts become those that are reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recq.evaluate.metrics import Measures
from recq.index.candidates import Candidate
from recq.learn.examples import Examples
from recq.learn.held_out import Bin, CurvePoint, LabelPrecision, Spread, Taken, precisions_of
from recq.learn.selection import KS, Selection, Trial

Precise = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Quality:
    """mAP and precision at `KS` of the items held out, over the seeds."""

    map: Spread
    precision: dict[int, Spread]

    @classmethod
    def of(cls, found: Sequence[Measures]) -> Quality:
        """Of one measurement for each seed."""
        precision = {k: Spread.of([each.precision[k] for each in found]) for k in KS}
        return cls(Spread.of([each.map for each in found]), precision)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"map": self.map.to_json(), **{f"p@{k}": each.to_json() for k, each in self.precision.items()}}


@dataclass(frozen=True)
class ClassQuality:
    """One class: its items, and the mean mAP of its held-out items before and after; None where none was held out."""

    label: str
    items: int
    before: float | None
    after: float | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        ends = {"before": _rounded(self.before), "after": _rounded(self.after)}
        return {"label": self.label, "items": self.items, **ends}


@dataclass(frozen=True)
class LabelRanking:
    """How well the held-out items that have a label stand before those that have not, ordered by its probability.

    `macro` is the mean of the labels' average precisions, `base_rate` what an order by chance gives: the mean share of
    the items that have a label.
    """

    macro: Spread
    base_rate: Spread

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"macro_ap": self.macro.to_json(), "base_rate": self.base_rate.to_json()}


@dataclass(frozen=True)
class Training:
    """What was learned, and what it gives.

    `before`, `after`: held-out items in the catalog's space and in the new one. `ungrouped`: `after` as it would be
    estimated if views of one thing were on both sides of a split; None without `group_by`. `calibration_error` is that
    of the predicted probabilities (`recq.learn.calibration`), `calibration_by_chance` what exact ones would show of as
    many items, `ranking` what they are worth where items have several labels, `stored` whether the candidate may be
    asked for. `sampled` are the items and classes that heads were chosen and measured on. `taken`, of one label each,
    says which classes were predicted, `precisions`, of several, how each label ranks. `curve` is empty unless asked
    for.
    """

    label: str
    items: int
    groups: int
    several: bool
    selection: Selection
    candidate: Candidate
    stored: bool
    before: Quality
    after: Quality
    ungrouped: Quality | None
    classes: tuple[ClassQuality, ...]
    calibration_error: Spread
    calibration_by_chance: float
    ranking: LabelRanking | None
    sampled: tuple[int, int]
    bins: tuple[Bin, ...]
    taken: tuple[Taken, ...]
    precisions: tuple[LabelPrecision, ...]
    curve: tuple[CurvePoint, ...]
    fits: int
    took_s: float

    @property
    def chosen(self) -> Trial:
        """The trial of what was chosen."""
        return self.selection.chosen

    def to_json(self) -> dict[str, Any]:
        """The document that `--json` prints; without the head."""
        return {
            "label": self.label,
            "name": self.candidate.name,
            "stored": self.stored,
            "closed_set": self.candidate.closed_set,
            "items": self.items,
            "groups": self.groups,
            "several_labels": self.several,
            "head": self.chosen.recipe.told,
            "dim": self.candidate.head.dim,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "ungrouped": None if self.ungrouped is None else self.ungrouped.to_json(),
            "unseen": _unseen_json(self.chosen),
            "calibration_error": self.calibration_error.to_json(),
            "calibration_error_by_chance": round(self.calibration_by_chance, 4),
            "ranking": None if self.ranking is None else self.ranking.to_json(),
            "classes": [each.to_json() for each in self.classes],
            "measured_on": dict(zip(("items", "classes"), self.sampled, strict=True)),
            "calibration": [each.to_json() for each in self.bins],
            "predicted": [each.to_json() for each in self.taken],
            "label_precisions": [each.to_json() for each in self.precisions],
            "curve": [each.to_json() for each in self.curve],
            "trials": [
                {"head": each.recipe.told, "seen_map": round(each.seen, 4), **_unseen_json(each)}
                for each in self.selection.trials
            ],
            "fits": self.fits,
            "took_s": round(self.took_s, 1),
        }


def _unseen_json(trial: Trial) -> dict[str, Any]:
    return {
        "mean_gain": _rounded(trial.mean_gain),
        "worst_gain": _rounded(trial.worst_gain),
        "gains": [_rounded(each) for each in trial.gains],
        "open_set": trial.open_set,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def by_class(queries: Sequence[tuple[str, ...]], before: Precise, after: Precise) -> dict[str, tuple[float, float]]:
    """The mean average precision of each class's queries, whose labels are given, before and after."""
    precise = np.column_stack([before[:, 0], after[:, 0]])
    found = {}
    for label in sorted({label for labels in queries for label in labels}):
        before_, after_ = precise[[label in labels for labels in queries]].mean(axis=0).tolist()
        found[label] = before_, after_
    return found


def ranked_labels(probabilities: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]) -> tuple[float, float] | None:
    """The mean average precision of the labels, and the mean share of items that have one: of (n, classes) each.

    Labels that all items have, or none, cannot be ranked, and are left out; None where none is left.
    """
    found = precisions_of(range(truth.shape[1]), probabilities, truth)
    if not found:
        return None
    precisions, shares = zip(*found.values(), strict=True)
    return float(np.mean(precisions)), float(np.mean(shares))


def class_qualities(
    examples: Examples, holdouts: Sequence[Mapping[str, tuple[float, float]]]
) -> tuple[ClassQuality, ...]:
    """The classes of the examples, from what `by_class` gave for each holdout."""
    counts = examples.indicators().sum(axis=0).tolist()
    rows = []
    for label, count in zip(examples.classes, counts, strict=True):
        found = [each[label] for each in holdouts if label in each]
        before, after = np.mean(found, axis=0).tolist() if found else (None, None)
        rows.append(ClassQuality(label, count, before, after))
    return tuple(rows)

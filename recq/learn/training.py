"""Trains a space of the catalogue's own on a field of labels, and measures honestly what it gives.

    training = train(session, "category", TrainingOptions(group_by="sku"))
    training.after.map.mean, training.candidate.name

Every figure is of items that the head has not seen: in each of `SEEDS` a share of the groups is held out, the head is
chosen and fitted on the rest, and the holdout's items look for each other. What is stored is then chosen and fitted on
all. Training never switches anything: the space answers where it is asked for by name.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from recq.errors import UsageError
from recq.evaluate.metrics import Measures
from recq.index.candidates import Candidate, require_name
from recq.learn.calibration import calibrated, calibration_error, calibration_error_by_chance
from recq.learn.examples import Examples, Floats, read_examples, require_own_vectors, with_views
from recq.learn.fits import Fit, Recipe, joined_recipes, plain_recipes, require_scikit_learn, residual_recipes
from recq.learn.held_out import (
    Spread,
    bins_of,
    counts_of,
    curve_of,
    label_precisions,
    some_of_each,
    taken_for,
)
from recq.learn.labels import SMALLEST, LabelRules
from recq.learn.selection import (
    DIMS,
    LARGEST_SELECTION,
    STRENGTHS,
    WEIGHTS,
    Retrieval,
    fits_of,
    means_of,
    require_asked,
    sampled,
    seen_splits,
    select,
)
from recq.learn.training_result import (
    LabelRanking,
    Quality,
    Training,
    by_class,
    class_qualities,
    ranked_labels,
)
from recq.models.backend import require_keras
from recq.progress import Progress, silent
from recq.search.session import Session

SEEDS = 5


@dataclass(frozen=True)
class TrainingOptions:
    """What is learned from (`rules`, `filters`, `group_by`), how much is held out, what may be offered.

    `head`: which heads are tried, those that are quick to learn, or the gated residual projection, which needs Keras.
    With `curve` it is measured what fewer labels would give, too: up to six small fits for each seed.
    """

    name: str | None = None
    rules: LabelRules = field(default_factory=LabelRules)
    filters: tuple[str, ...] = ()
    group_by: str | None = None
    holdout: float = 0.2
    closed_set: bool = False
    curve: bool = False
    head: Literal["auto", "residual"] = "auto"


def train(
    session: Session, label: str, options: TrainingOptions | None = None, progress: Progress = silent
) -> Training:
    """Learn a space from the values of `label`, measure it, and store it as a candidate where it may be offered.

    Raises UsageError where nothing can be learned or scikit-learn is missing, FilterError for an unknown field.
    """
    options = options or TrainingOptions()
    require_scikit_learn()
    if options.head == "residual":
        require_keras()
    from threadpoolctl import threadpool_limits

    started = time.perf_counter()
    name = require_name(options.name or label)
    require_holdout(options.holdout)
    with session.opened() as catalog:
        space = catalog.space
        require_own_vectors(catalog)
        every = read_examples(
            catalog, label, options.rules, filters=options.filters, group_by=options.group_by, progress=progress
        )
    sample = with_views(sampled(every, LARGEST_SELECTION), space, progress)
    require_groups(sample, label)
    rounds = SEEDS * (1 if options.group_by is None else 2)
    counts = counts_of(sample.indicators().sum(axis=0).tolist()) if options.curve else ()
    fits = _Fits(fits_of(len(sample.classes)), rounds, SEEDS * len(counts), progress)
    if options.head == "residual":
        recipes = residual_recipes(STRENGTHS, DIMS)
    else:
        recipes = [*joined_recipes(WEIGHTS, DIMS), *plain_recipes(DIMS, several=every.several)]
    # Folds are worked on side by side, so that threads within one would only wait for each other: measured on 1,192
    # items, two of them take seven times the processor time of one. The last fit has the same bits on every machine so.
    with threadpool_limits(1, user_api="blas"):
        selection = select(sample, recipes, 0, closed_set=options.closed_set, step=fits.step)
        family = [each for each in recipes if each.family == selection.chosen.recipe.family]
        holdouts = [_Holdout.of(sample, family, options, seed, fits, counts) for seed in range(SEEDS)]
        apart: list[_Holdout] = []
        if options.group_by is not None:  # what those would believe who do not group
            alone = replace(sample, groups=np.arange(len(sample)))
            apart = [_Holdout.of(alone, recipes, options, seed, fits) for seed in range(SEEDS)]
        calibration = calibrated(selection.out_of_fold, several=every.several)
        fit = Fit(every)
        head, classifier = fit.head(selection.chosen.recipe), fit.classifier
    before, after = (Quality.of([getattr(each, side) for each in holdouts]) for side in ("before", "after"))
    candidate = Candidate(
        name,
        label,
        head,
        classifier,
        space.fingerprint,
        datetime.now(UTC).isoformat(timespec="seconds"),
        closed_set=not selection.chosen.open_set,
        calibration=calibration.of_classes(sample.classes, every.classes).to_json(),
        quality={"before": before.to_json(), "after": after.to_json()},
    )
    fits.step()
    training = Training(
        label=label,
        items=len(every),
        groups=int(sample.groups.max()) + 1,
        several=every.several,
        selection=selection,
        candidate=candidate,
        stored=options.closed_set or not candidate.closed_set,
        before=before,
        after=after,
        ungrouped=Quality.of([each.after for each in apart]) if apart else None,
        classes=class_qualities(every, [each.by_class for each in holdouts]),
        calibration_error=Spread.of([each.error for each in holdouts]),
        calibration_by_chance=float(np.mean([each.error_by_chance for each in holdouts])),
        ranking=_ranking(holdouts) if every.several else None,
        sampled=(len(sample), len(sample.classes)),
        bins=bins_of([(each.probabilities, each.truth) for each in holdouts], several=every.several),
        taken=() if every.several else taken_for(sample.classes, [each.predicted for each in holdouts]),
        precisions=label_precisions([each.predicted for each in holdouts]) if every.several else (),
        curve=curve_of([each.curve for each in holdouts]) if counts else (),
        fits=fits.done,
        took_s=time.perf_counter() - started,
    )
    if training.stored:
        with session.opened() as catalog:
            candidate.space(catalog.space)  # rebuilt meanwhile?
            catalog.candidates.write(candidate)
    return training


def require_holdout(share: float) -> None:
    """Raise UsageError for a share of items that cannot be held out."""
    if not 0.05 <= share <= 0.5:
        raise UsageError(f"--holdout {share:g} cannot be used: give a share from 0.05 to 0.5")


class _Fits:
    """Counts fits for the progress: a selection of `each` fits and one more for all, the same for each round, and
    `more`."""

    def __init__(self, each: int, rounds: int, more: int, progress: Progress) -> None:
        self._progress = progress
        self._of = (1 + rounds) * (each + 1) + more
        self.done = 0
        progress("fitting", 0, self._of)

    def step(self) -> None:
        self.done += 1
        self._progress("fitting", self.done, self._of)


@dataclass(frozen=True, eq=False)
class _Holdout:
    """One seed: what a head that was chosen and learned without the rows held out gives for those."""

    before: Measures
    after: Measures
    classes: tuple[str, ...]
    probabilities: Floats
    truth: npt.NDArray[np.bool_]
    several: bool
    by_class: dict[str, tuple[float, float]]
    curve: dict[int | None, Measures]

    @classmethod
    def of(
        cls,
        sample: Examples,
        recipes: Sequence[Recipe],
        options: TrainingOptions,
        seed: int,
        fits: _Fits,
        counts: Sequence[int] = (),
    ) -> _Holdout:
        """`counts`: how many items of each class are learned from for the points of the curve. Raises as `select`."""
        folds = max(2, round(1 / options.holdout))
        learned, held = next(seen_splits(sample, folds, seed))
        inner, measured = sample.at(learned), sample.at(held)
        retrieval = Retrieval(measured, None, seed)
        require_asked([retrieval])
        selection = select(inner, recipes, seed, closed_set=options.closed_set, step=fits.step)
        fit = Fit(inner)
        recipe = selection.chosen.recipe
        before = retrieval.rows(measured.vectors)
        after = retrieval.rows(fit.head(recipe).apply(measured.vectors))
        calibration = calibrated(selection.out_of_fold, several=sample.several)
        fits.step()
        curve: dict[int | None, Measures] = {0: means_of(before)}
        for count in counts:
            some = inner.at(some_of_each(inner.indicators(), count, seed))
            curve[count] = retrieval.through(Fit(some).head(recipe))
            fits.step()
        curve[None] = means_of(after)
        return cls(
            means_of(before),
            means_of(after),
            fit.classifier.classes,
            calibration.probabilities(fit.classifier.scores(measured.vectors), several=sample.several),
            measured.indicators(fit.classifier.classes),
            sample.several,
            by_class([measured.labels[query] for query in retrieval.queries.tolist()], before, after),
            curve,
        )

    @property
    def error(self) -> float:
        """The expected calibration error."""
        return calibration_error(self.probabilities, self.truth, several=self.several)

    @property
    def error_by_chance(self) -> float:
        """What it would be of exact probabilities."""
        return calibration_error_by_chance(self.probabilities, several=self.several)

    @property
    def ranking(self) -> tuple[float, float] | None:
        """As `ranked_labels`."""
        return ranked_labels(self.probabilities, self.truth)

    @property
    def predicted(self) -> tuple[tuple[str, ...], Floats, npt.NDArray[np.bool_]]:
        """Classes, and (n, classes) of probabilities and of truth."""
        return self.classes, self.probabilities, self.truth


def _ranking(holdouts: Sequence[_Holdout]) -> LabelRanking | None:
    found = [each.ranking for each in holdouts if each.ranking is not None]
    if len(found) < 2:  # no interval
        return None
    macro, base_rate = zip(*found, strict=True)
    return LabelRanking(Spread.of(macro), Spread.of(base_rate))


def require_groups(examples: Examples, label: str) -> None:
    """Raise UsageError where a class is in too few groups for one to be held back in each fold."""
    indicators = examples.indicators()
    few = [
        name
        for number, name in enumerate(examples.classes)
        if len(np.unique(examples.groups[indicators[:, number]])) < SMALLEST
    ]
    if few and not examples.several:
        named = ", ".join(map(repr, few[:5])) + (" and others" if len(few) > 5 else "")
        raise UsageError(
            f"{label}: the items of {named} are views of fewer than {SMALLEST} things, so that none can be held back: "
            "leave such classes out with --keep"
        )

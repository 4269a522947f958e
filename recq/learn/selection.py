"""Which head is offered: decided by inner folds that leave items out, and others that leave whole classes out.

Ordinary cross-validation prefers what knows its classes best, and that is what places classes which come tomorrow
worse than the vectors before did. So a head has to keep those, too: the best mAP of seen classes among the heads whose
mean mAP of unseen classes is at most `ALLOWANCE` below that of the vectors as they are.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recq.errors import UsageError
from recq.evaluate.metrics import LabelSets, Measures, average_precisions, best_sums
from recq.learn.calibration import OutOfFold, nearness_of
from recq.learn.examples import Examples, Floats, Rows
from recq.learn.fits import Fit, Recipe
from recq.models.heads import Head

WEIGHTS = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
STRENGTHS = (0.1, 0.2, 0.3, 0.5, 1.0)
"""Of the gated residual: how much of what was learned is added."""

DIMS = (64, 128)
"""Numbers that a head is reduced to; at 16 the classes of tomorrow are lost."""

ALLOWANCE = 0.01
"""mAP of unseen classes that a head may lose against the vectors as they are."""

NOISE = 0.005
"""Differences in mAP that mean nothing: another seed gives as much."""

LARGEST_SELECTION = 5_000
"""Items, whole groups in proportion to their classes, that heads are chosen and measured on."""

LEAST_GROUPS = 10
"""Of each class among those: of fewer a fifth that is held out would hardly be two, which can find each other."""

SEEN_FOLDS, UNSEEN_FOLDS = 3, 5
FEWEST_CLASSES = 4
"""With fewer, two cannot be left out while two are learned: nothing is known about new classes."""

MOST_QUERIES, MOST_GALLERY = 500, 3_000
"""Queries of one measurement, and items that they look among: at random where there are more."""

KS = (1, 5)
Step = Callable[[], None]


@dataclass(frozen=True)
class Trial:
    """What a recipe gave: mAP of seen classes, and for each set of classes left out the gain of mAP (0 to 1)."""

    recipe: Recipe
    seen: float
    gains: tuple[float, ...]

    @property
    def mean_gain(self) -> float | None:
        """Over the sets of classes left out; None where none could be."""
        return float(np.mean(self.gains)) if self.gains else None

    @property
    def worst_gain(self) -> float | None:
        """Of the set of classes that fared worst."""
        return min(self.gains, default=None)

    @property
    def open_set(self) -> bool:
        """Whether classes that come tomorrow are found about as well as before."""
        return self.mean_gain is not None and self.mean_gain >= -ALLOWANCE


@dataclass(frozen=True)
class Selection:
    """All trials, in the order in which they were made, and the recipe that is offered."""

    trials: tuple[Trial, ...]
    chosen: Trial
    out_of_fold: OutOfFold
    """Of the seen folds: what their classifiers say of what they have not seen."""


def select(
    examples: Examples, recipes: Sequence[Recipe], seed: int, *, closed_set: bool = False, step: Step = lambda: None
) -> Selection:
    """Try the recipes on the same folds. `step` is called after each of `fits_of`.

    With `closed_set` the best of seen classes is chosen, whatever it does to others; so it is where no recipe is open.
    Raises as `require_asked`.
    """
    seen = [
        Fold.of(examples.at(learned), examples.at(held), None, seed)
        for learned, held in seen_splits(examples, SEEN_FOLDS, seed)
    ]
    require_asked([fold.retrieval for fold in seen])
    apart = [Fold.without(examples, classes, seed) for classes in class_splits(examples.classes, seed)]
    # Of lists a label that nearly all items have leaves nothing to learn from.
    unseen = [fold for fold in apart if len(fold.fit.examples.classes) > 1 and len(fold.retrieval.queries)]
    measured = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for found in threads.map(lambda fold: fold.maps_of(recipes), (*seen, *unseen)):
            measured.append(found)
            step()
    trials = []
    for recipe, found in zip(recipes, zip(*measured, strict=True), strict=True):
        gains = tuple(after - fold.before for after, fold in zip(found[len(seen) :], unseen, strict=True))
        # In a fold of few items perhaps none has another one of its label.
        asked = [after for after, fold in zip(found, seen, strict=False) if len(fold.retrieval.queries)]
        trials.append(Trial(recipe, float(np.mean(asked)), gains))
    chosen = choose(trials, closed_set=closed_set)
    return Selection(tuple(trials), chosen, _out_of_fold(seen, examples.classes, chosen.recipe))


def fits_of(classes: int) -> int:
    """How many fits `select` makes for so many classes."""
    return SEEN_FOLDS + _class_folds(classes)


def _class_folds(classes: int) -> int:
    return min(UNSEEN_FOLDS, classes // 2) if classes >= FEWEST_CLASSES else 0


def choose(trials: Sequence[Trial], *, closed_set: bool = False) -> Trial:
    """The best of seen classes among the open ones; among all of them with `closed_set`, or where none is open.

    Of those that are as good but for `NOISE`, the one that keeps unseen classes best.
    """
    eligible = [each for each in trials if closed_set or each.open_set] or list(trials)
    best = max(eligible, key=lambda each: each.seen)
    if closed_set:
        return best
    as_good = [each for each in eligible if each.seen >= best.seen - NOISE]
    return max(as_good, key=lambda each: (each.mean_gain or 0.0, each.seen))


def seen_splits(examples: Examples, folds: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """Rows to learn from and rows to measure on, for each fold: groups whole, classes in proportion."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a label of lists may be rarer than the folds are many
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        splits = list(splitter.split(examples.vectors, rarest(examples), examples.groups))
    for learned, held in splits:
        yield learned.astype(np.int64), held.astype(np.int64)


def sampled(examples: Examples, most: int) -> Examples:
    """At most so many of the examples: whole groups, each class in proportion, but `LEAST_GROUPS` of each at least.

    Where those alone are too many, some of the classes are left out, at random. A group belongs to the class of its
    rarest label.
    """
    if len(examples) <= most:
        return examples
    random = np.random.default_rng(0)
    groups, first, group_of = np.unique(examples.groups, return_index=True, return_inverse=True)
    sizes, owners = np.bincount(group_of), rarest(examples)[first]
    order = random.permutation(len(groups))
    order = order[np.argsort(owners[order], kind="stable")]  # class by class, at random within
    starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
    counts = np.diff(np.append(starts, len(order)))
    rank = np.arange(len(order)) - np.repeat(starts, counts)
    # Every class's first groups, class after class; then what is left, as far into one class as into any other.
    needed = rank < LEAST_GROUPS
    of_class = np.repeat(random.permutation(len(counts)), counts)
    turn = np.lexsort((np.where(needed, of_class, (rank + 0.5) / np.repeat(counts, counts)), ~needed))
    kept, room = [], most
    for group in order[turn].tolist():
        if sizes[group] <= room:
            kept.append(group)
            room -= int(sizes[group])
    return examples.at(np.flatnonzero(np.isin(group_of, kept)))


def dealt(examples: Examples, parts: int, seed: int) -> Rows:
    """int64 (n,): the part, of so many, of each item: groups whole, classes in proportion.

    What `seen_splits` takes minutes for with 100,000 groups: those of a class are dealt out in turn, large ones first.
    """
    _, first, group, sizes = np.unique(examples.groups, return_index=True, return_inverse=True, return_counts=True)
    drawn = np.random.default_rng(seed).permutation(len(first))
    order = np.lexsort((drawn, -sizes, rarest(examples)[first]))
    part = np.empty(len(first), np.int64)
    part[order] = np.arange(len(first)) % parts
    return part[group]


def rarest(examples: Examples) -> Rows:
    """int64 (n,): of each item's labels the one that the fewest items have; what a split is stratified by."""
    counts = Counter(label for labels in examples.labels for label in labels)
    order = {label: n for n, label in enumerate(examples.classes)}
    rare = {label: (counts[label], n) for label, n in order.items()}
    return np.array([order[min(labels, key=rare.__getitem__)] for labels in examples.labels], np.int64)


def class_splits(classes: Sequence[str], seed: int) -> list[frozenset[str]]:
    """Disjoint sets of two or more classes, together all of them; none where there are fewer than `FEWEST_CLASSES`."""
    order = np.random.default_rng(seed).permutation(len(classes)).tolist()
    parts = _class_folds(len(classes))
    return [frozenset(classes[n] for n in order[part::parts]) for part in range(parts)]


def without_classes(examples: Examples, classes: frozenset[str]) -> tuple[Rows, Rows]:
    """The rows that share no group with an item of these classes, and the rows of the items that have one of them."""
    has = np.array([not classes.isdisjoint(each) for each in examples.labels])
    apart = np.isin(examples.groups, examples.groups[has])
    return np.flatnonzero(~apart), np.flatnonzero(has)


def _out_of_fold(folds: Sequence[Fold], classes: Sequence[str], recipe: Recipe) -> OutOfFold:
    """What each fold's classifier says of its gallery, one fold after the other; `recipe` makes the trained space."""
    scores, truth, nearness, trained = [], [], [], []
    for fold in folds:
        scores.append(scores_of(fold.fit, fold.gallery.vectors, classes))
        truth.append(fold.gallery.indicators(classes))
        nearness.append(nearness_of(fold.gallery.vectors, fold.fit.examples.vectors))
        head = fold.fit.head(recipe)
        trained.append(nearness_of(head.apply(fold.gallery.vectors), head.apply(fold.fit.examples.vectors)))
    return OutOfFold(np.concatenate(scores), np.concatenate(truth), np.concatenate(nearness), np.concatenate(trained))


def scores_of(fit: Fit, vectors: Floats, classes: Sequence[str]) -> Floats:
    """Scores (n, classes); of a class that the classifier has not learned, lower than all others."""
    own = fit.classifier.scores(vectors)
    number = {name: n for n, name in enumerate(classes)}
    found = np.full((len(own), len(classes)), own.min() - 1, np.float32)
    found[:, [number[name] for name in fit.classifier.classes]] = own
    return found


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold: a fit of what is learned from, and what is measured; `before`, the mAP of the vectors as they are."""

    fit: Fit
    gallery: Examples
    retrieval: Retrieval
    before: float

    @classmethod
    def of(cls, learned: Examples, gallery: Examples, queries: Rows | None, seed: int) -> Fold:
        """Learn from `learned`; rows `queries` of the gallery (None: all) look for others in it."""
        retrieval = Retrieval(gallery, queries, seed)
        return cls(Fit(learned, quick=True), gallery, retrieval, retrieval.measures(gallery.vectors).map)

    @classmethod
    def without(cls, examples: Examples, classes: frozenset[str], seed: int) -> Fold:
        """Learn without some classes; their items look for each other among all items, as they will tomorrow.

        A group with items of both kinds is not learned from. Of lists of labels, an item that has one of the classes is
        left out with all of its labels: so what it has besides is learned from fewer items as well, and a label that
        always comes with one of the classes from none.
        """
        others, queries = without_classes(examples, classes)
        return cls.of(examples.at(others), examples, queries, seed)

    def maps_of(self, recipes: Sequence[Recipe]) -> list[float]:
        """mAP in the space of each recipe's head."""
        heads = [self.fit.head(recipe) for recipe in recipes]
        return [self.retrieval.through(head).map for head in heads]


class Retrieval:
    """How well items find others of their labels. `queries` are rows of the gallery, None for all of them.

    Of more than `MOST_QUERIES` and `MOST_GALLERY` some are drawn with `seed`. Items of a query's own group are not
    counted. Queries of which no other item has a label are left out.
    """

    def __init__(self, gallery: Examples, queries: Rows | None, seed: int) -> None:
        random = np.random.default_rng(seed)
        asking = _drawn(np.arange(len(gallery)) if queries is None else queries, MOST_QUERIES, random)
        others = _drawn(np.arange(len(gallery)), MOST_GALLERY, random)
        sets = LabelSets(gallery.labels)
        gains = np.stack([sets.gains(query)[others] for query in asking.tolist()])
        self._own = gallery.groups[asking][:, None] == gallery.groups[others][None, :]
        gains[self._own] = 0
        answered = gains.any(axis=1)
        self.queries, self._others, self._gallery = asking[answered], others, gallery
        self._own, self._gains = self._own[answered], gains[answered]
        self._most = best_sums(self._gains)

    def rows(self, vectors: Floats) -> npt.NDArray[np.float64]:
        """The gallery's vectors (n, d) -> float64 (queries, 3): average precision, precision at each of `KS`."""
        return self._ranked(vectors[self.queries], vectors[self._others])

    def through(self, head: Head) -> Measures:
        """The means of `rows` in the space of a head; what is neither asked about nor looked through is left out."""
        asked, others = (head.apply(self._gallery.vectors[each]) for each in (self.queries, self._others))
        return means_of(self._ranked(asked, others))

    def _ranked(self, asked: Floats, others: Floats) -> npt.NDArray[np.float64]:
        scores = asked @ others.T
        scores[self._own] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")
        ranked = np.take_along_axis(self._gains, order, axis=1)
        return np.column_stack([average_precisions(ranked, self._most), *(ranked[:, :k].sum(axis=1) / k for k in KS)])

    def measures(self, vectors: Floats) -> Measures:
        """The means of `rows`."""
        return means_of(self.rows(vectors))


def require_asked(retrievals: Sequence[Retrieval]) -> None:
    """Raise UsageError where none of them has a query: then there is nothing to choose or to measure by."""
    if not any(len(each.queries) for each in retrievals):
        raise UsageError(
            "of the items that are held out none has another one of its label to find: label more of each (10 are "
            "enough), or leave small classes out with --keep"
        )


def means_of(rows: npt.NDArray[np.float64]) -> Measures:
    """The means of `Retrieval.rows`; NaN where there are none, since no query has another item of its labels."""
    means = rows.mean(axis=0).tolist() if len(rows) else [float("nan")] * (1 + len(KS))
    return Measures(means[0], dict(zip(KS, means[1:], strict=True)), {})


def _drawn(rows: Rows, most: int, random: np.random.Generator) -> Rows:
    """`most` of the rows at random, in their order; all where there are no more."""
    return rows if len(rows) <= most else np.sort(random.choice(rows, most, replace=False))

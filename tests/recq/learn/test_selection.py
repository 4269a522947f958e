"""How a head is chosen: groups stay whole, classes left out are not learned, and who knows only its classes loses."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq.errors import UsageError
from recq.evaluate.metrics import average_precision, average_precisions
from recq.learn.examples import groups_of, with_near_duplicates
from recq.learn.fits import Fit, JoinedRecipe, PlainRecipe, effort, joined_recipes, plain_recipes
from recq.learn.selection import (
    ALLOWANCE,
    KS,
    LEAST_GROUPS,
    SEEN_FOLDS,
    UNSEEN_FOLDS,
    Fold,
    Retrieval,
    Trial,
    choose,
    class_splits,
    dealt,
    fits_of,
    sampled,
    seen_splits,
    select,
)
from tests.recq.learn.drawn import drawn

SEEN_BEST = Trial(JoinedRecipe(1.0), 0.85, (-0.05, -0.01))
OPEN = Trial(JoinedRecipe(0.6), 0.81, (-0.005, 0.002))
AS_GOOD = Trial(JoinedRecipe(0.5), 0.807, (0.01, 0.02))
WORSE = Trial(JoinedRecipe(0.3), 0.7, (0.03, 0.03))


def test_the_best_of_seen_classes_that_keeps_unseen_ones_is_chosen() -> None:
    assert choose([SEEN_BEST, OPEN, WORSE]) is OPEN
    assert choose([SEEN_BEST, OPEN, AS_GOOD, WORSE]) is AS_GOOD, "as good but for noise, and better for unseen classes"
    assert choose([SEEN_BEST, OPEN, WORSE], closed_set=True) is SEEN_BEST
    assert choose([SEEN_BEST]) is SEEN_BEST
    assert not SEEN_BEST.open_set


@pytest.mark.parametrize(("gain", "open_set"), [(-ALLOWANCE, True), (-ALLOWANCE - 1e-6, False), (0.2, True)])
def test_the_allowance(gain: float, open_set: bool) -> None:
    assert Trial(JoinedRecipe(1.0), 0.9, (gain,)).open_set == open_set


def test_without_a_measure_of_unseen_classes_nothing_is_called_open() -> None:
    trial = Trial(JoinedRecipe(1.0), 0.9, ())
    assert (trial.open_set, trial.mean_gain, trial.worst_gain) == (False, None, None)


@given(st.integers(1, 60), st.integers(0, 5))
def test_classes_are_left_out_in_disjoint_sets(count: int, seed: int) -> None:
    classes = [f"{n:02}" for n in range(count)]
    splits = class_splits(classes, seed)
    assert len(splits) <= UNSEEN_FOLDS
    assert bool(splits) == (count >= 4)
    assert sum(map(len, splits)) == len(frozenset().union(*splits)) == (count if splits else 0)
    assert all(2 <= len(each) <= count - 2 for each in splits)
    assert fits_of(count) == SEEN_FOLDS + len(splits)


def test_groups_are_never_parted() -> None:
    examples = replace(drawn(4, 20), groups=np.arange(80) // 4)
    for learned, held in seen_splits(examples, 3, 0):
        assert not set(examples.groups[learned].tolist()) & set(examples.groups[held].tolist())
        assert sorted([*learned.tolist(), *held.tolist()]) == list(range(80))


def test_classes_left_out_are_not_learned_nor_what_is_grouped_with_them() -> None:
    examples = drawn(5, 10)
    groups = examples.groups.copy()
    groups[0] = groups[49]  # a view of an item of class 4
    part = Fold.without(replace(examples, groups=groups), frozenset({"class 4"}), 0)
    assert part.fit.classifier.classes == ("class 0", "class 1", "class 2", "class 3")
    assert "0000" not in part.fit.examples.ids
    assert {examples.labels[n] for n in part.retrieval.queries.tolist()} == {("class 4",)}
    assert len(part.gallery) == 50, "they look for each other among all"


def test_an_item_does_not_find_its_own_group() -> None:
    examples = drawn(2, 2)
    together = replace(examples, groups=np.array([0, 0, 1, 2]))
    assert Retrieval(examples, None, 0).queries.tolist() == [0, 1, 2, 3]
    assert Retrieval(together, None, 0).queries.tolist() == [2, 3], "of 0 and 1 no other item has the label"


@given(st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=7, max_size=7), min_size=1, max_size=5))
def test_many_average_precisions_are_those_of_each(gains: list[list[float]]) -> None:
    found = average_precisions(np.array(gains))
    for each, row in zip(found.tolist(), gains, strict=True):
        if any(row):
            assert each == pytest.approx(average_precision(np.array(row)))
        else:
            assert np.isnan(each)


def test_precision_is_that_of_a_slow_count() -> None:
    examples = drawn(3, 8)
    rows = Retrieval(examples, None, 0).rows(examples.vectors)
    scores = examples.vectors @ examples.vectors.T
    for query in range(len(examples)):
        order = sorted((n for n in range(len(examples)) if n != query), key=lambda n: -scores[query, n])
        same = [examples.labels[n] == examples.labels[query] for n in order]
        assert rows[query, 1:].tolist() == pytest.approx([sum(same[:k]) / k for k in KS])


def test_what_learns_its_classes_only_is_found_out() -> None:
    """Discriminants are good at the classes they know; those of tomorrow they throw together."""
    examples = drawn(8, 20)
    recipes = [*joined_recipes((0.3, 0.6), (64,)), *plain_recipes((64,), several=False)]
    steps: list[None] = []
    selection = select(examples, recipes, 0, step=lambda: steps.append(None))
    by_recipe = {trial.recipe: trial for trial in selection.trials}
    discriminant, joined = by_recipe[PlainRecipe("discriminant")], by_recipe[JoinedRecipe(0.6, 64)]
    before = Retrieval(examples, None, 0).measures(examples.vectors).map
    assert joined.seen > before + 0.1
    assert (joined.mean_gain or 0) > (discriminant.mean_gain or 0) + 0.05
    assert selection.chosen.open_set
    assert len(steps) == fits_of(8) == 7
    assert selection.out_of_fold.scores.shape == (160, 8)
    assert selection.out_of_fold.truth.sum() == 160


def test_groups_come_of_any_key_and_of_nearness() -> None:
    keys = [("a", None), ("b", "x"), ("a", "y"), (None, "x"), (None, None), ("x", None)]
    groups = groups_of(keys).tolist()
    assert groups[0] == groups[2]
    assert groups[1] == groups[3]
    assert len(set(groups)) == 4, "an x at another place is another x"
    examples = drawn(2, 3)
    vectors = examples.vectors.copy()
    vectors[5], vectors[3] = vectors[0], vectors[5] + 1e-3
    near = with_near_duplicates(replace(examples, vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True)))
    assert len(set(near.groups.tolist())) == 5
    assert near.groups[5] == near.groups[0]


def test_a_sample_keeps_groups_whole_and_small_classes_there() -> None:
    many = drawn(3, 200)
    few = [*range(400), *range(400, 410)]  # two classes of 200 items and one of 10
    examples = replace(many.at(np.array(few)), groups=np.array([n // 2 for n in few]))
    found = sampled(examples, 100)
    counts = Counter(label for each in found.labels for label in each)
    assert len(found) == 100
    assert counts["class 2"] == 10, "five groups of two"
    assert abs(counts["class 0"] - counts["class 1"]) <= 4
    assert set(Counter(found.groups.tolist()).values()) == {2}
    assert sampled(examples, 410) is examples


def test_of_too_many_classes_some_are_left_out_whole() -> None:
    found = sampled(drawn(40, 15), 100)
    assert set(Counter(label for each in found.labels for label in each).values()) == {LEAST_GROUPS}
    assert len(found.classes) == 10


def test_a_group_that_does_not_fit_is_passed_over() -> None:
    examples = replace(drawn(2, 50), groups=np.array([0] * 40 + list(range(1, 61))))
    found = sampled(examples, 30)
    assert len(found) == 30
    assert 0 not in found.groups


@pytest.mark.parametrize(
    ("items", "classes", "expected"),
    [(1_000, 10, (1280, 300)), (100_000, 10, (1280, 117)), (100_000, 100, (256, 58)), (100_000, 1_000, (256, 20))],
)
def test_a_fit_costs_so_much_at_most(items: int, classes: int, expected: tuple[int, int]) -> None:
    assert effort(items, 1280, classes, 1.5e11) == expected


def test_a_classifier_within_fewer_numbers_is_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = drawn(4, 100)
    whole = Fit(examples).classifier
    monkeypatch.setattr("recq.learn.fits._NARROWER", (20,))
    monkeypatch.setattr("recq.learn.fits._WORK", 400 * 4 * 20 * 100)
    fit = Fit(examples)
    assert fit._effort[0].shape == (400, 20)
    narrow = fit.classifier
    assert narrow.weights.shape == whole.weights.shape
    right = [(each.scores(examples.vectors).argmax(axis=1) == examples.numbers()).mean() for each in (whole, narrow)]
    assert right[1] > right[0] - 0.05


def test_features_made_in_parts_are_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = drawn(3, 60)
    monkeypatch.setattr("recq.learn.fits.RANDOM_FEATURES", 200)
    by_items = Fit(examples).head(PlainRecipe("random")).apply(examples.vectors)
    monkeypatch.setattr("recq.learn.fits.RANDOM_FEATURES", 150)
    whole = Fit(examples).head(PlainRecipe("random")).apply(examples.vectors)
    monkeypatch.setattr("recq.learn.fits._BLOCK", 50)
    parts = Fit(examples).head(PlainRecipe("random")).apply(examples.vectors)
    assert np.abs(parts - whole).max() < 0.01
    assert by_items.shape == whole.shape


def test_many_groups_are_dealt_out_whole_and_each_class_in_proportion() -> None:
    examples = drawn(4, 300)
    groups = np.arange(1_200)
    groups[:300] //= 10  # views of 30 things, of one class
    examples = replace(examples, groups=groups)
    part = dealt(examples, 5, 0)
    assert len(np.unique(np.column_stack([groups, part]), axis=0)) == len(np.unique(groups))
    counts = np.array([np.bincount(part[examples.numbers() == each], minlength=5) for each in range(4)])
    assert counts.min() >= 60
    assert counts.max() <= 60
    assert (part != dealt(examples, 5, 1)).any()
    assert len(sampled(examples, 400)) == 400
    small = sampled(replace(examples, groups=np.where(groups < 30, groups, 30)), 400)
    assert len(small) <= 400


@pytest.mark.parametrize("closed_set", [False, True])
@pytest.mark.parametrize(("classes", "each"), [(2, 3), (2, 4), (3, 4), (2, 5), (4, 5), (2, 10)])
def test_of_few_items_something_is_measured_or_it_is_said_that_nothing_can_be(
    classes: int, each: int, closed_set: bool
) -> None:
    refused = 0
    for seed in range(3):
        examples = drawn(classes, each, seed=seed)
        splits = seen_splits(examples, SEEN_FOLDS, seed)
        if any(len(Retrieval(examples.at(held), None, seed).queries) for _, held in splits):
            trials = select(examples, plain_recipes((2,), several=False), seed, closed_set=closed_set).trials
            assert all(0 <= trial.seen <= 1 for trial in trials)
        else:
            refused += 1
            with pytest.raises(UsageError, match="label more of each"):
                select(examples, plain_recipes((2,), several=False), seed, closed_set=closed_set)
    assert each < 10 or not refused
    assert each > 3 or refused == 3, "each fold has one of each class"

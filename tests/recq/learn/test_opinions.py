"""What others say of labels: which are doubted, in which order, and what is asked for next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from recq.learn.audit import changes_of
from recq.learn.examples import NEAR_DUPLICATE, Examples
from recq.learn.opinions import VOTERS, Opinions, opinions, out_of_fold, votes
from recq.learn.suggest import changes_of as suggested
from recq.learn.suggest import teaching_order, uncertainty
from tests.recq.learn.drawn import DIM, drawn


def labelled(examples: Examples, labels: Mapping[int, tuple[str, ...]]) -> Examples:
    """The same with other labels for some rows."""
    return replace(
        examples,
        labels=tuple(labels.get(n, each) for n, each in enumerate(examples.labels)),
        several=examples.several or any(len(each) > 1 for each in labels.values()),
    )


def test_planted_mistakes_come_first_with_the_right_label() -> None:
    examples = drawn(6, 20, noise=0.6)
    planted = {n: (f"class {(n // 20 + 2) % 6}",) for n in range(3, 120, 17)}
    wrong = labelled(examples, planted)
    changes = changes_of(wrong, opinions(wrong))
    ids = {examples.ids[n] for n in planted}
    assert {each.id for each in changes[:5]} < ids <= {each.id for each in changes[:10]}
    found = [each for each in changes if each.id in ids]
    assert all(each.removed == planted[int(each.id)] for each in found)
    assert all(each.added == examples.labels[int(each.id)] for each in found)
    certain = [each.certainty for each in changes]
    assert certain == sorted(certain, reverse=True)
    assert 0.5 < certain[0] <= 1


def test_of_lists_each_label_is_doubted_by_itself() -> None:
    examples = drawn(4, 25, noise=0.6)
    lists = {n: (*each, f"half {n // 25 % 2}") for n, each in enumerate(examples.labels)}
    planted = lists | {10: ("class 0",), 60: ("class 2", "half 0", "class 1")}  # one lacks `half 0`, one has too much
    wrong = labelled(examples, planted)
    first = changes_of(wrong, opinions(wrong))[:2]
    assert {(each.id, each.removed, each.added) for each in first} == {
        ("0010", (), ("half 0",)),
        ("0060", ("class 1",), ()),
    }


def test_votes_are_those_of_a_slow_count() -> None:
    examples = replace(drawn(3, 12), groups=np.arange(36) // 3)
    found = votes(examples)
    scores = examples.vectors @ examples.vectors.T
    for row in range(len(examples)):
        others = [n for n in range(len(examples)) if examples.groups[n] != examples.groups[row]]
        nearest = sorted(others, key=lambda n: -scores[row, n])[:VOTERS]
        expected = [sum(examples.labels[n] == (name,) for n in nearest) / VOTERS for name in examples.classes]
        assert found[row].tolist() == pytest.approx(expected)


def test_neither_votes_nor_folds_know_an_item_from_its_own_group() -> None:
    """Twins of one wrong label would vouch for each other."""
    examples = drawn(4, 20, noise=0.8)
    vectors = examples.vectors.copy()
    vectors[1:10] = vectors[0]
    groups = np.where(np.arange(80) < 10, 0, np.arange(80))
    twins = labelled(replace(examples, vectors=vectors, groups=groups), dict.fromkeys(range(10), ("class 3",)))
    said = opinions(twins)
    own = said.probabilities[:10, 3]
    assert own.max() < 0.3
    alone = opinions(replace(twins, groups=np.arange(80)))
    assert alone.probabilities[:10, 3].min() > 0.7


def test_what_only_views_of_one_thing_have_is_not_judged() -> None:
    examples = drawn(3, 15)
    groups = np.where(np.arange(45) < 15, 0, np.arange(45))
    together = replace(examples, groups=groups)
    _, judged = out_of_fold(together)
    assert not judged[:15, 0].any()
    assert judged[15:, 1:].all()
    assert not [each for each in changes_of(together, opinions(together)) if int(each.id) < 15]


def test_with_two_things_nothing_can_be_said() -> None:
    examples = drawn(2, 10)
    together = replace(examples, groups=np.arange(20) // 10)
    said = opinions(together)
    assert isinstance(said, Opinions)
    assert not said.judged.any()
    assert changes_of(together, said) == []


def test_none_to_label_first_is_like_another() -> None:
    random = np.random.default_rng(0)
    centres = random.standard_normal((30, DIM))
    rows = np.repeat(centres, 8, axis=0) + 0.01 * random.standard_normal((240, DIM))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    probabilities = random.dirichlet(np.ones(4), 240).astype(np.float32)
    order = teaching_order(probabilities, vectors, 20, several=False)
    assert len(order) == len(set(order)) == 20
    near = vectors[order] @ vectors[order].T - np.eye(20)
    assert near.max() < NEAR_DUPLICATE
    assert order[0] == int(uncertainty(probabilities, several=False).argmax())
    assert len(teaching_order(probabilities, vectors, 100, several=False)) == 30, "the others are near-duplicates"


def test_what_is_certain_is_asked_last() -> None:
    sure, unsure = np.array([[0.98, 0.01, 0.01]] * 300), np.array([[0.4, 0.39, 0.21]] * 100)
    probabilities = np.concatenate([sure, unsure]).astype(np.float32)
    vectors = np.random.default_rng(1).standard_normal((400, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert min(teaching_order(probabilities, vectors, 20, several=False)) >= 300
    lists = np.array([[0.9, 0.1], [0.9, 0.5], [0.5, 0.5]], np.float32)
    assert uncertainty(lists, several=True).tolist() == pytest.approx([0.2, 0.6, 1.0])


def test_suggestions_have_the_label_or_nothing_like_it_is_known() -> None:
    examples = drawn(5, 20, noise=0.5)
    more = drawn(5, 20, noise=0.5, seed=1)
    strange = -examples.vectors.sum(axis=0)
    vectors = np.concatenate([more.vectors, [strange / np.linalg.norm(strange)]]).astype(np.float32)
    ids = [str(n) for n in range(101)]
    changes = suggested(examples, ids, vectors, 60)
    known = [each for each in changes if not each.unknown]
    assert sum(each.added == more.labels[int(each.id)] for each in known) > 0.8 * len(known)
    (odd,) = [each for each in changes if each.id == "100"]
    assert odd.unknown


def test_lists_get_all_labels_that_are_likely() -> None:
    examples = drawn(4, 25, noise=0.5)
    both = labelled(examples, {n: (*each, f"half {n // 25 % 2}") for n, each in enumerate(examples.labels)})
    more = drawn(4, 25, noise=0.5, seed=1)
    changes = suggested(both, more.ids, more.vectors, 30)
    right = [
        each for each in changes if set(each.added) == {f"class {int(each.id) // 25}", f"half {int(each.id) // 25 % 2}"}
    ]
    assert len(right) > 15
    assert all(len(each.added) >= 1 and 0 < each.certainty <= 1 for each in changes)

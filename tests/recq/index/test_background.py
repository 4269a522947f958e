"""Random pairs tell what a score means: pure decisions, then the same figures from every engine."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from httpx import Headers
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse

from recq.errors import Reason
from recq.index import background as module
from recq.index.background import FEWEST_ITEMS, LEVELS, PAIRS, SERVES, UNUSUAL, Background, draw_pairs
from recq.index.catalog import Catalog
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item, ItemError
from tests.recq.index.conftest import SPACE


def entry(number: int, vector: np.ndarray) -> ItemVector:
    return ItemVector(Item(FileFacts("shop", f"{number}.jpg", 1, 1, sha256=f"{number:064x}"), {}), vector)


def vectors(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, SPACE.dim)).astype(np.float32)


def cosines(rows: np.ndarray) -> np.ndarray:
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.sort((units @ units.T)[np.triu_indices(len(rows), k=1)])


def drawn(count: int) -> list[frozenset[int]]:
    return [frozenset(map(int, pair)) for pair in zip(*draw_pairs(count), strict=True)]


def test_all_pairs_are_drawn_where_there_are_few() -> None:
    assert set(drawn(3)) == {frozenset((0, 1)), frozenset((0, 2)), frozenset((1, 2))}


@settings(max_examples=10, deadline=None)
@given(st.integers(min_value=2, max_value=2_000))
def test_no_pair_is_drawn_twice_and_none_is_of_one_item(count: int) -> None:
    pairs = drawn(count)
    assert len(pairs) == len(set(pairs)) == min(PAIRS, count * (count - 1) // 2)
    assert all(len(pair) == 2 for pair in pairs)
    assert all(0 <= place < count for pair in pairs for place in pair)
    assert pairs == drawn(count)


def test_a_score_is_told_as_the_share_of_pairs_that_it_beats() -> None:
    background = Background.of([n / 1000 for n in range(1001)], 60, higher_is_better=True)
    assert background.pairs == 1001
    assert background.share_below(-0.5) == 0.0
    assert background.share_below(0.5) == pytest.approx(0.5)
    assert background.share_below(0.9975) == pytest.approx(0.9975)
    assert background.share_below(1.5) == 1.0
    assert background.unusual == pytest.approx(UNUSUAL)


def test_a_small_distance_beats_a_large_one() -> None:
    background = Background.of([float(n) for n in range(101)], 60, higher_is_better=False)
    assert background.scores[0] == 100.0
    assert background.share_below(2.0) == pytest.approx(0.98)
    assert background.share_below(101.0) == 0.0
    assert background.unusual == pytest.approx(5.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=300), st.booleans())
def test_what_is_kept_reads_back_and_never_decreases(scores: list[float], better: bool) -> None:
    background = Background.of(scores, 60, higher_is_better=better)
    again = Background.from_json(background.to_json(), higher_is_better=better)
    assert again is not None
    assert again.scores == pytest.approx(background.scores, abs=1e-6)
    for one, other in itertools.pairwise(background.scores):
        nearer, farther = (other, one) if better else (one, other)
        assert nearer >= farther
        assert background.share_below(one) <= background.share_below(other)
    assert len(LEVELS) == len(background.scores)


def test_what_another_version_kept_is_measured_anew() -> None:
    assert Background.from_json({"items": 60, "pairs": 3, "scores": [0.1]}, higher_is_better=True) is None


@pytest.mark.parametrize(("items", "stale"), [(100, False), (120, False), (121, True), (80, False), (79, True)])
def test_a_fifth_more_or_less_is_another_catalog(items: int, stale: bool) -> None:
    assert Background.of([0.5], 100, higher_is_better=True).is_stale(items) is stale


@pytest.mark.parametrize(
    ("items", "age", "serves"),
    [(100, 1e9, True), (120, 1e9, True), (121, 59, True), (121, 60, False), (900, -5, False)],
)
def test_a_scale_that_is_new_serves_however_much_the_catalog_has_grown(items: int, age: float, serves: bool) -> None:
    background = Background.of([0.5], 100, higher_is_better=True)
    assert background.serves(items, background.at + age, SERVES) is serves


def grown(client: QdrantClient, monkeypatch: pytest.MonkeyPatch, later: float) -> Catalog:
    """A catalog that has twice the items of when its scale was measured, so many seconds ago."""
    catalog = Catalog.create(client, "images", SPACE)
    rows = vectors(2 * FEWEST_ITEMS)
    catalog.writes.upsert([entry(number, row) for number, row in enumerate(rows[:FEWEST_ITEMS])])
    assert catalog.background() is not None
    catalog.writes.upsert([entry(number, row) for number, row in enumerate(rows[FEWEST_ITEMS:], start=FEWEST_ITEMS)])
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + later)
    return catalog


@pytest.mark.parametrize(("later", "items"), [(SERVES / 2, FEWEST_ITEMS), (2 * SERVES, 2 * FEWEST_ITEMS)])
def test_questions_do_not_measure_a_growing_catalog_again_and_again(
    client: QdrantClient, monkeypatch: pytest.MonkeyPatch, later: float, items: int
) -> None:
    grown(client, monkeypatch, later)
    for _ in range(2):
        background = Catalog.open(client, "images").background_at_opening()
        assert background is not None
        assert background.items == items
    renewed = Catalog.open(client, "images").background()  # the daemon's own measure
    assert renewed is not None
    assert renewed.items == 2 * FEWEST_ITEMS


def test_who_may_only_read_measures_once(client: QdrantClient, monkeypatch: pytest.MonkeyPatch) -> None:
    grown(client, monkeypatch, 2 * SERVES)
    measured: list[int] = []
    real = module.measure

    def forbidden(*_: object, **__: object) -> None:
        raise UnexpectedResponse(403, "Forbidden", b"", Headers())

    def measure(*arguments: Any, **named: Any) -> Background | None:
        measured.append(arguments[3])
        return real(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(client, "update_collection", forbidden)
        patched.setattr(module, "measure", measure)
        scales = [Catalog.open(client, "images").background_at_opening() for _ in range(3)]
    assert measured == [2 * FEWEST_ITEMS]
    assert scales[0] is not None
    assert scales == scales[:1] * 3


def test_a_catalog_that_was_described_before_is_measured_once(
    client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions have its description of some seconds ago, which still has the old scale."""
    catalog = grown(client, monkeypatch, 2 * SERVES)
    measured: list[int] = []
    real = module.measure

    def measure(*arguments: Any, **named: Any) -> Background | None:
        measured.append(arguments[3])
        return real(*arguments, **named)

    monkeypatch.setattr(module, "measure", measure)
    info = client.get_collection(catalog.collection)
    found = [module.current(client, catalog.collection, higher_is_better=True, info=info) for _ in range(3)]
    assert found == found[:1] * 3
    assert measured == [2 * FEWEST_ITEMS]


def test_every_engine_compares_all_pairs_of_a_small_catalog(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "images", SPACE)
    rows = vectors(FEWEST_ITEMS)
    catalog.writes.upsert([entry(number, row) for number, row in enumerate(rows[:-1])])
    failed = replace(entry(900, rows[0]).item, error=ItemError(Reason.EMPTY, "", "2026-01-01T00:00:00Z"))
    catalog.writes.upsert([ItemVector(failed, None)])
    assert catalog.background() is None  # 49 that can be compared
    catalog.writes.upsert([entry(FEWEST_ITEMS - 1, rows[-1])])
    background = catalog.background()
    assert background is not None
    expected = cosines(rows)
    assert (background.items, background.pairs) == (FEWEST_ITEMS + 1, len(expected))
    assert background.scores == pytest.approx(np.quantile(expected, LEVELS), abs=1e-5)
    assert Catalog.open(client, "images").background() == replace(
        background, scores=tuple(round(score, 6) for score in background.scores)
    )


def test_pairs_of_a_large_catalog_are_kept_until_it_has_changed(client: QdrantClient) -> None:
    catalog = Catalog.create(client, "images", SPACE)
    rows = vectors(300)
    catalog.writes.upsert([entry(number, row) for number, row in enumerate(rows[:240])])
    first = catalog.background()
    assert first is not None
    assert (first.items, first.pairs) == (240, PAIRS)
    assert first.scores[50] == pytest.approx(np.median(cosines(rows[:240])), abs=0.02)
    catalog.writes.upsert([entry(number, row) for number, row in enumerate(rows[240:285], start=240)])
    kept = catalog.background()
    assert kept is not None
    assert kept.items == 240
    catalog.writes.upsert([entry(number, row) for number, row in enumerate(rows[285:], start=285)])
    renewed = catalog.background()
    assert renewed is not None
    assert renewed.items == 300

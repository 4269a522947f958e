"""A score is told on the scale of the catalog's random pairs, and what is no good match can be left out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import recq
from recq.errors import UsageError
from recq.index.background import FEWEST_ITEMS, UNUSUAL
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.models import describe_space
from recq.settings import Settings
from tests.query.conftest import Reply

Ask = Callable[..., Reply]

SPACE = describe_space("mobilenet_v2", Settings())
ITEMS = 80


def rows() -> np.ndarray:
    """Random directions of few dimensions, the first two nearly the same."""
    drawn = np.zeros((ITEMS, SPACE.dim), np.float32)
    drawn[:, :4] = np.random.default_rng(0).normal(size=(ITEMS, 4))
    drawn[1] = drawn[0]
    drawn[1, 3] += 0.01
    return drawn


def fill(catalog: Catalog, count: int) -> None:
    catalog.writes.upsert(
        [
            ItemVector(Item(FileFacts("shop", f"{number}.jpg", 1, 1, f"{number:064x}")), row)
            for number, row in enumerate(rows()[:count])
        ]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three catalogs: `images`, `few` with fewer items than it takes, `far` with distances."""
    data = tmp_path_factory.mktemp("data")
    with own_folder(Settings(data_dir=data)) as owned:
        fill(Catalog.create(owned.client, "images", SPACE), ITEMS)
        fill(Catalog.create(owned.client, "few", SPACE), FEWEST_ITEMS - 1)
        fill(Catalog.create(owned.client, "far", replace(SPACE, distance="Euclid")), ITEMS)
    return data


@pytest.fixture
def said(folder: Path, ask: Ask) -> Ask:
    return lambda *arguments: ask([*arguments, "--data-dir", str(folder)], None)


def shares(scores: np.ndarray, limit: float) -> float:
    """Of all pairs, those with a smaller score."""
    return float((scores[np.triu_indices(ITEMS, k=1)] < limit).mean())


def test_percentiles_are_the_share_of_pairs_that_are_less_alike(said: Ask) -> None:
    reply = said("similar", "0.jpg", "-k", "79", "--format", "json")
    assert reply.code == 0
    units = rows() / np.linalg.norm(rows(), axis=1, keepdims=True)
    pairs = units @ units.T
    results = json.loads(reply.out)["results"]
    assert len(results) == 79
    for result in results:
        assert result["percentile"] == pytest.approx(100 * shares(pairs, result["score"]), abs=0.7)
    assert results[0]["percentile"] > 99.9
    table = said("similar", "0.jpg", "-k", "79").lines
    assert table[1] == " 1   1.00   100 %  1.jpg"
    assert re.match(r"40 +-?0\.\d\d +\d+\.\d %  ", table[40])


def test_auto_leaves_out_what_random_pairs_reach(said: Ask) -> None:
    reply = said("similar", "0.jpg", "-k", "79", "--min-score", "auto", "--format", "json")
    assert reply.code == 0
    results = json.loads(reply.out)["results"]
    assert 0 < len(results) < 20
    assert all(result["percentile"] >= 100 * UNUSUAL for result in results)
    assert "--min-score auto is 0." in reply.err
    assert "95% of 3,160 random pairs are less alike" in reply.err


def test_distances_have_a_scale_too(said: Ask) -> None:
    results = json.loads(said("similar", "0.jpg", "-k", "79", "--catalog", "far", "--format", "json").out)["results"]
    assert [each["percentile"] for each in results] == sorted((each["percentile"] for each in results), reverse=True)
    reply = said("similar", "0.jpg", "-k", "79", "--catalog", "far", "--max-distance", "auto", "--format", "json")
    near = json.loads(reply.out)["results"]
    assert 0 < len(near) < len(results)
    assert all(result["percentile"] >= 100 * UNUSUAL for result in near)
    assert "random pairs are farther apart" in reply.err


def test_many_targets_are_told_on_the_same_scale(said: Ask) -> None:
    reply = said("similar", "0.jpg", "1.jpg", "2.jpg", "-k", "79", "--min-score", "auto", "--format", "jsonl")
    assert reply.code == 0
    answers = [json.loads(line) for line in reply.lines]
    assert [answer["target"]["text"] for answer in answers] == ["0.jpg", "1.jpg", "2.jpg"]
    alone = json.loads(said("similar", "1.jpg", "-k", "79", "--min-score", "auto", "--format", "json").out)
    assert answers[1]["results"] == alone["results"] != []
    assert reply.err.count("--min-score auto is 0.") == 1


def test_too_few_items_have_no_scale(said: Ask) -> None:
    reply = said("similar", "0.jpg", "--catalog", "few", "--format", "json")
    assert {result["percentile"] for result in json.loads(reply.out)["results"]} == {None}
    reply = said("similar", "0.jpg", "--catalog", "few", "--min-score", "auto")
    assert (reply.code, reply.out) == (2, b"")
    assert "--min-score auto needs 50 items" in reply.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["similar", "0.jpg", "--max-distance", "auto"], "compares by Cosine: write --min-score auto"),
        (["similar", "0.jpg", "--catalog", "far", "--min-score", "auto"], "write --max-distance auto"),
        (["similar", "0.jpg", "--min-score", "much"], "--min-score 'much' is no number"),
        (["similar", "0.jpg", "--min-score", "auto", "--max-distance", "auto"], "give the one"),
        (["recommend", "--like", "0.jpg", "--min-score", "auto"], "give a number"),
    ],
)
def test_what_auto_cannot_mean_is_told(said: Ask, arguments: list[str], words: str) -> None:
    reply = said(*arguments)
    assert (reply.code, reply.out) == (2, b"")
    assert words in reply.err
    assert reply.err.count("\n") == 1


def test_a_notebook_asks_the_same(folder: Path) -> None:
    with recq.open("images", data_dir=folder) as catalog:
        answer = catalog.similar("0.jpg", min_score="auto")
        assert answer[0].share == pytest.approx(1.0, abs=0.01)
    with recq.open("few", data_dir=folder) as catalog, pytest.raises(UsageError):
        catalog.similar("0.jpg", min_score="auto")

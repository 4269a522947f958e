"""The same picture several times is found: by its bytes, and by vectors so near that only a copy explains them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from query import vector_file
from query.duplicates import COSINE, DisjointSets, duplicates
from query.search import opened
from query.vector_file import VectorFile
from recq.index.background import FEWEST_ITEMS
from recq.index.catalog import Catalog, Entry
from recq.index.connect import own_folder
from recq.index.schema import FileFacts, Item
from recq.settings import Settings
from recq.space import Distance, EmbeddingSpace
from tests.query.conftest import CATALOG, Reply, Shop

Ask = Callable[..., Reply]

SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=6,
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 19), min_size=1, max_size=5), max_size=15))
def test_rows_that_were_joined_are_one_set(joined: list[list[int]]) -> None:
    sets = DisjointSets(20)
    expected = [{row} for row in range(20)]
    for rows in joined:
        sets.join(np.array(rows))
        touched = set().union(*(one for one in expected if one & set(rows)))
        expected = [one for one in expected if not one & touched] + [touched]
    found = [rows.tolist() for rows in sets.sets()]
    assert found == sorted(sorted(one) for one in expected if len(one) > 1)


@pytest.mark.parametrize("distance", ["Cosine", "Euclid"])
def test_close_pairs_are_those_of_all_pairs(distance: Distance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_file, "_BLOCK", 7 * 6 * 4)
    monkeypatch.setattr(vector_file, "_PAIRED", 11)
    rows = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    rows[40] = rows[3]
    limit = 0.6 if distance == "Cosine" else 2.0
    with VectorFile(6, distance) as file:
        file.append(rows[:25])
        file.append(rows[25:])
        found = {(row, int(one)): float(score) for row, near, scores in file.close_pairs(limit)
                 for one, score in zip(near, scores, strict=True)}  # fmt: skip
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    if distance == "Cosine":
        scores = units @ units.T
        near = scores >= limit
    else:
        scores = np.linalg.norm(rows[:, np.newaxis] - rows, axis=2)
        near = scores <= limit
    expected = {(a, b): float(scores[a, b]) for a in range(60) for b in range(a + 1, 60) if near[a, b]}
    assert len(expected) > 20
    assert found == pytest.approx(expected, abs=2e-3)


def catalog_of(client: object, vectors: dict[str, tuple[list[float], int]], space: EmbeddingSpace = SPACE) -> Catalog:
    """Items with these vectors and widths; a letter after the number of the content tells copies apart."""
    made = Catalog.create(client, "images", space)  # type: ignore[arg-type]
    made.upsert(
        [
            Entry(
                Item(FileFacts("shop", f"{name}.jpg", 100, 1, f"{int(name[0]):064x}", "JPEG", width, 10)),
                np.array(vector, np.float32),
            )
            for name, (vector, width) in vectors.items()
        ]
    )
    return made


def test_groups_hold_copies_and_what_is_near_the_largest_first(tmp_path: Path) -> None:
    angles = {"1a": 0.0, "1b": 0.0, "2a": 0.25, "3a": 0.5, "4a": 1.5, "5a": 3.0, "5b": 3.0}
    widths = {"1a": 30, "1b": 30, "2a": 50, "3a": 40, "4a": 10, "5a": 10, "5b": 10}
    with own_folder(Settings(data_dir=tmp_path)) as owned:
        vectors = {
            name: ([float(np.cos(angle)), float(np.sin(angle)), 0, 0, 0, 0], widths[name])
            for name, angle in angles.items()
        }
        catalog = catalog_of(owned.client, vectors)
        found = duplicates(catalog, min_score=0.96)
        assert [[result.within for result in group.results] for group in found.groups] == [
            ["2a.jpg", "3a.jpg", "1a.jpg", "1b.jpg"],  # a chain: 1 and 3 alone would be too far apart
            ["5a.jpg", "5b.jpg"],
        ]
        assert [group.exact for group in found.groups] == [False, True]
        scores = [result.score for group in found.groups for result in group.results]
        assert scores == pytest.approx([np.cos(0.25), np.cos(0.25), 1.0, 1.0, 1.0, 1.0], abs=1e-5)
        assert (found.items, found.superfluous) == (7, 4)
        same = duplicates(catalog, exact=True)
        assert [[result.within for result in group.results] for group in same.groups] == [
            ["1a.jpg", "1b.jpg"],
            ["5a.jpg", "5b.jpg"],
        ]
        assert same.limit is None


def test_a_network_that_finds_everything_alike_has_a_higher_limit(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(FEWEST_ITEMS, 6)) * 0.05 + 1
    items = {f"{number:02}": (row.tolist(), 1) for number, row in enumerate(rows)}
    with own_folder(Settings(data_dir=tmp_path)) as owned:
        made = Catalog.create(owned.client, "images", SPACE)
        made.upsert(
            [
                Entry(Item(FileFacts("shop", f"{name}.jpg", 1, 1, f"{int(name):064x}")), np.array(vector, np.float32))
                for name, (vector, _) in items.items()
            ]
        )
        found = duplicates(made)
    assert found.limit is not None
    assert found.limit > 0.99 > COSINE
    assert found.groups == ()


def test_the_shop_has_twins(any_shop: Shop) -> None:
    reply = any_shop.ask("duplicates", "--min-score", "0.9999", "--format", "json")
    assert reply.code == 0
    document = json.loads(reply.text)
    assert document["items"] == 8
    (group,) = document["groups"]
    assert sorted(result["name"] for result in group["results"]) == ["twin-a.png", "twin-b.png"]
    assert group["exact"] is False
    assert "1 of 8 items not the first of theirs" in reply.err


def test_every_format_tells_of_the_groups(shop: Shop) -> None:
    twins = ["duplicates", "--min-score", "0.9999"]
    table = shop.ask(*twins).lines
    assert table[0].split() == ["group", "score", "pixels", "bytes", "file"]
    assert table[1].split()[0] == "1"
    assert table[1].split()[2] == "48x32"
    lines = shop.ask(*twins, "--format", "jsonl").lines
    assert [len(json.loads(line)["results"]) for line in lines] == [2]
    assert json.loads(lines[0])["exact"] is False
    assert shop.ask(*twins, "--format", "csv").lines[0].startswith("group,exact,rank,score,id")
    paths = shop.ask(*twins, "--format", "paths").out
    assert paths.count(b"png\n") == 1
    first, *others = (result["path"] for result in json.loads(lines[0])["results"])
    assert first.encode() + b"\n" not in paths
    assert others[0].encode() + b"\n" in paths


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-distance", "3"], "compares by Cosine: say --min-score, not --max-distance"),
        (["--min-score", "nan"], "is no limit"),
        (["--filter", "colour=red"], "colour"),
    ],
)
def test_what_cannot_be_asked_is_told(shop: Shop, arguments: list[str], said: str) -> None:
    reply = shop.ask("duplicates", *arguments)
    assert reply.code == 2
    assert said in reply.err
    assert reply.err.count("\n") == 1


def test_nothing_twice_is_an_answer(shop: Shop, ask: Ask) -> None:
    reply = shop.ask("duplicates", "--filter", "category=bed", "--filter", "price>100")
    assert (reply.code, reply.out) == (0, b"")
    assert "no duplicates among 1 item" in reply.err
    with opened(Settings.load(catalog=CATALOG, data_dir=Path(shop.options[1]))) as catalog:
        assert duplicates(catalog, filters=["category=bed", "price>100"]).groups == ()

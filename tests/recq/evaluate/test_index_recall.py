"""`recq evaluate --index`: the arithmetic, and what it finds of an embedded folder and of a server that has a graph."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from recq.errors import FilterError, UsageError
from recq.evaluate.drawn_filters import Shape
from recq.evaluate.index_recall import evaluate_index, recall
from recq.evaluate.index_results import IndexEvaluation, Recalled, index_evaluation_json, wilson
from recq.index import finder, search_params
from recq.index.catalog import Catalog
from recq.index.connect import own_folder, server_client
from recq.index.finder import Finder
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.search.session import Session
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.qdrant_server import QdrantServer
from tests.recq.index.conftest import SPACE

DOCS = (Path(__file__).parents[3] / "docs" / "quality.md").read_text("utf-8")
WIDE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=32,
)  # fmt: skip


def checked(evaluation: IndexEvaluation) -> dict[str, Any]:
    """The JSON, which is as documented."""
    match = re.search(r"^```json schema=index\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    assert match is not None
    found = index_evaluation_json(evaluation)
    jsonschema.Draft202012Validator(json.loads(match[1])).validate(json.loads(json.dumps(found)))
    return found


@pytest.mark.parametrize(
    ("found", "exact", "higher", "expected"),
    [
        ([0.9, 0.8, 0.7], [0.9, 0.8, 0.7], True, 1.0),
        ([0.9, 0.7, 0.6], [0.9, 0.8, 0.7], True, 2 / 3),
        ([0.6], [0.9, 0.8], True, 0.0),
        ([], [0.9], True, 0.0),
        ([0.9, 0.7, 0.7], [0.9, 0.7, 0.7], True, 1.0),  # another of the equal ones
        ([0.9, 0.700001], [0.9, 0.700003], True, 1.0),  # the same pair, computed twice
        ([1.0, 2.0], [1.0, 1.5], False, 0.5),
        ([1.0, 1.5], [1.0, 1.5], False, 1.0),
    ],
)
def test_recall_goes_by_scores(found: list[float], exact: list[float], higher: bool, expected: float) -> None:
    assert recall(found, exact, higher_is_better=higher) == pytest.approx(expected)


def test_the_interval_is_wilsons_and_never_certain() -> None:
    """Values of Newcombe (1998), table I: 81 of 263, and 0 of 20 turned round."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(1.0, 20) == pytest.approx((1 - 0.1611, 1.0), abs=1e-4)
    every = Recalled.of([1.0] * 100)
    assert (every.recall, every.perfect, every.worst) == (1.0, 100, 1.0)
    assert 0.96 < every.low < 0.97


def things(count: int, dim: int) -> list[ItemVector]:
    random = np.random.default_rng(0)
    return [
        ItemVector(
            Item(
                FileFacts("shop", f"{n:05d}.jpg", 1, 1, sha256=f"{n:064x}"),
                {"category": ["sofa", "bed", "hat", "lamp"][n % 4], "colour": f"c{n % 7}", "price": float(n % 100)},
            ),
            random.normal(size=dim).astype(np.float32),
        )
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("index-recall")
    with own_folder(Settings(data_dir=made)) as owned:
        Catalog.create(owned.client, "images", SPACE).writes.upsert(things(120, SPACE.dim))
        alone = Catalog.create(owned.client, "alone", SPACE)
        alone.writes.upsert(things(1, SPACE.dim))
    return made


def test_an_embedded_index_is_exact_as_computed_from_all_vectors(folder: Path) -> None:
    with Session(Settings(data_dir=folder)) as session:
        found = evaluate_index(session, sample=10, filters=["category=sofa", "price<=50"])
    told = checked(found)
    assert told["exact_by_construction"]
    assert (told["engine"], told["items"], told["in_graphs"]) == ("embedded", 120, 0)
    assert told["recall"] == 1.0
    shapes = {each["shape"]: each for each in told["shapes"]}
    assert shapes["no filter"]["share"] == [1, 1]
    assert shapes["as given"]["example"] == "category=sofa AND price<=50"
    assert shapes["as given"]["exact_ms"] is None
    assert {"one value", "AND of two", "range", "not"} <= shapes.keys()


def test_an_answer_that_lacks_some_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that forgets the nearest of every answer."""
    asked = Finder.rank

    def forgetful(self: Finder, *args: Any, **more: Any) -> finder.Found:
        found = asked(self, *args, **more)
        return finder.Found(found.hits[1:], found.total)

    monkeypatch.setattr(Finder, "rank", forgetful)
    with Session(Settings(data_dir=folder)) as session:
        found = evaluate_index(session, sample=6, k=10)
    unfiltered = next(each for each in found.shapes if each.shape is Shape.NONE)
    assert unfiltered.recalled.recall == pytest.approx(0.9)
    assert found.overall.perfect < found.overall.queries
    assert found.overall.high < 1.0


def test_the_same_seed_measures_the_same(folder: Path) -> None:
    with Session(Settings(data_dir=folder)) as session:
        first, again, other = (evaluate_index(session, sample=4, seed=seed) for seed in (1, 1, 2))
    drawn = [[(each.shape, each.example) for each in found.shapes] for found in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_progress_is_reported_to_its_end(folder: Path) -> None:
    seen: dict[str, tuple[int, int]] = {}
    with Session(Settings(data_dir=folder)) as session:
        evaluate_index(session, sample=5, progress=lambda what, done, of: seen.update({what: (done, of)}))
    assert seen.keys() == {"drawing", "counting", "reading vectors", "asking"}
    assert all(done == of for done, of in seen.values())


def test_what_cannot_be_measured_is_refused(folder: Path) -> None:
    with Session(Settings(data_dir=folder)) as session:
        with pytest.raises(UsageError, match="-k 0 cannot be measured"):
            evaluate_index(session, k=0)
        with pytest.raises(FilterError, match="unknown field"):
            evaluate_index(session, sample=5, filters=["nothing=1"])
    with Session(Settings(data_dir=folder, catalog="alone")) as session, pytest.raises(UsageError, match="two indexed"):
        evaluate_index(session)


def with_graph(client: QdrantClient, count: int) -> Catalog:
    """A catalog of a server whose items stand in a graph, a small and bad one."""
    catalog = Catalog.create(client, "images", WIDE)
    client.update_collection(
        catalog._collection,
        hnsw_config=models.HnswConfigDiff(m=4, ef_construct=8, full_scan_threshold=10),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=10, default_segment_number=1),
    )
    entries = things(count, WIDE.dim)
    for start in range(0, count, 500):
        catalog.writes.upsert(entries[start : start + 500])
    return catalog


@pytest.mark.long  # an index of its own, large enough that a server makes graphs
@pytest.mark.server
def test_a_graph_loses_answers_and_recqs_decision_gives_them_back(
    own_server: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few thousand points: the thresholds are lowered on both sides, so that a graph is built and used."""
    settings = Settings.load(url=own_server.url)
    client = server_client(settings)
    catalog = with_graph(client, 3000)
    until_indexed(client, catalog, 3000)

    def measured() -> IndexEvaluation:
        with Session(settings) as session:
            return evaluate_index(session, sample=12)

    monkeypatch.setattr("recq.index.searching.search_params", lambda *_: None)
    own = measured()
    monkeypatch.setattr("recq.index.searching.search_params", decided)
    monkeypatch.setattr(search_params, "EXACT_NUMBERS", 1000 * WIDE.dim)
    monkeypatch.setattr(search_params, "COMPARED_ANYWAY", 0)
    monkeypatch.setattr(search_params, "EXACT_SHARE", 1.0)
    ours = measured()
    for found in (own, ours):
        told = checked(found)
        assert told["engine"] == "server"
        assert told["in_graphs"] >= 2500
        assert not told["exact_by_construction"]
    assert own.overall.recall < 0.97, "the graph is too good to show anything"
    assert ours.overall.recall > own.overall.recall
    few = [each for each in ours.shapes if each.most <= 0.3]
    assert few
    assert all(each.recalled.recall == 1.0 for each in few), "what is compared is exact"


decided = search_params.search_params


def until_indexed(client: QdrantClient, catalog: Catalog, count: int) -> None:
    """Wait for the graph."""
    import time

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        info = client.get_collection(catalog._collection)
        if info.status == models.CollectionStatus.GREEN and (info.indexed_vectors_count or 0) >= 0.9 * count:
            return
        time.sleep(0.1)
    pytest.fail("the server did not build a graph in two minutes")


def test_an_item_that_is_deleted_meanwhile_is_no_query_any_more(tmp_path: Path) -> None:
    with own_folder(Settings(data_dir=tmp_path)) as owned:
        Catalog.create(owned.client, "images", SPACE).writes.upsert(things(30, SPACE.dim))
    with Session(Settings(data_dir=tmp_path)) as session, session.held(), session.opened() as catalog:
        gone: list[str] = []

        def delete(what: str, done: int, of: int) -> None:
            if what == "asking" and done < of and not gone:
                gone.extend(item.id for item in catalog.items.rows() if int(item.file.name[:5]) % 2)
                catalog.writes.delete(gone)

        found = evaluate_index(session, sample=30, progress=delete)
        assert gone
    unfiltered = next(each for each in found.shapes if each.shape is Shape.NONE)
    assert unfiltered.recalled.queries == 30 - len(gone)


def test_a_filter_that_holds_for_nothing_is_refused(folder: Path) -> None:
    with Session(Settings(data_dir=folder)) as session, pytest.raises(UsageError, match="no item matches price>5000"):
        evaluate_index(session, sample=5, filters=["price>5000"])

"""`recq-ingest quantise` on a real server: measured first, refused below the bar, searched rightly, switched off."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from ingest.cli.main import app
from recq.cli_errors import run
from recq.errors import TargetNotFound, UsageError
from recq.index.catalog import Catalog
from recq.index.collection import collection_name_of
from recq.index.parameters import Parameters
from recq.index.plain_requests import query_points
from recq.index.points import ItemVector
from recq.index.quantisation import Kind, Quantised
from recq.index.quantisation_trial import _NAME
from recq.index.schema import FileFacts, Item
from recq.index.similarity import Liked, Strategy
from recq.operate import quantise as module
from recq.operate.quantise import keep_whole, quantise_catalog
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.ingest.documented import validated
from tests.qdrant_server import QdrantServer

COUNT, DIM = 700, 64
SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=DIM,
)  # fmt: skip
INT8 = Quantised.of_kind(Kind.INT8)
WEAK = Quantised.of_kind(Kind.BINARY, 1.0)
"""Two bits and no more candidates than answers: far below the bar."""


def things(count: int) -> list[ItemVector]:
    """Items in loose groups, with numbers that are never negative, as a network's are."""
    random = np.random.default_rng(7)
    centres = random.random((40, DIM)) ** 3
    made = []
    for number in range(count):
        vector = np.maximum(0.0, centres[number % 40] + random.normal(0, 0.1, DIM)).astype(np.float32)
        facts = FileFacts("s", f"{number:05d}.jpg", 1, 1, sha256=f"{number:064x}", format="JPEG", width=1, height=1,
                          ingested_at="2026-01-01T00:00:00+00:00")  # fmt: skip
        made.append(ItemVector(Item(facts, {"category": f"kind{number % 2}"}), vector / np.linalg.norm(vector)))
    return made


def filled(server: QdrantServer, count: int) -> tuple[Settings, QdrantClient]:
    """A catalog whose few items get a graph as those of a large one do."""
    client = QdrantClient(url=server.url, check_compatibility=False)
    catalog = Catalog.create(client, "shop", SPACE)
    client.update_collection(catalog.collection, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1))
    catalog.fields.declare({"category": "string"})  # type: ignore[dict-item]
    catalog.writes.upsert(things(count))
    return Settings(url=server.url, catalog="shop"), client


def only_the_catalog(client: QdrantClient) -> None:
    assert [each.name for each in client.get_collections().collections] == [Catalog.open(client, "shop").collection]


@pytest.mark.server
def test_it_is_measured_refused_switched_on_searched_and_switched_off(
    own_server: QdrantServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, client = filled(own_server, COUNT)
    options = ["--url", own_server.url, "--catalog", "shop"]

    # below the bar nothing is switched on, unless by force; the trial is gone again
    weak = ["quantise", "--kind", "binary", "--oversampling", "1", "--queries", "50", *options]
    assert run(app, "recq-ingest", weak) == 3
    said = capsys.readouterr()
    assert "below 0.99, so nothing was switched on" in said.err
    assert "--kind binary --force --catalog shop" in said.err
    assert Catalog.open(client, "shop").quantised is None
    only_the_catalog(client)
    forced = quantise_catalog(settings, WEAK, queries=50, force=True)
    assert (forced.switched, forced.enough) == (True, False)
    assert 0 < forced.recalled.recall < 0.9
    assert forced.walked.recall > forced.recalled.recall

    # what is good enough replaces it, and says what it found
    assert run(app, "recq-ingest", ["quantise", "--queries", "50", "--json", *options]) == 0
    found = validated("quantised", json.loads(capsys.readouterr().out))
    assert (found["kind"], found["switched"], found["sample"]) == ("int8", True, COUNT)
    assert found["recall"] >= 0.99
    assert (found["memory_before"], found["memory_after"]) == (COUNT * DIM * 4, COUNT * DIM)
    catalog = Catalog.open(client, "shop")
    quantised = catalog.quantised
    assert quantised is not None
    assert quantised.measured is not None
    assert (quantised.kind, quantised.measured.queries) == (Kind.INT8, 50)
    assert run(app, "recq-ingest", ["status", *options]) == 0
    assert "quantised: int8, originals on disk, recall@10 " in capsys.readouterr().out

    # questions with and without filters go over the small vectors, and are rescored; exact ones read the originals
    asked: list[models.SearchParams | None] = []
    ask = query_points

    def noting(client: QdrantClient, name: str, requests: list[models.QueryRequest]) -> object:
        asked.extend(each.params for each in requests)
        return ask(client, name, requests)

    monkeypatch.setattr("recq.index.points.query_points", noting)
    monkeypatch.setattr("recq.index.search_params.EXACT_NUMBERS", 10)
    monkeypatch.setattr("recq.index.search_params.COMPARED_ANYWAY", 10)
    monkeypatch.setattr("recq.index.search_params.EXACT_SHARE", 1.0)
    vector = things(1)[0].vector
    assert vector is not None
    rows = catalog.finder.rank(vector, Parameters(k=5, keep_duplicates=True)).hits
    exact = catalog.finder.exact().rank(vector, Parameters(k=5, keep_duplicates=True)).hits
    assert [hit.item.id for hit in rows] == [hit.item.id for hit in exact]
    assert [hit.score for hit in rows] == pytest.approx([hit.score for hit in exact], abs=1e-5)
    walk, compared = asked[0], asked[-1]
    rescored = models.QuantizationSearchParams(rescore=True, oversampling=3.0)
    assert walk is not None
    assert walk.quantization == rescored
    assert compared == models.SearchParams(exact=True)
    asked.clear()
    filtered = catalog.finder.rank(vector, Parameters(k=5, filters=["category=kind0"], keep_duplicates=True)).hits
    assert {hit.item.metadata["category"] for hit in filtered} == {"kind0"}
    assert asked[0] is not None
    assert asked[0].quantization == rescored
    liked = [hit.item.id for hit in rows[:2]]
    for question in (Liked((liked[0], vector)), Liked((liked[0],), (liked[1],), Strategy.BEST)):
        asked.clear()
        assert catalog.finder.rank(question, Parameters(k=5, keep_duplicates=True)).hits
        assert asked[0] is not None
        assert asked[0].quantization == rescored

    # and off again, which is no error a second time
    assert keep_whole(settings)
    assert not keep_whole(settings)
    assert Catalog.open(client, "shop").quantised is None
    only_the_catalog(client)
    client.close()


@pytest.mark.server
def test_of_a_large_catalog_neighbourhoods_are_measured_and_a_killed_trial_goes_with_the_next(
    own_server: QdrantServer,
) -> None:
    settings, client = filled(own_server, module.FEWEST)
    left = collection_name_of("shop", _NAME)
    client.create_collection(left, vectors_config={})
    found = quantise_catalog(settings, INT8, queries=20, only_measure=True, most=400)
    assert (found.switched, found.quantised.measured) == (False, None)
    assert found.recalled.queries == 400 // 60, "each of them with sixty neighbours"
    assert 60 < found.sample <= 6 * 61, "their neighbourhoods, and no more"
    assert Catalog.open(client, "shop").quantised is None
    only_the_catalog(client)
    client.close()


@pytest.mark.server
def test_what_cannot_be_measured_is_refused(own_server: QdrantServer) -> None:
    settings, client = filled(own_server, 20)
    with pytest.raises(UsageError, match="'shop' has 20 items: recall is measured of 500 at least"):
        quantise_catalog(settings, INT8)
    for oversampling in (0.5, -1, 1e9, float("inf"), float("nan")):
        with pytest.raises(UsageError, match=r"--oversampling \S+: give 1 to 16"):
            quantise_catalog(settings, Quantised.of_kind(Kind.INT8, oversampling))
    with pytest.raises(TargetNotFound):
        keep_whole(settings.of_catalog("none"))
    only_the_catalog(client)
    client.close()


def test_the_embedded_engine_quantises_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in ([], ["--kind", "none"], ["--measure"]):
        assert run(app, "recq-ingest", ["quantise", *options, "--data-dir", str(tmp_path)]) == 2
        said = capsys.readouterr().err
        assert said.startswith("recq-ingest: only a Qdrant server quantises: name one with --url")
        assert said.count("\n") == 1
    assert run(app, "recq-ingest", ["quantise", "--measure", "--force", "--data-dir", str(tmp_path)]) == 2
    assert "--measure switches nothing on or off" in capsys.readouterr().err

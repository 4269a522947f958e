"""From labels in a catalog to a stored space and predictions: `recq-ingest train` and `recq predict`, in a process."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import recq
from ingest.cli.main import app
from recq.errors import ModelUnavailable, TargetNotFound, UsageError
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.learn.held_out import Spread
from recq.learn.labels import LabelRules
from recq.learn.predict import predict
from recq.learn.prediction import Prediction
from recq.learn.training import SEEDS, TrainingOptions, train
from recq.learn.training_result import ranked_labels
from recq.search.many import FailedTarget
from recq.search.session import Session
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.recq.learn.drawn import DIM, drawn

SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=DIM,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of six classes: views of two items each are of one thing, and a sixth of the items has no label."""
    made = tmp_path_factory.mktemp("learn")
    examples = drawn(6, 20)
    entries = []
    for n, vector in enumerate(examples.vectors):
        metadata: dict[str, Any] = {"thing": f"t{n // 2}", "always": "same"}
        if n < 5 or 20 <= n < 25:
            metadata["few"] = examples.labels[n][0]
        if n % 6:
            kind = examples.labels[n][0]
            metadata |= {"kind": kind, "rare": f"r{n // 4}", "both": [kind, f"parity {n % 2}"], "written": f"{kind}, x"}
        facts = FileFacts("shop", f"{n:04}.png", 1, 1, f"{n:064}", "PNG", 8, 8)
        entries.append(ItemVector(Item(facts, metadata), vector))
    with own_folder(Settings(data_dir=made)) as owned:
        Catalog.create(owned.client, "images", SPACE).writes.upsert(entries)
    return made


@pytest.fixture
def session(folder: Path) -> Iterator[Session]:
    with Session(Settings(data_dir=folder)) as opened:
        yield opened


def ingest(folder: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["train", *arguments, "--data-dir", str(folder)])


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    done = ingest(folder, "--label", "kind", "--json")
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def test_training_measures_what_it_gives_and_stores_it(folder: Path, document: dict[str, Any]) -> None:
    assert (document["name"], document["items"], document["stored"]) == ("kind", 100, True)
    assert document["after"]["map"]["mean"] > document["before"]["map"]["mean"] + 0.1
    assert document["unseen"]["open_set"] is True
    assert {each["label"] for each in document["classes"]} == {f"class {n}" for n in range(6)}
    assert all(0 <= document["after"]["map"][end] <= 1 for end in ("low", "mean", "high"))
    assert document["ungrouped"] is None
    with own_folder(Settings(data_dir=folder)) as owned:
        catalog = Catalog.open(owned.client, "images")
        candidate = catalog.candidates.get("kind")
        assert catalog.candidates.names() == ["kind"]
        assert candidate.quality == {end: document[end] for end in ("before", "after")}
        assert candidate.space(catalog.space).fingerprint != catalog.space.fingerprint
        assert catalog.space == SPACE, "nothing was switched"
        with pytest.raises(TargetNotFound, match="did you mean 'kind'"):
            catalog.candidates.get("kinds")


def test_the_report_for_people(folder: Path) -> None:
    done = ingest(folder, "--label", "kind", "--group-by", "thing", "--name", "grouped")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith("kind: 100 items in 60 groups of 6 classes")
    assert any(line.strip().startswith("without --group-by") for line in lines)
    assert any("points of mAP on average" in line for line in lines)
    assert "recq similar TARGET --space grouped" in lines[-1]
    with own_folder(Settings(data_dir=folder)) as owned:
        Catalog.open(owned.client, "images").candidates.forget("grouped")


def test_the_page_has_what_json_has(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "kind.html"
    done = ingest(folder, "--label", "kind", "--name", "drawn", "--report", str(page), "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    counts = [each["labels_per_class"] for each in document["curve"]]
    assert counts == [0, 5, 10, None]
    assert document["curve"][-1]["map"] == document["after"]["map"]
    assert document["curve"][0]["map"] == document["before"]["map"]
    assert document["measured_on"] == {"items": 100, "classes": 6}
    held_out = sum(each["count"] for each in document["predicted"])
    assert held_out == sum(each["count"] for each in document["calibration"]) == SEEDS * 20
    assert document["fits"] == (1 + SEEDS) * 7 + SEEDS * 2
    text = page.read_text("utf-8")
    assert text.count("<svg") == 5
    assert f"{100 * document['after']['map']['mean']:.1f}" in text
    with own_folder(Settings(data_dir=folder)) as owned:
        Catalog.open(owned.client, "images").candidates.forget("drawn")


@pytest.mark.keras
@pytest.mark.long  # it is learned 48 times
def test_a_gated_residual_is_one_more_head(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.setattr("recq.models.keras_residual.STEPS", 40)
    done = ingest(folder, "--label", "kind", "--name", "gated", "--head", "residual", "--closed-set", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["head"].startswith("gated residual, strength")
    with own_folder(Settings(data_dir=folder)) as owned:
        candidates = Catalog.open(owned.client, "images").candidates
        assert candidates.get("gated").head.kind == "residual"
        candidates.forget("gated")


def test_without_keras_there_is_no_gated_residual(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ModelUnavailable("keras is not installed")

    monkeypatch.setattr("recq.learn.training.require_keras", missing)
    done = ingest(folder, "--label", "kind", "--head", "residual")
    assert isinstance(done.exception, ModelUnavailable)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "nothing"], "unknown field 'nothing'"),
        (["--label", "kind", "--group-by", "nothing"], "unknown field 'nothing'"),
        (["--label", "always"], "there is only the value 'same'"),
        (["--label", "few"], "none has another one of its label to find: label more of each"),
        (["--label", "few", "--holdout", "0.5", "--closed-set"], "none has another one of its label to find"),
        (["--label", "rare"], "classes have fewer than 5 items: 'r0' (3)"),
        (["--label", "kind", "--keep", "class 1"], "there is only the value 'class 1'"),
        (["--label", "kind", "--keep", "class 9"], "no embedded item has a kind"),
        (["--label", "kind", "--holdout", "0.6"], "--holdout 0.6 cannot be used: give a share from 0.05 to 0.5"),
        (["--label", "kind", "--name", "a b"], "--name 'a b' cannot be used"),
        (["--label", "kind", "--filter", "kind="], "kind="),
        (["--label", "kind", "--map", "missing.csv"], "--map missing.csv cannot be read"),
        (["--label", "kind", "--report", "kind.png"], "a report is an HTML page, name it kind.html"),
        (["--label", "kind", "--report", "nowhere/kind.html"], "there is no folder nowhere"),
        (["--label", "kind", "--method", "finetune", "--head", "residual"], "--head is for --method head"),
    ],
)
def test_what_cannot_be_learned_is_refused_in_one_line(folder: Path, arguments: list[str], message: str) -> None:
    done = ingest(folder, *arguments)
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)


def test_with_few_classes_nobody_knows_what_becomes_of_others(session: Session, folder: Path) -> None:
    rules = LabelRules(keep=frozenset({"class 1", "class 2"}))
    training = train(session, "kind", TrainingOptions("few", rules))
    assert (training.stored, training.candidate.closed_set, training.chosen.gains) == (False, True, ())
    allowed = train(session, "kind", TrainingOptions("few", rules, closed_set=True))
    assert allowed.stored
    with session.opened() as catalog:
        assert catalog.candidates.get("few").closed_set
        catalog.candidates.forget("few")
        assert catalog.candidates.names() == ["kind"]
    done = ingest(folder, "--label", "kind", "--keep", "class 1,class 2")
    assert "with 2 classes nobody can tell" in str(done.exception)
    assert "--closed-set" in str(done.exception)


def test_of_many_classes_some_are_measured_and_all_are_learned(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recq.learn.training.LARGEST_SELECTION", 50)
    training = train(session, "kind", TrainingOptions("many", closed_set=True))
    assert (training.items, training.sampled) == (100, (50, 5))
    assert len(training.candidate.classifier.classes) == len(training.candidate.calibration["scale"]) == 6
    assert len(set(training.candidate.calibration["scale"])) == 1, "one temperature"
    assert [each.after is None for each in training.classes].count(True) == 1
    with session.opened() as catalog:
        catalog.candidates.forget("many")


def test_lists_are_learned_label_by_label(session: Session) -> None:
    training = train(session, "both", TrainingOptions("both"))
    assert training.several
    assert len(training.classes) == 8
    assert training.candidate.classifier.several
    assert training.ranking is not None
    assert training.ranking.macro.low > training.ranking.base_rate.high
    split = train(session, "written", TrainingOptions("both", LabelRules(split=",", drop_small=True)))
    assert {each.label for each in split.classes} == {*(f"class {n}" for n in range(6)), "x"}
    with session.opened() as catalog:
        catalog.candidates.forget("both")


def test_labels_are_ranked_beside_chance() -> None:
    truth = np.array([[1, 0, 1], [0, 1, 1], [1, 0, 1], [0, 0, 1]], bool)  # the last label says nothing
    assert ranked_labels(truth.astype(np.float32), truth) == (1.0, (0.5 + 0.25) / 2)
    worst = ranked_labels(1 - truth.astype(np.float32), truth)
    assert worst is not None
    assert worst[0] == pytest.approx(((1 / 3 + 2 / 4) / 2 + 1 / 4) / 2)
    assert ranked_labels(np.ones((2, 1), np.float32), np.ones((2, 1), bool)) is None


@pytest.mark.usefixtures("document")
def test_predictions(session: Session) -> None:
    examples = drawn(6, 20)
    right = 0
    asked = [examples.vectors[n].astype(float) for n in range(0, 120, 6)]
    for n, found in zip(range(0, 120, 6), predict(session, _vectors(asked)), strict=True):
        assert isinstance(found, Prediction)
        assert len(found.guesses) == 3
        assert 0 <= found.guesses[2].probability <= found.guesses[0].probability <= 1
        right += found.guesses[0].label == examples.labels[n][0]
    assert right >= 13, "of 20 that had no label"
    (strange,) = predict(session, _vectors([-examples.vectors.sum(axis=0).astype(float)]))
    assert isinstance(strange, Prediction)
    assert strange.unknown
    assert strange.known is not None
    assert strange.known < 0.05


def _vectors(rows: list[np.ndarray]) -> list[Any]:
    from recq.face.targets import given_of

    return [given_of(row) for row in rows]


@pytest.mark.usefixtures("document")
def test_the_face_and_what_it_refuses(folder: Path) -> None:
    with recq.open("images", data_dir=folder) as catalog:
        found = catalog.predict(["0000.png", "nowhere.png"], top=2)
        assert isinstance(found[0], Prediction)
        assert isinstance(found[1], FailedTarget)
        assert [len(found[0].guesses), found[0].field, found[0].text] == [2, "kind", "0000.png"]
        with pytest.raises(TargetNotFound, match="no trained space 'other'"):
            catalog.predict(["0000.png"], space="other")
        with pytest.raises(UsageError, match="--top 0"):
            catalog.predict(["0000.png"], top=0)
    with recq.open("images", data_dir=folder) as catalog, catalog._session.opened() as opened:
        candidate = opened.candidates.get("kind")
        names = ["a", "b"]
        for name in names:
            opened.candidates.write(type(candidate)(**{**vars(candidate), "name": name}))
    try:
        with recq.open("images", data_dir=folder) as catalog, pytest.raises(UsageError, match="choose with --space a"):
            catalog.predict(["0000.png"])
    finally:
        with recq.open("images", data_dir=folder) as catalog, catalog._session.opened() as opened:
            for name in names:
                opened.candidates.forget(name)


def test_a_spread_is_the_interval_of_a_mean() -> None:
    spread = Spread.of([0.5, 0.6, 0.7, 0.6, 0.6])
    assert spread.mean == pytest.approx(0.6)
    assert spread.high - spread.mean == pytest.approx(
        2.776 * np.std([0.5, 0.6, 0.7, 0.6, 0.6], ddof=1) / math.sqrt(5), rel=1e-3
    )
    assert Spread.of([0.99, 1.0, 1.0, 1.0, 0.9]).high == 1.0
    assert Spread.of([0.5, 0.51]).high - 0.505 == pytest.approx(12.706 * 0.005, abs=1e-5), "two seeds tell little"
    assert SEEDS == 5

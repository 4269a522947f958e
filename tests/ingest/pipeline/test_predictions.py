"""Whatever is written, in any order: no item is left with a stale or a missing prediction, or one over people's."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ingest.events.pending import PendingPath
from ingest.events.stability import completed
from ingest.index.predictions import ItemRead, Predictions, Refreshed
from ingest.index.retrying import Retrier
from ingest.loop import Stopping
from ingest.pipeline.commit import Committer, Work, failed
from ingest.pipeline.verdict import facts
from ingest.reconcile.compare import sha256_of
from ingest.source.files import FileState, Key
from ingest.source.watched_source import WatchedSource
from recq.errors import Reason, SpaceMismatch, TargetNotFound, UsageError
from recq.index.candidates import Candidate
from recq.index.catalog import Catalog
from recq.index.edge import EdgeEngine, embedded_client
from recq.index.field_types import FieldType
from recq.index.ledger import Carried
from recq.index.schema import Item
from recq.learn.calibration import Calibration
from recq.learn.predictors import AtHand, LabelPredictor, chosen_of
from recq.models import ModelOptions, describe_space
from recq.models.embedder import Pass
from recq.models.heads import Classifier, Linear
from recq.models.imagenet import Confidence, ImageNet
from recq.settings import DEFAULT_IGNORE, Settings
from recq.space import EmbeddingSpace
from tests.asking import stored_vector

SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=4,
)  # fmt: skip
NEVER_UNKNOWN = np.linspace(-2, 1, 101, dtype=np.float32)
UP_TO_A_RIGHT_ANGLE = np.linspace(0, 1, 101, dtype=np.float32)


def trained(
    weights: float = 1.0,
    *,
    name: str = "category",
    label: str = "category",
    classes: tuple[str, ...] = ("sofa", "bed"),
    nearness: np.ndarray = NEVER_UNKNOWN,
    several: bool = False,
) -> Candidate:
    """Of the first class where the first number of a vector is the greatest, of the second for the second, and so on;
    with negative `weights` the other way about."""
    classifier = Classifier(
        classes, np.eye(4, dtype=np.float32)[: len(classes)] * weights, np.zeros(len(classes), np.float32), several
    )
    count = len(classes)
    calibration = Calibration(
        np.ones(count, np.float32), np.zeros(count, np.float32), 0.1, nearness, nearness
    ).to_json()
    head = Linear(np.eye(4, dtype=np.float32)[:, :2])
    return Candidate(name, label, head, classifier, SPACE.fingerprint, "2026-01-01", calibration=calibration)


class Stage:
    """A catalog with a committer and predictions, and the folder that it is of."""

    def __init__(self, root: Path, engine: EdgeEngine) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.catalog = Catalog.create(embedded_client(engine), "images", SPACE)
        self.watched = WatchedSource(
            "s",
            root,
            table_path=None,
            types=self.catalog.fields.types,
            say=lambda path, message: None,
            ignore=DEFAULT_IGNORE,
        )
        self.stop = threading.Event()
        retrier = Retrier(self.stop, give_up_after=1, waiting=lambda _: None, recovered=lambda: None)
        self.predictions = Predictions(self.catalog, Settings(), retrier, self.stop)
        self.committer = Committer(
            self.catalog, retrier, {"s": self.watched}, self.catalog.ledger, predictions=self.predictions
        )
        self.pictures = 0
        self.unread: list[str] = []

    def train(self, candidate: Candidate, *asked: str) -> None:
        self.catalog.candidates.write(candidate)
        self.catalog.predicting.choose(chosen_of(self.catalog, asked or [candidate.label], Settings()))

    def compare(self) -> list[Refreshed]:
        self.predictions.reload()
        return self.predictions.refresh("s", lambda items: self.unread.extend(each.file.path for each in items))

    def put(self, path: str, vector: Sequence[float], *, broken: bool = False, read: Pass | None = None) -> None:
        """Another picture at that path, and in the index."""
        self.pictures += 1
        (self.root / path).write_bytes(b"picture %d" % self.pictures)
        self.write(path, None if broken else vector, read=read)

    def write(
        self, path: str, vector: Sequence[float] | None, *, carried: bool = False, read: Pass | None = None
    ) -> None:
        key = Key("s", path)
        state = FileState.of((self.root / path).stat())
        file = replace(facts(key, state), sha256=sha256_of(self.root, path))
        error = failed(Reason.CORRUPT, "", 1) if vector is None else None
        made = None if vector is None else np.asarray(vector, np.float32)
        known = self.catalog.lookups.get(file.id) is not None
        entry = PendingPath(key, completed(state, 0.0), fresh=True)
        written = self.committer.write([Work(entry, Item(file, error=error), made, state, carried, known, read=read)])
        self.committer.reduce(written.losing)

    def say(self, path: str, label: str | None, *, more: int = 0) -> None:
        """People give the picture a label in a sidecar, or take it away, and say something else of it as well."""
        said = {"more": more} if label is None else {"more": more, "category": label}
        (self.root / f"{path}.json").write_text(json.dumps(said))
        self.describe(path)

    def patch(self, rows: dict[str, str]) -> None:
        """People drop a patch, or another one in its place."""
        lines = "".join(f"{path},{label}\n" for path, label in rows.items())
        (self.root / "metadata.fix.csv").write_text(f"file,category\n{lines}")
        self.watched.note_patch("metadata.fix.csv")
        self.watched.load_tables()
        for path in self.items():
            self.describe(path)

    def describe(self, path: str) -> None:
        known = self.catalog.ledger.known([facts(Key("s", path), None).id])
        replaced = self.committer.replace([(Key("s", path), item) for item in known.values()])
        self.committer.reduce(replaced.losing)

    def items(self) -> dict[str, Item]:
        ids = [item.id for item in self.catalog.ledger.scan("s")]
        return {item.file.path: item for item in self.catalog.ledger.get_many(ids).values()}

    def move(self, old: str, new: str) -> None:
        item = self.items()[old]
        vector = stored_vector(self.catalog, item.id)
        (self.root / old).rename(self.root / new)
        if (sidecar := self.root / f"{old}.json").exists():
            sidecar.rename(self.root / f"{new}.json")
        self.write(new, None if vector is None else vector.tolist(), carried=True)
        self.catalog.writes.delete([item.id])


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    engine = EdgeEngine(tmp_path / "edge")
    yield Stage(tmp_path / "root", engine)
    engine.close()


A, B, C, D = np.eye(4).tolist()


def predicted(stage: Stage, field: str = "category") -> dict[str, object]:
    """The label of each item that has a prediction; None where it is unknown."""
    return {path: item.predicted[field].label for path, item in stage.items().items() if field in item.predicted}


def test_what_is_there_is_predicted_after_a_comparison_and_what_comes_at_once(stage: Stage) -> None:
    stage.put("a.jpg", A)
    stage.put("labelled.jpg", A)
    stage.say("labelled.jpg", "sofa")
    stage.put("broken.jpg", A, broken=True)
    stage.train(trained())
    assert predicted(stage) == {}
    assert stage.compare() == [Refreshed("category", items=1)]
    assert stage.compare() == []
    stage.put("b.jpg", B)
    assert predicted(stage) == {"a.jpg": "sofa", "b.jpg": "bed"}
    item = stage.items()["b.jpg"]
    (sure,) = item.predicted["category"].confidences
    assert sure == pytest.approx(np.e / (1 + np.e), abs=1e-4)
    assert stage.catalog.items.count(["predicted.category=bed"]) == 1
    assert stage.catalog.items.count(["predicted.category~BED"]) == 1


def test_what_is_like_nothing_that_has_a_label_is_unknown(stage: Stage) -> None:
    stage.put("labelled.jpg", A)
    stage.say("labelled.jpg", "sofa")
    stage.train(trained(nearness=UP_TO_A_RIGHT_ANGLE))
    stage.compare()
    stage.put("like.jpg", [1, 0.2, 0, 0])
    stage.put("unlike.jpg", [-1, 0.1, 0, 0])
    assert predicted(stage) == {"like.jpg": "sofa", "unlike.jpg": None}
    assert stage.catalog.items.count(["predicted.category.unknown=true"]) == 1
    assert stage.catalog.items.count(["has:predicted.category"]) == 1


def test_a_copy_of_a_labelled_picture_does_not_vouch_for_itself(stage: Stage) -> None:
    stage.put("labelled.jpg", A)
    stage.say("labelled.jpg", "sofa")
    stage.train(trained(nearness=UP_TO_A_RIGHT_ANGLE))
    stage.compare()
    (stage.root / "copy.jpg").write_bytes((stage.root / "labelled.jpg").read_bytes())
    stage.write("copy.jpg", A, carried=True)
    assert predicted(stage) == {"copy.jpg": None}  # there is no other labelled picture that it could be like


def test_people_are_always_right(stage: Stage) -> None:
    stage.train(trained())
    stage.compare()
    stage.put("a.jpg", A)
    stage.say("a.jpg", "bed")
    assert predicted(stage) == {}
    stage.say("a.jpg", None)
    assert predicted(stage) == {"a.jpg": "sofa"}
    stage.patch({"a.jpg": "chair"})
    assert predicted(stage) == {}
    assert stage.items()["a.jpg"].metadata["category"] == "chair"


def test_labels_have_the_type_of_their_field(stage: Stage) -> None:
    stage.catalog.fields.declare({"year": FieldType.INTEGER, "new": FieldType.BOOL, "kind": FieldType.INTEGER})
    for name, classes in {"year": ("2023", "2024"), "new": ("false", "true"), "kind": ("old", "young")}.items():
        stage.catalog.candidates.write(trained(name=name, label=name, classes=classes))
    stage.catalog.predicting.choose(chosen_of(stage.catalog, ["year", "new", "kind"], Settings()))
    stage.compare()
    stage.put("b.jpg", B)
    assert [predicted(stage, name)["b.jpg"] for name in ("year", "new", "kind")] == [2024, True, "young"]
    for filter_ in ("predicted.year>2023", "predicted.new=true", "predicted.kind=young"):
        assert stage.catalog.items.count([filter_]) == 1


def test_of_several_labels_all_that_are_likely_are_predicted(stage: Stage) -> None:
    stage.train(trained(8.0, classes=("red", "soft", "old"), several=True))
    stage.compare()
    stage.put("two.jpg", [1, 1, -1, 0])
    stage.put("none.jpg", [-1, -0.5, -1, 0])
    assert predicted(stage) == {"two.jpg": ["red", "soft"], "none.jpg": ["soft"]}
    sure = stage.items()["none.jpg"].predicted["category"].confidences
    assert len(sure) == 1
    assert sure[0] < 0.5
    assert stage.catalog.items.count(["predicted.category=soft", "predicted.category.confidence>=0.9"]) == 1


def test_another_training_makes_all_anew_from_the_vectors_alone(stage: Stage) -> None:
    for name, vector in {"a.jpg": A, "b.jpg": B}.items():
        stage.put(name, vector)
    stage.train(trained())
    stage.compare()
    stage.train(replace(trained(), made_at="2026-02-02"))  # on the same labels
    assert stage.compare() == []
    for path in stage.root.iterdir():
        path.unlink()  # no picture is read
    stage.train(trained(-1.0))
    assert stage.compare() == [Refreshed("category", items=2)]
    assert predicted(stage) == {"a.jpg": "bed", "b.jpg": "sofa"}


def test_what_is_not_predicted_any_more_goes_with_its_indexes(stage: Stage) -> None:
    stage.put("a.jpg", A)
    stage.train(trained())
    stage.compare()
    stage.catalog.predicting.choose({})
    assert stage.compare() == [Refreshed("category", removed=1)]
    assert predicted(stage) == {}
    assert not [name for name in stage.catalog.fields.types(refresh=True) if name.startswith("predicted")]


def test_a_space_that_has_gone_predicts_nothing_and_says_so(stage: Stage) -> None:
    stage.put("a.jpg", A)
    stage.train(trained())
    stage.compare()
    stage.catalog.candidates.forget("category")
    assert list(stage.predictions.reload()) == ["category"]
    assert "recq-ingest train" in stage.predictions.reload()["category"]
    stage.compare()
    assert predicted(stage) == {}


def test_a_label_that_comes_while_its_prediction_is_made_wins(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a picture that is embedded again meanwhile keeps what is said of its new vector."""
    stage.put("a.jpg", A)
    stage.put("b.jpg", B)
    stage.train(trained())
    original = LabelPredictor.predictions
    meanwhile: list[Callable[[], None]] = [
        lambda: stage.say("a.jpg", "chair"),
        lambda: stage.put("b.jpg", A),
    ]

    def predictions(self: LabelPredictor, catalog: Catalog, items: Sequence[AtHand]) -> object:
        found = original(self, catalog, items)
        while meanwhile:
            meanwhile.pop()()
        return found

    monkeypatch.setattr(LabelPredictor, "predictions", predictions)
    stage.compare()
    assert predicted(stage) == {"b.jpg": "sofa"}
    assert stage.items()["a.jpg"].metadata["category"] == "chair"


def test_a_stop_ends_a_refresh(stage: Stage) -> None:
    stage.put("a.jpg", A)
    stage.train(trained())
    stage.predictions.reload()
    stage.stop.set()
    with pytest.raises(Stopping):
        stage.predictions.refresh("s", lambda items: stage.unread.extend(each.file.path for each in items))


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        (
            "colour",
            TargetNotFound,
            r"no space that was trained on 'colour': 'recq-ingest train --label colour --catalog images' makes",
        ),
        ("title", UsageError, r"several spaces were trained on it \(one, two\): choose with --predict title=one"),
        ("title=category", UsageError, r"was learned of 'category', not of 'title'"),
        ("title=three", TargetNotFound, "no trained space 'three'"),
        ("file.source", UsageError, "is no metadata"),
        ("a.unknown", UsageError, r"its name ends in \.unknown"),
    ],
)
def test_what_cannot_be_predicted_is_refused(stage: Stage, asked: str, error: type[Exception], told: str) -> None:
    for name, label in {"category": "category", "other": "category", "one": "title", "two": "title"}.items():
        stage.catalog.candidates.write(trained(name=name, label=label))
    with pytest.raises(error, match=told):
        chosen_of(stage.catalog, [asked], Settings())
    assert chosen_of(stage.catalog, ["category", "title=two"], Settings()) == {"category": "category", "title": "two"}


def test_imagenets_classes_need_a_network_that_has_a_classifier_of_them(stage: Stage) -> None:
    with pytest.raises(SpaceMismatch, match=r"has no classifier of .*'recq predict TARGET --space imagenet") as told:
        chosen_of(stage.catalog, ["imagenet"], Settings())
    assert SpaceMismatch.exit_code == 5
    assert "\n" not in str(told.value)
    shipped = describe_space(ModelOptions("mobilenet_v2"), Settings())
    assert chosen_of(stage.catalog, ["imagenet"], Settings(), shipped) == {"imagenet": "imagenet"}
    with pytest.raises(SpaceMismatch):
        chosen_of(stage.catalog, ["imagenet"], Settings(), replace(shipped, size=160))
    stage.catalog.candidates.write(trained(name="own", label="imagenet"))  # people may have such a field
    assert chosen_of(stage.catalog, ["imagenet=own"], Settings()) == {"imagenet": "own"}


# -- what needs the picture -------------------------------------------------------------------------------------------


class Naming(ImageNet):
    """Calls a picture by the greatest of its first three means, of which it is sure from 0.9 on."""

    by = "first"

    @property
    def fingerprint(self) -> str:
        return self.by

    @property
    def names(self) -> tuple[str, ...]:
        return ("shoe store", "running shoe", "tent")

    def probabilities(self, means: np.ndarray) -> np.ndarray:
        return means[:, :3]


@pytest.fixture
def naming(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Naming:
    """ImageNet's classes for the stage's network."""
    made = Naming(SPACE, Confidence(1.0, 0.9))
    monkeypatch.setattr("recq.learn.predictors.of_one_pass", lambda _settings, _space: made)
    stage.catalog.predicting.choose(chosen_of(stage.catalog, ["imagenet"], Settings()))
    return made


def seen(*means: float, vector: Sequence[float] = A) -> Pass:
    """What the network gives of a picture with these means."""
    made = np.asarray(vector, np.float32)
    return Pass(made, made, np.asarray(means, np.float32))


def read_again(stage: Stage, passes: dict[str, Pass]) -> list[Refreshed]:
    """As the pipeline does with what `compare` has handed over."""
    known = {item.file.path: item for item in stage.catalog.ledger.scan("s")}
    return stage.predictions.read_again([ItemRead(known[path], each.vector, each) for path, each in passes.items()])


def test_a_new_picture_is_named_by_the_pass_that_gave_its_vector(stage: Stage, naming: Naming) -> None:
    stage.compare()
    assert stage.predictions.reads_pictures
    stage.put("sure.jpg", A, read=seen(0.05, 0.95, 0))
    stage.put("unsure.jpg", B, read=seen(0.3, 0.3, 0.4, vector=B))
    assert predicted(stage, "imagenet") == {"sure.jpg": "running shoe", "unsure.jpg": None}
    assert stage.items()["sure.jpg"].predicted["imagenet"].confidences == (0.95,)
    assert stage.catalog.items.count(["predicted.imagenet~shoe"]) == 1
    assert stage.catalog.items.count(["predicted.imagenet.unknown=true"]) == 1
    stage.say("sure.jpg", "sofa")  # metadata that is replaced
    stage.move("sure.jpg", "moved.jpg")
    assert predicted(stage, "imagenet") == {"moved.jpg": "running shoe", "unsure.jpg": None}
    assert stage.compare() == []
    assert stage.unread == []


def test_what_was_there_is_read_again_once_and_goes_on_where_it_stopped(stage: Stage, naming: Naming) -> None:
    for number, name in enumerate("abc"):
        stage.put(f"{name}.jpg", np.eye(4)[number].tolist())
    stage.put("broken.jpg", A, broken=True)
    assert stage.compare() == []
    assert sorted(stage.unread) == ["a.jpg", "b.jpg", "c.jpg"]
    assert read_again(stage, {"a.jpg": seen(0, 1, 0), "b.jpg": seen(0, 0, 0.5, vector=B)}) == [
        Refreshed("imagenet", items=2, unknown=1)
    ]
    stage.unread.clear()
    stage.compare()
    assert stage.unread == ["c.jpg"]
    assert stage.predictions.carried({"x": Carried(np.zeros(4, np.float32), 0)}) == {}, "its picture is read"
    digest = stage.items()["a.jpg"].file.sha256
    assert digest is not None
    assert stage.predictions.carried({digest: Carried(np.zeros(4, np.float32), 0)}).keys() == {digest}


def test_what_changed_or_was_labelled_while_it_was_read_stays(stage: Stage, naming: Naming) -> None:
    stage.put("a.jpg", A)
    stage.put("b.jpg", B)
    stage.compare()
    old = {item.file.path: item for item in stage.catalog.ledger.scan("s")}
    stage.put("a.jpg", C, read=seen(0, 0, 1, vector=C))
    (stage.root / "b.jpg.json").write_text(json.dumps({"imagenet": "mine"}))
    stage.describe("b.jpg")
    entries = [ItemRead(item, np.asarray(A, np.float32), seen(0, 1, 0)) for item in old.values()]
    assert stage.predictions.read_again(entries) == [Refreshed("imagenet")]
    assert predicted(stage, "imagenet") == {"a.jpg": "tent"}


def test_another_classifier_has_all_pictures_read_again(stage: Stage, naming: Naming) -> None:
    stage.compare()
    stage.put("a.jpg", A, read=seen(0, 1, 0))
    Naming.by = "second"
    try:
        assert stage.compare() == []
        assert stage.unread == ["a.jpg"]
        assert predicted(stage, "imagenet") == {"a.jpg": "running shoe"}, "until it has been read"
        read_again(stage, {"a.jpg": seen(1, 0, 0)})
        assert predicted(stage, "imagenet") == {"a.jpg": "shoe store"}
    finally:
        Naming.by = "first"
    stage.catalog.predicting.choose({})
    assert stage.compare() == [Refreshed("imagenet", removed=1)]
    assert not stage.predictions.reads_pictures


# -- any sequence -----------------------------------------------------------------------------------------------------

PATHS = st.sampled_from(["a.jpg", "b.jpg", "c.jpg"])
VECTORS = st.sampled_from([A, B, C, [0.6, 0.8, 0, 0]])
LABELS = st.sampled_from([None, "sofa", "bed"])


class Writes(RuleBasedStateMachine):
    """Pictures, labels, patches, moves and trainings in any order; the invariant holds after each step."""

    def __init__(self, folder: Path, engine: EdgeEngine) -> None:
        super().__init__()
        self.stage = Stage(Path(tempfile.mkdtemp(dir=folder)), engine)
        self.stage.train(trained())
        self.stage.compare()
        self.noticed = True
        self.more = 0
        for path, vector in {"a.jpg": A, "b.jpg": B}.items():
            self.stage.put(path, vector)
        self.say("b.jpg", "bed")

    def teardown(self) -> None:
        self.stage.catalog.writes.delete([item.id for item in self.stage.items().values()])

    @rule(path=PATHS, vector=VECTORS, broken=st.sampled_from([False, False, False, True]))
    def put(self, path: str, vector: list[float], broken: bool) -> None:
        self.stage.put(path, vector, broken=broken)

    @rule(path=PATHS, label=LABELS)
    def say(self, path: str, label: str | None) -> None:
        self.more += 1
        self.stage.say(path, label, more=self.more)

    @rule(rows=st.dictionaries(PATHS, st.sampled_from(["sofa", "bed"]), max_size=2))
    def patch(self, rows: dict[str, str]) -> None:
        self.stage.patch(rows)

    @rule(old=PATHS, new=PATHS)
    def move(self, old: str, new: str) -> None:
        items = self.stage.items()
        if old in items and new not in items:
            self.stage.move(old, new)

    @rule(weights=st.sampled_from([1.0, -1.0, 2.0]))
    def retrain(self, weights: float) -> None:
        self.stage.train(trained(weights))
        self.noticed = False

    @rule()
    def compare(self) -> None:
        self.stage.compare()
        self.noticed = True
        assert self.stage.compare() == []

    @invariant()
    def each_item_has_what_it_should(self) -> None:
        predictor = LabelPredictor(self.stage.catalog.candidates.get("category"))
        for path, item in self.stage.items().items():
            found = item.predicted.get("category")
            if item.error is not None or "category" in item.metadata:
                assert found is None, path
                continue
            assert found is not None, path
            if not self.noticed:  # it is another predictor's until the next comparison
                continue
            assert found.by == predictor.fingerprint, path
            vector = stored_vector(self.stage.catalog, item.id)
            assert vector is not None
            scores = predictor.candidate.classifier.scores(vector[None])[0]
            best = predictor.candidate.classifier.classes[int(np.argmax(scores))]
            assert found.label == best or np.ptp(scores) < 1e-6, path


def test_any_sequence(tmp_path: Path) -> None:
    engine = EdgeEngine(tmp_path / "edge")  # one for all: making its indexes takes most of the time
    few = settings(max_examples=8, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck))
    try:
        run_state_machine_as_test(cast("Any", lambda: Writes(tmp_path, engine)), settings=few)
    finally:
        engine.close()

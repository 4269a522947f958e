"""`recq-ingest train --method finetune`: killed and begun again it equals a training that was never interrupted."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ingest.cli.main import app
from recq.errors import ModelUnavailable, UsageError
from recq.images.indexed_files import Unread
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.learn.checkpoint import Checkpoint, remove_remainders, remove_states
from recq.learn.epochs import PATIENCE, Epoch, Part, best_of, finished, planned
from recq.learn.examples import with_views
from recq.learn.finetune import finetune, tasks_without_classes
from recq.learn.network_trainings import positive_weights
from recq.models.embedder import open_embedder
from recq.models.zoo import describe_space
from recq.search.session import Session
from recq.settings import Settings
from tests.packs import ROOT, pack
from tests.recq.learn.drawn import drawn
from tests.recq.learn.killed import OPTIONS, trained

SIDE = 8
SUBSET = 10  # pictures of each class


def indexed(data: Path, folder: Path, labelled: list[tuple[str, str]]) -> None:
    """A catalog of those files of a folder, in the space of raw pixels; their vectors say nothing."""
    space = describe_space(f"pixels:{SIDE}", Settings(data_dir=data))
    drawn = np.random.default_rng(5).standard_normal((len(labelled), space.dim)).astype(np.float32)
    with own_folder(Settings(data_dir=data)) as owned:
        catalog = Catalog.create(owned.client, "images", space)
        source = catalog.sources.register(folder)
        entries: list[ItemVector] = []
        for (path, label), vector in zip(labelled, drawn, strict=True):
            file = folder / path
            state, digest = file.stat(), hashlib.sha256(file.read_bytes()).hexdigest()
            facts = FileFacts(source, path, state.st_size, state.st_mtime_ns, digest, "JPEG", 320, 240)
            tags: list[bool | int | float | str] = [label, f"half {len(entries) % 2}"]
            item = Item(facts, {"category": label, "tags": tags, "always": "same"})
            entries.append(ItemVector(item, vector / np.linalg.norm(vector)))
        catalog.writes.upsert(entries)


@pytest.fixture(scope="module")
def clothes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a catalog of ten classes of clothing."""
    folder = pack("demo_catalog").resolve()
    found = [
        (str(file.relative_to(folder)), kind.name)
        for kind in sorted(each for each in folder.iterdir() if each.is_dir())
        for file in sorted(kind.glob("*.jpg"))[:SUBSET]
    ]
    data = tmp_path_factory.mktemp("clothes")
    indexed(data, folder, found)
    return data


def weights_of(file: str) -> bytes:
    """Every weight of a stored network, its labels' as well."""
    with zipfile.ZipFile(file) as archive:
        return archive.read("model.weights.h5")


@pytest.mark.keras
@pytest.mark.packs
def test_killed_and_begun_again_equals_never_interrupted(
    clothes: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    interrupted, cache = tmp_path / "interrupted", tmp_path / "cache"
    shutil.copytree(clothes, interrupted)
    words = [sys.executable, "-m", "tests.recq.learn.killed", str(interrupted), str(clothes), str(cache)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr[-1_000:]
    resumed, whole, lists = map(json.loads, done.stdout.splitlines())
    assert (resumed["resumed_after"], whole["resumed_after"]) == (2 + 1, 0)
    holdout, unseen, last = whole["trainings"]
    assert [each["part"] for each in holdout["epochs"]] == ["whole", "whole"]
    assert resumed["exact"] == whole["exact"], "the losses, to the last bit"
    assert weights_of(resumed["file"]) == weights_of(whole["file"]), "every weight, to the last bit"

    del resumed["took_s"], whole["took_s"]
    assert resumed.pop("file") != whole.pop("file")
    assert resumed.pop("resumed_after") != whole.pop("resumed_after")
    assert resumed == whole
    assert not list(interrupted.glob("trained/*/*.npz*"))
    assert resumed["classes"] == whole["classes"]

    # What is measured was not seen; what is kept has seen everything.
    assert [each["name"] for each in (holdout, unseen, last)] == ["holdout-0", "unseen-0", "all"]
    assert last["learned"] == whole["items"] > max(holdout["learned"], unseen["learned"])
    assert (last["best_epoch"], len(last["epochs"])) == (holdout["best_epoch"],) * 2
    assert {each["validation_loss"] for each in last["epochs"]} == {None}
    (split,) = whole["unseen"]["splits"]
    assert len(split["classes"]) == 2
    assert whole["unseen"]["mean_gain"] == pytest.approx(split["after"] - split["before"], abs=2e-4)

    # Lists: the first holdout's network is kept.
    assert lists["several_labels"]
    assert [each["name"] for each in lists["trainings"]] == ["holdout-1", "labels-5", "holdout-0"]
    assert [each["learned"] < lists["trainings"][-1]["learned"] for each in lists["trainings"]] == [False, True, False]
    assert [each["labels_per_class"] for each in lists["curve"]] == [0, 5, None]
    assert all(each["map"]["low"] <= each["map"]["mean"] <= each["map"]["high"] for each in lists["curve"])
    assert whole["curve"] == []
    assert lists["ranking"]["base_rate"]["mean"] == pytest.approx((10 * 0.1 + 2 * 0.5) / 12, abs=0.01)
    assert 0 < lists["ranking"]["macro_ap"]["mean"] < 1
    assert (lists["predicted"], len(lists["label_precisions"])) == ([], 12)

    # Which classes the items held out were taken for, and how far probabilities can be believed.
    assert sum(each["count"] for each in whole["predicted"]) == whole["held_out"]
    assert sum(each["count"] for each in whole["calibration"]) == whole["held_out"]
    assert (0 <= whole["calibration_error"]["mean"] <= 1, whole["label_precisions"]) == (True, [])
    assert lists["after"]["map"]["low"] < lists["after"]["map"]["mean"] < lists["after"]["map"]["high"]

    assert (whole["items"], whole["held_out"], len(whole["classes"])) == (10 * SUBSET, 2 * SUBSET, 10)
    assert whole["after"]["map"]["low"] <= whole["after"]["map"]["mean"] <= whole["after"]["map"]["high"]
    record_property("mAP", whole["after"]["map"]["mean"])
    settings = Settings(data_dir=clothes, cache_dir=cache)
    with Session(settings) as session, session.opened() as catalog:
        assert catalog.space.model == f"pixels:{SIDE}", "nothing was switched"
    space = describe_space("trained:category", settings)
    assert (space.weights, space.layer, space.resize, space.size) == (whole["weights"], "embedding", "stretch", 32)
    with open_embedder(space, settings) as embedder:
        vector = embedder.submit(np.full((32, 32, 3), 90, np.uint8)).result()
    assert vector.shape == (space.dim,)


@pytest.mark.keras
def test_the_network_of_a_catalog_is_trained_from_the_top(tmp_path: Path) -> None:
    """Half-precision weights, as an archive may have them; its batch normalisation stays as it was learned."""
    from recq.models.keras_build import keras_package
    from recq.models.keras_finetune import FineTuner

    keras = keras_package()
    layers = keras.layers
    half = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Rescaling(1 / 255, dtype="float16"),
            layers.Conv2D(4, 3, dtype="float16", name="low"),
            layers.BatchNormalization(dtype="float16"),
            layers.Conv2D(6, 3, activation="relu", dtype="float16", name="high"),
        ]
    )
    half.save(tmp_path / "half.keras")
    drawn = np.random.default_rng(1)
    pixels = drawn.integers(0, 256, (20, 16, 16, 3)).astype(np.uint8)
    targets = np.eye(2, dtype=np.float32)[np.arange(20) % 2]
    rows = np.arange(20)

    def tuner() -> Any:
        return FineTuner(tmp_path / "half.keras", 16, np.ones(2, np.float32), several=True, seed=0)

    one = tuner()
    assert {array.dtype for array in one.weights()} == {np.dtype(np.float32)}
    start = one.weights()
    one.begin("head")
    assert all(np.isfinite(loss) for loss in one.epoch(0, pixels, targets, rows))
    below = 2 + 4 + 2  # a convolution, a normalisation, a convolution
    head = one.weights()
    assert [np.array_equal(a, b) for a, b in zip(start, head, strict=True)] == [True] * below + [False] * 4
    one.begin("top")
    list(one.epoch(1, pixels, targets, rows))
    top = one.weights()
    changed = [not np.array_equal(a, b) for a, b in zip(head, top, strict=True)]
    assert changed[:6] == [False] * 6
    assert changed[6:] == [True] * 6
    state = one.arrays()
    expected = list(one.epoch(2, pixels, targets, rows))

    other = tuner()
    other.begin("top")
    other.restore(state)
    assert list(other.epoch(2, pixels, targets, rows)) == expected
    assert other.loss(pixels, targets, rows) == one.loss(pixels, targets, rows)

    vectors, scores = one.answers(pixels, rows)
    scale, offset = np.array([0.5, 2.0], np.float32), np.array([0.25, 0.0], np.float32)
    one.calibrate(scale, offset)
    kept, calibrated = one.answers(pixels, rows)
    assert np.array_equal(kept, vectors), "the embedding stays"
    assert np.allclose(calibrated, scores * scale + offset, atol=1e-5)
    one.save(tmp_path / "kept.keras")
    told = keras.models.load_model(tmp_path / "kept.keras", compile=False).predict_on_batch(pixels)
    assert np.allclose(told, 1 / (1 + np.exp(-calibrated)), atol=1e-5), "whoever opens the file gets these"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "nothing"], "unknown field 'nothing'"),
        (["--label", "always"], "there is only the value 'same'"),
        (["--label", "category", "--epochs", "0"], "--epochs 0 cannot be used"),
        (["--label", "category", "--holdout", "0.9"], "--holdout 0.9 cannot be used"),
        (["--label", "category", "--seeds", "0"], "--seeds 0 cannot be used"),
        (["--label", "category", "--unseen", "-1"], "--unseen -1 cannot be used"),
        (["--label", "category", "--closed-set"], "--closed-set is for --method head"),
        (["--label", "category", "--preprocess", "unit"], "--preprocess is for a network from scratch"),
        (["--label", "category"], "pixels:8 is no network to start from: use --from scratch"),
        (["--label", "category", "--from", "scratch", "--size", "8"], "--size 8 cannot be used"),
        (["--label", "category", "--name", "a b"], "--name 'a b' cannot be used"),
        (["--label", "category", "--method", "head", "--epochs", "3"], "--epochs is for --method finetune"),
        (["--label", "category", "--method", "head", "--seeds", "3"], "--seeds is for --method finetune"),
        (["--label", "category", "--method", "head", "--no-fit-all"], "--no-fit-all is for --method finetune"),
        (["--label", "category", "--method", "head", "--resize", "pad"], "--resize is for --method finetune"),
    ],
)
@pytest.mark.keras
@pytest.mark.packs
def test_what_cannot_be_trained_is_refused_in_one_line(clothes: Path, arguments: list[str], message: str) -> None:
    method = [] if "--method" in arguments else ["--method", "finetune"]
    done = CliRunner().invoke(app, ["train", *method, *arguments, "--data-dir", str(clothes)])
    assert isinstance(done.exception, UsageError | ModelUnavailable), done.output
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)


@pytest.mark.keras
def test_pictures_that_are_gone(tmp_path: Path) -> None:
    """None left is refused, as is a class of which too few are; and it is said why there are so few."""
    files = sorted((ROOT / "samples").glob("*.jpg"))[:12]
    folder = tmp_path / "photos"
    folder.mkdir()
    for file in files:
        shutil.copy(file, folder)
    labelled = [(file.name, f"class {n % 2}") for n, file in enumerate(files)]
    indexed(tmp_path / "data", folder, labelled)
    for n in (0, 2):
        (folder / files[n].name).unlink()
    (folder / files[4].name).write_bytes(files[5].read_bytes())
    with pytest.raises(UsageError) as few:
        trained(str(tmp_path / "data"), str(tmp_path / "cache"))
    assert "a class has fewer than 5 items: 'class 0' (3)" in str(few.value)
    assert f"of 12 pictures, 2 {Unread.GONE}, 1 {Unread.CHANGED}" in str(few.value)
    shutil.rmtree(folder)
    with pytest.raises(UsageError, match=r"none of the pictures can be read here \(12 not on this machine"):
        trained(str(tmp_path / "data"), str(tmp_path / "cache"))


@pytest.mark.keras
@pytest.mark.packs
def test_one_process_trains_a_name(clothes: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    folder = clothes / "trained" / "taken"
    folder.mkdir(parents=True)
    with (
        FileLock(folder / "training.lock"),
        Session(Settings(data_dir=clothes)) as session,
        pytest.raises(UsageError, match="another process trains 'taken': wait for it, or give another --name"),
    ):
        finetune(session, "category", replace(OPTIONS, name="taken"))


def losses(*validation: float, part: Part = "top") -> list[Epoch]:
    return [Epoch(part, 1.0, each) for each in validation]


def test_what_each_epoch_changes_and_when_there_is_none_left() -> None:
    assert planned(3, scratch=True) == ("whole",) * 3
    assert planned(1, scratch=False) == ("head",)
    assert planned(8, scratch=False) == ("head",) * 2 + ("top",) * 6
    plan = planned(8, scratch=False)
    head = losses(3.0, 2.0, part="head")
    assert best_of([*head, *losses(1.0, 1.0)]) == 2
    assert not finished(head, plan)
    assert not finished([*head, *losses(1.0, *[1.5] * (PATIENCE - 1))], plan)
    assert finished([*head, *losses(1.0, *[1.5] * PATIENCE)], plan)
    assert not finished([*head, *losses(*[2.5] * PATIENCE)], plan), "the new part has not had its time"
    assert finished([*head, *losses(*[2.5] * (PATIENCE + 1))], plan)
    assert finished([*head, *losses(*[1 / n for n in range(2, 8)])], plan)
    without = [Epoch("whole", loss, None) for loss in (0.1, 0.5, 0.4, 0.6, 0.7)]
    assert best_of(without) == 4, "nothing says that an earlier one was better"
    assert not finished(without, planned(6, scratch=True))
    assert finished(without, planned(5, scratch=True))


def test_classes_are_left_out_with_all_that_belongs_to_their_items() -> None:
    examples = drawn(8, 10)
    groups = examples.groups.copy()
    groups[:75] = np.arange(75) % 75
    groups[79] = groups[0]  # an item of class 7 is a view of one of class 0
    examples = replace(examples, groups=groups)
    plan = planned(2, scratch=True)
    tasks = tasks_without_classes(examples, "kind", 5, plan)
    left_out = [set(examples.classes) - set(task.classes) for task in tasks]
    assert [len(each) for each in left_out] == [2] * 4
    assert set.union(*left_out) == set(examples.classes)
    for task, classes in zip(tasks, left_out, strict=True):
        assert task.validation is not None
        used = [*task.learned.tolist(), *task.validation.tolist()]
        assert classes.isdisjoint(label for row in used for label in examples.labels[row])
        assert not set(groups[used].tolist()) & {
            int(groups[row]) for row, each in enumerate(examples.labels) if classes & {*each}
        }
        assert len(task.asked) == len(examples)
    assert len(tasks_without_classes(examples, "kind", 1, plan)) == 1
    assert tasks_without_classes(examples, "kind", 0, plan) == []
    with pytest.raises(UsageError, match="kind: of 3 classes none can be left out"):
        tasks_without_classes(drawn(3, 10), "kind", 1, plan)


def test_rare_labels_count_for_more() -> None:
    one = np.eye(3, dtype=np.float32)[[0, 0, 0, 0, 1, 2]]
    weights = positive_weights(one, several=False)
    assert weights[1] == weights[2] == 4 * weights[0]
    assert (one @ weights).mean() == pytest.approx(1)
    several = np.array([[1, 0], [1, 1], [1, 0], [0, 0]], np.float32)
    assert positive_weights(several, several=True).tolist() == pytest.approx([1 / 3, 3])
    everybody = np.ones((4, 1), np.float32)
    assert positive_weights(everybody, several=True)[0] > 0


def test_a_checkpoint_of_another_training_or_a_torn_one_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    mine = Checkpoint(path, "mine")
    assert mine.read() is None
    arrays: dict[str, list[np.ndarray]] = {
        "best": [np.arange(n, dtype=np.float32) for n in range(12)],
        "network": [np.ones(3, np.int64)],
    }
    mine.write([{"loss": 0.1}], arrays)
    notes, found = mine.read() or (None, {})
    assert notes == [{"loss": 0.1}]
    assert [each.tolist() for each in found["best"]] == [each.tolist() for each in arrays["best"]]
    assert found["network"][0].dtype == np.int64
    assert Checkpoint(path, "another").read() is None
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.npz"]
    assert path.stat().st_mode & 0o077 == 0
    for n in range(2):  # what processes leave that are killed while they write
        (tmp_path / f"checkpoint.npz.{n}").touch()
    remove_remainders(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.npz"]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert mine.read() is None
    (tmp_path / "model.keras").touch()
    remove_states(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["model.keras"]


def test_a_trained_network_does_not_tell_views_from_things_of_one_label() -> None:
    examples = drawn(3, 6)
    alike = replace(examples, vectors=np.repeat(examples.vectors[::6], 6, axis=0))
    space = describe_space(f"pixels:{SIDE}", Settings())
    assert len(set(with_views(alike, space).groups.tolist())) == 3
    assert len(set(with_views(alike, replace(space, model="trained:kind")).groups.tolist())) == len(alike)

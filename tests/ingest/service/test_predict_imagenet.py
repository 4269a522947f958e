"""`run --predict imagenet` from end to end: what was indexed before is read once more, what comes is named at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from recq.index.predicted import Prediction
from recq.learn.predict import predict
from recq.learn.prediction import Prediction as Answer
from recq.search.session import Session
from recq.settings import Settings
from tests import forked
from tests.ingest.running import NETWORK, STARTS_WITHIN, Place, environment

SAMPLES = Path(__file__).parents[3] / "samples"
NAMES = ("tennis-ball", "tent", "hard-drive")  # the first is sure


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1"}, model=NETWORK)
    for name in NAMES:
        shutil.copy(SAMPLES / f"{name}.jpg", place.root)
    return place


def predicted(place: Place) -> dict[str, Prediction]:
    return {path: item.predicted["imagenet"] for path, item in place.items().items() if item.predicted}


def asked(place: Place) -> dict[str, Answer]:
    """What `recq predict --space imagenet` says of each file."""
    session = Session(Settings(data_dir=place.data, lock_wait=10))
    with session:
        found = list(predict(session, [str(place.root / f"{name}.jpg") for name in NAMES], space="imagenet"))
    assert all(isinstance(each, Answer) for each in found)
    return {f"{name}.jpg": each for name, each in zip(NAMES, found, strict=True) if isinstance(each, Answer)}


def test_what_is_there_and_what_comes_is_named_as_predict_names_it(place: Place) -> None:
    done = place.once()
    assert done.returncode == 0, done.stderr
    items, vectors, answers = place.items(), place.vectors(), asked(place)
    assert [path for path, each in answers.items() if not each.unknown] == ["tennis-ball.jpg"]
    with place.daemon("--predict", "imagenet") as daemon:
        daemon.said("predicted", field="imagenet", items=3, unknown=2, removed=0)
        found = predicted(place)
        assert {path: each.label for path, each in found.items()} == {
            path: None if each.unknown else each.guesses[0].label for path, each in answers.items()
        }
        assert found["tennis-ball.jpg"].confidences == pytest.approx(
            [answers["tennis-ball.jpg"].guesses[0].probability], abs=1e-3
        )
        assert {path: item.file for path, item in place.items().items()} == {k: v.file for k, v in items.items()}
        for path, vector in place.vectors().items():
            np.testing.assert_array_equal(vector, vectors[path])

        shutil.copy(SAMPLES / "sofa_leather.jpg", place.root)
        daemon.said("indexed", path="sofa_leather.jpg")
        assert predicted(place)["sofa_leather.jpg"].by == found["tent.jpg"].by
        (place.root / "tennis-ball.jpg").rename(place.root / "moved.jpg")
        daemon.said("reused", path="moved.jpg")
        assert predicted(place)["moved.jpg"] == found["tennis-ball.jpg"]
        (place.root / "moved.jpg.json").write_text('{"colour": "green"}')
        daemon.said("metadata", path="moved.jpg")
        assert place.items()["moved.jpg"].metadata == {"colour": "green"}
        assert predicted(place)["moved.jpg"] == found["tennis-ball.jpg"]
        command = ["search", "--filter", "predicted.imagenet~ball", "--format", "paths", *place.reached]
        answer = forked.run("query.cli", command, environment(), STARTS_WITHIN)
        assert answer.stdout.splitlines() == [str(place.root / "moved.jpg")], answer.stderr

        status = place.status()["predicted"]
        (counts,) = status
        assert counts["labelled"] + counts["unknown"] == len(place.items())
        assert counts == {
            "field": "imagenet", "by": "imagenet", "labelled": counts["labelled"], "unknown": counts["unknown"],
            "waiting": 0, "detail": None,
        }  # fmt: skip
        assert len(daemon.events("indexed")) == 1
    lines = [line for line in place.command("status").stdout.splitlines() if "predicted" in line]
    shown = f"{counts['labelled']} have a label, {counts['unknown']} unknown, 0 wait"
    assert lines == [f"  predicted: imagenet by ImageNet's classes: {shown}"]
    assert place.once("--no-predict").returncode == 0
    assert predicted(place) == {}
    assert place.status()["predicted"] == []


def test_metadata_that_comes_at_the_same_time_is_written_as_well(place: Place) -> None:
    assert place.once().returncode == 0
    before = place.items()
    (place.root / "metadata.csv").write_text("\n".join(["file,colour", *(f"{name}.jpg,red" for name in NAMES)]))
    done = place.once("--predict", "imagenet")
    assert done.returncode == 0, done.stderr
    items = place.items()
    assert {path: item.metadata.get("colour") for path, item in items.items()} == dict.fromkeys(items, "red")
    assert predicted(place).keys() == items.keys()
    assert {path: item.file.ingested_at for path, item in items.items()} == {
        path: item.file.ingested_at for path, item in before.items()
    }

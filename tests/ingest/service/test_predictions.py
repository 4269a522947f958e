"""`run --predict` from end to end: a field is predicted at once and live, anew after a training, and not any more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from recq.index.candidates import Candidate
from recq.learn.calibration import Calibration
from recq.models.heads import Classifier, Linear
from tests import forked
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import STARTS_WITHIN, Place, environment

CLASSES = ("bed", "sofa")


def trained(place: Place, *, turned: bool = False) -> dict[str, str]:
    """Store a trained space of `category`, as a training beside the daemon does; what it predicts of each picture.

    The labels of `turned` ones are the other way about.
    """
    vectors = place.vectors()
    rows = np.stack([vectors[f"{CLASSES[n]}/0.jpg"] for n in ((1, 0) if turned else (0, 1))])
    classifier = Classifier(CLASSES, 20 * rows, np.zeros(2, np.float32))
    ones, nearness = np.ones(2, np.float32), np.linspace(-2, 1, 101, dtype=np.float32)
    calibration = Calibration(ones, 0 * ones, 0.1, nearness, nearness).to_json()
    with place.catalog() as catalog:
        head = Linear(rows.T)
        made = Candidate(
            "category", "category", head, classifier, catalog.space.fingerprint, "2026", False, calibration
        )
        catalog.candidates.write(made)
    return {path: CLASSES[int(classifier.scores(vector[None]).argmax())] for path, vector in vectors.items()}


def predicted(place: Place) -> dict[str, Any]:
    return {path: item.predicted["category"].label for path, item in place.items().items() if item.predicted}


def similar(place: Place, *arguments: str) -> list[dict[str, Any]]:
    command = ["similar", "x.jpg", *arguments, "--format", "json", *place.reached]
    done = forked.run("query.cli", command, environment(), STARTS_WITHIN)
    assert done.returncode == 0, done.stderr
    results: list[dict[str, Any]] = json.loads(done.stdout)["results"]
    return results


def test_a_field_is_predicted_live_anew_and_not_any_more(tmp_path: Path) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1"})
    for number, name in enumerate(("bed/0.jpg", "sofa/0.jpg", "x.jpg", "y.jpg")):
        put(place.root / name, number)
    assert place.once().returncode == 0
    refused = place.once("--predict", "colour")
    assert refused.returncode == 3
    assert "'recq-ingest train --label colour" in refused.stderr.splitlines()[-1]
    assert len([line for line in refused.stderr.splitlines() if line.startswith("recq-ingest:")]) == 1
    first = trained(place)
    with place.daemon("--predict", "category") as daemon:
        daemon.said("predicted", field="category", items=2, removed=0)
        assert predicted(place) == {name: first[name] for name in ("x.jpg", "y.jpg")}
        put(place.root / "new.jpg", 9)
        daemon.said("indexed", path="new.jpg")
        assert set(predicted(place)) == {"x.jpg", "y.jpg", "new.jpg"}
        label = predicted(place)["new.jpg"]
        rows = similar(
            place, "--filter", f"predicted.category={label}", "--filter", "predicted.category.confidence>=0.5"
        )
        (row,) = [each for each in rows if each["name"] == "new.jpg"]
        assert row["payload"]["predicted"]["category"]["label"] == label
        assert "category" not in row["payload"]
        second = trained(place, turned=True)
        assert place.command("reconcile").returncode == 0
        daemon.said("predicted", field="category", items=3)
        assert predicted(place) == {name: second[name] for name in ("x.jpg", "y.jpg", "new.jpg")}
        done = place.once("--no-predict")
        assert done.returncode == 0, done.stderr
        eventually(lambda: not predicted(place))
        assert [event["path"] for event in daemon.events("indexed")] == ["new.jpg"]
    with place.catalog() as catalog:
        assert catalog.predicting.all() == {}

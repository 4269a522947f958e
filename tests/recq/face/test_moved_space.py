"""A catalog that moves to another space while pictures are embedded: they are embedded once more, in that one."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import recq
from recq.duplicates.thumbnails import Thumbnails
from recq.errors import SpaceMismatch
from recq.face.results import Answer
from recq.index.candidates import Candidate
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.learn.calibration import Calibration
from recq.learn.prediction import Prediction
from recq.models import describe_space
from recq.models.heads import Classifier, Linear
from recq.search.prepare import Preparer
from recq.settings import Settings

OLD, NEW = (describe_space(name, Settings()) for name in ("pixels:4", "pixels:8"))


def trained(space: Any) -> Candidate:
    """Of class "a" is what has a large first number, of the model's own name what has not."""
    weights = np.zeros((2, space.dim), np.float32)
    weights[0, 0] = 1.0
    classifier = Classifier(("a", space.model), weights, np.array([0.0, 0.5], np.float32))
    nearness = np.linspace(-2, 1, 101, dtype=np.float32)
    calibration = Calibration(np.ones(2, np.float32), np.zeros(2, np.float32), 0.1, nearness, nearness)
    head = Linear(np.eye(space.dim, dtype=np.float32)[:, :2])
    return Candidate(
        "kind", "kind", head, classifier, space.fingerprint, "2026-01-01", calibration=calibration.to_json()
    )


def fill(catalog: Catalog) -> None:
    catalog.candidates.write(trained(catalog.space))
    rng = np.random.default_rng(1)
    vectors = rng.random((8, catalog.space.dim), np.float32)
    catalog.writes.upsert(
        [
            ItemVector(Item(FileFacts("s", f"{number}.jpg", 1, number), {}), vector / np.linalg.norm(vector))
            for number, vector in enumerate(vectors)
        ]
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with own_folder(Settings(data_dir=tmp_path / "data")) as owned:
        fill(Catalog.create(owned.client, "images", OLD))
    return tmp_path / "data"


@pytest.fixture
def picture(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A picture, which standard input has as well: once."""
    made = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).save(made, "PNG")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(made.getvalue())))
    return made.getvalue()


def move(folder: Path, *spaces: Any) -> Callable[[], None]:
    """Moves the catalog to the next of the spaces each time it is called."""
    left = list(spaces)

    def moved() -> None:
        if left:
            with own_folder(Settings(data_dir=folder)) as owned:
                fill(rebuilt := Catalog.begin_rebuild(owned.client, "images", left.pop(0)))
                rebuilt.finish_rebuild()

    return moved


def meanwhile(monkeypatch: pytest.MonkeyPatch, moved: Callable[[], None]) -> None:
    """Calls it each time that pictures have just been embedded."""
    for name in ("prepare", "prepare_many"):
        original = getattr(Preparer, name)

        def prepared(self: Preparer, *given: Any, original: Any = original) -> Any:
            found = original(self, *given)
            moved()
            return found

        monkeypatch.setattr(Preparer, name, prepared)


QUESTIONS: dict[str, Callable[[recq.ImageCatalog, Any], Answer]] = {
    "one": lambda catalog, target: catalog.similar(target),
    "liked": lambda catalog, target: catalog.recommend([target]),
    "several": lambda catalog, target: answers(catalog.similar_many([target, "1.jpg"]))[0],
}


def answers(found: Any) -> list[Answer]:
    assert all(isinstance(each, Answer) for each in found)
    return list(found)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_is_of_the_new_space(
    folder: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch, question: str, stream: bool
) -> None:
    meanwhile(monkeypatch, move(folder, NEW))
    with recq.open("images", data_dir=folder) as catalog:
        answer = QUESTIONS[question](catalog, "-" if stream else picture)
        assert answer.space.fingerprint == NEW.fingerprint
        again = QUESTIONS[question](catalog, picture)
        assert [(each.id, each.score) for each in answer] == [(each.id, each.score) for each in again]
    if answer.target is not None:
        expected = ("-", "standard input") if stream else ("the picture given",) * 2
        assert (answer.target.text, answer.target.name) == expected


@pytest.mark.parametrize("stream", [False, True])
def test_a_prediction_is_of_the_new_space(
    folder: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    meanwhile(monkeypatch, move(folder, NEW))
    with recq.open("images", data_dir=folder) as catalog:
        found, known = catalog.predict(["-" if stream else picture, "1.jpg"])
        assert isinstance(found, Prediction)
        assert isinstance(known, Prediction)
        assert {each.label for each in found.guesses} == {"a", NEW.model}
        assert [found.guesses, known.guesses] == [each.guesses for each in catalog.predict([picture, "1.jpg"])]  # type: ignore[union-attr]
        assert found.text == ("-" if stream else "the picture given")


def test_a_prediction_that_moves_each_time_is_given_up(
    folder: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, move(folder, NEW, OLD))
    with recq.open("images", data_dir=folder) as catalog, pytest.raises(SpaceMismatch, match="again and again"):
        catalog.predict([picture])


def test_duplicates_are_told_in_the_space_in_which_they_were_looked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Thumbnails.read

    def read(*given: Any) -> Any:
        found = before(*given)
        moved()
        return found

    moved = move(folder, NEW)
    monkeypatch.setattr(Thumbnails, "read", read)
    with recq.open("images", data_dir=folder) as catalog:
        assert catalog.duplicates().space.fingerprint == OLD.fingerprint
        assert catalog.duplicates().space.fingerprint == NEW.fingerprint


@pytest.mark.parametrize("question", QUESTIONS)
def test_one_that_moves_each_time_is_given_up(
    folder: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    meanwhile(monkeypatch, move(folder, NEW, OLD))
    with recq.open("images", data_dir=folder) as catalog, pytest.raises(SpaceMismatch):
        QUESTIONS[question](catalog, picture)

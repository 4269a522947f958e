"""docs/consumers.md stays true: its Python runs on the loopback API and on a server, its table lists the routes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from recq.index.edge.routes import PLAIN, ROUTES
from tests.guests import DOCS, ROOT, Guest, samples_served

ENGINES = ["loopback", pytest.param("server", marks=pytest.mark.server)]
SHOES = [
    "running-shoe_freerun.jpg",
    "running-shoe_pureboost.jpg",
    "running-shoe_runx.jpg",
    "running-shoe_ultraboost.jpg",
]


@pytest.fixture(scope="module", params=ENGINES)
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with samples_served(request.param, tmp_path_factory.mktemp("guests")) as served:
        yield served


@pytest.fixture(scope="module")
def run(guest: Guest) -> Iterator[dict[str, Any]]:
    """The names that the Python of the page has made, one block after another."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a key over plain http: it never leaves the machine
        patch.chdir(ROOT)
        for name, value in guest.environment.items():
            patch.setenv(name, value)
        names: dict[str, Any] = {}
        for code in guest.code("python"):
            exec(compile(code, "docs/consumers.md", "exec"), names)
        yield names
        names["embedder"].close()
        names["client"].close()


def files(points: Any) -> list[str]:
    return [point.payload["file"]["path"] for point in points]


def test_similar_pictures_are_found_among_what_is_filtered_for(run: dict[str, Any]) -> None:
    assert files(run["similar"]) == [
        "running-shoe_pureboost.jpg",
        "running-shoe_ultraboost.jpg",
        "allstar-sneakers.jpg",
    ]
    assert all(point.payload["price"] <= 100 for point in run["similar"])
    assert [point.score for point in run["similar"]] == sorted((p.score for p in run["similar"]), reverse=True)


def test_words_are_found_and_what_failed_is_left_out(run: dict[str, Any]) -> None:
    assert sorted(files(run["shoes"])) == SHOES
    assert run["count"] == sum(run["kinds"].values()) == 54
    assert run["kinds"]["Footwear"] == 6
    assert "broken" not in run["kinds"]
    (failed,) = run["failed"]
    assert failed.payload["file"]["path"] == "broken_1.jpg"
    assert failed.payload["error"]["reason"] == "truncated"


def test_every_page_together_is_everything_once(run: dict[str, Any]) -> None:
    pictures = {path.name for path in (ROOT / "samples").iterdir() if path.suffix == ".jpg"}
    assert len(run["every"]) == len(set(run["every"])) == 54
    assert set(run["every"]) == pictures


def test_varied_grouped_and_recommended(run: dict[str, Any]) -> None:
    assert len(run["varied"]) == len(run["more"]) == 5
    assert [group.id for group in run["brands"]] == list(dict.fromkeys(group.id for group in run["brands"]))
    assert len(run["brands"]) == 3
    assert all(hit.payload["brand"] == group.id for group in run["brands"] for hit in group.hits)
    assert all(1 <= len(group.hits) <= 2 for group in run["brands"])
    examples = {run["shoe"].id, run["item"]("allstar-sneakers.jpg").id, run["item"]("basketball.jpg").id}
    assert not examples & {point.id for point in run["more"]}


def test_a_picture_of_ones_own_gets_the_vector_that_the_daemon_makes(run: dict[str, Any]) -> None:
    first, *_ = run["like_mine"]
    assert first.payload["file"]["name"] == "tent.jpg"
    assert first.score == pytest.approx(1, abs=1e-3)
    stored = np.array(run["item"]("tent.jpg").vector["image"])
    assert stored @ np.array(run["own_vector"]("samples/tent.jpg")) == pytest.approx(1, abs=1e-3)
    assert np.linalg.norm(stored) == pytest.approx(1, abs=1e-4)


def test_a_question_that_is_asked_again_has_the_same_answer(run: dict[str, Any]) -> None:
    again = run["same_again"]
    assert [point.id for point in again] == [point.id for point in run["neighbours"](run["shoe"].id)]
    assert len(again) == 5


def test_the_table_of_routes_is_the_routes_and_who_may_use_them() -> None:
    _, _, text = DOCS.partition("## What the loopback API answers")
    listed = {}
    for routes, _, who in re.findall(r"^\| (`[A-Z]+ /.*?) \| (.*?) \| (yes|no) \|$", text, re.MULTILINE):
        for route in re.findall(r"`((?:[A-Z]+ )?/[^`]*)`", routes):
            listed[route if " " in route else f"GET {route}"] = who == "yes"
    assert listed == {f"{one.method} {one.path}": one.reads for one in ROUTES} | {f"GET {path}": True for path in PLAIN}

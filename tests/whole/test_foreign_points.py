"""Any client of the engine can write a point without a `file`: no command of either program falls over it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from tests import forked
from tests.ingest.documented import validated
from tests.ingest.pictures import put
from tests.ingest.running import STARTS_WITHIN, Place, environment

N = 6
FORMS: tuple[dict[str, Any], ...] = (
    {},
    {"category": "chairs", "price": 1},
    {"category": "chairs", "file": "chairs/0.jpg"},
    {"category": "chairs", "file": {"source": "shop"}},
    {"category": "chairs", "file": {"source": "shop", "path": 7, "size": "big"}},
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("foreign")
    place = Place(folder / "shop", folder / "data")
    for number in range(N):
        put(place.root / ("chairs" if number % 2 else "beds") / f"{number}.jpg", number)
    (place.root / "metadata.csv").write_text("file,price\nchairs/1.jpg,10\nbeds/0.jpg,20\n")
    done = place.once()
    assert done.returncode == 0, done.stderr
    vector = next(iter(place.vectors().values())).tolist()
    with place.catalog() as catalog:
        points = [
            models.PointStruct(id=number, vector={"image": vector}, payload=payload)
            for number, payload in enumerate(FORMS)
        ]
        catalog._client.upsert(catalog._collection, points=points, wait=True)
    return place


def recq(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = forked.run("query.cli", [*arguments, *place.reached], environment(), STARTS_WITHIN)
    assert done.returncode == 0, (arguments, done.stderr)
    return done


def test_answers_have_items_alone_and_as_many_as_were_asked_for(place: Place) -> None:
    for arguments in (
        ("search", "-k", str(N)),
        ("search", "-k", str(N), "--sort", "price"),
        ("similar", str(place.root / "chairs/1.jpg"), "-k", str(N - 1)),
    ):
        answer = json.loads(recq(place, *arguments, "--format", "json").stdout)
        names = [result["name"] for result in answer["results"]]
        wanted = N - 1 if arguments[0] == "similar" else N
        assert len(set(names)) == wanted, arguments


def test_every_other_command_passes_them_over(place: Place, tmp_path: Path) -> None:
    recq(place, "facets", "category")
    recq(place, "duplicates")
    recq(place, "evaluate", "--label", "category", "-k", "1")
    recq(place, "explain", "chairs/1.jpg", "beds/0.jpg")
    exported = tmp_path / "all.jsonl"
    recq(place, "export", str(exported))
    assert len([line for line in exported.read_text().splitlines() if '"payload"' in line]) == N


def test_problems_lists_each_of_them(place: Place) -> None:
    listed = validated("problems", json.loads(place.command("problems", "--json").stdout))
    assert [(each["source"], each["kind"]) for each in listed] == [("", "foreign")] * len(FORMS)
    assert len({each["path"] for each in listed}) == len(FORMS)
    told = place.command("problems").stdout.splitlines()
    assert told[0] == f"of no source: {len(FORMS)} problems"
    assert all("--remove-foreign" in line for line in told[1:])
    assert place.command("problems", "shop", "--json").stdout == "[]\n"


def test_a_run_and_a_status_go_on(place: Place) -> None:
    put(place.root / "beds/later.jpg", 50)
    done = place.once()
    assert done.returncode == 0, done.stderr
    assert "beds/later.jpg" in place.vectors()
    assert place.status()["sources"][0]["failed"] == 0
    (place.root / "beds/later.jpg").unlink()
    assert place.once().returncode == 0

"""Nothing that one file, one sidecar or one foreign point does ends the daemon or loses a picture: as processes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from qdrant_client import models

from recq.index.problems import ProblemKind
from tests import forked
from tests.eventually import eventually
from tests.ingest.documented import validated
from tests.ingest.pictures import put
from tests.ingest.running import NETWORK, STARTS_WITHIN, Place, environment
from tests.packs import pack


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "shop", tmp_path / "data", model=NETWORK)


def test_a_field_that_no_index_takes_costs_no_picture_and_is_exit_code_3(place: Place) -> None:
    """New, and on a picture that is indexed already, and at the next start."""
    sidecar = pack("reported") / "metadata" / "backslash_field.jpg.json"
    put(place.root / "a.jpg", 1)
    put(place.root / "b.jpg", 2)
    shutil.copyfile(sidecar, place.root / "a.jpg.json")
    done = place.once()
    assert done.returncode == 3, done.stderr
    assert f"'recq-ingest problems --data-dir {place.data}' lists what was not" in done.stderr.splitlines()[-1]
    assert sorted(place.vectors()) == ["a.jpg", "b.jpg"]
    (problem,) = place.items()["a.jpg"].problems
    assert (problem.kind, problem.field) == (ProblemKind.FIELD, "a\\b")
    assert problem.detail.startswith("a.jpg.json: field ")
    with place.daemon() as daemon:
        daemon.ready()
        shutil.copyfile(sidecar, place.root / "b.jpg.json")
        eventually(lambda: place.items()["b.jpg"].problems, within=60)
        put(place.root / "c.jpg", 3)
        daemon.said("indexed", path="c.jpg")
    (place.root / "a.jpg.json").write_text('{"ab": "x"}')
    (place.root / "b.jpg.json").unlink()
    assert place.once().returncode == 0
    assert place.items()["a.jpg"].metadata == {"ab": "x"}


FAILING = """
from recq.models.openvino_runtime import OpenVINORuntime
from ingest.cli.main import main

whole = OpenVINORuntime.infer

def infer(self, pixels):
    if {condition}:
        raise RuntimeError("inference request failed")
    return whole(self, pixels)

OpenVINORuntime.infer = infer
main()
"""
"""`recq-ingest` whose network raises for some pictures."""


def run_script(place: Place, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.run("-c", [script, *arguments, *place.reached], environment(**place.settings), STARTS_WITHIN)


def test_an_inference_that_raises_fails_its_item_alone(place: Place) -> None:
    from PIL import Image

    for number in range(4):
        put(place.root / f"{number}.jpg", number)
    Image.new("RGB", (64, 64), "black").save(place.root / "black.png")
    script = FAILING.format(condition="pixels[:, 100:120, 100:120].max() < 9")
    done = run_script(place, script, "run", str(place.root), "--once", "--model", NETWORK)
    assert done.returncode == 3, done.stderr
    assert sorted(place.vectors()) == [f"{number}.jpg" for number in range(4)]
    listed = validated("failed", json.loads(place.command("failed", "--json").stdout))
    (failure,) = listed
    assert (failure["path"], failure["reason"]) == ("black.png", "inference")
    assert failure["detail"] == "RuntimeError: inference request failed"


def test_a_network_that_always_raises_ends_and_spins_nothing(place: Place) -> None:
    for number in range(4):
        put(place.root / f"{number}.jpg", number)
    done = run_script(place, FAILING.format(condition="True"), "run", str(place.root), "--once", "--model", NETWORK)
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("event=failed") == 4
    done = place.once()  # the network is well again: tried at the start, by itself
    assert done.returncode == 0, done.stderr
    assert len(place.vectors()) == 4


def test_points_of_other_programs_are_shown_and_removed_on_demand(place: Place) -> None:
    put(place.root / "a.jpg", 1)
    assert place.once().returncode == 0
    ids: list[int | str] = [7, "00000000-0000-0000-0000-000000000001"]
    with place.catalog() as catalog:
        points = [models.PointStruct(id=each, vector={}, payload={"title": "mine"}) for each in ids]
        catalog._client.upsert(catalog._collection, points=points, wait=True)
    command = f"recq-ingest reconcile --remove-foreign --data-dir {place.data}"
    offer = f"2 points of other programs in the index: '{command}' removes them"
    done = place.command("reconcile")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == offer
    assert offer in place.command("reconcile", "--dry-run").stderr
    done = place.command("reconcile", "--dry-run", "--remove-foreign", "--json")
    steps = validated("planned", json.loads(done.stdout))
    assert [(step["step"], step["path"]) for step in steps] == [
        ("remove-foreign", str(each)) for each in sorted(map(str, ids))
    ]
    done = place.command("reconcile", "--remove-foreign", "--json")
    assert validated("reconciled", json.loads(done.stdout))["foreign"] == 2
    done = place.command("reconcile", "--remove-foreign")
    assert done.stdout == "0 points of other programs removed\nthe index is as the folders are\n"
    assert list(place.items()) == ["a.jpg"]

"""`.recqignore` files that come, change, move and go while a daemon watches, natively and by polling."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.source.ignore_files import IGNORE_FILE
from tests.eventually import eventually
from tests.ingest.documented import validated
from tests.ingest.pictures import put
from tests.ingest.running import Daemon, Place

EVERYTHING = [
    ("", "a.jpg"),
    ("", "b.jpg"),
    ("deep/", "a.jpg"),
    ("deep/", "c.jpg"),
    ("new/", "a.jpg"),
    ("new/", "b.jpg"),
]


@pytest.fixture(scope="module", params=["native", "poll"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Daemon]]:
    folder = tmp_path_factory.mktemp(request.param)
    place = Place(folder / "shop", folder / "data", settings={"RECQ_POLL_INTERVAL": "0.2"})
    put(place.root / "kept.jpg", 1000)
    with place.daemon("--watch", request.param) as daemon:
        assert daemon.said("watching", within=120)["mode"] == request.param
        yield place, daemon.ready()


def holds(place: Place, *names: str, below: str) -> None:
    """The index comes to have exactly these items below a folder."""
    eventually(lambda: sorted(path for path in place.items() if path.startswith(below)) == sorted(names), every=0.2)


def problems(place: Place, kind: str) -> list[tuple[str, str]]:
    """Paths and details of the problems of a kind."""
    done = place.command("problems", "--json")
    found = validated("problems", json.loads(done.stdout))
    return sorted((each["path"], each["detail"]) for each in found if each["kind"] == kind)


def test_a_file_that_comes_changes_and_goes(running: tuple[Place, Daemon]) -> None:
    place, daemon = running
    for number, name in enumerate(["a.jpg", "b.jpg", "deep/a.jpg", "deep/c.jpg"]):
        put(place.root / "x" / name, number)
    holds(place, "x/a.jpg", "x/b.jpg", "x/deep/a.jpg", "x/deep/c.jpg", below="x/")
    file = place.root / "x" / IGNORE_FILE
    file.write_text("# drafts\na.jpg\n")
    holds(place, "x/b.jpg", "x/deep/c.jpg", below="x/")
    put(place.root / "x/new/a.jpg", 9)
    put(place.root / "x/new/b.jpg", 10)
    holds(place, "x/b.jpg", "x/deep/c.jpg", "x/new/b.jpg", below="x/")
    detail = "1 picture in x is skipped by the rule 'a.jpg' in x/.recqignore line 2 (first: x/a.jpg)"
    eventually(lambda: ("x/a.jpg", detail) in problems(place, "ignored"), every=0.5)
    file.write_text("a.jpg\n!/a.jpg\ndeep/\n[\n")
    holds(place, "x/a.jpg", "x/b.jpg", "x/new/b.jpg", below="x/")
    said = daemon.said("problem", source="shop", path=IGNORE_FILE)
    assert said["detail"] == "x/.recqignore:4: the rule '[' is not used: a bracket is not closed"
    eventually(lambda: problems(place, "rule") == [("x/.recqignore", said["detail"])], every=0.5)
    file.rename(file.with_name("rules.txt"))
    holds(
        place,
        *(f"x/{name}" for name in ["a.jpg", "b.jpg", "deep/a.jpg", "deep/c.jpg", "new/a.jpg", "new/b.jpg"]),
        below="x/",
    )
    eventually(lambda: not problems(place, "rule"), every=0.5)
    assert not [path for path, _ in problems(place, "ignored") if path.startswith("x/")]


def test_a_file_that_moves_with_its_folder_or_alone(running: tuple[Place, Daemon]) -> None:
    place, _ = running
    outside = place.root.parent / "outside"
    put(outside / "a.jpg", 20)
    put(outside / "b.jpg", 21)
    (outside / IGNORE_FILE).write_text("/a.jpg\n")
    outside.rename(place.root / "y")
    holds(place, "y/b.jpg", below="y/")
    (place.root / "y").rename(place.root / "z")
    holds(place, below="y/")
    holds(place, "z/b.jpg", below="z/")
    put(place.root / "w/a.jpg", 22)
    holds(place, "w/a.jpg", below="w/")
    (place.root / "z" / IGNORE_FILE).rename(place.root / "w" / IGNORE_FILE)
    holds(place, "z/a.jpg", "z/b.jpg", below="z/")
    holds(place, below="w/")
    (place.root / "w").rename(place.root.parent / "gone")
    put(place.root / "w/a.jpg", 23)
    holds(place, "w/a.jpg", below="w/")


def test_a_nearer_file_takes_back(running: tuple[Place, Daemon]) -> None:
    place, _ = running
    put(place.root / "n/in/a.jpg", 30)
    put(place.root / "n/a.jpg", 31)
    holds(place, "n/in/a.jpg", "n/a.jpg", below="n/")
    (place.root / "n" / IGNORE_FILE).write_text("a.jpg\n")
    holds(place, below="n/")
    (place.root / "n/in" / IGNORE_FILE).write_text("!a.jpg\n")
    holds(place, "n/in/a.jpg", below="n/")
    (place.root / "n/in" / IGNORE_FILE).unlink()
    holds(place, below="n/")


def test_too_much_at_once_is_held_and_confirmed(running: tuple[Place, Daemon]) -> None:
    """The root's own file: a rule that takes most of a source away may be a slip."""
    place, daemon = running
    many = [f"many/{number}.jpg" for number in range(40)]
    for number, name in enumerate(many):
        put(place.root / name, 100 + number)
    holds(place, *many, below="many/")
    for name in many:  # events that are examined when the rule holds, some of them before the rule is noticed
        (place.root / name).touch()
    (place.root / IGNORE_FILE).write_text("many\n")
    held = daemon.said("held", source="shop", items=40)
    assert "by the rule 'many' in .recqignore line 1" in held["detail"]
    put(place.root / "meanwhile.jpg", 99)
    holds(place, "meanwhile.jpg", below="meanwhile")
    holds(place, *many, below="many/")
    assert place.status()["sources"][0]["held"] == 40
    assert place.command("confirm", "shop").returncode == 0
    holds(place, below="many/")
    (place.root / IGNORE_FILE).unlink()
    holds(place, *many, below="many/")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "shop", tmp_path / "data")


@pytest.mark.long
def test_without_a_daemon(place: Place) -> None:
    """What is put there while none runs is found by `--once`, a dry run, `reconcile`, and the start of the next one."""
    for number, name in enumerate(["a.jpg", "b.jpg", "x/c.jpg"]):
        put(place.root / name, number)
    (place.root / "a.jpg.json").write_text('{"price": 5}')
    (place.root / IGNORE_FILE).write_text("*.json\n")
    assert place.once().returncode == 0
    assert set(place.items()) == {"a.jpg", "b.jpg", "x/c.jpg"}
    assert place.items()["a.jpg"].metadata["price"] == 5  # no rule hides a sidecar
    (place.root / IGNORE_FILE).write_text("b.jpg\n")
    planned = json.loads(place.command("reconcile", "--dry-run", "--json").stdout)
    assert [(each["step"], each["path"]) for each in planned] == [("delete", "b.jpg")]
    assert place.command("reconcile").returncode == 0
    assert set(place.items()) == {"a.jpg", "x/c.jpg"}
    (place.root / IGNORE_FILE).write_text("/a.jpg\nx/\n")
    with place.daemon() as daemon:
        daemon.ready()
        holds(place, "b.jpg", below="")
    rule = "the rule '/a.jpg' in .recqignore line 1"
    assert ("a.jpg", f"1 picture in the root is skipped by {rule} (first: a.jpg)") in problems(place, "ignored")
    (place.root / IGNORE_FILE).write_text("*\n")  # all of a source, perhaps by a slip
    done = place.once("--log-format", "json")
    assert done.returncode == 0
    assert set(place.items()) == {"b.jpg"}
    (held,) = [event for event in map(json.loads, done.stderr.splitlines()) if event["event"] == "held"]
    assert held["items"] == 1
    assert held["detail"].startswith(
        f"every picture in {place.root} is ignored, by the rule '*' in .recqignore line 1: nothing is deleted. "
        "To keep them, change that rule. If that was meant, run 'recq-ingest confirm shop "
    )
    assert place.command("confirm", "shop").returncode == 0
    assert place.once().returncode == 0
    assert place.items() == {}


def test_a_file_that_cannot_be_used_deletes_nothing(place: Place) -> None:
    """An item that only this file's re-include lets in stays when the file becomes a folder, across restarts."""
    for number, name in enumerate(["a.jpg", "x/b.jpg", "x/c.jpg"]):
        put(place.root / name, number)
    (place.root / IGNORE_FILE).write_text("b.jpg\n")
    inner = place.root / "x" / IGNORE_FILE
    inner.write_text("!b.jpg\nc.jpg\n")
    assert place.once().returncode == 0
    assert set(place.items()) == {"a.jpg", "x/b.jpg"}
    inner.unlink()
    inner.mkdir()
    done = place.once()
    assert done.returncode == 0
    assert set(place.items()) == {"a.jpg", "x/b.jpg", "x/c.jpg"}
    ((path, detail),) = problems(place, "rule")
    assert path == "x/.recqignore"
    assert detail.startswith("x/.recqignore is a folder; it ignores nothing")
    planned = json.loads(place.command("reconcile", "--dry-run", "--json").stdout)
    assert planned == []

"""A second `run` beside a daemon: its folders are taken up live, or the reason why not is exact."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from recq.index.edge import read_address
from tests.eventually import eventually
from tests.ingest.pictures import jpeg, put
from tests.ingest.running import MODEL, Daemon, Place
from tests.qdrant_server import QdrantServer


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1"})


@pytest.fixture
def daemon(place: Place) -> Iterator[Daemon]:
    put(place.root / "a.jpg", 1)
    with place.daemon() as daemon:
        daemon.said("indexed", path="a.jpg", within=120)
        yield daemon.ready()


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.server)])
def engine_place(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> Iterator[Place]:
    if request.param == "embedded":
        yield place
        return
    with QdrantServer(tmp_path / "server") as server:
        place.options = ("--url", server.url)
        yield place


def test_a_folder_is_taken_up_live(engine_place: Place, tmp_path: Path) -> None:
    place, press = engine_place, tmp_path / "press"
    put(place.root / "a.jpg", 1)
    put(press / "b.jpg", 2)
    (press / "metadata.csv").write_text("file,price\nb.jpg,5\n")
    with place.daemon() as daemon:
        daemon.ready()
        done = place.command("run", str(press))
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            f"process {daemon.process.pid} watches {press} from now on, as source press",
            "it watches it until it ends: name the folder where the daemon is started, too",
        ]
        eventually(lambda: sorted(place.items()) == ["a.jpg", "b.jpg"])
        assert place.items()["b.jpg"].metadata["price"] == 5
        put(press / "sub/c.jpg", 3)  # watched, with all that belongs to that
        put(place.root / "d.jpg", 4)
        (press / "b.jpg").rename(press / "e.jpg")
        eventually(lambda: sorted(place.items()) == ["a.jpg", "d.jpg", "e.jpg", "sub/c.jpg"])
        (press / "metadata.csv").write_text("file,price\ne.jpg,6\n")
        place.command("reconcile")
        eventually(lambda: place.items()["e.jpg"].metadata.get("price") == 6)
        assert [source["name"] for source in place.status()["sources"]] == ["shop", "press"]
        refused = place.command("forget", "press")
        assert refused.returncode == 4  # it is watched


def test_once_waits_until_the_daemon_has_done_it(place: Place, daemon: Daemon, tmp_path: Path) -> None:
    press = tmp_path / "press"
    for number in range(5):
        put(press / f"{number}.jpg", 10 + number)
    (press / "bad.jpg").write_bytes(jpeg(2)[:-100])
    os.utime(press / "bad.jpg", (1_000_000_000, 1_000_000_000))
    done = place.command("run", str(press), "--once")
    assert done.returncode == 3
    assert done.stdout.splitlines()[-1].startswith("5 items: 5 indexed, 0 updated, 0 deleted, 1 failed, 0 problems in ")
    assert done.stderr.splitlines()[-1] == (
        "recq-ingest: 1 item could not be indexed: "
        f"'recq-ingest failed --data-dir {place.data}' lists them with the reason"
    )
    assert len(place.items()) == 7
    (press / "bad.jpg").unlink()
    (press / "0.jpg.json").write_text('{"price": 3}')
    again = place.command("run", str(press), "--once")  # compared once more, and waited for
    assert again.returncode == 0, again.stderr
    first, last = again.stdout.splitlines()
    assert first == f"process {daemon.process.pid} watches {press} already, as source press"
    assert last.startswith("5 items: 0 indexed, ")
    assert "0 failed" in last
    assert place.items()["0.jpg"].metadata == {"price": 3}


def test_what_cannot_be_added_says_why(place: Place, daemon: Daemon, tmp_path: Path) -> None:
    pid = daemon.process.pid
    (place.root / "sub").mkdir()
    (tmp_path / "press").mkdir()
    outer = tmp_path / "outer"
    outer.mkdir()
    place.root.parent.joinpath("elsewhere").mkdir()
    press = str(tmp_path / "press")
    cases = {
        ("run", f"{place.root}/sub"): (2, f"lies inside {place.root}, which is watched as source 'shop'"),
        ("run", "--source", f"other={place.root}"): (2, "is already indexed as source 'shop'"),
        ("run", "--source", f"shop={press}"): (2, f"source 'shop' is the folder {place.root} on this host"),
        ("run", press, "--catalog", "other"): (4, f"is in use by process {pid}, for catalog 'images'"),
        ("run", press, "--model", "efficientnet_lite2"): (5, f"was made with {MODEL}"),
        ("run", press, "--watch", "poll"): (2, "has watch = auto for all its sources, and this command asks for poll"),
        ("run", str(place.root), "--metadata", str(put(outer / "m.csv", 1))): (2, "--metadata can be given only when"),
    }  # fmt: skip
    for arguments, (code, why) in cases.items():
        done = place.command(*arguments)
        assert done.returncode == code, done.stderr
        assert why in done.stderr.splitlines()[-1]
        assert done.stdout == ""
    assert list(place.items()) == ["a.jpg"]
    assert [source["name"] for source in place.status()["sources"]] == ["shop"]


def test_what_is_refused_leaves_nothing_behind(place: Place, daemon: Daemon, tmp_path: Path) -> None:
    """Of several folders none is taken up where one cannot be; the same holds without a daemon."""
    for name in ("fine", "press"):
        (tmp_path / name).mkdir()
    arguments = ("run", str(tmp_path / "fine"), "--source", f"shop={tmp_path / 'press'}")
    assert place.command(*arguments).returncode == 2
    with place.catalog() as catalog:
        assert {name: source.root_here() for name, source in catalog.sources.all().items()} == {"shop": place.root}
    assert daemon.stop() == 0
    assert place.command(*arguments).returncode == 2
    with place.catalog() as catalog:
        assert list(catalog.sources.all()) == ["shop"]


def test_a_folder_around_a_watched_one_is_refused(place: Place, tmp_path: Path) -> None:
    inner = Place(tmp_path / "all/shop", tmp_path / "data", settings=place.settings)
    put(inner.root / "a.jpg", 1)
    with inner.daemon() as daemon:
        daemon.ready()
        done = inner.command("run", str(tmp_path / "all"))
        assert done.returncode == 2
        assert f"'recq-ingest forget shop --data-dir {inner.data}'" in done.stderr


def test_a_name_whose_folder_has_gone_is_not_given_away_while_it_is_watched(
    place: Place, daemon: Daemon, tmp_path: Path
) -> None:
    (tmp_path / "press").mkdir()
    shutil.move(place.root, tmp_path / "away")
    done = place.command("run", "--source", f"shop={tmp_path / 'press'}")
    assert done.returncode == 2
    assert "source 'shop' is watched in" in done.stderr
    with place.catalog() as catalog:
        assert catalog.sources.get("shop").root_here() == place.root, "as before"


def test_a_single_pass_takes_nothing_up_and_is_named(place: Place, tmp_path: Path) -> None:
    (tmp_path / "press").mkdir()
    put(place.root / "new.jpg", 1)
    place.settings["RECQ_SETTLE"] = "600"  # it waits for a file that is new
    with place.daemon("--once") as single:
        single.said("reconciled", within=120)
        done = place.command("run", str(tmp_path / "press"))
        assert done.returncode == 4
        assert (
            f"{place.data} is in use by process {single.process.pid}, which indexes once and ends then" in done.stderr
        )


def test_the_routes_refuse_what_they_cannot_do(place: Place, daemon: Daemon) -> None:
    address = read_address(place.data)
    assert address is not None
    with httpx.Client(base_url=address.url, headers={"api-key": address.key}, trust_env=False) as client:
        assert client.post("/recq/progress", json={"sources": ["nobody"]}).json()["code"] == 3
        assert client.get("/recq/sources").status_code == 405
        asked: dict[str, object] = {
            "catalog": "other",
            "engine": "embedded",
            "folders": [],
            "table": None,
            "settings": {},
            "compare": False,
        }
        answer = client.post("/recq/sources", json=asked).json()
        assert answer == {"live": True, "catalog": "images", "engine": "embedded"}
        told = client.post("/recq/progress", content=json.dumps({"sources": ["shop"]})).json()["sources"]["shop"]
        assert told["done"]["indexed"] == 1

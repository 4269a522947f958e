"""The daemon with a real server: outages, keys, a rebuild by somebody else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from recq.announced import announced
from recq.settings import Settings
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import MODEL, Place
from tests.qdrant_server import QdrantServer

pytestmark = pytest.mark.server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[QdrantServer]:
    with QdrantServer(tmp_path / "server") as server:
        yield server


@pytest.fixture
def place(tmp_path: Path, server: QdrantServer) -> Place:
    return Place(tmp_path / "shop", tmp_path / "data", ("--url", server.url), {"RECQ_CONNECT_TIMEOUT": "2"})


def test_an_outage_is_waited_out(place: Place, server: QdrantServer) -> None:
    put(place.root / "before.jpg", 1)
    with place.daemon() as daemon:
        daemon.said("indexed", path="before.jpg", within=120)
        status = place.status()
        assert (status["engine"], status["running"], status["pid"]) == (server.url, True, daemon.process.pid)
        server.kill()
        put(place.root / "during.jpg", 2)
        (place.root / "before.jpg").unlink()
        daemon.said("waiting")
        status = place.status()
        assert (status["state"], status["sources"][0]["indexed"]) == ("waiting", 1)
        assert "cannot be reached" in status["detail"]
        put(place.root / "during too.jpg", 3)
        server.start()
        eventually(lambda: sorted(place.items()) == ["during too.jpg", "during.jpg"])
        daemon.said("recovered")
        assert len(daemon.events("waiting")) == 1
        status = place.status()
        assert (status["state"] != "waiting", status["detail"]) == (True, None)
        server.kill()
        put(place.root / "abandoned.jpg", 4)
        eventually(lambda: len(daemon.events("waiting")) == 2)
        assert daemon.stop() == 0  # within five seconds, without the server
    server.start()
    assert place.once().returncode == 0
    assert sorted(place.items()) == ["abandoned.jpg", "during too.jpg", "during.jpg"]


def test_a_server_that_comes_later_is_waited_for(place: Place, server: QdrantServer) -> None:
    put(place.root / "a.jpg", 1)
    server.kill()
    with place.daemon() as daemon:
        daemon.said("waiting", within=120)
        server.start()
        daemon.said("recovered", within=60)
        daemon.said("indexed", path="a.jpg", within=60)
        assert [event["event"] for event in daemon.events()][:3] == ["waiting", "recovered", "started"]


def test_two_daemons_on_one_folder_agree(place: Place, tmp_path: Path) -> None:
    for number in range(10):
        put(place.root / f"{number}.jpg", number)
    other = Place(place.root, tmp_path / "other", place.options, place.settings)
    with place.daemon() as one:
        one.said("indexed", within=120)
        with other.daemon() as two:
            two.ready()
            put(place.root / "new.jpg", 20)
            (place.root / "0.jpg").rename(place.root / "renamed.jpg")
            expected = sorted([*(f"{number}.jpg" for number in range(1, 10)), "new.jpg", "renamed.jpg"])
            eventually(lambda: sorted(place.items()) == expected)
    with place.catalog() as catalog:
        assert list(catalog.sources.all()) == ["shop"]


def test_a_rebuild_by_somebody_else_ends_the_daemon(place: Place, tmp_path: Path) -> None:
    put(place.root / "a.jpg", 1)
    other = Place(place.root, tmp_path / "other", place.options, place.settings)
    with place.daemon() as daemon:
        daemon.said("indexed", within=120)
        rebuilt = other.command("rebuild", "--model", "efficientnet_lite2")
        assert rebuilt.returncode == 0, rebuilt.stderr
        put(place.root / "b.jpg", 2)
        assert daemon.process.wait(30) == 5
        assert "has been rebuilt in another embedding space meanwhile" in daemon.log.read_text()


def test_a_wrong_key_is_no_reason_to_wait(tmp_path: Path) -> None:
    with QdrantServer(tmp_path / "server", api_key="right") as server:
        place = Place(tmp_path / "shop", tmp_path / "data", ("--url", server.url), {"RECQ_API_KEY": "wrong"})
        put(place.root / "a.jpg", 1)
        done = place.command("run", str(place.root), "--model", MODEL)
        assert done.returncode == 4
        assert "RECQ_API_KEY" in done.stderr
        assert "wrong" not in done.stderr
        place.settings["RECQ_API_KEY"] = "right"
        done = place.command("run", str(place.root), "--once", "--model", MODEL)
        assert done.returncode == 0, done.stderr
        assert "right" not in done.stderr


def test_one_folder_under_two_names_is_told_once_with_the_way_out(place: Place, tmp_path: Path) -> None:
    """As a daemon on another host names it that was given no `--source`."""
    for number in range(8):
        put(place.root / f"{number}.jpg", number)
    assert place.once().returncode == 0
    mounted = shutil.copytree(place.root, tmp_path / "mnt/shop")
    other = Place(mounted, tmp_path / "other", place.options, place.settings | {"RECQ_RESCAN": "0.3"})
    with other.daemon() as daemon:
        problem = daemon.said("problem", within=120)
        assert problem["source"] == "shop-2"
        assert "most pictures of source shop-2 are in source shop, too" in problem["detail"]
        assert f"where {mounted} is a copy of {place.root}, start the daemon without it; " in problem["detail"]
        assert f"start the daemon of this one with --source shop={mounted}, after" in problem["detail"]
        assert f"'recq-ingest forget shop-2 --url {place.options[1]}" in problem["detail"]
        count = len(daemon.events("reconciled"))
        eventually(lambda: len(daemon.events("reconciled")) >= count + 3)
        assert len(daemon.events("problem")) == 1
        eventually(lambda: other.status()["sources"][0]["problem_counts"] == {"doubled": 1}, every=0.2)
    again = place.once()  # the first one is nobody's double
    assert again.returncode == 0
    assert "event=problem" not in again.stderr
    (line,) = place.command("problems").stdout.splitlines()[1:]
    assert line.startswith("  doubled  most pictures of source shop-2")
    assert place.command("forget", "shop-2").returncode == 0
    done = other.command("run", "--source", f"shop={mounted}", "--once")  # a host of its own would call it so
    assert done.returncode == 2  # this host has the other folder under that name
    assert place.command("problems").stdout == ""


def test_sources_that_share_some_files_are_two_sources(place: Place, tmp_path: Path) -> None:
    for number in range(8):
        put(place.root / f"{number}.jpg", number)
    for number in (0, 1, 2, 20, 21, 22, 23):
        put(tmp_path / "press" / f"{number}.jpg", number)
    assert place.once().returncode == 0
    done = place.command("run", str(tmp_path / "press"), "--once")
    assert done.returncode == 0
    assert "event=problem" not in done.stderr


def test_its_api_answers_from_the_server_and_outlives_an_outage(place: Place, server: QdrantServer) -> None:
    """`recq` names the server as the daemon does; for another server, or none, the service is not asked."""
    put(place.root / "a.jpg", 1)
    put(place.root / "b.jpg", 2)
    place.settings["RECQ_API"] = "on"
    with place.daemon() as daemon:
        daemon.ready()
        settings = Settings(url=server.url, data_dir=place.data)
        (service,) = eventually(lambda: announced(settings), within=60)
        assert announced(Settings(data_dir=place.data)) == []

        def answered() -> bool:
            headers = {"Authorization": f"Bearer {service.own}"}
            reply = httpx.get(f"{service.url}/api/v1/search", headers=headers, timeout=60)
            return reply.status_code == 200 and len(reply.json()["results"]) == 2

        assert eventually(answered)
        server.kill()
        assert not answered()
        server.start()
        assert eventually(answered)
        assert daemon.stop() == 0

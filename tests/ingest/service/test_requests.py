"""retry, confirm and reconcile, asked of a running daemon and left in the index for the next one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import cast

import httpx
import pytest

from ingest.service.requests import DaemonRequests
from ingest.service.status import DaemonStatus
from recq.commands import Place as Place_
from recq.commands import command
from recq.errors import TargetNotFound
from recq.index.edge import read_address
from recq.operate.requests import RETRY
from recq.paths import item_id
from tests.eventually import eventually
from tests.ingest.documented import validated
from tests.ingest.pictures import jpeg, put
from tests.ingest.running import Place
from tests.qdrant_server import QdrantServer


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1"})


def fill(place: Place, count: int) -> None:
    for number in range(count):
        put(place.root / f"{number}.jpg", number)


def empty(place: Place, numbers: range) -> None:
    for number in numbers:
        (place.root / f"{number}.jpg").unlink()


def held(place: Place) -> int:
    (source,) = place.status()["sources"]
    return int(source["held"])


def break_in_silence(place: Place, path: str) -> None:
    """Make an indexed item a failed one, as if its file had been unreadable when it was indexed."""
    from dataclasses import replace

    from recq.errors import Reason
    from recq.index.points import ItemVector
    from recq.index.schema import ItemError

    with place.catalog() as catalog:
        known = catalog.lookups.get(item_id("shop", path, False))
        assert known is not None
        failure = ItemError(Reason.TIMEOUT, "too slow", "2026-01-01T00:00:00+00:00")
        catalog.writes.upsert([ItemVector(replace(known, error=failure), None)])


def test_a_live_mass_deletion_is_held_until_confirmed(engine_place: Place) -> None:
    place = engine_place
    fill(place, 50)
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: len(place.items()) == 50, within=60)
        empty(place, range(40))
        event = daemon.said("held")
        assert event["items"] == 40
        assert "recq-ingest confirm shop" in event["detail"]
        assert len(place.items()) == 50
        assert held(place) == 40
        assert "40 items have gone" in place.command("status").stdout
        put(place.root / "new.jpg", 99)  # life goes on
        eventually(lambda: "new.jpg" in place.items())
        done = place.command("confirm", "--json")
        assert validated("asked", json.loads(done.stdout)) == {"items": {"shop": 40}, "pid": daemon.process.pid}
        eventually(lambda: len(place.items()) == 11)
        eventually(lambda: held(place) == 0)
        nothing = place.command("confirm")
        assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "nothing is held\n")


def test_held_between_runs_and_confirmed_for_the_next(place: Place) -> None:
    fill(place, 30)
    assert place.once().returncode == 0
    empty(place, range(25))
    for _ in range(2):
        done = place.once()
        assert done.returncode == 0
        assert "event=held" in done.stderr
        assert len(place.items()) == 30
    assert held(place) == 25
    unknown = place.command("confirm", "press")
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (3, 1)
    place.root.rename(place.root.with_name("away"))
    gone = place.command("confirm", "shop")
    assert gone.returncode == 3
    assert "recq-ingest forget shop" in gone.stderr
    place.root.with_name("away").rename(place.root)
    done = place.command("confirm", "shop")
    assert done.stdout == "shop: the next daemon, run or reconcile deletes 25 items from the index\n"
    assert place.once().returncode == 0
    assert len(place.items()) == 5
    assert held(place) == 0


def test_a_moved_folder_of_everything_is_not_held(place: Place) -> None:
    for number in range(40):
        put(place.root / f"old/{number}.jpg", number)
    put(place.root / "stays.jpg", 99)
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: len(place.items()) == 41, within=60)
        embedded = len(daemon.events("indexed"))
        (place.root / "old").rename(place.root / "new")
        eventually(lambda: sorted(place.items()) == sorted([*(f"new/{n}.jpg" for n in range(40)), "stays.jpg"]))
        assert len(daemon.events("indexed")) == embedded
        assert not daemon.events("held")


def test_retry_by_the_daemon_and_by_the_next_run(engine_place: Place) -> None:
    place = engine_place
    fill(place, 3)
    (place.root / "bad.jpg").write_bytes(b"no picture")
    assert place.once().returncode == 3
    for path in ("0.jpg", "1.jpg"):
        break_in_silence(place, path)
    none = place.command("retry", "nothing*")
    assert (none.returncode, len(none.stderr.splitlines())) == (3, 1)
    done = place.command("retry", "shop/0.*")
    assert done.stdout == "shop: 1 item will be tried again by the next daemon, run or reconcile\n"
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: place.items()["0.jpg"].error is None)
        assert place.items()["1.jpg"].error is not None
        done = place.command("retry", "--json")
        assert validated("asked", json.loads(done.stdout)) == {"items": {"shop": 2}, "pid": daemon.process.pid}
        eventually(lambda: place.items()["1.jpg"].error is None)
        eventually(lambda: (error := place.items()["bad.jpg"].error) and error.attempts == 2 and not error.retry)
    assert place.command("retry", "bad.jpg").returncode == 0


def test_a_daemon_that_shares_the_server_sees_what_was_asked_elsewhere(place: Place, own_server: QdrantServer) -> None:
    place.options = ("--url", own_server.url)
    place.settings["RECQ_POLL_INTERVAL"] = "0.2"
    fill(place, 30)
    elsewhere = Place(place.root, place.data.with_name("other"), place.options, place.settings)
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: len(place.items()) == 30, within=60)
        break_in_silence(place, "29.jpg")
        assert "the next daemon" in elsewhere.command("retry").stdout
        eventually(lambda: place.items()["29.jpg"].error is None)
        empty(place, range(25))
        daemon.said("held")
        done = place.command("reconcile", "--json")  # what was held is recorded
        assert validated("reconciled", json.loads(done.stdout)) == {"pid": daemon.process.pid}
        eventually(lambda: "the next daemon" in elsewhere.command("confirm").stdout, every=0.5)
        eventually(lambda: len(place.items()) == 5)


def test_reconcile_says_what_it_would_do_and_does_it(place: Place) -> None:
    fill(place, 4)
    put(place.root / "gone.jpg", 50)
    assert place.once().returncode == 0
    nothing = place.command("reconcile", "--dry-run")
    assert (nothing.returncode, nothing.stdout) == (0, "the index is as the folders are\n")
    (place.root / "0.jpg").rename(place.root / "moved.jpg")
    put(place.root / "1.jpg", 77)
    os.utime(place.root / "1.jpg", ns=(1, 1))
    os.utime(place.root / "2.jpg", ns=(1, 1))
    (place.root / "3.jpg.json").write_text('{"price": 3}')
    (place.root / "gone.jpg").unlink()
    put(place.root / "new\nline.jpg", 60)
    before = place.items()
    done = place.command("reconcile", "--dry-run", "--json")
    steps = {(step["step"], step["path"], step["was"]) for step in validated("planned", json.loads(done.stdout))}
    assert steps == {
        ("move", "moved.jpg", "0.jpg"),
        ("re-embed", "1.jpg", None),
        ("refresh", "2.jpg", None),
        ("metadata", "3.jpg", None),
        ("delete", "gone.jpg", None),
        ("add", "new\nline.jpg", None),
    }
    text = place.command("reconcile", "--dry-run")
    assert "move  shop: 0.jpg -> moved.jpg" in text.stdout.splitlines()
    assert len(text.stdout.splitlines()) == 6
    assert place.items() == before
    done = place.command("reconcile", "--json")
    assert done.returncode == 0, done.stderr
    assert validated("reconciled", json.loads(done.stdout)) == {
        "pid": None, "indexed": 2, "reused": 2, "failed": 0, "deleted": 2, "metadata": 1, "held": 0, "refused": 0,
    }  # fmt: skip
    assert place.command("reconcile").stdout == "the index is as the folders are\n"
    assert sorted(place.items()) == ["1.jpg", "2.jpg", "3.jpg", "moved.jpg", "new\nline.jpg"]


def test_verify_finds_what_size_and_time_hide(place: Place) -> None:
    """Where the folder is polled: elsewhere the ctime tells."""
    place.settings["RECQ_WATCH"] = "poll"
    fill(place, 2)
    assert place.once().returncode == 0
    file = place.root / "0.jpg"
    state = file.stat()
    other = next(data for seed in range(100, 10_000) if len(data := jpeg(seed)) == state.st_size)
    file.write_bytes(other)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    digest = place.items()["0.jpg"].file.sha256
    assert place.command("reconcile").stdout == "the index is as the folders are\n"
    assert "re-embed  shop: 0.jpg" in place.command("reconcile", "--dry-run", "--verify").stdout
    with place.daemon() as daemon:
        daemon.ready()
        assert place.command("reconcile", "--verify").stdout.startswith(f"process {daemon.process.pid} compares")
        eventually(lambda: place.items()["0.jpg"].file.sha256 != digest)


def test_a_dry_run_reads_what_its_ctime_makes_doubtful(place: Place) -> None:
    fill(place, 3)
    assert place.once().returncode == 0
    file = place.root / "0.jpg"
    state = file.stat()
    file.write_bytes(next(data for seed in range(100, 10_000) if len(data := jpeg(seed)) == state.st_size))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    (place.root / "1.jpg").chmod(0o640)
    lines = place.command("reconcile", "--dry-run").stdout.splitlines()
    assert [line.split() for line in lines] == [["re-embed", "shop:", "0.jpg"], ["refresh", "shop:", "1.jpg"]]
    assert place.command("reconcile").returncode == 0
    assert place.command("reconcile", "--dry-run").stdout == "the index is as the folders are\n"


def test_a_dry_run_shows_what_would_be_held(place: Place) -> None:
    fill(place, 30)
    assert place.once().returncode == 0
    empty(place, range(25))
    done = place.command("reconcile", "--dry-run")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["hold"] * 25
    empty(place, range(25, 30))
    done = place.command("reconcile", "--dry-run")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["hold"] * 30


def test_the_routes_refuse_what_they_cannot_do(place: Place) -> None:
    fill(place, 1)
    with place.daemon() as daemon:
        daemon.ready()
        address = read_address(place.data)
        assert address is not None
        with httpx.Client(base_url=address.url, headers={"api-key": address.key}, trust_env=False) as client:
            assert client.get("/recq/retry").status_code == 405
            assert client.post("/recq/retry", content=b"[]").status_code == 409
            assert client.post("/recq/retry", content=b"{").status_code == 400
            assert client.post("/recq/confirm", json={"source": "press"}).json()["code"] == 3
            assert client.post("/recq/retry", json={}).json() == {"items": {}}
            assert httpx.post(f"{address.url}/recq/retry", trust_env=False).status_code == 401


def test_commands_in_an_answer_are_for_the_shell_that_asked() -> None:
    """The daemon was started elsewhere, perhaps without any option."""

    class Nobody:
        def running(self) -> None:
            raise TargetNotFound(command("recq-ingest", "failed"))

    asker = Place_("shop", None, Path("/data of mine"), "images")
    handler = DaemonRequests(cast(DaemonStatus, Nobody())).routes()[RETRY]
    code, answer = handler("POST", json.dumps({"pattern": "x", "place": asker.to_json()}).encode())
    assert (code, answer["error"]) == (409, "'recq-ingest failed --catalog shop --data-dir \"/data of mine\"'")
    assert handler("POST", b"{}")[1]["error"] == "'recq-ingest failed'", "of nobody who says where"

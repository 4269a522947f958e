"""A catalog moves to another collection beside its running daemon: both are kept current, and a kill loses nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from recq.index.reviews import Decision
from recq.models import describe_space
from recq.settings import Settings
from tests.eventually import eventually
from tests.ingest.moving import AFTER, BEFORE, KILLING, OF_NEW, Held, stage
from tests.ingest.pictures import put
from tests.ingest.running import STARTS_WITHIN, Place
from tests.qdrant_server import QdrantServer

OTHER = "pixels:12"
OLD, NEW = (describe_space(name, Settings()).dim for name in ("pixels:8", OTHER))
PICTURES = 12


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.server)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Held]:
    place = Held(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1", "RECQ_RESCAN": "3600"})
    for number in range(PICTURES):
        put(place.root / f"{number}.jpg", number)
    if request.param == "embedded":
        yield place
        return
    with QdrantServer(tmp_path / "server") as server:
        place.options = ("--url", server.url)
        yield place


def decided(place: Place) -> list[Decision]:
    with place.catalog() as catalog:
        return catalog.reviews.all()


def dims(place: Place) -> set[int]:
    return {vector.shape[0] for vector in place.vectors().values()}


def test_both_collections_are_current_until_the_alias_moves(place: Held, tmp_path: Path) -> None:
    press = tmp_path / "press"
    put(press / "b.jpg", 50)
    place.held.touch()
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: len(place.items()) == PICTURES)
        rebuild = place.asked("rebuild", "--model", OTHER)
        eventually(lambda: stage(place) == "waiting for the server's index")
        status = place.status()["rebuilding"]
        assert (status["space"]["model"], status["done"], status["total"]) == (OTHER, PICTURES, PICTURES)
        put(place.root / "new.jpg", 99)
        (place.root / "0.jpg").unlink()
        daemon.said("indexed", path="new.jpg")
        daemon.said("deleted", path="0.jpg")
        assert place.command("run", str(press)).returncode == 0
        daemon.said("indexed", path="b.jpg")
        assert dims(place) == {OLD}, "the old collection answers"
        meanwhile, since = (Decision(frozenset(seen), frozenset(), "2026") for seen in ("ab", "cd"))
        with place.catalog() as catalog:
            catalog.reviews.write(meanwhile)
        before = set(place.items())
        assert place.command("rebuild", "--model", "pixels:16").returncode == 2  # one at a time
        assert place.command("prune", "--yes").returncode in (3, 4)
        rebuild.process.send_signal(signal.SIGINT)
        code, told = rebuild.ended()
        assert (code, f"process {daemon.process.pid} goes on with it" in told) == (130, True), told
        again = place.asked("rebuild", "--model", OTHER)
        eventually(lambda: stage(place) is not None)
        place.held.unlink()
        code, told = again.ended()
        assert code == 0, told
        assert dims(place) == {NEW}
        assert set(place.items()) == before == {f"{n}.jpg" for n in range(1, PICTURES)} | {"new.jpg", "b.jpg"}
        assert len(daemon.events("indexed", path="new.jpg")) == 1, "reported once"
        assert decided(place) == [meanwhile]
        with place.catalog() as catalog:
            catalog.reviews.forget(meanwhile.key)
            catalog.reviews.write(since)
        put(place.root / "after.jpg", 98)
        put(press / "c.jpg", 51)
        daemon.said("indexed", path="after.jpg")
        daemon.said("indexed", path="c.jpg")
        assert dims(place) == {NEW}

        done = place.command("rollback")
        assert done.returncode == 0, done.stderr
        assert set(place.items()) == before | {"after.jpg", "c.jpg"}, "what has changed since is there at once"
        assert dims(place) == {OLD}
        assert decided(place) == [since]
        (place.root / "after.jpg").unlink()
        daemon.said("deleted", path="after.jpg")


@pytest.mark.parametrize(
    ("owner", "method", "order"),
    [
        ("Writes", "upsert", OF_NEW.format(dim=NEW)),
        ("Catalog", "finish_rebuild", BEFORE),
        ("Catalog", "finish_rebuild", AFTER),
    ],
    ids=["while it is filled", "before the alias moves", "after it has moved"],
)
@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_killed_anywhere_the_next_daemon_goes_on(place: Held, owner: str, method: str, order: str) -> None:
    assert place.once().returncode == 0
    before = place.items()
    place.more = KILLING.format(owner=owner, method=method, order=order)
    with place.daemon() as daemon:
        daemon.ready()
        done = place.command("rebuild", "--model", OTHER)
        assert done.returncode == 4, done.stderr
        assert "has ended before it reported the switch" in done.stderr
        assert daemon.process.wait(STARTS_WITHIN) == -signal.SIGKILL
    moved = order == AFTER
    assert dims(place) == {NEW if moved else OLD}, "one of the two answers at any time"
    place.more = ""
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: dims(place) == {NEW} and place.status()["rebuilding"] is None)
        assert place.items().keys() == before.keys()
        with place.catalog() as catalog:
            assert (catalog.items.count(), catalog.next()) == (PICTURES, None), "none twice, and nothing is left to do"
        assert place.status()["kept"]["space"]["dim"] == OLD


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_given_up_and_refused_the_old_collection_goes_on(place: Held) -> None:
    """A rebuild that is given up leaves nothing; one that would lose items is said once, and goes on when asked for."""
    put(place.root / "grey.jpg", 7)
    place.more = """
from ingest.service import switching
whole = switching.require_whole
def refusing(*arguments):
    if held.with_suffix(".refuse").exists():
        raise switching.TargetError("source 'shop': 1 item found today would be lost")
    return whole(*arguments)
switching.require_whole = refusing
"""
    place.held.touch()
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: len(place.items()) == PICTURES + 1)
        rebuild = place.asked("rebuild", "--model", OTHER)
        eventually(lambda: stage(place) == "waiting for the server's index")
        done = place.command("rebuild", "--stop")
        assert done.returncode == 0, done.stderr
        assert rebuild.ended()[0] == 1
        assert place.status()["rebuilding"] is None
        assert len(list((place.data / "edge").glob("images*"))) == 1, "what was made is deleted"

        place.held.unlink()
        place.held.with_suffix(".refuse").touch()
        done = place.command("rebuild", "--model", OTHER)
        assert (done.returncode, "would be lost" in done.stderr) == (3, True)
        assert len(daemon.events("abandoned")) == 2
        put(place.root / "new.jpg", 99)
        daemon.said("indexed", path="new.jpg")
        assert dims(place) == {OLD}
        place.held.with_suffix(".refuse").unlink()
        done = place.command("rebuild", "--model", OTHER)
        assert done.returncode == 0, done.stderr
        assert dims(place) == {NEW}

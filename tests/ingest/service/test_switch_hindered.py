"""What hinders a move beside a running daemon: the old vectors and the daemon go on, and one line says why."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.service.switching import Wanted
from recq.index.edge.disk import RESERVE
from recq.models import describe_space
from recq.settings import Settings
from tests.eventually import eventually
from tests.ingest.moving import (
    AFTER,
    BASE,
    BEFORE,
    CLASSES,
    KILLING,
    NAME,
    OF_NEW,
    PICTURES,
    SPACE,
    Held,
    candidate,
    stage,
)
from tests.ingest.pictures import put
from tests.ingest.running import STARTS_WITHIN
from tests.reliability.small_disk import SmallDisk, small_disk

OTHER = "pixels:12"
SLOW = """
import time
copy = Writes.copy
def waiting(self, rows):
    while held.exists():
        time.sleep(0.05)
    copy(self, rows)
Writes.copy = waiting
"""
QUIET = {"RECQ_SETTLE": "0.1", "RECQ_RESCAN": "3600"}


def filled(place: Held) -> Held:
    """With labels and a candidate."""
    for number in range(PICTURES):
        put(place.root / f"{number}.jpg", number)
    rows = [f"{number}.jpg,{CLASSES[number % 3]}" for number in range(PICTURES)]
    (place.root / "metadata.csv").write_text("\n".join(["file,category", *rows]))
    done = place.command("run", str(place.root), "--once", "--model", BASE)
    assert done.returncode == 0, done.stderr
    with place.catalog() as catalog:
        catalog.candidates.write(candidate())
    return place


@pytest.fixture
def place(tmp_path: Path) -> Held:
    return filled(Held(tmp_path / "shop", tmp_path / "data", settings=dict(QUIET)))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "900m") as disk:
        yield disk


def told(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of a command, but for those of a wait on a busy machine."""
    return [line for line in done.stderr.splitlines() if "waiting for" not in line]


def dims(place: Held) -> set[int]:
    return {vector.shape[0] for vector in place.vectors().values()}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(("--space", NAME), id="a head"),
        pytest.param(("--model", OTHER), id="a network", marks=pytest.mark.long),
    ],
)
def test_without_room_for_both_it_is_refused_before_it_begins(
    tmp_path: Path, disk: SmallDisk, asked: tuple[str, str]
) -> None:
    place = filled(Held(tmp_path / "shop", disk.path / "data", settings=dict(QUIET)))
    with place.daemon() as daemon:
        daemon.ready()
        disk.fill(leave=RESERVE + 24 * 2**20)
        done = place.command("rebuild", *asked)
        assert (done.returncode, len(told(done))) == (4, 1), done.stderr
        assert "no space left for" in done.stderr
        assert "The old vectors still answer" in done.stderr
        assert daemon.said("abandoned", within=STARTS_WITHIN)["detail"] in done.stderr
        status = place.status()
        assert (status["rebuilding"], status["state"], status["detail"]) == (None, "idle", None)
        put(place.root / "new.jpg", 99)
        daemon.said("indexed", path="new.jpg", within=STARTS_WITHIN)
        assert dims(place) == {SPACE.dim}
        disk.empty()
        done = place.command("rebuild", *asked)
        assert done.returncode == 0, done.stderr
        assert SPACE.dim not in dims(place)
        assert len(place.items()) == PICTURES + 1


def test_a_disk_that_fills_up_on_the_way_is_waited_out_even_by_the_next_daemon(tmp_path: Path, disk: SmallDisk) -> None:
    place = filled(Held(tmp_path / "shop", disk.path / "data", settings=dict(QUIET), more=SLOW))
    before = place.items()

    def waits_for_space() -> bool:
        rebuilding = place.status()["rebuilding"]
        return rebuilding["stage"] == "copying" and "no space left for" in (rebuilding["detail"] or "")

    place.held.touch()
    with place.daemon() as daemon:
        daemon.ready()
        command = place.asked("rebuild", "--space", NAME)
        eventually(lambda: stage(place) == "copying", within=STARTS_WITHIN)
        disk.fill()
        place.held.unlink()
        eventually(waits_for_space, within=STARTS_WITHIN)
        eventually(lambda: "no space left for" in command.told(), within=STARTS_WITHIN)
        assert "no space left for" in place.command("status").stdout
        assert place.items() == before, "the old collection answers"
        daemon.process.kill()
        daemon.process.wait()
        assert command.ended()[0] == 4
    with place.daemon() as daemon:
        assert "no space left for" in daemon.said("waiting", within=STARTS_WITHIN)["detail"]
        disk.empty()
        daemon.said("started", within=STARTS_WITHIN)  # until then, who asks would hold the folder against it
        eventually(lambda: dims(place) == {16}, within=STARTS_WITHIN)
        eventually(lambda: place.status()["rebuilding"] is None, within=STARTS_WITHIN)
        assert place.items() == before


@pytest.mark.parametrize(
    ("owner", "method", "order"),
    [
        pytest.param("Catalog", "fill_from", BEFORE, id="before it is filled", marks=pytest.mark.long),
        pytest.param("Writes", "copy", OF_NEW.format(dim=16), id="while it is filled"),
        pytest.param("Fields", "make_all", BEFORE, id="when it is filled", marks=pytest.mark.long),
        pytest.param("Catalog", "finish_rebuild", BEFORE, id="before the alias moves", marks=pytest.mark.long),
        pytest.param("Catalog", "finish_rebuild", AFTER, id="after it has moved", marks=pytest.mark.long),
    ],
)
def test_killed_while_a_head_fills_it_the_next_daemon_goes_on(place: Held, owner: str, method: str, order: str) -> None:
    before = place.items()
    small_pages = "from recq.index import projecting\nfrom recq.index.fields import Fields\nprojecting._PAGE = 4\n"
    place.more = small_pages + KILLING.format(owner=owner, method=method, order=order)
    with place.daemon() as daemon:
        daemon.ready()
        done = place.command("rebuild", "--space", NAME)
        assert (done.returncode, len(told(done))) == (4, 1), done.stderr
        assert "has ended before it reported the switch" in done.stderr
        assert daemon.process.wait(STARTS_WITHIN) == -signal.SIGKILL
    assert dims(place) == {16 if order == AFTER else SPACE.dim}, "one of the two answers at any time"
    assert place.items() == before
    place.more = ""
    put(place.root / "new.jpg", 99)
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: dims(place) == {16} and place.status()["rebuilding"] is None, within=STARTS_WITHIN)
        eventually(lambda: place.items().keys() == before.keys() | {"new.jpg"}, within=STARTS_WITHIN)
        assert daemon.events("abandoned") == []
        done = place.command("rollback")
        assert done.returncode == 0, done.stderr
        assert dims(place) == {SPACE.dim}
        assert place.items().keys() == before.keys() | {"new.jpg"}


def test_the_next_daemon_lacks_the_network(place: Held) -> None:
    """It was killed on the way to a network that was trained here, and is not here any more."""
    wanted = replace(SPACE, model="trained:genres", weights="a" * 16, layer="embedding", size=32)
    with place.catalog() as catalog:
        catalog.note_next(Wanted(wanted).to_json())
    with place.daemon() as daemon:
        why = daemon.said("abandoned", within=STARTS_WITHIN)["detail"]
        assert "trained:genres with the weights aaaaaaaaaaaaaaaa is not on this machine" in why
        assert "\n" not in why
        daemon.ready()
        assert place.status()["rebuilding"] is None
        put(place.root / "new.jpg", 99)
        daemon.said("indexed", path="new.jpg", within=STARTS_WITHIN)
        assert dims(place) == {SPACE.dim}
    with place.catalog() as catalog:
        assert catalog.next() is None, "it is not tried at each start"


def test_the_network_cannot_be_opened(place: Held) -> None:
    place.more = f"""
from ingest.service import running
from recq.errors import ModelUnavailable
opened = running.open_embedder
def missing(space, *arguments, **more):
    if space.dim == {describe_space(OTHER, Settings()).dim}:
        raise ModelUnavailable("the weights of pixels:12 have gone")
    return opened(space, *arguments, **more)
running.open_embedder = missing
"""
    with place.daemon() as daemon:
        daemon.ready()
        done = place.command("rebuild", "--model", OTHER)
        assert (done.returncode, told(done)) == (5, ["recq-ingest: the weights of pixels:12 have gone"])
        assert daemon.said("abandoned", within=STARTS_WITHIN)["detail"] == "the weights of pixels:12 have gone"
        put(place.root / "new.jpg", 99)
        daemon.said("indexed", path="new.jpg", within=STARTS_WITHIN)
        assert dims(place) == {SPACE.dim}
        assert place.status()["rebuilding"] is None

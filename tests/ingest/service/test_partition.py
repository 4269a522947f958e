"""Several daemons share one source on a server (`--partition`): each sees to its part, and none to another's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from recq.part import Part
from recq.paths import item_id
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import Place
from tests.qdrant_server import QdrantServer

ONE, TWO = Part(1, 2), Part(2, 2)


def part_of(path: str) -> Part:
    """Which of two parts has the picture."""
    return ONE if ONE.has(item_id("shop", path, False)) else TWO


def name_in(part: Part, pattern: str = "{}.jpg") -> str:
    """A path that is in a part."""
    return next(path for n in range(100) if part_of(path := pattern.format(n)) == part)


@pytest.fixture
def places(tmp_path: Path, own_server: QdrantServer) -> tuple[Place, Place]:
    """Two daemons' places for one folder."""
    settings = {"RECQ_CONNECT_TIMEOUT": "2", "RECQ_RESCAN": "2"}
    options = ("--url", own_server.url)
    return (
        Place(tmp_path / "shop", tmp_path / "one", options, settings),
        Place(tmp_path / "shop", tmp_path / "two", options, settings),
    )


@pytest.mark.server
def test_each_file_is_seen_to_by_one_daemon(places: tuple[Place, Place], tmp_path: Path) -> None:
    first, second = places
    third = Place(first.root, tmp_path / "three", first.options, first.settings)
    for number in range(8):
        put(first.root / f"{number}.jpg", number)
    (first.root / "0.jpg.json").write_text('{"price": 3}')
    with first.daemon("--partition", "1/2") as one:
        one.ready()
        mine = {path for path in (f"{number}.jpg" for number in range(8)) if part_of(path) == ONE}
        eventually(lambda: first.items().keys() == mine)
        (alone,) = first.status()["sources"]
        assert [(each["partition"], each["pid"]) for each in alone["parts"]] == [
            ("1/2", one.process.pid),
            ("2/2", None),
        ]
        assert "part 2/2: no daemon has it" in first.command("status").stdout
        with second.daemon("--partition", "2/2") as two:
            two.ready()
            eventually(lambda: len(first.items()) == 8)
            # A file that moves from one part to the other keeps its vector: nothing is embedded.
            before, after = name_in(ONE), name_in(TWO, "moved {}.jpg")
            embedded = len(two.events("indexed"))
            (first.root / before).rename(first.root / after)
            eventually(lambda: after in first.items() and before not in first.items(), within=60)
            two.said("reused", path=after)
            assert len(two.events("indexed")) == embedded
            # The sidecar of a picture lies in whichever part, and is the picture's.
            for number in range(8):
                (first.root / f"{number}.jpg.json").write_text('{"price": 7}')
            left = [path for path in first.items() if path != after]
            eventually(lambda: all(first.items()[path].metadata.get("price") == 7 for path in left))
            (shown,) = second.status()["sources"]
            assert [each["pid"] for each in shown["parts"]] == [one.process.pid, two.process.pid]
            assert shown["indexed"] == 8
            for arguments, message in (
                (("--partition", "1/2"), f"part 1/2 of source 'shop' is that of process {one.process.pid}: choose"),
                (("--partition", "3/3"), "source 'shop' is shared by 2 daemons, and process"),
                ((), "source 'shop' is shared by several daemons, and process"),
            ):
                done = third.once(*arguments)
                assert (done.returncode, len(done.stderr.splitlines())) == (4, 1), done.stderr
                assert message in done.stderr
            assert not one.events("another")
    (stopped,) = first.status()["sources"]
    assert [each["pid"] for each in stopped["parts"]] == [None, None]


@pytest.mark.server
@pytest.mark.long
def test_whatever_needs_all_parts_is_refused_while_one_is_watched(places: tuple[Place, Place], tmp_path: Path) -> None:
    first, second = places
    put(first.root / "a.jpg", 1)
    with first.daemon("--partition", "1/2") as one:
        one.ready()
        done = first.once("--partition", "2/2")
        assert done.returncode == 2
        assert f"the daemon that has the data folder {first.data} sees to part 1/2 of its sources" in done.stderr
        assert second.command("forget", "shop").returncode == 4
        done = second.command("rebuild", "--model", "pixels:4")
        assert done.returncode == 4
        assert "part 1/2 of source 'shop' of catalog" in done.stderr
        assert second.once("--partition", "2/2").returncode == 0
        done = first.command("rebuild", "--model", "pixels:4")
        assert done.returncode == 2
        assert "stop the daemons of all parts" in done.stderr
    done = second.once("--partition", "2/3")  # all have ended: they may share it otherwise
    assert done.returncode == 0, done.stderr
    (second.root / "metadata.csv").write_text("file,price\nb.jpg,1\n")  # a row for no file: the source's problem
    with second.daemon() as whole:
        whole.ready()
        eventually(lambda: second.status()["sources"][0]["problems"])
        done = first.once("--partition", "1/2")
        assert done.returncode == 4
        assert "is watched by process" in done.stderr
        assert second.status()["sources"][0]["parts"] == []
    (second.root / "metadata.csv").unlink()
    for part in ("1/2", "2/2"):
        assert first.once("--partition", part).returncode == 0
    assert not first.status()["sources"][0]["problems"], "what it had found as a whole has gone with it"


def test_an_embedded_index_has_no_parts(tmp_path: Path) -> None:
    embedded = Place(tmp_path / "shop", tmp_path / "data")
    done = embedded.once("--partition", "1/2")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "is for daemons that share an index on a Qdrant server" in done.stderr
    done = embedded.once("--partition", "3/2")
    assert done.returncode == 2
    assert "--partition '3/2': write NUMBER/PARTS" in done.stderr


@pytest.mark.server
@pytest.mark.long
def test_each_part_holds_its_own_losses(places: tuple[Place, Place]) -> None:
    first, second = places
    for number in range(120):
        put(first.root / "many" / f"{number}.jpg", number)
    kept = {name_in(ONE, "kept {}.jpg"), name_in(TWO, "kept {}.jpg")}
    for number, name in enumerate(kept):
        put(first.root / name, 1000 + number)
    assert first.once("--partition", "1/2").returncode == 0
    assert second.once("--partition", "2/2").returncode == 0
    assert len(first.items()) == 122
    shutil.rmtree(first.root / "many")
    assert first.once("--partition", "1/2").returncode == 0
    assert second.once("--partition", "2/2").returncode == 0
    (source,) = first.status()["sources"]
    assert (source["held"], source["indexed"]) == (120, 122)
    assert all(each["held"] > 40 for each in source["parts"])
    asked = second.command("confirm", "shop")
    assert "120 items" in asked.stdout
    assert first.once("--partition", "1/2").returncode == 0
    assert {path for path in first.items() if part_of(path) == TWO} - kept
    assert second.once("--partition", "2/2").returncode == 0
    assert first.items().keys() == kept

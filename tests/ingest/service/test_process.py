"""The life of the process: once, restart, signals, kills, rebuilds, and everything that keeps it from starting."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import socket
from pathlib import Path

import psutil
import pytest

from recq.errors import IndexUnreachable
from recq.index.pending_fields import Missing
from recq.index.schema import FieldType
from tests.eventually import eventually
from tests.ingest.documented import validated
from tests.ingest.pictures import jpeg, put
from tests.ingest.running import COMMAND, MODEL, NETWORK, Place, environment


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "shop", tmp_path / "data")


def test_once_then_nothing_then_only_what_changed(place: Place) -> None:
    for number in range(6):
        put(place.root / f"chair_{number}.jpg", number)
    (place.root / "metadata.csv").write_text("file,price,labels\nchair_0.jpg,10,a|b\nchair_1.jpg,9.5,c\n")
    first = place.once()
    assert first.returncode == 0, first.stderr
    assert first.stderr.count("event=indexed") == 6
    items = place.items()
    assert items["chair_0.jpg"].metadata == {"category": "chair", "price": 10.0, "labels": ["a", "b"]}
    assert items["chair_1.jpg"].metadata == {"category": "chair", "price": 9.5, "labels": ["c"]}

    (place.root / "chair_0.jpg").chmod(0)
    second = place.once()
    assert second.returncode == 0
    assert "changes=0" in second.stderr
    assert "event=indexed" not in second.stderr
    if os.geteuid() != 0:  # the file may not even be opened: no byte of it was wanted
        assert "event=failed" not in second.stderr
    (place.root / "chair_0.jpg").chmod(0o644)

    (place.root / "chair_5.jpg").unlink()
    (place.root / "chair_4.jpg").rename(place.root / "bed_4.jpg")
    (place.root / "metadata.csv").write_text("file,price\nchair_0.jpg,11\n")
    third = place.once()
    assert third.returncode == 0
    assert sorted(items := place.items()) == ["bed_4.jpg", *(f"chair_{number}.jpg" for number in range(4))]
    assert items["chair_0.jpg"].metadata == {"category": "chair", "price": 11.0}
    assert items["bed_4.jpg"].metadata == {"category": "bed"}
    assert third.stderr.count("event=reused") == 1
    assert "event=indexed" not in third.stderr
    assert third.stderr.count("event=metadata") == 2


def test_failed_items_are_exit_code_3_and_named(place: Place) -> None:
    put(place.root / "good.jpg", 1)
    (place.root / "bad.jpg").write_bytes(jpeg(2)[:-100])
    os.utime(place.root / "bad.jpg", (1_000_000_000, 1_000_000_000))  # old: nobody is still writing it
    done = place.once()
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == (
        "recq-ingest: 1 item could not be indexed: "
        f"'recq-ingest failed --data-dir {place.data}' lists them with the reason"
    )
    (failure,) = validated("failed", json.loads(place.command("failed", "--json").stdout))
    assert failure.pop("at").startswith("20")
    assert failure == {
        "source": "shop", "path": "bad.jpg", "reason": "truncated", "attempts": 1,
        "detail": failure["detail"],
    }  # fmt: skip
    assert failure["detail"]
    again = place.once()
    assert again.returncode == 3
    assert "event=failed" not in again.stderr  # not tried again while it stays as it is


def test_status_without_a_daemon_reads_the_index(place: Place) -> None:
    put(place.root / "a.jpg", 1)
    (place.root / "notes.txt").touch()
    assert place.once().returncode == 0
    status = place.status()
    space = status.pop("space")
    assert (space["model"], space["dim"]) == (MODEL, 192)
    assert status == {
        "catalog": "images", "engine": "embedded", "running": False, "pid": None, "state": "stopped",
        "detail": None,
        "sources": [{
            "name": "shop", "root": str(place.root), "items": 1, "indexed": 1, "failed": 0, "ignored": 1,
            "pending": None, "problems": [], "problem_counts": {}, "held": 0, "held_metadata": 0,
            "oldest_pending_seconds": None, "parts": [],
        }],
        "kept": None, "predicted": [], "rebuilding": None, "placement": None, "quantised": None, "node": None,
        "indexes_waiting": 0,
        "indexes_refused": 0,
        "runtime": None,
        "device": None,
    }  # fmt: skip
    told = place.command("status").stdout
    assert "no daemon runs here" in told
    assert "shop: 1 indexed, 0 failed, 1 ignored files" in told


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_five_seconds(place: Place, signum: signal.Signals) -> None:
    """With much more pending than can be done by then; what was acknowledged is there, and a restart does the rest."""
    for number in range(40):
        put(place.root / f"{number}.jpg", number)
    for number in range(3000):
        (place.root / f"link{number}.jpg").hardlink_to(place.root / f"{number % 40}.jpg")
    with place.daemon() as daemon:
        daemon.said("indexed", within=120)
        assert daemon.stop(signum) == 0
        said = len(daemon.events("indexed")) + len(daemon.events("reused"))
        assert daemon.events("stopped")
    done = place.items()
    assert said <= len(done) < 3040


def test_killed_it_leaves_nobody_behind_and_loses_nothing(place: Place) -> None:
    for number in range(30):
        put(place.root / f"{number}.jpg", number)
    with place.daemon() as daemon:
        daemon.said("indexed", within=120)
        children = daemon.children()
        assert children
        daemon.process.kill()
        daemon.process.wait()
        written = {event["path"] for event in daemon.events("indexed")}
        eventually(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children))
    assert written <= place.items().keys()  # the address file it left is not believed
    assert place.once().returncode == 0
    assert len(place.items()) == 30


def test_forget(place: Place) -> None:
    put(place.root / "a.jpg", 1)
    with place.daemon() as daemon:
        daemon.said("indexed", within=120)
        refused = place.command("forget", "shop")
        assert refused.returncode == 4
        assert f"'shop' is being watched by process {daemon.process.pid}: stop it first" in refused.stderr
    unknown = place.command("forget", "shoes")
    assert unknown.returncode == 3
    assert "no source 'shoes' (there is: shop)" in unknown.stderr
    done = place.command("forget", "shop")
    assert (done.returncode, done.stdout) == (0, "forgot shop: 1 item removed from the index\n")
    assert place.items() == {}
    assert (place.root / "a.jpg").exists()


def test_another_model_needs_a_rebuild(place: Place) -> None:
    place.model = NETWORK
    put(place.root / "sofa_1.jpg", 1)
    put(place.root / "sofa_2.jpg", 2)
    (place.root / "metadata.csv").write_text("file,price\nsofa_1.jpg,5\n")
    assert place.once().returncode == 0
    before = place.vectors()
    wrong = place.command("run", str(place.root), "--once", "--model", "efficientnet_lite2")
    assert wrong.returncode == 5
    assert "recq-ingest rebuild --model efficientnet_lite2" in wrong.stderr
    same = place.command("rebuild", "--model", NETWORK)
    assert same.returncode == 2
    hidden = place.root.rename(place.root.with_name("hidden"))
    lost = place.command("rebuild", "--model", "efficientnet_lite2")
    assert lost.returncode == 2
    assert "source 'shop'" in lost.stderr
    hidden.rename(place.root)
    done = place.command("rebuild", "--model", "efficientnet_lite2")
    assert done.returncode == 0, done.stderr
    after = place.vectors()
    assert after.keys() == before.keys()
    assert abs(float(after["sofa_1.jpg"] @ before["sofa_1.jpg"])) < 0.9
    assert place.items()["sofa_1.jpg"].metadata == {"category": "sofa", "price": 5}
    assert place.status()["space"]["model"] == "efficientnet_lite2"
    again = place.command("run", str(place.root), "--once")  # the catalog's own model, unsaid
    assert again.returncode == 0
    assert "changes=0" in again.stderr


def test_a_vanished_root_deletes_nothing(place: Place) -> None:
    put(place.root / "a.jpg", 1)
    place.settings["RECQ_RESCAN"] = "0.3"
    with place.daemon() as daemon:
        daemon.said("indexed", within=120)
        place.root.rename(place.root.with_name("away"))
        held = daemon.said("held")
        assert "recq-ingest forget shop" in held["detail"]
        assert list(place.items()) == ["a.jpg"]
        place.root.mkdir()  # the empty folder below an unmounted disk
        count = len(daemon.events("reconciled"))
        eventually(lambda: len(daemon.events("reconciled")) >= count + 2)
        assert list(place.items()) == ["a.jpg"]
        put(place.root / "b.jpg", 2)  # another folder at the same path is watched like the first
        eventually(lambda: list(place.items()) == ["b.jpg"])


def test_polling_finds_the_same(place: Place) -> None:
    put(place.root / "a.jpg", 1)
    place.settings["RECQ_POLL_INTERVAL"] = "0.2"
    with place.daemon("--watch", "poll") as daemon:
        assert daemon.said("watching", within=120)["mode"] == "poll"
        daemon.ready()
        put(place.root / "sub/b.jpg", 2)
        eventually(lambda: "sub/b.jpg" in place.items())
        (place.root / "sub").rename(place.root / "moved")
        eventually(lambda: sorted(place.items()) == ["a.jpg", "moved/b.jpg"])
        (place.root / "a.jpg").unlink()
        eventually(lambda: sorted(place.items()) == ["moved/b.jpg"])


def test_a_new_drop_overtakes_the_backlog(place: Place) -> None:
    """Five hundred old files wait; the one that is dropped meanwhile is written before most of them."""
    for number in range(500):
        put(place.root / f"old/{number}.jpg", number)
    with place.daemon() as daemon:
        daemon.said("indexed", within=120)
        put(place.root / "new.jpg", 5000)
        daemon.said("indexed", path="new.jpg", within=60)
        order = [event["path"] for event in daemon.events("indexed")]
        assert order.index("new.jpg") < 250


def test_two_sources_and_their_names(place: Place) -> None:
    put(place.root / "a.jpg", 1)
    other = put(place.root.parent / "elsewhere/shop/b.jpg", 2).parent
    done = place.command(
        "run", str(place.root), str(other), "--source", f"third={place.root.parent / 'third'}", "--once"
    )
    assert done.returncode == 2
    assert "third does not exist" in done.stderr
    put(place.root.parent / "third/c.jpg", 3)
    third = f"third={place.root.parent / 'third'}"
    done = place.command("run", str(place.root), str(other), "--source", third, "--once", "--model", MODEL)
    assert done.returncode == 0, done.stderr
    assert {item.file.source: path for path, item in place.items().items()} == {
        "shop": "a.jpg", "shop-2": "b.jpg", "third": "c.jpg",
    }  # fmt: skip
    moved = place.command("run", "--source", f"shop={other}", "--once")
    assert moved.returncode == 2
    assert "shop-2" in moved.stderr


# -- a server ---------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def test_an_unreachable_server(place: Place) -> None:
    place.options = ("--url", f"http://127.0.0.1:{free_port()}")
    place.settings["RECQ_CONNECT_TIMEOUT"] = "0.5"
    once = place.once()
    assert once.returncode == 4
    assert "no Qdrant server answers" in once.stderr
    with place.daemon() as daemon:  # it waits, and can be stopped while it does
        daemon.said("waiting", within=120)
        status = place.status()
        assert status["state"] == "waiting"
        assert "no Qdrant server answers" in status["detail"]
        assert "waiting: no Qdrant server answers" in place.command("status").stdout
        assert daemon.stop() == 0
        assert len(daemon.events("waiting")) == 1


# -- bad input --------------------------------------------------------------------------------------------------------


def refused(place: Place, *arguments: str) -> str:
    done = place.command(*arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert done.stdout == ""
    return line


def test_folders_that_cannot_be_sources(place: Place) -> None:
    file = put(place.root / "sub/a.jpg", 1)
    root = str(place.root)
    assert "does not exist" in refused(place, "run", f"{root}/missing")
    assert "is not a folder" in refused(place, "run", str(file))
    assert "given twice" in refused(place, "run", root, root)
    assert f"{root}/sub lies inside {root}" in refused(place, "run", root, f"{root}/sub")
    assert f"{root}/sub lies inside {root}" in refused(place, "run", f"{root}/sub", root)
    assert "name a folder" in refused(place, "run")
    assert "write NAME=FOLDER" in refused(place, "run", "--source", root)
    inside = Place(place.root, place.root / "data")
    assert "never writes into a source" in refused(inside, "run", root)


def test_a_named_table_that_is_not_there_is_refused_before_anything_is_made(place: Place) -> None:
    put(place.root / "a.jpg", 1)
    missing = str(place.root / "no.csv")
    assert "no.csv" in refused(place, "run", str(place.root), "--once", "--model", MODEL, "--metadata", missing)
    with pytest.raises(IndexUnreachable), place.catalog():  # nothing was made
        pass


def test_what_is_left_out_of_a_table_is_listed_and_costs_nothing_else(place: Place) -> None:
    put(place.root / "a.jpg", 1)
    put(place.root / "b.jpg", 2)
    table = place.root / "metadata.csv"
    table.write_text("file,file.size,price\na.jpg,1,5\nb.jpg,2,6,7\nc.jpg,1,9\n")
    done = place.once()
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == (
        "recq-ingest: not all metadata of shop could be stored: "
        f"'recq-ingest problems --data-dir {place.data}' lists what was not, and why"
    )
    assert {path: item.metadata for path, item in place.items().items()} == {"a.jpg": {"price": 5}, "b.jpg": {}}
    told = place.command("problems")
    cells = "4 cells, but the header names 3 columns: put cells with the separator in them in double quotes"
    assert (told.returncode, told.stdout.splitlines()) == (0, [
        "shop: 3 problems",
        f"  row  metadata.csv:3: {cells}",
        "  field  metadata.csv:1: column 'file.size' is reserved for recq: rename it",
        "  row  metadata.csv:4: 'c.jpg' names no file",
    ])  # fmt: skip
    table.write_text("file,price\na.jpg,5\nb.jpg,6\n")
    assert place.once().returncode == 0
    assert place.command("problems").stderr == "nothing is wrong\n"


def test_problems_of_every_kind_are_listed_until_they_are_mended(place: Place) -> None:
    put(place.root / "a.jpg", 1)
    put(place.root / "b.jpg", 2)
    put(place.root / "sub/._c.jpg", 3)
    put(place.root / ".hidden/d.jpg", 3)
    (place.root / "link.jpg").symlink_to(put(place.root.parent / "elsewhere.jpg", 4))
    (place.root / "metadata.csv").write_text("file,price\na.jpg,1\n")
    (place.root / "labels.csv").write_text("file;label\na.jpg;x\n")
    (place.root / "other.csv").write_text("name,label\na.jpg,x\n")
    (place.root / "b.jpg.json").write_text('{"price": "cheap"}')
    (place.root / "a.jpg.json").write_text("{")
    assert place.once().returncode == 3  # the sidecar
    done = place.command("problems", "shop", "--json")
    found = {(each["kind"], each["path"]): each for each in validated("problems", json.loads(done.stdout))}
    assert set(found) == {
        ("unread-table", "labels.csv"), ("ignored", "sub/._c.jpg"), ("ignored", ".hidden"), ("ignored", "link.jpg"),
        ("sidecar", "a.jpg"), ("misfit", "b.jpg"),
    }  # fmt: skip
    assert found["misfit", "b.jpg"]["field"] == "price"
    with place.daemon() as daemon:
        daemon.ready()
        assert json.loads(place.command("problems", "--json").stdout) == json.loads(done.stdout)
        counts = {"unread-table": 1, "sidecar": 1, "misfit": 1, "ignored": 3}
        eventually(lambda: place.status()["sources"][0]["problem_counts"] == counts, every=0.2)
    listed = list(csv.DictReader(io.StringIO(place.command("problems", "--csv").stdout)))
    assert {(row["kind"], row["path"]) for row in listed} == set(found)
    assert set(listed[0]) == set(next(iter(found.values())))
    both = place.command("problems", "--csv", "--json")
    assert (both.returncode, len(both.stderr.splitlines())) == (2, 1)
    assert place.command("problems", "press").returncode == 3
    for name in ("labels.csv", "a.jpg.json", "b.jpg.json", "sub/._c.jpg", "link.jpg"):
        (place.root / name).unlink()
    shutil.rmtree(place.root / ".hidden")
    assert place.once().returncode == 0
    assert place.command("problems", "--json").stdout == "[]\n"
    assert place.command("problems", "--csv").stdout.count("\n") == 1


def test_a_field_whose_index_could_not_be_made_is_listed_until_it_could(place: Place) -> None:
    put(place.root / "a.jpg", 1)
    fields = {f"f{number:02}": number for number in range(30)}  # more than are made at once
    (place.root / "a.jpg.json").write_text(json.dumps(fields))
    assert place.once().returncode == 0
    with place.catalog() as catalog:
        catalog.fields.declare({f"g{number:02}": FieldType.INTEGER for number in range(30)})
        catalog.fields.note_refused(Missing("g07", FieldType.INTEGER), "no room")
        assert len(list(catalog.fields.make_all())) == 29
    status = place.status()
    assert (status["indexes_waiting"], status["indexes_refused"]) == (0, 1)
    assert "1 index of new fields could not be made" in place.command("status").stdout
    (problem,) = validated("problems", json.loads(place.command("problems", "--json").stdout))
    assert (problem["kind"], problem["field"], problem["source"]) == ("unindexed", "g07", "")
    assert "no room" in problem["detail"]
    assert "unindexed" in place.command("problems").stdout
    assert place.once().returncode == 0  # which tries again
    assert place.command("problems", "--json").stdout == "[]\n"
    assert place.status()["indexes_refused"] == 0


def test_a_misfit_names_the_way_out(place: Place) -> None:
    put(place.root / "a.jpg", 1)
    put(place.root / "b.jpg", 2)
    (place.root / "metadata.csv").write_text("file,price\na.jpg,1\n")
    (place.root / "b.jpg.json").write_text('{"price": "cheap"}')
    done = place.once("--log-format", "json")
    assert done.returncode == 0, done.stderr
    (misfit,) = [event for line in done.stderr.splitlines() if (event := json.loads(line))["event"] == "misfit"]
    assert (misfit["field"], misfit["value"], misfit["type"]) == ("price", "cheap", "integer")
    assert "forget every source and index again" in misfit["detail"]


def test_a_row_that_names_no_file_is_a_problem(place: Place) -> None:
    put(place.root / "a.jpg", 1)
    (place.root / "metadata.csv").write_text("file,price\na.jpg,1\ntypo.jpg,2\n")
    message = "metadata.csv: 1 row names no file (first: line 3, 'typo.jpg')"
    place.settings["RECQ_RESCAN"] = "0.3"
    with place.daemon() as daemon:
        problem = daemon.said("problem", within=120)
        assert (problem["source"], problem["path"], problem["detail"]) == ("shop", "metadata.csv", message)
        listed = "metadata.csv:3: 'typo.jpg' names no file"
        eventually(lambda: place.status()["sources"][0]["problems"] == [listed], every=0.2)
        put(place.root / "typo.jpg", 2)
        eventually(lambda: place.status()["sources"][0]["problems"] == [], every=0.2)
        eventually(lambda: place.items()["typo.jpg"].metadata == {"price": 2})
        assert len(daemon.events("problem")) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_without_permission(place: Place) -> None:
    place.root.chmod(0)
    try:
        assert "cannot be read: Permission denied" in refused(place, "run", str(place.root))
    finally:
        place.root.chmod(0o755)


def test_nothing_is_there_yet(place: Place) -> None:
    for command in ("status", "failed"):
        done = place.command(command)
        assert done.returncode == 4
        assert "there is no index in" in done.stderr


def test_a_terminal_gets_a_bar(place: Place) -> None:
    import pty
    import subprocess

    put(place.root / "a.jpg", 1)
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "run", str(place.root), "--once", "--model", MODEL, *place.reached],
        env=environment(TERM="xterm", COLUMNS="100"), stdin=terminal, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    while True:
        try:
            piece = os.read(main, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(main)
    assert process.wait(60) == 0
    assert b"1/1" in shown
    assert b"event=indexed" not in shown


def test_an_interrupted_copy_leaves_no_trace(place: Place) -> None:
    """A folder is dropped and taken away again while it is being indexed."""
    with place.daemon() as daemon:
        daemon.ready()
        for number in range(20):  # as many as may go without being held
            put(place.root.parent / f"stack/{number}.jpg", number)
        (place.root.parent / "stack").rename(place.root / "stack")
        daemon.said("indexed")
        shutil.rmtree(place.root / "stack")
        put(place.root / "last.jpg", 99)
        eventually(lambda: list(place.items()) == ["last.jpg"])

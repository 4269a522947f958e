"""Any name that a file system allows: indexed exactly and found by what is printed, or passed over by rule."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recq import paths
from recq.errors import AmbiguousTarget
from recq.search.target import IndexedTarget, resolve
from tests import forked
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import STARTS_WITHIN, Daemon, Place, environment
from tests.reliability.rights import like_everybody

NAMES = [
    "with space.jpg",
    " in front and behind.jpg ",
    "quote\".jpg",
    "it's.jpg",
    "new\nline.jpg",
    "tab\tand\x1b[31mred.jpg",
    "back\\slash.jpg",
    "*?[a-z]{1,2}.jpg",
    "-rf.jpg",
    "--help.jpg",
    "$HOME `id`;#&|.jpg",
    "🙂 👩‍👩‍👧.jpg",
    "\u202eright-to-left.jpg",
    "x" * 251 + ".jpg",
    "é" * 125 + "x.jpg",  # 255 bytes
    unicodedata.normalize("NFC", "café.jpg"),
    unicodedata.normalize("NFD", "café.jpg"),
    "Case.JPG",
    "case.jpg",
    "%41.jpg",
    "100%.jpg",
    "caf%E9.jpg",  # literally: the text form of the next
    os.fsdecode(b"caf\xe9.jpg"),
    os.fsdecode(b"\xff\xfe 50%.jpg"),
    os.fsdecode(b"folder\xe9") + "/100%.jpg",
    "00000000-0000-4000-8000-000000000000.jpg",
    "http:/example.jpg",
    "dots...jpg/a..b.jpg",
]  # fmt: skip

JUNK = [
    ".DS_Store", "._photo.jpg", ".hidden.jpg", "Thumbs.db", "desktop.ini", "@eaDir/thumb.jpg", ".stversions/old.jpg",
    "upload.jpg.part", "upload.jpg.partial", "upload.jpg.crdownload", "upload.tmp", "~lock.jpg", "photo.jpg~",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A source whose own name is not UTF-8; half of the files are there before the daemon is."""
    folder = tmp_path_factory.mktemp("names")
    place = Place(folder / os.fsdecode(b"caf\xe9 100%"), folder / "data")
    drop(place, "before", 0)
    return place


@pytest.fixture(scope="module")
def daemon(place: Place) -> Iterator[Daemon]:
    with place.daemon() as daemon:
        daemon.said("indexed", within=STARTS_WITHIN)
        daemon.ready()
        drop(place, "after", 1000)
        yield daemon


def drop(place: Place, folder: str, seed: int) -> None:
    for number, name in enumerate(NAMES):
        put(place.root / folder / name, seed + number)
    for name in JUNK:
        put(place.root / folder / name, 5000)
    (place.root / folder / "circle").symlink_to(place.root)
    (place.root / folder / "out").symlink_to("/")
    (place.root / folder / "out.jpg").symlink_to(put(place.root.parent / "outside.jpg", 5001))
    (place.root / folder / "self.jpg").symlink_to("self.jpg")
    (place.root / folder / "a.jpg").symlink_to("b.jpg")
    (place.root / folder / "b.jpg").symlink_to("a.jpg")
    (place.root / folder / "inside.jpg").symlink_to("case.jpg")


def on_disk(place: Place, *folders: str) -> dict[tuple[str, bool], int]:
    """Text form and flag -> size of every file that is an item."""
    relative = [f"{folder}/{name}" for folder in folders for name in [*NAMES, "inside.jpg"]]
    return {paths.to_text(path): (place.root / path).stat().st_size for path in relative}


def indexed(place: Place) -> dict[tuple[str, bool], int]:
    """The same as the index has it."""
    with place.catalog() as catalog:
        items = [item for name in catalog.sources.all() for item in catalog.ledger.scan(name)]
    assert not [item for item in items if item.error]
    return {(item.file.path, item.file.encoded): item.file.size for item in items}


def recq(place: Place, *arguments: str) -> list[dict[str, Any]]:
    """What the query tool prints, line by line."""
    done = forked.run(
        "query.cli", [*arguments, "--format", "jsonl", "--data-dir", str(place.data)], environment(), STARTS_WITHIN
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def test_each_is_indexed_exactly_and_junk_is_not(place: Place, daemon: Daemon) -> None:
    wanted = on_disk(place, "before", "after")
    assert len(wanted) == 2 * (len(NAMES) + 1)  # this file system takes every one of the names
    eventually(lambda: indexed(place) == wanted, within=60)
    with place.catalog() as catalog:
        (source,) = catalog.sources.all().values()
        assert source.root_here() == place.root
    assert daemon.said("watching")["root"] == paths.printable(str(place.root))


def test_each_is_found_by_the_name_that_is_printed(place: Place, daemon: Daemon) -> None:
    eventually(lambda: len(indexed(place)) == 2 * (len(NAMES) + 1), within=60)
    printed = recq(place, "search", "-k", "100", "--keep-duplicates")
    assert len(printed) == 2 * (len(NAMES) + 1)
    with place.catalog() as catalog:
        for result in printed:
            within, item_id = result["payload"]["file"]["path"], result["id"]
            item = catalog.lookups.get(item_id)
            assert item is not None
            on_disk = place.root / paths.from_text(item.file.path, item.file.encoded)
            assert catalog.sources.path_of(item) == on_disk
            for name in (item_id, str(on_disk), result["path"]):
                assert resolve(catalog.lookups, name) == IndexedTarget(item)
            if within.endswith("/caf%E9.jpg"):  # two files print alike: each is listed with its id
                with pytest.raises(AmbiguousTarget, match=item_id):
                    resolve(catalog.lookups, within)
            else:
                assert resolve(catalog.lookups, within) == IndexedTarget(item)
        raw = resolve(catalog.lookups, os.fsdecode(b"before/caf\xe9.jpg"))  # typed byte for byte there is one
        assert isinstance(raw, IndexedTarget)
        assert raw.item.file.encoded


@pytest.mark.parametrize("name", ["before/new\nline.jpg", "before/%FF%FE 50%25.jpg"])
def test_recq_similar_takes_such_names(place: Place, daemon: Daemon, name: str) -> None:
    eventually(lambda: len(indexed(place)) == 2 * (len(NAMES) + 1), within=60)
    assert len(recq(place, "similar", name, "-k", "3")) == 3


def test_only_the_case_of_a_name_changes(place: Place, daemon: Daemon) -> None:
    folder = place.root / "rename"
    put(folder / "Photo.JPG", 2000)
    eventually(lambda: ("rename/Photo.JPG", False) in indexed(place))
    vector = place.vectors()["rename/Photo.JPG"]
    (folder / "Photo.JPG").rename(folder / "photo.jpg")
    eventually(lambda: [path for path, _ in indexed(place) if path.startswith("rename/")] == ["rename/photo.jpg"])
    assert (place.vectors()["rename/photo.jpg"] == vector).all()
    assert not daemon.events("indexed", path="rename/photo.jpg")
    shutil.rmtree(folder)
    eventually(lambda: not [path for path, _ in indexed(place) if path.startswith("rename/")])


def test_a_second_start_knows_them_all(tmp_path: Path) -> None:
    """Nothing is embedded again, no second source is made of the same folder, and what has gone goes."""
    place = Place(tmp_path / os.fsdecode(b"caf\xe9 100%"), tmp_path / "data")
    drop(place, "before", 0)
    assert place.once().returncode == 0
    assert indexed(place) == on_disk(place, "before")
    gone = place.root / "before" / os.fsdecode(b"caf\xe9.jpg")
    gone.unlink()
    again = place.once("--log-format", "json")
    events = [json.loads(line) for line in again.stderr.splitlines() if line.startswith("{")]
    assert [event["path"] for event in events if event["event"] == "deleted"] == ["before/caf%E9.jpg"]
    assert not [event for event in events if event["event"] in ("indexed", "reused", "metadata", "failed", "problem")]
    left = indexed(place)
    assert ("before/caf%E9.jpg", False) in left
    assert ("before/caf%E9.jpg", True) not in left
    assert [source["name"] for source in place.status()["sources"]] == ["caf%E9 100%25"]


def test_an_unreadable_folder_is_said_and_keeps_its_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    like_everybody(monkeypatch)
    place = Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_RESCAN": "1"})
    closed = place.root / "closed"
    put(closed / "deep/a.jpg", 1)
    put(place.root / "open.jpg", 2)
    assert place.once().returncode == 0
    closed.chmod(0)
    try:
        put(place.root / "new.jpg", 3)
        with place.daemon() as daemon:
            assert daemon.said("unreadable", within=STARTS_WITHIN)["path"] == "closed"
            daemon.said("indexed", path="new.jpg")
            eventually(lambda: len(daemon.events("unreadable")) >= 2)  # at each comparison
            assert sorted(place.items()) == ["closed/deep/a.jpg", "new.jpg", "open.jpg"]
            closed.chmod(0o755)
            put(closed / "b.jpg", 4)
            eventually(lambda: sorted(place.items()) == ["closed/b.jpg", "closed/deep/a.jpg", "new.jpg", "open.jpg"])
    finally:
        closed.chmod(0o755)


def test_a_copy_that_is_closed_until_it_is_whole_is_found_without_a_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `sudo cp -a` makes it: what comes into its folders from then on is noticed, too."""
    like_everybody(monkeypatch)
    place = Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_RESCAN": "3600"})
    put(place.root / "first.jpg", 1)
    with place.daemon("--watch", "native") as daemon:
        daemon.said("indexed", path="first.jpg")
        copy = place.root / "copy"
        copy.mkdir(0)
        put(place.root / "second.jpg", 2)
        daemon.said("indexed", path="second.jpg")  # the folder was met before
        copy.chmod(0o755)
        put(copy / "deep/a.jpg", 3)
        daemon.said("indexed", path="copy/deep/a.jpg")
        put(copy / "b.jpg", 4)
        put(copy / "deep/c.jpg", 5)
        eventually(lambda: {"copy/b.jpg", "copy/deep/c.jpg"} <= place.items().keys())
        assert len(daemon.events("reconciled")) == 1

"""Backups as their users make them: beside a daemon at work, killed, after a loss, from one engine to another."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import forked
from tests.eventually import eventually
from tests.ingest.documented import validated
from tests.ingest.pictures import put
from tests.ingest.running import STARTS_WITHIN, Place, environment
from tests.qdrant_server import QdrantServer

SMALL_PARTS = """
from recq.transfer import backup_list
backup_list.MOST_ITEMS = 3
from ingest.cli.main import main
main()
"""
"""`recq-ingest`, in whose backups a kill meets one of many parts."""

FIRST = 45
TARGETS = [f"shop/{n:03}.jpg" for n in range(0, FIRST, 5)]


def picture(root: Path, number: int) -> None:
    put(root / "shop" / f"{number:03}.jpg", number)


def asked(place: Sequence[str]) -> list[dict[str, Any]]:
    """What `recq similar --format json` answers to many targets: all but the time that it took."""
    found = []
    for target in TARGETS:
        command = ["similar", target, "-k", "8", "--format", "json", *place]
        done = forked.run("query.cli", command, environment(), STARTS_WITHIN)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert len(answer["results"]) == 8
        found.append({name: value for name, value in answer.items() if name != "took_ms"})
    return found


def as_json(place: Place, *arguments: str, title: str, code: int = 0) -> dict[str, Any]:
    done = place.command(*arguments, "--json")
    assert done.returncode == code, (done.stdout, done.stderr)
    found: dict[str, Any] = validated(title, json.loads(done.stdout))
    return found


def killed_backup(place: Place, folder: Path) -> bool:
    """Begin a backup, kill it (-9) when it has written some parts more, and return whether it was still at work."""

    def parts() -> int:
        return len(list(folder.glob("parts/*.gz")))

    before = parts()
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123
        arguments = [SMALL_PARTS, "backup", str(folder), *place.reached]
        process = forked.start("-c", arguments, environment(), nothing.fileno(), nothing.fileno())
        eventually(lambda: parts() > before + 2 or process.poll() is not None, every=0.001)
        process.kill()
        return process.wait() != 0


def test_killed_beside_a_daemon_resumed_and_restored_after_everything_is_lost(tmp_path: Path) -> None:
    place, folder = Place(tmp_path / "pictures", tmp_path / "data"), tmp_path / "backup"
    for number in range(FIRST):
        picture(place.root, number)
    (place.root / "shop" / "broken.jpg").write_bytes(b"\xff\xd8\xff and nothing more")
    killed = 0
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: len(place.items()) > FIRST // 2)
        for more in range(4):  # meanwhile pictures come, move and go
            for number in range(FIRST + 5 * more, FIRST + 5 * more + 5):
                picture(place.root, number)
            (place.root / "shop" / f"{FIRST + 5 * more:03}.jpg").rename(place.root / f"moved-{more}.jpg")
            killed += killed_backup(place, folder)
            assert not (folder / "backup.json").exists() or killed < more + 1
        assert as_json(place, "backup", str(folder), title="backed-up")["items"] > FIRST // 2
        eventually(lambda: place.status()["sources"][0]["pending"] == 0)
    assert killed >= 2
    place.once()
    last = as_json(place, "backup", str(folder), title="backed-up")
    assert (last["items"], last["failed"]) == (FIRST + 20 + 1, 1)
    checked = as_json(place, "check", "--backup", str(folder), title="checked")
    assert checked["backup"]["newer"] == 0
    before, items = asked(place.reached), place.items()

    shutil.rmtree(place.data)
    restored = as_json(place, "restore", str(folder), title="restored")
    assert (restored["catalog"], restored["restored"]) == ("images", FIRST + 20 + 1)
    assert place.items() == items
    assert asked(place.reached) == before
    assert as_json(place, "check", "--backup", str(folder), title="checked")["equal"]
    again = place.once("--log-format", "json")
    assert '"event": "indexed"' not in again.stderr  # nothing is embedded again
    assert asked(place.reached) == before


def test_check_lists_what_differs_and_ends_with_3(tmp_path: Path) -> None:
    place, folder = Place(tmp_path / "pictures", tmp_path / "data"), tmp_path / "backup"
    for number in range(3):
        picture(place.root, number)
    place.once()
    done = place.command("check")
    assert (done.returncode, done.stdout) == (0, "folders: the index is as they are\n")
    assert place.command("backup", str(folder)).stdout.startswith("3 items of catalog images in ")
    picture(place.root, 7)
    (place.root / "shop" / "001.jpg").unlink()
    (part,) = folder.glob("parts/*.gz")
    part.write_bytes(part.read_bytes()[:-1])
    done = place.command("check", "--backup", str(folder))
    lines = done.stdout.splitlines()
    assert done.returncode == 3
    assert lines[:3] == [
        "delete  pictures: shop/001.jpg",
        "add  pictures: shop/007.jpg",
        "folders: 1 to add, 1 to delete",
    ]
    assert lines[3] == f"damaged  parts/{part.name}: damaged: its bytes have another checksum than its name"
    assert lines[4].endswith("3 items, 0 changed since; 1 damaged")
    found = as_json(place, "check", "--backup", str(folder), title="checked", code=3)
    assert [step["step"] for step in found["folders"]] == ["delete", "add"]
    done = place.command("restore", str(folder), "--catalog", "other")
    assert done.returncode == 3
    assert done.stderr.startswith("recq-ingest: 3 items could not be restored, all others were:")
    assert part.name in done.stderr


@pytest.mark.long
@pytest.mark.server
def test_an_embedded_catalog_goes_to_a_server_and_back(tmp_path: Path, own_server: QdrantServer) -> None:
    root = tmp_path / "pictures"
    here, back = Place(root, tmp_path / "data"), Place(root, tmp_path / "back")
    server = Place(root, tmp_path / "elsewhere", ("--url", own_server.url))
    for number in range(FIRST):
        picture(root, number)
    here.once()
    before = asked(here.reached)
    as_json(here, "backup", str(tmp_path / "one"), title="backed-up")
    as_json(server, "restore", str(tmp_path / "one"), title="restored")
    for ours, theirs in zip(before, asked(server.reached), strict=True):
        scores = {each["id"]: each["score"] for each in theirs["results"]}
        assert {each["id"]: pytest.approx(each["score"], abs=1e-4) for each in ours["results"]} == scores
    assert as_json(server, "check", "--backup", str(tmp_path / "one"), title="checked")["equal"]
    as_json(server, "backup", str(tmp_path / "two"), title="backed-up")
    as_json(back, "restore", str(tmp_path / "two"), title="restored")
    assert asked(back.reached) == before
    assert back.items() == here.items()
    assert as_json(back, "check", "--backup", str(tmp_path / "two"), title="checked")["equal"]

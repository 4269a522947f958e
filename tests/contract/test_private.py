"""The data folder is its owner's alone, whatever the umask: every folder 0700, every file 0600."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from recq.index.connect import own_folder
from recq.index.edge import EdgeEngine, LoopbackServer
from recq.private_files import make_private_folder, tighten
from recq.settings import Settings
from tests.ingest.pictures import put
from tests.ingest.running import Place


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield int(request.param)
    os.umask(before)


def too_open(folder: Path) -> list[str]:
    """What others may read or write, `folder` included."""
    return [
        f"{path} {path.stat().st_mode & 0o777:o}"
        for path in (folder, *folder.rglob("*"))
        if path.stat().st_mode & 0o777 != (0o700 if path.is_dir() else 0o600)
    ]


def fill(engine: EdgeEngine) -> None:
    vectors = b'{"vectors": {"image": {"size": 2, "distance": "Cosine"}}}'
    points = b'{"points": [{"id": 1, "vector": {"image": [1, 0]}, "payload": {"a": "b"}}]}'
    assert engine.handle("PUT", "/collections/c", {}, vectors)[0] == 200
    assert engine.handle("PUT", "/collections/c/points", {}, points)[0] == 200
    index = b'{"field_name": "a", "field_schema": "keyword"}'
    assert engine.handle("PUT", "/collections/c/index", {}, index)[0] == 200
    engine.flush()


def test_what_is_left_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    data = tmp_path / "new" / "data"
    with own_folder(Settings(data_dir=data)) as owned:
        fill(owned.engine)
        with LoopbackServer(data, owned.engine):
            assert (data / "serve.json").stat().st_mode & 0o777 == 0o600
    assert too_open(data) == []
    assert data.parent.stat().st_mode & 0o777 == 0o700, "what had to be made above it"
    assert umask == os.umask(umask), "the process' own is as it was"


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_a_running_daemon_has_nothing_open_to_others(tmp_path: Path, mask: int) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data")
    put(place.root / "a.jpg", 1)
    before = os.umask(mask)
    try:
        with place.daemon() as daemon:
            daemon.ready()
            assert too_open(place.data) == []
    finally:
        os.umask(before)
    assert too_open(place.data) == []


def test_the_folder_of_an_older_version_is_tightened_and_a_users_own_is_not(tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "data" / "holiday.txt"
    data.mkdir(0o755)
    data.chmod(0o755)
    other.touch()
    other.chmod(0o644)
    engine = EdgeEngine(data / "edge")
    fill(engine)
    engine.close()
    for path in (data / "edge", *(data / "edge").rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    EdgeEngine(data / "edge").close()
    assert too_open(data / "edge") == []
    assert data.stat().st_mode & 0o777 == 0o755
    assert other.stat().st_mode & 0o777 == 0o644


def test_a_folder_with_other_things_in_it_keeps_them(tmp_path: Path) -> None:
    """As when `edge` is a link to a folder that somebody made for more than this."""
    folder, other = tmp_path / "shared", tmp_path / "shared" / "notes"
    folder.mkdir()
    folder.chmod(0o755)
    other.touch()
    other.chmod(0o644)
    engine = EdgeEngine(folder)
    fill(engine)
    engine.close()
    assert folder.stat().st_mode & 0o777 == 0o755
    assert other.stat().st_mode & 0o777 == 0o644
    ours = [path for path in folder.iterdir() if path != other]
    assert ours
    for path in ours:
        assert path.stat().st_mode & 0o077 == 0


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    outside.chmod(0o755)
    inside = tmp_path / "inside"
    make_private_folder(inside)
    (inside / "link").symlink_to(outside)
    tighten([inside, inside / "link"])
    assert outside.stat().st_mode & 0o777 == 0o755

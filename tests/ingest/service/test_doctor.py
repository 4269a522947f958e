"""`recq-ingest doctor`: what is well is called so, and whatever is broken is named with what mends it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.service import doctor, findings
from ingest.service.findings import Finding, State
from recq.errors import IndexRefused
from recq.index.catalog import Catalog
from recq.index.edge import waste
from recq.index.lock import FolderLock
from recq.models.weights import BUNDLED
from recq.settings import Settings
from tests.ingest.documented import validated
from tests.ingest.pictures import put
from tests.ingest.running import Place
from tests.qdrant_server import QdrantServer
from tests.reliability.rights import like_everybody

GB = 10**9


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One picture, indexed."""
    folder = tmp_path_factory.mktemp("doctor")
    place = Place(folder / "shop", folder / "data")
    put(place.root / "a.jpg", 1)
    assert place.once().returncode == 0
    return place


@pytest.fixture
def data(filled: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder to break."""
    monkeypatch.setenv("RECQ_CONFIG", os.devnull)
    return Path(shutil.copytree(filled.data, tmp_path / "data"))


def examined(data: Path, **more: object) -> dict[str, Finding]:
    """The findings by their names."""
    given = {"data_dir": data, "lock_wait": 0.1, "connect_timeout": 1.0, **more}
    found = doctor.examine(Settings.load(**given))
    assert len({each.check for each in found}) == len(found)
    for each in found:
        assert each.detail
        assert (each.fix is None) == (each.state is State.OK), each
    return {each.check: each for each in found}


def faults(data: Path, **more: object) -> dict[str, State]:
    """What is not all right, apart from that no daemon runs."""
    found = examined(data, **more).items()
    return {name: each.state for name, each in found if each.state is not State.OK and name != "daemon"}


def test_all_is_well(data: Path) -> None:
    found = examined(data)
    assert faults(data) == {}
    assert found["daemon"].state is State.WARNING
    assert found.keys() == {
        "recq", "packages", "networks", "secrets", "permissions", "file-system", "disk", "clock", "daemon", "engine",
        "catalog", "source shop", "inotify",
    }  # fmt: skip
    assert "1 items" in found["catalog"].detail


def a_package_is_missing(_: Path, patch: pytest.MonkeyPatch) -> None:
    def found(name: str) -> str:
        if name == "openvino":
            raise PackageNotFoundError(name)
        return version(name)

    patch.setattr(doctor, "version", found)


def a_network_was_changed(data: Path, patch: pytest.MonkeyPatch) -> None:
    copy = data.parent / "bundled"
    copy.mkdir()
    for path in BUNDLED.iterdir():
        (copy / path.name).symlink_to(path)
    (copy / "imagenet-classes.txt").unlink()
    (copy / "imagenet-classes.txt").write_text("cat\n")
    patch.setattr(doctor, "BUNDLED", copy)


def a_network_is_gone(data: Path, patch: pytest.MonkeyPatch) -> None:
    (data.parent / "empty").mkdir()
    patch.setattr(doctor, "BUNDLED", data.parent / "empty")


def the_settings_file_is_open(data: Path, patch: pytest.MonkeyPatch) -> None:
    config = data.parent / "recq.toml"
    config.write_text('token = "secret-secret"\n')
    config.chmod(0o644)
    patch.setenv("RECQ_CONFIG", str(config))


def a_file_with_a_key_is_missing(data: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("RECQ_TOKEN_FILE", str(data.parent / "gone"))


def a_file_with_a_key_is_open(data: Path, patch: pytest.MonkeyPatch) -> None:
    (data.parent / "key").write_text("secret-secret")
    (data.parent / "key").chmod(0o640)
    patch.setenv("RECQ_API_KEY_FILE", str(data.parent / "key"))


def the_data_folder_is_open(data: Path, _: pytest.MonkeyPatch) -> None:
    (data / "edge").chmod(0o755)


def the_data_folder_is_on_a_share(data: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(doctor, "file_system", lambda folder: "nfs4" if folder == data else "ext4")


def a_source_is_on_a_share(data: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(doctor, "file_system", lambda folder: "ext4" if folder == data else "fuse.sshfs")


def the_disk_is_full(_: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(waste, "free_bytes", lambda _: 2**20)


def the_disk_is_tight(_: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(waste, "free_bytes", lambda _: 2**29)


def the_clock_is_wrong(_: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(doctor, "time", SimpleNamespace(time=lambda: time.time() + 3600, monotonic=time.monotonic))


def too_few_watches(data: Path, patch: pytest.MonkeyPatch) -> None:
    (data.parent / "limit").write_text("0\n")
    patch.setattr(doctor, "_WATCHES", data.parent / "limit")


def hardly_enough_watches(data: Path, patch: pytest.MonkeyPatch) -> None:
    (data.parent / "limit").write_text("1\n")
    patch.setattr(doctor, "_WATCHES", data.parent / "limit")


def the_index_is_of_a_newer_recq(_: Path, patch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Catalog:
        raise IndexRefused("collection 'images' was made by a newer recq (schema 99): update recq")

    patch.setattr(doctor, "Catalog", SimpleNamespace(open=refuse))


def there_is_no_such_catalog(_: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("RECQ_CATALOG", "others")


BREAKS: list[tuple[Callable[[Path, pytest.MonkeyPatch], None], str, State]] = [
    (a_package_is_missing, "packages", State.WRONG),
    (a_network_was_changed, "networks", State.WRONG),
    (a_network_is_gone, "networks", State.WRONG),
    (the_settings_file_is_open, "secrets", State.WRONG),
    (a_file_with_a_key_is_missing, "secrets", State.WRONG),
    (a_file_with_a_key_is_open, "secrets", State.WRONG),
    (the_data_folder_is_open, "permissions", State.WRONG),
    (the_data_folder_is_on_a_share, "file-system", State.WRONG),
    (a_source_is_on_a_share, "source shop", State.WARNING),
    (the_disk_is_full, "disk", State.WRONG),
    (the_disk_is_tight, "disk", State.WARNING),
    (the_clock_is_wrong, "clock", State.WRONG),
    (too_few_watches, "inotify", State.WRONG),
    (hardly_enough_watches, "inotify", State.WARNING),
    (the_index_is_of_a_newer_recq, "catalog", State.WRONG),
    (there_is_no_such_catalog, "catalog", State.WARNING),
]


@pytest.mark.parametrize(("broken", "check", "state"), BREAKS, ids=lambda each: getattr(each, "__name__", str(each)))
def test_what_is_broken_is_named_and_nothing_else(
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[[Path, pytest.MonkeyPatch], None],
    check: str,
    state: State,
) -> None:
    broken(data, monkeypatch)  # without it all is well, as the test above found of the same folder
    assert faults(data) == {check: state}


def test_a_daemon_that_merges_segments_meanwhile(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were listed have gone when they are asked for, and folders when they are listed."""
    (data / "edge" / "merged").mkdir()
    for name in ("edge/old", "edge/merged/older"):
        (data / name).write_bytes(b"x" * 10_000)
    walk = os.walk

    def walked(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        for where, folders, files in walk(top):
            if top == data / "edge":
                shutil.rmtree(data / "edge" / "merged", ignore_errors=True)
                (data / "edge" / "old").unlink(missing_ok=True)
            yield where, folders, files

    monkeypatch.setattr(os, "walk", walked)
    assert faults(data) == {}
    assert not (data / "edge" / "old").exists()


@given(
    st.one_of(
        st.text(),
        st.from_regex(
            r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{1,6} \d{1,3}:\d\d:\d\d ([+-]\d{1,9}|GMT)", fullmatch=True
        ),
    )
)
@example("")
@example("0")
@example("Mon, 01 Jan 0001 00:00:00 GMT")
@example("Mon, 01 Jan 2024 00:00:00 +99999999")
def test_no_date_of_a_proxy_raises_anything(told: str) -> None:
    assert isinstance(doctor._date(told), float | None)


def test_a_date_is_read() -> None:
    assert doctor._date("Thu, 01 Jan 1970 00:01:00 GMT") == 60.0


def test_a_folder_that_has_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECQ_CONFIG", os.devnull)
    place = Place(tmp_path / "shop", tmp_path / "data")
    put(place.root / "a.jpg", 1)
    assert place.once().returncode == 0
    place.root.rename(tmp_path / "elsewhere")
    assert faults(place.data) == {"source shop": State.WRONG}
    assert "forget shop" in (examined(place.data)["source shop"].fix or "")


def test_the_address_file_and_the_lock(data: Path) -> None:
    address = data / "serve.json"
    assert "none runs here" in examined(data)["daemon"].detail
    address.write_text("{")
    address.chmod(0o600)
    assert "damaged" in examined(data)["daemon"].detail
    address.write_text('{"url": "http://127.0.0.1:1", "key": "k", "pid": 1}')
    assert "a killed one left" in examined(data)["daemon"].detail
    address.chmod(0o644)
    assert "others can read it" in examined(data)["daemon"].detail
    address.unlink()
    lock = FolderLock(data)
    assert lock.try_acquire()
    try:
        found = examined(data)
    finally:
        lock.release()
    assert found["daemon"].state is State.WRONG
    assert "does not answer" in found["daemon"].detail
    assert found["engine"].state is State.WRONG, "the folder cannot be opened meanwhile"


def test_beside_a_daemon(tmp_path: Path) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data")
    put(place.root / "a.jpg", 1)
    with place.daemon() as daemon:
        daemon.ready()
        done = place.command("doctor", "--json")
        assert done.returncode == 0, done.stdout
        document = validated("doctor", json.loads(done.stdout))
        assert document["well"] is True
        assert {each["check"]: each["detail"] for each in document["findings"]}["daemon"] == "it runs and answers"


def test_monitors_get_an_exit_code(filled: Place, tmp_path: Path) -> None:
    assert filled.command("doctor").returncode == 0
    place = Place(filled.root, Path(shutil.copytree(filled.data, tmp_path / "data")))
    (place.data / "api.json").touch()
    (place.data / "api.json").chmod(0o644)
    done = place.command("doctor", "--json")
    assert done.returncode == 3
    assert validated("doctor", json.loads(done.stdout))["well"] is False
    words = place.command("doctor")
    assert words.returncode == 3
    assert f"-> chmod -R go-rwx {place.data}" in words.stdout


def test_folders_that_its_user_may_not_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data")
    put(place.root / "a.jpg", 1)
    assert place.once().returncode == 0
    like_everybody(monkeypatch)
    place.root.chmod(0)
    try:
        found = {each["check"]: each for each in json.loads(place.command("doctor", "--json").stdout)["findings"]}
    finally:
        place.root.chmod(0o755)
    assert found["source shop"]["state"] == "wrong"
    place.data.chmod(0o500)
    try:
        done = place.command("doctor", "--json")
    finally:
        place.data.chmod(0o700)
    found = {each["check"]: each for each in json.loads(done.stdout)["findings"]}
    assert (done.returncode, found["permissions"]["state"]) == (3, "wrong")


@pytest.mark.server
def test_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECQ_CONFIG", os.devnull)
    with QdrantServer(tmp_path / "server", api_key="right-key") as server:
        found = examined(tmp_path / "data", url=server.url, api_key="right-key")
        assert (found["engine"].state, found["clock"].state, found["key"].state) == (State.OK, State.OK, State.OK)
        assert found["catalog"].state is State.WARNING
        wrong = examined(tmp_path / "data", url=server.url, api_key="wrong-key")
        assert wrong["engine"].state is State.WRONG
        assert "wrong-key" not in str(wrong)
        monkeypatch.setattr(doctor, "time", SimpleNamespace(time=lambda: time.time() - 100, monotonic=time.monotonic))
        assert examined(tmp_path / "data", url=server.url, api_key="right-key")["clock"].state is State.WRONG
        monkeypatch.undo()
        monkeypatch.setenv("RECQ_CONFIG", os.devnull)
        (tmp_path / "key").write_text("right-key")
        (tmp_path / "key").chmod(0o600)
        several = f"http://127.0.0.1:9,{server.url}"
        found = examined(tmp_path / "data", url=several, api_key_file=tmp_path / "key")
        states = {name: each.state for name, each in found.items() if name in ("engine", "clock", "key", "secrets")}
        assert set(states.values()) == {State.OK}, states
        assert found["node http://127.0.0.1:9"].state is State.WRONG
        assert "no Qdrant server answers at http://127.0.0.1:9 " in found["node http://127.0.0.1:9"].detail
        assert found[f"node {server.url}"].state is State.OK
        assert "right-key" not in str(found)
        both = examined(
            tmp_path / "data", url=f"{server.url},{server.url.replace('127.0.0.1', 'localhost')}", api_key="right-key"
        )
        assert (both["cluster"].state, "by itself" in both["cluster"].detail) == (State.WRONG, True)
    away = examined(tmp_path / "data", url=server.url, api_key="right-key")
    assert away["engine"].state is State.WRONG
    assert "no Qdrant server answers" in away["engine"].detail


@pytest.mark.parametrize(
    ("members", "state", "told"),
    [
        ({"a": "123", "b": "123"}, State.OK, "of 3 nodes, 2 answer"),
        ({"a": "123", "b": "124"}, State.WRONG, "know the same nodes: a, b"),
        ({"a": "12", "b": ""}, State.WRONG, "b is a server by itself"),
    ],
)
def test_nodes_of_one_cluster(members: dict[str, str], state: State, told: str) -> None:
    found = findings.of_cluster(members)
    assert found.state is state
    assert told in found.detail


@pytest.mark.parametrize(
    ("url", "key", "private", "state"),
    [
        ("http://127.0.0.1:6333", False, True, State.OK),
        ("http://[::1]:6333", False, True, State.OK),
        ("http://localhost:6333", False, True, State.OK),
        ("http://qdrant:6333", False, True, State.WARNING),
        ("http://qdrant:6333", True, True, State.OK),
        ("http://qdrant.example.org:6333", True, False, State.WRONG),
        ("https://qdrant.example.org:6333", True, False, State.OK),
        ("https://qdrant.example.org:6333", False, False, State.WARNING),
    ],
)
def test_where_a_key_may_go(url: str, key: bool, private: bool, state: State) -> None:
    assert findings.of_key(url, key=key, private=private).state is state


@pytest.mark.parametrize(
    ("server", "client", "state"),
    [
        ("1.17.0", "1.18.0", State.OK),
        ("1.19.1", "1.18.0", State.OK),
        ("1.20.0", "1.18.0", State.WARNING),
        ("1.16.3", "1.18.0", State.WARNING),
        ("2.0.0", "1.18.0", State.WARNING),
    ],
)
def test_versions_within_one_of_each_other(server: str, client: str, state: State) -> None:
    assert findings.of_server(server, client).state is state


def test_room_and_watches_by_number() -> None:
    folder = Path("/data")
    assert findings.of_room(folder, 100 * GB, GB, 2**26).state is State.OK
    assert findings.of_room(folder, 100 * GB, 60 * GB, 2**26).state is State.WARNING
    assert findings.of_room(folder, 2**25, 0, 2**26).state is State.WRONG
    assert findings.of_watches(100, 50, all_counted=True).state is State.OK
    assert findings.of_watches(100, 51, all_counted=True).state is State.WARNING
    assert findings.of_watches(100, 101, all_counted=False).state is State.WRONG
    assert findings.of_watches(None, 101, all_counted=True).state is State.WARNING

"""The HTTP API beside a daemon: where it answers, who may ask, and that it lives exactly as long as the daemon."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from ingest.service.api import MountedApi, pause_after
from recq.announced import DAEMONS
from recq.api.beside import tell_of_rest
from recq.settings import Settings
from tests.eventually import eventually
from tests.ingest.running import NETWORK, Daemon, Place, environment
from tests.packs import ROOT

SAMPLES = ROOT / "samples"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "drop").mkdir()
    for name in ("tent.jpg", "basketball.jpg", "tripod.jpg"):
        shutil.copy(SAMPLES / name, tmp_path / "drop")
    settings = {"RECQ_API": "on", "RECQ_CACHE_DIR": str(tmp_path / "cache")}
    return Place(tmp_path / "drop", tmp_path / "data", settings=settings, model=NETWORK)


@pytest.fixture
def daemon(place: Place) -> Iterator[Daemon]:
    with place.daemon() as daemon:
        daemon.ready()
        yield daemon


def address(place: Place) -> dict[str, Any] | None:
    """Where the API of the daemon answers; None where none does yet."""
    try:
        found: dict[str, Any] | None = json.loads((place.data / DAEMONS).read_bytes()).get("api")
    except FileNotFoundError:
        return None
    return found


def mounted(place: Place) -> dict[str, Any]:
    found = eventually(lambda: address(place), within=60)
    assert found is not None
    return found


def recq(place: Place, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`recq` as a process of its own; with the name of a module that it may not import in `without`."""
    command = [sys.executable, "-m", "query.cli", *words, *place.reached]
    settings = environment(**{**place.settings, **env})
    return subprocess.run(command, env=settings, capture_output=True, text=True, check=False, timeout=60)


def runs_network(api: Mapping[str, Any]) -> bool:
    """Whether a network's runtime is loaded in the service's process."""
    return any("openvino" in each.path for each in psutil.Process(api["pid"]).memory_maps())


def ask(api: Mapping[str, Any], method: str, route: str, key: str | None) -> int:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return httpx.request(method, f"{api['url']}/api/v1{route}", headers=headers, timeout=60).status_code


def test_it_answers_at_the_daemons_address_whoever_has_a_key(place: Place, daemon: Daemon) -> None:
    api = mounted(place)
    assert (place.data / DAEMONS).stat().st_mode & 0o777 == 0o600
    process = psutil.Process(api["pid"])
    assert process.ppid() == daemon.process.pid
    assert process.nice() == psutil.Process(daemon.process.pid).nice() + 5
    assert not [word for word in process.cmdline() if api["own"] in word or api["read"] in word]
    assert not {api["own"], api["read"]} & set(process.environ().values())
    answers = {
        name: [ask(api, *question, key) for question in (("GET", "/similar?target=tent.jpg"), ("POST", "/ask"))]
        for name, key in (("own", api["own"]), ("read", api["read"]), ("none", None), ("wrong", "a wrong key"))
    }
    assert answers == {"own": [200, 400], "read": [200, 403], "none": [401, 401], "wrong": [401, 401]}
    retry = [
        httpx.post(f"{api['url']}/api/v1/retry", json={}, headers={"Authorization": f"Bearer {api[key]}"}).status_code
        for key in ("own", "read")
    ]
    assert retry == [200, 403]
    shutil.copy(SAMPLES / "hard-drive.jpg", place.root / "new.jpg")
    daemon.said("indexed", path="new.jpg")
    said = recq(place, "similar", "new.jpg", "--format", "json")
    unseen = recq(place, "similar", str(SAMPLES / "laptop.jpg"), "--format", "json")
    assert [len(json.loads(each.stdout)["results"]) for each in (said, unseen)] == [3, 4]
    headers = {"Authorization": f"Bearer {api['read']}"}
    numbers = httpx.get(f"{api['url']}/api/v1/metrics", headers=headers, timeout=60).text
    assert 'recq_http_requests_total{method="POST",route="/api/v1/ask",status="200"} 3\n' in numbers, numbers
    assert "api" not in daemon.log.read_text().replace("recq.api", "")  # no key, no address, no trouble


def test_it_ends_with_the_daemon_in_time(place: Place, daemon: Daemon) -> None:
    process = psutil.Process(mounted(place)["pid"])
    assert daemon.stop() == 0
    assert not process.is_running()
    assert not (place.data / DAEMONS).exists()


def test_it_ends_with_a_daemon_that_is_killed_and_recq_asks_the_folder(place: Place) -> None:
    with place.daemon() as daemon:
        daemon.ready()
        process = psutil.Process(mounted(place)["pid"])
        os.kill(daemon.process.pid, signal.SIGKILL)
        daemon.process.wait(10)
    process.wait(10)
    assert address(place) is not None  # what a killed daemon leaves behind
    assert recq(place, "similar", "tent.jpg").returncode == 0


def test_its_network_is_loaded_before_anybody_asks_and_one_that_dies_is_started_again(
    place: Place, daemon: Daemon
) -> None:
    first = mounted(place)
    assert eventually(lambda: runs_network(first), within=60)
    os.kill(first["pid"], signal.SIGKILL)
    daemon.said("log", logger="recq.api")
    second = eventually(lambda: (now := address(place)) is not None and now != first and now, within=60)
    assert isinstance(second, dict)
    assert (ask(second, "GET", "/fields", second["own"]), ask(second, "GET", "/fields", first["own"])) == (200, 401)
    assert eventually(lambda: runs_network(second), within=60)


def test_the_pauses_between_starts_grow_until_one_has_lived_for_a_while() -> None:
    pauses = [0.0]
    for _ in range(8):
        pauses.append(pause_after(pauses[-1], lived=3))
    assert pauses[1:] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert pause_after(60, lived=3600) == 1


def test_no_other_run_has_one(place: Place) -> None:
    assert place.once("--api").returncode == 0
    with place.daemon("--no-api") as daemon:
        daemon.ready()
        assert address(place) is None
        assert not [each for each in daemon.children() if "recq.api.beside" in each.cmdline()]


def test_tokens_that_are_set_open_it_as_well(place: Place) -> None:
    place.settings |= {"RECQ_TOKEN": "a-token-of-a-test", "RECQ_READ_TOKEN": "another-of-a-test"}
    with place.daemon() as daemon:
        daemon.ready()
        api = mounted(place)
        routes = (("GET", "/fields"), ("POST", "/ask"))
        answers = {
            name: [ask(api, *each, place.settings[name]) for each in routes]
            for name in place.settings
            if "TOKEN" in name
        }
    assert answers == {"RECQ_TOKEN": [200, 403], "RECQ_READ_TOKEN": [200, 403]}


def test_settings_that_it_cannot_have_are_reported_and_the_daemon_works(place: Place) -> None:
    place.settings |= {"RECQ_TOKEN": "one-and-the-same", "RECQ_READ_TOKEN": "one-and-the-same"}
    with place.daemon() as daemon:
        daemon.ready()
        assert "exit status 2" in daemon.said("log", logger="recq.api")["detail"]
        assert "recq-ingest: the HTTP API cannot start: token and read_token are the same" in daemon.log.read_text()


@pytest.mark.long
def test_an_empty_catalog_has_none_until_something_comes(place: Place) -> None:
    for each in place.root.iterdir():
        each.unlink()
    with place.daemon() as daemon:
        daemon.ready()
        api = mounted(place)
        assert ask(api, "GET", "/fields", api["own"]) == 200
        assert not runs_network(api)
        shutil.copy(SAMPLES / "laptop.jpg", place.root)
        assert eventually(lambda: runs_network(api), within=60)


LOADING = """
import pathlib, sys, time
if "recq.api.beside" in sys.orig_argv:
    import recq.models.embedder
    real = recq.models.embedder.open_embedder
    def noted(space, *given, **more):
        with pathlib.Path({mark!r}).open("a") as file:
            file.write(space.model + chr(10))
        time.sleep({seconds})
        return real(space, *given, **more)
    recq.models.embedder.open_embedder = noted
"""


def note_loading(place: Place, folder: Path, seconds: float) -> Path:
    """Have the service's process write the names of the networks that it loads, and take so long for each."""
    mark = folder / "loading"
    (folder / "noting").mkdir()
    (folder / "noting" / "sitecustomize.py").write_text(LOADING.format(mark=str(mark), seconds=seconds), "utf-8")
    found = [str(folder / "noting"), *filter(None, [os.environ.get("PYTHONPATH")])]
    place.settings["PYTHONPATH"] = os.pathsep.join(found)
    return mark


def test_it_answers_and_ends_in_time_while_it_loads(place: Place, tmp_path: Path) -> None:
    mark = note_loading(place, tmp_path, seconds=600)
    with place.daemon() as daemon:
        daemon.ready()
        api = mounted(place)
        assert eventually(mark.exists, within=60)
        assert ask(api, "GET", "/similar?target=tent.jpg", api["own"]) == 200
        process = psutil.Process(api["pid"])
        assert daemon.stop() == 0  # within five seconds
        assert not process.is_running()


@pytest.mark.long
def test_a_catalog_that_moves_to_another_model_has_that_loaded(place: Place, tmp_path: Path) -> None:
    mark = note_loading(place, tmp_path, seconds=0)
    with place.daemon() as daemon:
        daemon.ready()
        mounted(place)
        assert eventually(lambda: mark.exists() and mark.read_text("utf-8").split() == [NETWORK], within=60)
        done = place.command("rebuild", "--model", "pixels:8")
        assert done.returncode == 0, done.stderr
        eventually(lambda: mark.read_text("utf-8").split() == [NETWORK, "pixels:8"], within=60)


def test_one_whose_address_cannot_be_written_is_started_again_until_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full for a while, when it is to be announced and when it has ended."""
    module, started, told = "ingest.service.api", list[subprocess.Popen[bytes]](), list[object]()
    place, popen = object(), subprocess.Popen

    def begin(*_: Any, **__: Any) -> subprocess.Popen[bytes]:
        started.append(popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        return started[-1]

    def announce(where: object) -> None:
        if len(started) < 3:
            raise OSError(28, "No space left on device")
        told.append(where)

    monkeypatch.setattr(f"{module}.subprocess.Popen", begin)
    monkeypatch.setattr(f"{module}.read_place", lambda _: place)
    monkeypatch.setattr(f"{module}.FIRST_AGAIN", 0.01)
    api = MountedApi(Settings(), announce)
    api.start()
    try:
        eventually(lambda: told == [place])
        assert [each.poll() is None for each in started] == [False, False, True]
    finally:
        api.close()
    assert told == [place, None]
    assert started[-1].poll() is not None


@pytest.mark.parametrize("warm", [True, False])
def test_its_process_is_told_of_rest_unless_that_is_turned_off(warm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the pipe that it has; one that does not read is not waited for."""
    told: list[str] = []
    monkeypatch.setattr("ingest.service.api.tell_of_rest", lambda _, space: told.append(space))
    api = MountedApi(Settings(api_warm=warm), lambda _: None)
    api.rested("before it answers")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        api._ready = process
        api.rested("a")
        api.leave()
        api.rested("at the end")
        assert process.stdin is not None
        process.stdin.close()
    assert told == (["a"] if warm else [])


def test_a_pipe_that_is_full_holds_nothing_up() -> None:
    with subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        with pytest.raises(BlockingIOError):  # noqa: PT012 - after how many of them depends on the system
            for _ in range(100_000):
                tell_of_rest(process.stdin, "0123456789ab")
        process.kill()

"""`recq serve` as a process of its own: its start, its end, and a daemon that starts and ends beside it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from recq.announced import SERVICES, announced
from recq.settings import Settings
from tests.eventually import eventually
from tests.ingest.running import Place, environment

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
TOKEN = "a-secret-of-this-test"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("served")
    drop = folder / "drop"
    drop.mkdir()
    for name in ("tent.jpg", "basketball.jpg", "allstar-sneakers.jpg"):
        shutil.copy(SAMPLES / name, drop)
    place = Place(drop, folder / "data", settings={"RECQ_LOCK_WAIT": "20"})
    done = place.once()
    assert done.returncode == 0, done.stderr
    return place


class Serving:
    """A running `recq serve`."""

    def __init__(self, place: Place, *options: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "query.cli", "serve", "--port", "0", *options, *place.reached],
            env=environment(RECQ_LOCK_WAIT="20", **env),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if (match := re.search(r"answering at (http://\S+)/, for people at", line)) is not None:
                self.url = match[1]
                break
        else:
            raise AssertionError("".join(self.said))
        threading.Thread(target=lambda: self.said.extend(self.process.stderr or ()), daemon=True).start()

    def stop(self) -> tuple[int, float]:
        """The exit code, and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        return code, time.monotonic() - began


@contextlib.contextmanager
def serving(place: Place, *options: str, **env: str) -> Iterator[Serving]:
    service = Serving(place, *options, **env)
    try:
        yield service
    finally:
        service.process.kill()
        service.process.wait()


def refused(place: Place, *options: str, **env: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "query.cli", "serve", *options, *place.reached],
        env=environment(**env),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stderr


def test_addresses_that_cannot_be_had(place: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, said = refused(place, "--port", port)
    assert (code, said.count("\n")) == (2, 1)
    assert f"port {port} of 127.0.0.1 is not available, another program listens there" in said


def test_beyond_loopback_a_token_is_needed(place: Place) -> None:
    code, said = refused(place, "--host", "0.0.0.0", "--port", "0")
    assert (code, said.count("\n")) == (2, 1)
    assert "set RECQ_TOKEN" in said
    with serving(place, "--host", "0.0.0.0", RECQ_TOKEN=TOKEN) as service:
        address = service.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{address}/fields").status_code == 401
        reply = httpx.get(f"{address}/fields", headers={"Authorization": f"Bearer {TOKEN}"})
        assert reply.status_code == 200
        code, seconds = service.stop()
        assert TOKEN not in "".join(service.said)
    assert (code, seconds < 5) == (0, True)


def test_the_command_line_finds_it_and_only_its_own_user_does(place: Place) -> None:
    with serving(place) as service:
        file = place.data / SERVICES
        assert file.stat().st_mode & 0o777 == 0o600
        known = announced(Settings(data_dir=place.data))
        assert [each.url for each in known] == [service.url.removesuffix("/api/v1")]
        ask = f"{service.url}/ask"
        assert httpx.post(ask, content=b"{}").status_code == 403  # without a token everybody may ask, but not so
        assert httpx.post(ask, content=b"{}", headers={"Authorization": f"Bearer {known[0].own}"}).status_code == 400
        assert service.stop()[0] == 0
        assert not file.exists()
        assert known[0].own not in "".join(service.said)


def test_it_ends_in_time_whatever_its_clients_do(place: Place) -> None:
    """One that sends nothing, one that stops in its headers, one in its body, and one between two requests."""
    with serving(place) as service, contextlib.ExitStack() as open_:
        port = int(service.url.split(":")[2].partition("/")[0])
        for begun in (
            b"",
            b"GET /api/v1/fields HTTP/1.1\r\nHost: 127",
            b"POST /api/v1/similar/picture HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nJFIF",
            b"GET /api/v1/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        ):
            connection = open_.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(begun)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        code, seconds = service.stop()
    assert (code, seconds < 5) == (0, True), seconds


def test_a_daemon_starts_and_ends_beside_it_and_no_answer_is_lost(place: Place) -> None:
    """Eight clients ask all the while; the daemon gets the folder that the service had, and its drops are found."""
    with serving(place) as service:
        over = threading.Event()

        def ask(number: int) -> list[int]:
            with httpx.Client(timeout=60) as client:
                found = []
                while not over.is_set():
                    target = ("tent.jpg", "basketball.jpg")[number % 2]
                    found.append(client.get(f"{service.url}/similar", params={"target": target}).status_code)
                return found

        with ThreadPoolExecutor(8) as clients:
            asking = [clients.submit(ask, number) for number in range(8)]
            try:
                with place.daemon() as daemon:
                    daemon.ready()
                    shutil.copy(SAMPLES / "tent.jpg", place.root / "tent-again.jpg")
                    assert eventually(lambda: named(service.url, "tent-again.jpg") == 200)
                    status = httpx.get(f"{service.url}/status").json()
                    assert (status["running"], status["pid"]) == (True, daemon.process.pid)
                assert eventually(lambda: httpx.get(f"{service.url}/status").json()["running"] is False)
                assert named(service.url, "tent-again.jpg") == 200
            finally:
                over.set()
        answers = [status for each in asking for status in each.result()]
    assert set(answers) == {200}
    assert len(answers) > 50


def named(url: str, name: str) -> int:
    return httpx.get(f"{url}/similar", params={"target": name}, timeout=60).status_code


def test_nothing_else_imports_fastapi(place: Place) -> None:
    program = (
        "import sys; from query.cli.main import app; from recq.cli_errors import run; "
        f"code = run(app, 'recq', ['similar', 'tent.jpg', *{place.reached!r}]); "
        "sys.exit(code or ('fastapi' in sys.modules) * 70)"
    )
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | environment(), check=False)
    assert done.returncode == 0

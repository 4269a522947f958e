"""What stands at an address: a server, another service, nothing."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from recq.errors import IndexBusy, IndexRefused, IndexUnreachable, UsageError
from recq.index.connect import connect, locked, server_client
from recq.index.lock import FolderLock
from recq.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


class Page(BaseHTTPRequestHandler):
    """Answers as some website does."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"<html>Welcome</html>")

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


class Missing(Page):
    status = 404


@pytest.fixture(params=[Page, Missing])
def website(request: pytest.FixtureRequest) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), request.param)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_another_service_is_refused_with_advice(website: str) -> None:
    with pytest.raises(IndexRefused, match="correct --url"):
        server_client(Settings.load(url=website))


class Qdrant(BaseHTTPRequestHandler):
    """Answers as a server does that recq takes, and notes who connects and how answers may be encoded."""

    protocol_version = "HTTP/1.1"
    connections: ClassVar[list[int]] = []
    encodings: ClassVar[set[str | None]] = set()

    def setup(self) -> None:
        super().setup()
        self.connections.append(self.client_address[1])

    def do_GET(self) -> None:
        self.encodings.add(self.headers["Accept-Encoding"])
        told: dict[str, Any] = {"title": "qdrant", "version": "1.17.0"}
        if self.path == "/aliases":
            told = {"result": {"aliases": []}, "status": "ok", "time": 0}
        content = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


def test_a_server_on_this_machine_is_asked_over_one_connection_for_plain_answers() -> None:
    """Compressed ones would come in several parts, the last one late over a connection that stays open."""
    Qdrant.connections.clear()
    Qdrant.encodings.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Qdrant) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        client = server_client(Settings.load(url=f"http://127.0.0.1:{server.server_port}"))
        for _ in range(3):
            client.get_aliases()
        client.close()
        server.shutdown()
        thread.join()
    assert len(Qdrant.connections) == 1
    assert Qdrant.encodings == {"identity"}


def test_nothing_there() -> None:
    with pytest.raises(IndexUnreachable, match=r"tried for 0\.2 s.*correct --url"):
        server_client(Settings.load(url="http://127.0.0.1:9", connect_timeout=0.2))


@pytest.mark.parametrize(("url", "key"), [("localhost:6333", None), ("http://127.0.0.1:9", "clé"), ("http://:x", None)])
def test_what_cannot_be_an_address_or_a_key(url: str, key: str | None) -> None:
    with pytest.raises(UsageError):
        server_client(Settings.load(url=url, api_key=key, connect_timeout=0.2))


def test_one_spelling_of_an_address() -> None:
    assert Settings.load(url="http://127.0.0.1:6333/").url == "http://127.0.0.1:6333"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate that nobody has signed, for `localhost`."""
    file = tmp_path / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    if shutil.which(command[0]) is None:
        pytest.skip("no openssl here to make a certificate with")
    subprocess.run([*command, "-keyout", str(file), "-out", str(tmp_path / "c.pem")], check=True, capture_output=True)
    with file.open("ab") as both:
        both.write((tmp_path / "c.pem").read_bytes())
    return file


@contextmanager
def speaking(certificate: Path | None) -> Iterator[int]:
    """A web server on a free port, with TLS where it has a certificate."""
    server = HTTPServer(("127.0.0.1", 0), Page)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("scheme", "tls", "why"),
    [
        ("https", False, "does not speak TLS there: write http://"),
        ("http", True, "speaks TLS there: write https://"),
        ("https", True, "its certificate is refused"),
    ],
)
def test_what_no_waiting_mends_fails_at_once(scheme: str, tls: bool, why: str, certificate: Path) -> None:
    with speaking(certificate if tls else None) as port:
        began = time.monotonic()
        with pytest.raises(IndexRefused, match=re.escape(why)):
            server_client(Settings.load(url=f"{scheme}://127.0.0.1:{port}", connect_timeout=60))
        assert time.monotonic() - began < 20


@contextmanager
def dropping() -> Iterator[int]:
    """A port that takes no connection and refuses none, as behind a firewall: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening, ExitStack() as stack:
        port = listening.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


def test_a_port_that_answers_nothing_is_waited_for_no_longer_than_said() -> None:
    """Not for `request_timeout`, which a connection was given before."""
    with dropping() as port:
        began = time.monotonic()
        with pytest.raises(IndexUnreachable, match=r"tried for 1 s"):
            server_client(Settings.load(url=f"http://127.0.0.1:{port}", connect_timeout=1, request_timeout=60))
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("kind", ["refused", "dropped", "silent"])
def test_a_server_that_is_waited_for_is_named_within_a_second(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as stack:
        if kind == "dropped":
            port = stack.enter_context(dropping())
        else:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = listening.getsockname()[1]
            if kind == "refused":
                listening.close()
        with pytest.raises(IndexUnreachable):
            server_client(Settings.load(url=f"http://127.0.0.1:{port}", connect_timeout=1.5))
        (said,) = [record for record in caplog.records if record.name == "recq.waiting"]
        assert f"waiting for a Qdrant server at http://127.0.0.1:{port}" in said.getMessage()
        assert "up to 1.5 s" in said.getMessage()
        assert ("Connection refused" in said.getMessage()) == (kind == "refused")


HOLD = """
import sys
from pathlib import Path
from recq.index.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print(lock.try_acquire(), flush=True)
sys.stdin.read()
"""


def test_who_has_the_data_folder_is_named_while_it_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"
        for opening in (connect, locked):
            caplog.clear()
            with pytest.raises(IndexBusy), opening(Settings(data_dir=tmp_path, lock_wait=1.5)):
                pass
            (said,) = [record.getMessage() for record in caplog.records if record.name == "recq.waiting"]
            assert said == f"waiting for process {holder.pid} to leave the data folder {tmp_path}: up to 1.5 s"
        holder.stdin.close()


def test_a_wait_for_another_thread_of_the_process_is_not_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock = FolderLock(tmp_path)
    assert lock.try_acquire()
    for opening in (connect, locked):
        with (
            pytest.raises(IndexBusy, match="in use by another thread of this process"),
            opening(Settings(data_dir=tmp_path, lock_wait=1.5)),
        ):
            pass
    assert [record for record in caplog.records if record.name == "recq.waiting"] == []
    lock.release()

"""What stands at an address: a server, another service, nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from recq.errors import IndexRefused, IndexUnreachable, UsageError
from recq.index.connect import server_client
from recq.settings import Settings


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


def test_nothing_there() -> None:
    with pytest.raises(IndexUnreachable, match=r"tried for 0\.2 s.*correct --url"):
        server_client(Settings.load(url="http://127.0.0.1:9", connect_timeout=0.2))


@pytest.mark.parametrize(("url", "key"), [("localhost:6333", None), ("http://127.0.0.1:9", "clé"), ("http://:x", None)])
def test_what_cannot_be_an_address_or_a_key(url: str, key: str | None) -> None:
    with pytest.raises(UsageError):
        server_client(Settings.load(url=url, api_key=key, connect_timeout=0.2))


def test_one_spelling_of_an_address() -> None:
    assert Settings.load(url="http://127.0.0.1:6333/").url == "http://127.0.0.1:6333"

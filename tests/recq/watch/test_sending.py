"""One delivery: what counts as taken, and that nothing secret is told of what was not."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from recq.watch.rules import Rule, RuleKind
from recq.watch.sending import HEADER, VARIABLE, Undelivered, deliver
from recq.watch.state import Delivery

EVENT = Delivery("r.abc", "r", json.dumps({"delivery": "r.abc"}))


class Receiver(BaseHTTPRequestHandler):
    """Answers with the status that the address names."""

    received: list[tuple[str, dict[str, Any], str | None]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, json.loads(body), self.headers[HEADER]))
        status = int(self.path.split("/")[1].partition("?")[0])
        self.send_response(status)
        if status >= 300:
            self.send_header("Location", "/204")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    Receiver.received = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def posted(receiver: ThreadingHTTPServer, path: str) -> Rule:
    return Rule("r", RuleKind.COPY, "images", post=f"http://127.0.0.1:{receiver.server_port}/{path}?key=SECRET")


def ran(script: str, *arguments: str, timeout: float = 30.0) -> Rule:
    return Rule("r", RuleKind.COPY, "images", run=(sys.executable, "-c", script, *arguments), timeout=timeout)


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_2xx_has_taken_it(receiver: ThreadingHTTPServer, status: int) -> None:
    deliver(posted(receiver, str(status)), EVENT, threading.Event())
    assert Receiver.received == [(f"/{status}?key=SECRET", {"delivery": "r.abc"}, "r.abc")]


@pytest.mark.parametrize("status", [301, 307, 400, 404, 500])
def test_nothing_else_has_and_no_redirect_is_followed(receiver: ThreadingHTTPServer, status: int) -> None:
    with pytest.raises(Undelivered) as caught:
        deliver(posted(receiver, str(status)), EVENT, threading.Event())
    assert len(Receiver.received) == 1
    assert str(caught.value) == f"the answer was {status}"


def test_no_answer_tells_no_address(receiver: ThreadingHTTPServer) -> None:
    rule = posted(receiver, "204")
    receiver.shutdown()  # else its thread's poll holds the socket open for a moment, and the connection is reset
    receiver.server_close()
    with pytest.raises(Undelivered) as caught:
        deliver(rule, EVENT, threading.Event())
    assert str(caught.value) == "no answer (ConnectError)"
    assert caught.value.__suppress_context__


def test_a_program_has_the_event_and_its_id(tmp_path: Path) -> None:
    script = f"import os, sys; open(sys.argv[1], 'w').write(os.environ['{VARIABLE}'] + sys.stdin.read())"
    deliver(ran(script, str(tmp_path / "got")), EVENT, threading.Event())
    assert (tmp_path / "got").read_text() == "r.abc" + EVENT.event


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (ran("import sys; sys.exit(3)"), "the program ended with 3"),
        (ran("import time; time.sleep(600)", timeout=0.3), "it took 0.3 s"),
        (Rule("r", RuleKind.COPY, "images", run=("/nonexistent/SECRET",)), "the program cannot be run"),
    ],
)
def test_a_program_that_fails_has_not_taken_it(rule: Rule, told: str) -> None:
    with pytest.raises(Undelivered, match=told) as caught:
        deliver(rule, EVENT, threading.Event())
    assert "SECRET" not in str(caught.value)


def test_a_large_event_that_nobody_reads_is_no_error() -> None:
    deliver(ran("pass"), Delivery("r.abc", "r", "x" * 1_000_000), threading.Event())


@pytest.mark.parametrize("size", [1, 1 << 16, 1 << 20])
def test_a_program_that_begins_late_has_all_of_the_event(tmp_path: Path, size: int) -> None:
    """Interpreters take a while to start, and a pipe holds 64 KiB."""
    script = "import sys, time; time.sleep(0.4); open(sys.argv[1], 'w').write(sys.stdin.read())"
    deliver(ran(script, str(tmp_path / "got")), Delivery("r.abc", "r", "x" * size), threading.Event())
    assert (tmp_path / "got").read_text() == "x" * size


def test_a_stop_ends_a_program_at_once() -> None:
    stop, began = threading.Event(), time.monotonic()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Undelivered, match="it was ended"):
        deliver(ran("import time; time.sleep(600)"), EVENT, stop)
    assert time.monotonic() - began < 20

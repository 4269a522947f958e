"""`recq watch` beside a daemon and a receiver, each a process of its own, and each killed at any moment."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import forked
from tests.eventually import eventually
from tests.ingest.running import STARTS_WITHIN, Place, environment

SECRET = "xyzzy"

RECEIVER = """
import os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[2], "ab") as file:  # before the answer: who is killed in between gets it again
            file.write(self.headers["Recq-Delivery"].encode() + b" " + body + b"\\n")
        time.sleep(0.05)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass

ThreadingHTTPServer.allow_reuse_address = True
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
"""

KEEPS = """
import os, sys
with open(sys.argv[1], "ab") as file:
    file.write(os.environ["RECQ_DELIVERY"].encode() + b" " + sys.stdin.buffer.read() + b"\\n")
"""


class Watched:
    """A place with rules, what watches it, and what was delivered."""

    def __init__(self, folder: Path, *options: str) -> None:
        # Whoever starts may find the folder in use by the others for a moment, as with the default.
        self.place = Place(folder / "photos", folder / "data", options, settings={"RECQ_LOCK_WAIT": "20"})
        self.config = folder / "recq.toml"
        self.received = folder / "received"
        self.received.touch()
        self.log = folder / "watch.log"
        self.port = free_port()

    def rules(self, text: str) -> None:
        """Replace recq.toml."""
        self.config.write_text(text, encoding="utf-8")

    def drop(self, name: str, seed: int) -> str:
        """A picture of noise, by a rename; the SHA-256 of its bytes."""
        pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        beside = self.place.root / f".{name}.part"
        Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST).save(beside, "PNG")
        beside.rename(self.place.root / name)
        return hashlib.sha256((self.place.root / name).read_bytes()).hexdigest()

    def environment(self) -> dict[str, str]:
        return environment(RECQ_CONFIG=str(self.config), **self.place.settings)

    def start(self, *arguments: str) -> forked.Running:
        """`recq watch`, not waited for."""
        with self.log.open("ab") as log:
            command = ["watch", "--json", *arguments, *self.place.reached]
            return forked.start("query.cli", command, self.environment(), log.fileno(), log.fileno())

    def once(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`recq watch --once` to its end."""
        command = ["watch", "--once", *arguments, *self.place.reached]
        return forked.run("query.cli", command, self.environment(), STARTS_WITHIN)

    def receiver(self) -> subprocess.Popen[bytes]:
        """What takes deliveries, as soon as it listens."""
        command = [sys.executable, "-c", RECEIVER, str(self.port), str(self.received)]
        process = subprocess.Popen(command)
        eventually(lambda: listens(self.port), within=30)
        return process

    def deliveries(self) -> list[tuple[str, dict[str, Any]]]:
        """What was delivered, in its order: ids and events."""
        lines = self.received.read_text("utf-8").splitlines()
        return [(line.partition(" ")[0], json.loads(line.partition(" ")[2])) for line in lines]

    def ids(self) -> Counter[str]:
        """How often each was delivered."""
        return Counter(each for each, _ in self.deliveries())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def ended(process: forked.Running) -> Iterator[forked.Running]:
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.server)])
def on_any_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Watched:
    if request.param == "embedded":
        return Watched(tmp_path)
    return Watched(tmp_path, "--url", request.getfixturevalue("own_server").url)


def keeps(watched: Watched) -> str:
    """A program that keeps what it is given."""
    return json.dumps([sys.executable, "-c", KEEPS, str(watched.received)])


@pytest.mark.parametrize(
    "on_any_engine",
    ["embedded", pytest.param("server", marks=[pytest.mark.server, pytest.mark.long])],
    indirect=True,
)
def test_what_is_new_like_a_picture_or_a_copy_is_given_to_a_program_once(on_any_engine: Watched) -> None:
    watched = on_any_engine
    for seed in range(30):
        watched.drop(f"old{seed}.png", seed)
    watched.place.once()
    watched.rules(
        f"""
[[rule]]
name = "like-old3"
like = ["old3.png"]
min_score = 0.99
run = {keeps(watched)}
[[rule]]
name = "new"
novelty = true
min_score = 0.99
filters = ["file.name!=unwanted.png"]
run = {keeps(watched)}
[[rule]]
name = "copies"
copy = true
run = {keeps(watched)}
"""
    )
    done = watched.once()
    assert (done.returncode, watched.deliveries()) == (0, []), done.stderr  # rules begin with what comes
    watched.drop("unwanted.png", 90)
    novel = watched.drop("novel.png", 100)
    same = watched.drop("same.png", 3)
    watched.drop("broken.png", 101)
    (watched.place.root / "broken.png").write_bytes(b"")
    with Image.open(watched.place.root / "old5.png") as old:
        old.resize((96, 96), Image.Resampling.NEAREST).save(watched.place.root / "larger.png")
    larger = hashlib.sha256((watched.place.root / "larger.png").read_bytes()).hexdigest()
    watched.place.once()
    dry = watched.once("--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert sorted(line.split(":")[0] for line in dry.stdout.splitlines()) == ["copies", "copies", "like-old3", "new"]
    assert watched.deliveries() == []
    wanted = {f"copies.{same}", f"copies.{larger}", f"like-old3.{same}", f"new.{novel}"}
    done = watched.once("--json")
    assert done.returncode == 0, done.stderr
    assert watched.ids() == Counter(wanted)
    events = dict(watched.deliveries())
    assert events[f"copies.{same}"]["copy"] == "exact"
    assert events[f"copies.{same}"]["of"]["name"] == "old3.png"
    assert events[f"copies.{larger}"]["copy"] == "copy"
    assert events[f"like-old3.{same}"]["like"] == "old3.png"
    assert Path(events[f"new.{novel}"]["item"]["path"]) == watched.place.root / "novel.png"
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert Counter(line["event"] for line in lines) == {"matched": 4, "delivered": 4}
    # never again: neither at the next start, nor for a new name of the same bytes or new metadata
    watched.drop("again.png", 100)
    (watched.place.root / "novel.png.json").write_text('{"price": 5}')
    watched.place.once()
    assert watched.once("--rule", "new", "--rule", "like-old3").returncode == 0
    assert watched.ids() == Counter(wanted)
    state = watched.place.data / "watch.sqlite3"
    assert state.stat().st_mode & 0o777 == 0o600


def test_one_that_fails_is_tried_again_and_holds_up_no_other(watched: Watched) -> None:
    watched.drop("a.png", 1)
    watched.place.once()
    flag = watched.place.root.parent / "flag"
    hangs = json.dumps([sys.executable, "-c", f"import os, time; os.path.exists({str(flag)!r}) or time.sleep(600)"])
    watched.rules(
        f"""
[[rule]]
name = "hangs"
like = ["a.png"]
min_score = -1.0
run = {hangs}
timeout = 300
[[rule]]
name = "refuses"
like = ["a.png"]
min_score = -1.0
run = ["false"]
[[rule]]
name = "takes"
like = ["a.png"]
min_score = -1.0
run = {keeps(watched)}
"""
    )
    assert watched.once().returncode == 0
    with ended(watched.start()) as process, watched.place.daemon() as daemon:
        daemon.ready()
        digest = watched.drop("b.png", 2)
        eventually(lambda: watched.ids() == {f"takes.{digest}": 1}, within=60)
        eventually(lambda: watched.log.read_text().count('"undelivered"') >= 2, within=60)
        second = watched.drop("c.png", 3)
        eventually(lambda: watched.ids().keys() == {f"takes.{digest}", f"takes.{second}"}, within=60)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert time.monotonic() - began < 5
    flag.touch()
    done = watched.once("--rule", "hangs", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"delivered"') == 2
    left = watched.once("--rule", "refuses")
    assert left.returncode == 1
    assert "2 deliveries have not been taken" in left.stderr


@pytest.mark.parametrize(
    "events", [10, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)  # fmt: skip
def test_nothing_is_lost_whoever_is_killed(on_any_engine: Watched, events: int) -> None:
    watched = on_any_engine
    choice = random.Random(events)
    watched.drop("first.png", 0)
    watched.place.once()
    watched.rules(
        f"""
[[rule]]
name = "all"
like = ["first.png"]
min_score = -1.0
post = "http://user:{SECRET}@127.0.0.1:{watched.port}/hook?key={SECRET}"
"""
    )
    assert watched.once().returncode == 0
    wanted: set[str] = set()
    with ExitStack() as stack:
        running: dict[str, Any] = {}

        def begin(name: str) -> None:
            if name == "daemon":
                running[name] = stack.enter_context(watched.place.daemon()).process
            else:
                made = watched.start() if name == "watch" else watched.receiver()
                running[name] = stack.enter_context(ended(made))

        for each in ("receiver", "daemon", "watch"):
            begin(each)
        number = 0
        kills = Counter[str]()
        while number < events:
            for _ in range(min(choice.randint(1, 6), events - number)):
                number += 1
                wanted.add(f"all.{watched.drop(f'{number}.png', number)}")
            time.sleep(choice.uniform(0, 1.0))  # a moment of the work, at random: that is what is tested
            victim = choice.choice(("receiver", "daemon", "watch"))
            with suppress(ProcessLookupError):
                os.kill(running[victim].pid, signal.SIGKILL)
            running[victim].wait()
            kills[victim] += 1
            begin(victim)
        eventually(lambda: watched.ids().keys() >= wanted, within=300)
        running["watch"].send_signal(signal.SIGTERM)
        assert running["watch"].wait(20) in (0, -signal.SIGTERM)  # it may have just been started
        assert watched.once().returncode == 0  # what was taken as its watch ended, and not recorded, comes once more
        found = watched.ids()
        assert found.keys() == wanted
        print(f"{events} events, kills {dict(kills)}, repeats {found.total() - len(found)}")
        assert watched.once().returncode == 0
        assert watched.ids() == found, "what was taken is not delivered again"
        running["daemon"].send_signal(signal.SIGTERM)
        running["daemon"].wait(30)
    assert SECRET not in watched.log.read_text()

"""Folders that appear: those of a source are walked together."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from ingest.context import Context
from ingest.events.pending import PendingPath
from ingest.events.queue import Queue
from ingest.events.stability import Observation
from ingest.loop import Loop
from ingest.reconcile.walks import Walks
from ingest.source.files import Key
from ingest.source.sources import Sources
from ingest.source.watched_source import WatchedSource
from recq.settings import Settings


def test_folders_that_appear_together_are_walked_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after another, the second would not have been known to have appeared before the walk of the first ended."""
    loop = Loop()
    watched = WatchedSource("s", tmp_path, table_path=None, types=dict, say=lambda *_: None)
    context = Context(Settings(), Sources([watched]), loop, lambda *_, **__: None, threading.Event(), True)
    queue = Queue(context)
    walks = Walks(context, queue, cast("Any", None))
    walks.add("s")
    walked: list[Sequence[str]] = []
    known: list[float] = []

    def walk(source: str, folders: Sequence[str]) -> None:
        walked.append(sorted(folders))
        known.append(queue.may_appear_since(7))

    monkeypatch.setattr(walks, "_walk_folders", walk)
    began = time.monotonic()
    for name in ("a", "b"):
        queue.appeared(Key("s", name))
    appeared = time.monotonic()
    walks.tick(appeared)
    deadline = time.monotonic() + 30
    while not walks.idle:
        assert time.monotonic() < deadline
        loop.turn(time.monotonic() + 0.05)
    assert walked == [["a", "b"]]
    assert began <= known[0] <= appeared
    assert queue.may_appear_since(7) == float("inf")


def test_paths_that_wait_for_walks_do_not_make_walks_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renamed folder: its old paths are removed once the walk of the new one has ended, which must not wait."""
    monkeypatch.setattr("ingest.reconcile.walks.MOST_WAITING", 2)
    watched = WatchedSource("s", tmp_path, table_path=None, types=dict, say=lambda *_: None)
    context = Context(Settings(), Sources([watched]), Loop(), lambda *_, **__: None, threading.Event(), True)
    queue = Queue(context)
    walks = Walks(context, queue, cast("Any", None))
    walks.add("s")
    keys = [Key("s", f"{number}.jpg") for number in range(3)]
    for key in keys:
        queue.paths.put(PendingPath(key, Observation(None, 0.0, 0.0), fresh=False, known=True))
    queue.paths.take(1.0, 9, 9)
    assert walks._full("s")
    for key in keys:
        queue.paths.set_aside(key)
        queue.paths.set_aside(key)
    assert not walks._full("s")
    for key in keys:
        queue.finish(key)
    assert (queue.paths.count("s"), queue.paths.ahead("s"), queue.paths.absent("s")) == ((0, 0), 0, 0)

"""Threads whose daemon was killed wait together for whoever has the folder next, not one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException

from recq.errors import IndexBusy
from recq.index import successor
from recq.index.connect import DaemonClient
from recq.index.edge.address import Address
from recq.settings import Settings

THREADS = 6
LOCK_WAIT = 10.0
ALIASES = {"result": {"aliases": []}, "status": "ok", "time": 0.0}


class Clock:
    """Stands in for `time`. `all_waiting` is set when each thread has looked at it: what each may take is known."""

    def __init__(self) -> None:
        self.now = 100.0
        self.all_waiting = threading.Event()
        self._threads: set[int] = set()

    def monotonic(self) -> float:
        self._threads.add(threading.get_ident())
        if len(self._threads) == THREADS:
            self.all_waiting.set()
        return self.now


def daemon(send: Any) -> DaemonClient:
    client = DaemonClient(Address("http://127.0.0.1:9", "key", 1))
    client.http.client.send_inner = send  # type: ignore[method-assign]
    return client


class Folder:
    """Stands in for `connect`: a daemon that dies when all threads have asked it, then whoever comes after it.

    `openings` are the seconds of each until it is known that somebody keeps the folder, None for one that answers at
    once; later ones are kept for as long as anybody waits.
    """

    def __init__(self, clock: Clock, openings: Sequence[float | None]) -> None:
        self._clock, self._openings = clock, [*openings]
        self._together = threading.Barrier(THREADS)
        self._asked = False
        self.waited: list[float] = []

    @contextmanager
    def connect(self, settings: Settings) -> Iterator[QdrantClient]:
        if not self._asked:
            self._asked = True
            yield daemon(self._die)
            return
        assert self._clock.all_waiting.wait(30)
        takes = self._openings.pop(0) if self._openings else settings.lock_wait
        self.waited.append(settings.lock_wait)
        if takes is not None:
            self._clock.now += min(takes, settings.lock_wait)
            raise IndexBusy("somebody keeps the folder")
        yield daemon(lambda _: httpx.Response(200, json=ALIASES))

    def _die(self, _: httpx.Request) -> httpx.Response:
        self._together.wait(30)
        raise ResponseHandlingException(httpx.ConnectError("nobody is there"))


@pytest.mark.parametrize(
    ("openings", "waited", "answered"),
    [
        ([LOCK_WAIT], [10], 0),
        ([None], [10], THREADS),
        ([4.0, None], [10, 6], THREADS - 1),
        ([4.0, 4.0], [10, 6, 2], 0),
        ([4.0, LOCK_WAIT], [10, 6], 0),
    ],
    ids=["kept", "free", "free for the second", "kept from all in turn", "kept from the second on"],
)
def test_what_one_thread_has_waited_the_next_one_does_not_wait_again(
    monkeypatch: pytest.MonkeyPatch, openings: Sequence[float | None], waited: Sequence[float], answered: int
) -> None:
    clock = Clock()
    folder = Folder(clock, openings)
    monkeypatch.setattr(successor, "time", clock)
    monkeypatch.setattr(successor, "connect", folder.connect)

    with (
        successor.connect_for_questions(Settings(lock_wait=LOCK_WAIT)) as client,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        asked = [threads.submit(client.get_aliases) for _ in range(THREADS)]
        errors = [each.exception(60) for each in asked]
    assert folder.waited == waited
    assert clock.now <= 100 + LOCK_WAIT
    assert [type(each) for each in errors if each is not None] == [IndexBusy] * (THREADS - answered)

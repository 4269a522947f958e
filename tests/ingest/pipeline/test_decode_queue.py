"""How many decoding processes there are: as many as the pool began with, and some more while many files wait."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, cast

import pytest

from ingest.loop import Loop
from ingest.pipeline.decode_queue import _MANY, _MORE, DecodeQueue
from recq.images.workers import DecodePool, Hashed
from recq.space import InputSpec

NOW = 100.0


class CountedPool:
    """A pool that counts its processes, and keeps what it is given."""

    def __init__(self) -> None:
        self.workers = self.processes = 2
        self.given: list[Future[Hashed]] = []

    def widen(self) -> None:
        self.processes += 1

    def narrow(self) -> None:
        self.processes -= 1

    def submit_unknown(self, *_: Any) -> Future[Hashed]:
        self.given.append(Future())
        return self.given[-1]


@pytest.fixture
def pool() -> CountedPool:
    return CountedPool()


@pytest.fixture
def files(pool: CountedPool) -> DecodeQueue:
    queue = DecodeQueue(Loop(), cast(DecodePool, pool), InputSpec(224, "pad"))
    queue.add("shop")
    return queue


def put(files: DecodeQueue, count: int) -> None:
    for number in range(count):
        files.submit("shop", f"{number}.jpg", lambda _: False, lambda _: None, fresh=False)


def test_a_few_files_start_no_process(pool: CountedPool, files: DecodeQueue) -> None:
    files.tick(NOW, _MANY - 1)
    assert pool.processes == 2


def test_a_backlog_starts_some_more_once_and_its_end_ends_them(pool: CountedPool, files: DecodeQueue) -> None:
    for waiting in (_MANY, 10 * _MANY, _MANY - 1, 1):  # it shrinks: they are there, and stay
        files.tick(NOW, waiting)
        assert pool.processes == 2 + _MORE
    files.tick(NOW, 0)
    files.tick(NOW, _MANY - 1)
    assert pool.processes == 2
    files.tick(NOW, _MANY)
    assert pool.processes == 2 + _MORE


def test_each_of_those_has_one_file_at_hand(pool: CountedPool, files: DecodeQueue) -> None:
    put(files, 100)
    before = len(pool.given)
    files.tick(NOW, _MANY)
    assert len(pool.given) == before + _MORE

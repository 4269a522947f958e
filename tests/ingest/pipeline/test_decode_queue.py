"""How many decoding processes there are: those that the pool began with, and more while network and files wait."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, cast

import pytest

from ingest.loop import Loop
from ingest.pipeline.decode_queue import _LOOKS, _MANY, _MORE, DecodeQueue
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
def loop() -> Loop:
    return Loop()


@pytest.fixture
def files(pool: CountedPool, loop: Loop) -> DecodeQueue:
    queue = DecodeQueue(loop, cast(DecodePool, pool), InputSpec(224, "pad"))
    queue.add("shop")
    return queue


def put(files: DecodeQueue, count: int) -> None:
    for number in range(count):
        files.submit("shop", f"{number}.jpg", lambda _: False, lambda _: None, fresh=False)


def decode_all(pool: CountedPool, loop: Loop) -> None:
    """Each of them is read."""
    while pool.given:
        pool.given.pop().set_exception(FileNotFoundError())
        loop.turn(0.0)


def look(files: DecodeQueue, waiting: int, looks: int = _LOOKS, *, starving: bool = True) -> None:
    for _ in range(looks):
        files.tick(NOW, waiting, starving=starving)


def test_a_few_files_start_no_process(pool: CountedPool, files: DecodeQueue) -> None:
    put(files, 100)
    look(files, _MANY - 1)
    assert pool.processes == 2


def test_a_network_that_has_enough_to_do_starts_none(pool: CountedPool, files: DecodeQueue) -> None:
    """It is what the files wait for: more processes would only take the cores from it."""
    put(files, 100)
    look(files, 10 * _MANY, 100, starving=False)
    for _ in range(100):  # it runs out of pictures now and then, and at the beginning
        look(files, _MANY, _LOOKS - 1)
        look(files, _MANY, _LOOKS - 1, starving=False)
    assert pool.processes == 2


def test_a_backlog_starts_some_more_once_and_its_end_ends_them(
    pool: CountedPool, files: DecodeQueue, loop: Loop
) -> None:
    put(files, 100)
    look(files, _MANY)
    for waiting in (_MANY, 10 * _MANY, _MANY - 1, 1):  # it shrinks: they are there, and stay
        look(files, waiting)
        assert pool.processes == 2 + _MORE
    decode_all(pool, loop)
    look(files, 1)  # a file that is written all the time is always there
    assert pool.processes == 2
    put(files, 100)
    look(files, _MANY - 1)
    assert pool.processes == 2
    look(files, _MANY)
    assert pool.processes == 2 + _MORE


def test_what_waits_for_a_disk_or_the_index_starts_none(pool: CountedPool, files: DecodeQueue) -> None:
    """The network has nothing to do then, and neither have the processes that there are."""
    put(files, 3)  # each of which a process has
    look(files, 10 * _MANY, 100)
    assert pool.processes == 2


def test_two_backlogs_are_not_one(pool: CountedPool, files: DecodeQueue, loop: Loop) -> None:
    for _ in range(3):
        put(files, 100)
        look(files, _MANY, _LOOKS - 1)
        decode_all(pool, loop)
        look(files, 0, 1)
    assert pool.processes == 2


def test_each_of_those_has_one_file_at_hand(pool: CountedPool, files: DecodeQueue) -> None:
    put(files, 100)
    before = len(pool.given)
    look(files, _MANY)
    assert len(pool.given) == before + _MORE

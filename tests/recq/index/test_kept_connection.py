"""A connection that the threads of a service share, and hand over as soon as somebody waits for the folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recq.errors import IndexUnreachable, UsageError
from recq.index.catalog import Catalog
from recq.index.connect import connect, own_folder
from recq.index.edge import LoopbackServer
from recq.index.edge.client import EmbeddedClient
from recq.index.kept_connection import KeptConnection
from recq.index.lock import FolderLock, Wanted
from recq.models import describe_space
from recq.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(data_dir=tmp_path, lock_wait=20)
    with own_folder(settings) as owned:
        Catalog.create(owned.client, "images", describe_space("pixels:8", settings))
    return settings


@pytest.fixture
def kept(settings: Settings) -> Iterator[KeptConnection]:
    connection = KeptConnection(settings)
    yield connection
    connection.close()


def test_all_threads_have_one_opening_between_questions_too(kept: KeptConnection) -> None:
    together = threading.Barrier(4)

    def ask(_: int) -> int:
        with kept.client() as client:
            together.wait(20)
            return id(client)

    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(ask, range(4)))
    with kept.client() as later:
        assert found == {id(later)}


def test_it_is_handed_over_to_whoever_waits_and_taken_back(kept: KeptConnection, settings: Settings) -> None:
    with kept.client() as before:
        assert isinstance(before, EmbeddedClient)
    for _ in range(3):
        with connect(settings) as other:  # which waits up to lock_wait otherwise
            assert isinstance(other, EmbeddedClient)
        with kept.client() as after:
            assert after is not before
            assert [each.alias_name for each in after.get_aliases().aliases] == ["images"]


def test_a_question_under_way_is_not_interrupted(kept: KeptConnection, settings: Settings) -> None:
    asked, done = threading.Event(), threading.Event()

    def other() -> bool:
        asked.set()
        with connect(settings):
            return done.is_set()

    with ThreadPoolExecutor(1) as thread:
        with kept.client() as client:
            waiter = thread.submit(other)
            assert asked.wait(20)
            while not Wanted(settings.data_dir):
                assert not waiter.done()
            with kept.client() as inner:  # a question within a question gets the same, although it is to leave
                assert inner is client
            client.get_aliases()
            done.set()
        assert waiter.result(20)


def test_a_daemon_that_starts_is_asked_and_one_that_ended_is_not(kept: KeptConnection, settings: Settings) -> None:
    with kept.client():
        pass
    with own_folder(settings) as owned, LoopbackServer(settings.data_dir, owned.engine), kept.client() as client:
        assert not isinstance(client, EmbeddedClient)
        assert [each.name for each in client.get_collections().collections]
    with pytest.raises(IndexUnreachable), kept.client() as client:
        raise IndexUnreachable("what its requests meet now")
    with kept.client() as client:
        assert isinstance(client, EmbeddedClient)


@pytest.mark.parametrize("handed_over", [True, False])
def test_one_that_cannot_be_closed_is_given_up(kept: KeptConnection, settings: Settings, handed_over: bool) -> None:
    def fails() -> None:
        raise OSError(30, "Read-only file system")

    with kept.client() as before:
        opened = kept._open
        assert opened is not None
        opened.closing.callback(fails)
    if handed_over:
        with connect(settings) as other:
            assert isinstance(other, EmbeddedClient)
    else:
        with pytest.raises(IndexUnreachable), kept.client():
            raise IndexUnreachable("it broke")
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(_asked, kept).result(20) is not before


def _asked(kept: KeptConnection) -> object:
    with kept.client() as client:
        client.get_aliases()
        return client


def test_a_lock_whose_record_cannot_be_deleted_is_released(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = FolderLock(settings.data_dir)
    assert lock.try_acquire()
    with monkeypatch.context() as patched:

        def forbidden(*_: object, **__: object) -> None:
            raise OSError(30, "Read-only file system")

        patched.setattr(Path, "unlink", forbidden)
        lock.release()
    with own_folder(settings.model_copy(update={"lock_wait": 0.0})):
        pass


def test_threads_that_waited_for_an_opening_that_fails_have_its_error(settings: Settings) -> None:
    kept = KeptConnection(settings.model_copy(update={"lock_wait": 0.3}))
    with own_folder(settings), ThreadPoolExecutor(4) as threads:
        errors = [each.exception() for each in [threads.submit(_opened, kept) for _ in range(4)]]
    assert [type(each).__name__ for each in errors] == ["IndexBusy"] * 4
    with kept.client() as client:
        assert isinstance(client, EmbeddedClient), "the next question tries again"
    kept.close()


def _opened(kept: KeptConnection) -> None:
    with kept.client():
        pass


def test_after_the_end_nothing_is_open(kept: KeptConnection, settings: Settings) -> None:
    with kept.client():
        pass
    kept.close()
    with pytest.raises(UsageError, match="about to end"), kept.client():
        pass
    lock = FolderLock(settings.data_dir)
    assert lock.try_acquire()
    lock.release()


def test_a_mark_ends_with_the_wait(tmp_path: Path) -> None:
    assert not Wanted(tmp_path)
    with Wanted(tmp_path) as first, Wanted(tmp_path) as second:
        assert not Wanted(tmp_path)
        first.mark()
        second.mark()
        assert Wanted(tmp_path)
    assert not Wanted(tmp_path)
    with Wanted(tmp_path / "nowhere") as nowhere:
        nowhere.mark()
        assert not nowhere

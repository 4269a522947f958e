"""A daemon that is killed while it answers: whoever asks gets the answer, from the next daemon or from the folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import recq
from recq.errors import IndexBusy, IndexUnreachable
from recq.face.catalog import ImageCatalog
from recq.index import successor
from recq.index.catalog import Catalog
from recq.index.connect import connect, own_folder
from recq.index.edge import LoopbackServer
from recq.index.lock import FolderLock
from recq.settings import Settings
from tests import forked
from tests.recq.face.test_known_catalog import SPACE, entry

DYING = """
import os, signal, sys
from pathlib import Path
from recq.index.connect import own_folder
from recq.index.edge import LoopbackServer
from recq.settings import Settings

folder, fatal = Path(sys.argv[1]), sys.argv[2]
with own_folder(Settings(data_dir=folder)) as owned:
    handle = owned.engine.handle
    def handle_or_die(method, path, query, body):
        if path.endswith(fatal):
            os.kill(os.getpid(), signal.SIGKILL)
        return handle(method, path, query, body)
    owned.engine.handle = handle_or_die
    with LoopbackServer(folder, owned.engine):
        print("up", flush=True)
        signal.pause()
"""
"""What serves an index as a daemon does, until a request comes whose path ends so."""

Ask = Callable[[ImageCatalog], Any]

QUESTIONS: dict[str, tuple[str, Ask]] = {
    "similar": ("/points/query", lambda c: [each.id for each in c.similar("1.jpg", filters=["colour=red"])]),
    "similar, an id": ("/points/query/batch", lambda c: [each.id for each in c.similar(entry(1).item.id)]),
    "several": (
        "/points/query/batch",
        lambda c: [each.to_json()["results"] for each in c.similar_many(["1.jpg", "2.jpg"], k=3)],
    ),
    "recommend": ("/points/query", lambda c: [each.id for each in c.recommend(["1.jpg"], ["2.jpg"])]),
    "search": ("/points/scroll", lambda c: [each.id for each in c.search(filters=["colour=red"])]),
    "show": ("/points/scroll", lambda c: c.show("3.jpg").to_json()),
    "fields": ("/facet", lambda c: c.fields().to_json()),
    "count": ("/points/count", lambda c: c.count(filters=["colour=blue"])),
    "vectors": ("/points/scroll", lambda c: c.vectors()[1].tolist()),
    "embed": ("/points", lambda c: c.embed("4.jpg").tolist()),
    "its opening": ("/aliases", lambda c: c.space.fingerprint),
}
"""By a name: the request that is not answered, and the question."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index that these tests only read."""
    folder = tmp_path_factory.mktemp("data")
    with own_folder(Settings(data_dir=folder)) as owned:
        catalog = Catalog.create(owned.client, "images", SPACE)
        catalog.writes.upsert([entry(number, colour=("red", "blue")[number % 2]) for number in range(40)])
    return folder


@contextmanager
def dying(folder: Path, fatal: str) -> Iterator[forked.Running]:
    """A process that serves the folder until it is asked for something that ends so."""
    ours, theirs = os.pipe()
    process = forked.start("-c", [DYING, str(folder), fatal], os.environ, output=theirs, errors=2)
    os.close(theirs)
    try:
        with os.fdopen(ours) as output:
            assert output.readline() == "up\n"
        yield process
    finally:
        process.kill()
        process.wait(20)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_under_way_has_its_answer(folder: Path, name: str) -> None:
    fatal, question = QUESTIONS[name]
    with dying(folder, fatal) as daemon, recq.open("images", data_dir=folder) as catalog:
        # Connecting asks for aliases as well: of a daemon that dies at that the folder is opened at once.
        found = question(catalog)
        assert daemon.wait(20) == -9, "it was asked something else"
        assert found == question(catalog), "the folder's own answer"


def test_the_daemon_that_has_come_since_is_asked_and_the_one_after_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three deaths in one question; a held opening knows the catalog from before."""
    asked: list[str] = []
    with dying(folder, "/points/query") as first, recq.open("images", data_dir=folder) as catalog:

        @contextmanager
        def after(settings: Settings) -> Iterator[Any]:
            if not asked:
                asked.append("the first daemon")
                with connect(settings) as client:
                    yield client
            elif len(asked) < 3:
                asked.append("a daemon that dies as well")
                with dying(folder, "/points/query"), connect(settings) as client:
                    yield client
            else:
                asked.append("one that answers")
                with (
                    own_folder(settings) as owned,
                    LoopbackServer(folder, owned.engine),
                    connect(settings) as client,
                ):
                    yield client

        monkeypatch.setattr(successor, "connect", after)
        with catalog.held():
            found = catalog.similar("1.jpg", filters=["colour=red"]).results
            assert len(found) == 5
            assert catalog.similar("1.jpg", filters=["colour=red"]).results == found, "the last one is asked again"
        assert first.wait(20) == -9
    assert asked == ["the first daemon", *["a daemon that dies as well"] * 2, "one that answers"]
    with connect(Settings(data_dir=folder, lock_wait=1)):
        pass  # all has been let go


def test_it_is_given_up_when_somebody_keeps_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has the folder and never answers is waited for as long as by a new question."""
    lock = FolderLock(folder)

    @contextmanager
    def taken(settings: Settings) -> Iterator[Any]:
        while not lock.try_acquire():  # the kernel frees it with the process
            pass
        assert settings.lock_wait <= 0.3
        with connect(settings) as client:
            yield client

    impatient = Settings(data_dir=folder, lock_wait=0.3)
    try:
        with dying(folder, "/points/scroll"), recq.open(settings=impatient) as catalog, catalog.held():
            monkeypatch.setattr(successor, "connect", taken)
            with pytest.raises(IndexBusy):
                catalog.search()
    finally:
        lock.release()


def test_what_writes_is_not_sent_twice(folder: Path) -> None:
    with (
        dying(folder, "/points/delete") as daemon,
        successor.connect_for_questions(Settings(data_dir=folder)) as client,
    ):
        catalog = Catalog.open(client, "images")
        with pytest.raises(IndexUnreachable):
            catalog.writes.delete([entry(39).item.id])
        assert daemon.wait(20) == -9
        assert catalog.items.count() == 40, "what reads goes on"

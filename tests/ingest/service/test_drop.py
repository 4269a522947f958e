"""`recq-ingest drop`: asks, names what goes, waits for no daemon to be surprised, and leaves the pictures alone."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from ingest.cli.main import PROG, app
from recq.cli_errors import run
from recq.errors import Reason
from recq.index.catalog import Catalog
from recq.index.connect import connect_or_make
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item, ItemError
from recq.index.sources import Watcher, host_name
from recq.models import describe_space
from recq.settings import Settings
from tests.ingest.pictures import put
from tests.ingest.running import Place
from tests.qdrant_server import QdrantServer

SPACE = describe_space("mobilenet_v2", Settings())


class Reply(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.server)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """An index of either kind with the catalog `shop`: two items, a failed one, a rebuild that was killed."""
    url = request.getfixturevalue("own_server").url if request.param == "server" else None
    settings = Settings(data_dir=tmp_path / "data", url=url, catalog="shop")
    put(tmp_path / "pictures/0.jpg", 0)
    with connect_or_make(settings) as client:
        for name in ("shop", "kept"):
            catalog = Catalog.create(client, name, SPACE)
            catalog.sources.register(tmp_path / "pictures", "photos")
            vectors = np.eye(SPACE.dim, dtype=np.float32)
            catalog.writes.upsert(
                [ItemVector(Item(FileFacts("photos", f"{n}.jpg", 1, 1, f"{n:064x}")), vectors[n]) for n in range(2)]
            )
            error = ItemError(Reason.CORRUPT, "broken", "2026-11-21T10:00:00Z")
            catalog.writes.upsert([ItemVector(Item(FileFacts("photos", "bad.jpg", 1, 1), {}, error), None)])
        Catalog.begin_rebuild(client, "shop", replace(SPACE, size=160))
    return settings


Ask = Callable[..., Reply]


@pytest.fixture
def ask(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """`recq-ingest` on that index, with what is typed at its question."""

    def asked(*arguments: str, typed: str = "") -> Reply:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        place = ["--url", settings.url] if settings.url else []
        code = run(app, PROG, [*arguments, "--data-dir", str(settings.data_dir), *place])
        return Reply(code, *capsys.readouterr())

    return asked


def catalogs(settings: Settings) -> set[str]:
    with connect_or_make(settings) as client:
        return {each.name.partition("--")[0] for each in client.get_collections().collections}


def test_the_question_names_items_sources_and_what_is_left_over(settings: Settings, ask: Ask, tmp_path: Path) -> None:
    reply = ask("drop", "shop", typed="no\n")
    assert (reply.code, reply.out) == (130, "")
    assert f"'shop' has 3 items (1 of them failed) of photos ({tmp_path}/pictures)" in reply.err
    assert "a collection of a rebuild that was not finished goes, too" in reply.err
    assert "nothing was removed" in reply.err
    assert catalogs(settings) == {"shop", "kept"}


@pytest.mark.parametrize("options", [("--yes",), ()])
def test_what_was_agreed_to_is_removed_and_the_pictures_stay(
    settings: Settings, ask: Ask, options: tuple[str, ...], tmp_path: Path
) -> None:
    reply = ask("drop", "shop", *options, typed="" if options else "y\n")
    assert (reply.code, reply.out) == (0, "dropped shop: 3 items removed from the index\n")
    assert ("[y/N]" in reply.err) is not bool(options)
    assert catalogs(settings) == {"kept"}
    assert [each.name for each in (tmp_path / "pictures").iterdir()] == ["0.jpg"]
    assert ask("drop", "shop", "--yes").code == 3


def test_without_anybody_to_answer_nothing_is_removed(settings: Settings, ask: Ask) -> None:
    reply = ask("drop", "shop")
    assert reply.code == 2
    assert "add --yes" in reply.err
    assert catalogs(settings) == {"shop", "kept"}


def test_a_wrong_name_gets_a_suggestion(settings: Settings, ask: Ask) -> None:
    reply = ask("drop", "shpo", "--yes")
    assert (reply.code, reply.err) == (3, "recq-ingest: catalog 'shpo' does not exist here: did you mean 'shop'?\n")
    assert catalogs(settings) == {"shop", "kept"}


@pytest.mark.server
def test_a_daemon_elsewhere_that_watches_it_is_named(own_server: QdrantServer, tmp_path: Path) -> None:
    """One of another data folder on the same server: only its mark on the source tells of it."""
    from ingest.service.drop import planned
    from recq.errors import IndexBusy

    settings = Settings(data_dir=tmp_path, url=own_server.url, catalog="shop")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with connect_or_make(settings) as client:
        catalog = Catalog.create(client, "shop", SPACE)
        catalog.sources.register(tmp_path, "photos")
        for host, pid, busy in [("elsewhere", 7, True), (host_name(), 2**22 + 1, False), (host_name(), 1, True)]:
            catalog.sources.record_reconcile(
                "photos", ignored=0, held=0, held_metadata=0, at=now, watcher=Watcher(host, pid, now)
            )
            if busy:
                with pytest.raises(IndexBusy, match=f"watched by process {pid}"):
                    planned(settings)
            else:
                assert planned(settings).items == 0


def test_a_running_daemon_keeps_its_catalog_and_serves_the_end_of_others(tmp_path: Path) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1"})
    put(place.root / "a.jpg", 1)
    assert place.once("--catalog", "old").returncode == 0
    with place.daemon() as daemon:
        daemon.ready()
        refused = place.command("drop", "images", "--yes")
        assert refused.returncode == 4
        assert "is being watched by process" in refused.stderr
        done = place.command("drop", "old", "--yes")
        assert (done.returncode, done.stdout) == (0, "dropped old: 1 item removed from the index\n")
        assert list(place.items()) == ["a.jpg"]
    done = place.command("drop", "images", "--yes")
    assert done.returncode == 0, done.stderr
    assert (place.root / "a.jpg").exists()

"""A server with one broken place: its items are listed, all others go on, and they are taken up when it is mended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import ingest.events.retry
from recq.index.problems import ProblemKind
from recq.index.schema import FileFacts
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import Place
from tests.qdrant_server import QdrantServer
from tests.reliability.conftest import PATIENT
from tests.reliability.proxy import Fate, Proxy

pytestmark = [pytest.mark.server, pytest.mark.timeout(PATIENT)]


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with (
        QdrantServer(tmp_path / "server") as server,
        Proxy(server.url, lambda _: Fate.PASSED, patience=5.0).serving() as proxy,
    ):
        yield proxy


def point(path: str) -> bytes:
    return FileFacts("shop", path, 0, 0).id.encode()


def is_write(path: str) -> bool:
    return path.partition("?")[0].endswith(("/points", "/points/payload", "/points/delete"))


def test_a_server_that_fails_at_one_point_blocks_no_other(tmp_path: Path, proxy: Proxy) -> None:
    """Every write with it is answered with 500, its failure cannot be written either: it is told, and tried again."""
    place = Place(tmp_path / "shop", tmp_path / "data", ("--url", proxy.url))
    poisoned = point("3.jpg")
    proxy.poison = lambda path, body: poisoned in body and is_write(path)
    wanted = {put(place.root / f"{number}.jpg", number).name for number in range(8)}
    with place.daemon() as daemon:
        refused = daemon.said("refused", within=120, path="3.jpg")
        assert "a page is broken" in refused["detail"]
        eventually(lambda: set(place.vectors()) == wanted - {"3.jpg"}, within=60)
        put(place.root / "later.jpg", 99)
        daemon.said("indexed", path="later.jpg", within=60)
        with place.catalog() as catalog:
            (problem,) = catalog.problems.of_source("shop")
        assert (problem.kind, problem.path) == (ProblemKind.REFUSED, "3.jpg")
        status = place.status()
        assert status["state"] in ("idle", "indexing")
        assert any("3.jpg: refused by the index" in problem for problem in status["sources"][0]["problems"])
        proxy.poison = lambda path, body: False
        daemon.said("reused", path="3.jpg", within=3 * ingest.events.retry.FIRST + 60)  # its vector was at hand
        eventually(lambda: set(place.vectors()) == {*wanted, "later.jpg"})
        eventually(lambda: place.status()["sources"][0]["problems"] == [])
        with place.catalog() as catalog:
            eventually(lambda: catalog.problems.of_source("shop") == ())


@pytest.mark.long
def test_once_ends_with_what_the_server_did_not_take_in_its_exit_code(tmp_path: Path, proxy: Proxy) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data", ("--url", proxy.url))
    poisoned = point("1.jpg")
    proxy.poison = lambda path, body: poisoned in body and is_write(path)
    for number in range(3):
        put(place.root / f"{number}.jpg", number)
    done = place.once()
    assert done.returncode == 3, done.stderr
    assert "1 item was refused by the index" in done.stderr.splitlines()[-1]
    proxy.poison = lambda path, body: poisoned in body and b'"vector":{"image"' in body  # its failure can be written
    done = place.once()
    assert done.returncode == 3, done.stderr
    assert place.command("failed").stdout.startswith("shop/1.jpg: refused: the index cannot answer now: 500")
    proxy.poison = lambda path, body: False
    assert place.once().returncode == 0  # tried again at the start
    assert set(place.vectors()) == {"0.jpg", "1.jpg", "2.jpg"}

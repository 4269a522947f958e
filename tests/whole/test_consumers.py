"""A guest with a fixed port and a read-only key, over everything that happens to the daemon that serves it."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from recq.errors import IndexBusy
from recq.index.connect import connect, own_folder
from recq.index.edge import read_address
from recq.settings import Settings
from tests import forked
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import NETWORK, STARTS_WITHIN, Place, environment

KEY = "opens-everything-here"
READ_KEY = "opens-what-reads-here"
OTHER_MODEL = "efficientnet_lite2"
NAMES = ["a.jpg", "b.jpg", "c.jpg"]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Three pictures, and a port and keys that stay."""
    settings = {"RECQ_SERVE_PORT": str(free_port()), "RECQ_SERVE_KEY": KEY, "RECQ_SERVE_READ_KEY": READ_KEY}
    place = Place(tmp_path / "shop", tmp_path / "data", settings=settings, model=NETWORK)
    for number, name in enumerate(NAMES):
        put(place.root / name, number)
    return place


@pytest.fixture
def guest(place: Place) -> Iterator[QdrantClient]:
    """One client object, made before there is anything to ask."""
    client = QdrantClient(
        url=f"http://127.0.0.1:{place.settings['RECQ_SERVE_PORT']}",
        headers={"api-key": READ_KEY},
        check_compatibility=False,
        trust_env=False,
    )
    yield client
    client.close()


def fingerprint(guest: QdrantClient) -> str:
    """Of the space that the alias stands for now."""
    told = guest.get_collection("images").config.metadata
    return str((told or {})["recq"]["fingerprint"])


def neighbours(guest: QdrantClient) -> tuple[str, list[tuple[str, float]]]:
    """The fingerprint of the space, and names with scores nearest to the first picture; all of one space."""
    while True:
        space = fingerprint(guest)
        first = next(point for point in guest.scroll("images")[0] if (point.payload or {})["file"]["name"] == "a.jpg")
        found = guest.query_points("images", query=first.id, using="image", with_payload=["file.name"]).points
        if fingerprint(guest) == space:
            return space, [((point.payload or {})["file"]["name"], round(point.score, 5)) for point in found]


def refused(guest: QdrantClient) -> int | None:
    """The status of a write; None when it was carried out."""
    try:
        guest.delete_collection("images")
    except UnexpectedResponse as error:
        return error.status_code
    return None


def all_there(guest: QdrantClient) -> tuple[str, list[tuple[str, float]]]:
    """The answer when all pictures are in it, waited for: the first of a fresh daemon may come before they are."""

    def look() -> Any:
        try:
            answer = neighbours(guest)
        except (ResponseHandlingException, UnexpectedResponse, StopIteration):
            return None
        return answer if len(answer[1]) == len(NAMES) - 1 else None

    found: tuple[str, list[tuple[str, float]]] = eventually(look, within=STARTS_WITHIN)
    return found


def test_a_guest_outlives_restarts_kills_and_a_rebuild(place: Place, guest: QdrantClient) -> None:
    with place.daemon() as daemon:
        daemon.ready()
        before = all_there(guest)
        assert refused(guest) == 403
        address = read_address(place.data)
        assert address is not None
        assert address.url == f"http://127.0.0.1:{place.settings['RECQ_SERVE_PORT']}"
        assert place.status()["pid"] == daemon.process.pid, "recq-ingest finds it"
        asked = forked.run("query.cli", ["similar", "a.jpg", *place.reached], environment(), STARTS_WITHIN)
        assert asked.returncode == 0, "recq finds it, and has been told nothing"
    with pytest.raises(ResponseHandlingException):
        guest.get_collections()

    with place.daemon() as daemon:
        daemon.ready()
        assert neighbours(guest) == before
        daemon.process.kill()
        daemon.process.wait(30)
        with pytest.raises(ResponseHandlingException):
            guest.get_collections()

    with place.daemon() as daemon:
        daemon.ready()
        assert neighbours(guest) == before

    answers = asked_during_rebuild(place, guest)
    assert before in answers, "the old vectors answer meanwhile"
    assert all(answer == before for answer in answers if answer[0] == before[0])
    assert all(len(names) == len(NAMES) - 1 for _, names in answers), "the new ones answer when they are complete"

    with place.daemon() as daemon:
        daemon.ready()
        after = neighbours(guest)
        assert after[0] != before[0]
        assert {name for name, _ in after[1]} == {"b.jpg", "c.jpg"}
        assert guest.collection_exists(f"images--{before[0]}"), (
            "it answers in the space of old vectors while it is kept"
        )
        assert place.command("prune", "--yes").returncode == 0
        assert not guest.collection_exists(f"images--{before[0]}"), "a vector of the old space finds nothing to meet"
        assert guest.collection_exists(f"images--{after[0]}")
        assert refused(guest) == 403


def test_a_killed_daemon_is_not_taken_for_another_one_on_its_port(place: Place, tmp_path: Path) -> None:
    """One recq.toml, two data folders: what the first left behind leads to the second."""
    with place.daemon() as daemon:
        daemon.ready()
        daemon.process.kill()
        daemon.process.wait(30)
    other = Place(tmp_path / "other", tmp_path / "elsewhere", settings=place.settings, model=NETWORK)
    put(other.root / "o.jpg", 9)
    with other.daemon() as daemon:
        daemon.said("indexed", path="o.jpg", within=STARTS_WITHIN)
        status = place.status()
        assert (status["running"], [each["name"] for each in status["sources"]]) == (False, ["shop"])
        asked = place.command("retry")
        assert (asked.returncode, asked.stdout) == (0, "")
        with (
            own_folder(Settings.load(data_dir=place.data)),
            pytest.raises(IndexBusy),
            connect(Settings.load(data_dir=place.data, lock_wait=0.2)) as client,
        ):
            pytest.fail(f"another index answers: {client.get_aliases()}")
        place.settings = {"RECQ_SETTLE": "0.1"}
        with own_folder(Settings.load(data_dir=place.data)):
            done = place.command("run", str(tmp_path / "shop"))
        assert (done.returncode, "is in use by process" in done.stderr) == (4, True)


def asked_during_rebuild(place: Place, guest: QdrantClient) -> list[tuple[str, list[tuple[str, float]]]]:
    """What the guest was answered while another model was put in the catalog's place; refused connections aside."""
    done: list[subprocess.CompletedProcess[str]] = []
    rebuilding = threading.Thread(target=lambda: done.append(place.command("rebuild", "--model", OTHER_MODEL)))
    rebuilding.start()
    answers = []
    while rebuilding.is_alive():
        try:
            answers.append(neighbours(guest))
        except ResponseHandlingException:
            rebuilding.join(0.02)  # it does not serve yet, or no more
        except UnexpectedResponse as error:  # the old collection was deleted under it, or the process ends
            if error.status_code not in (404, 503):
                raise
    assert done[0].returncode == 0, done[0].stderr
    return answers


def test_no_key_is_in_a_log_a_status_or_an_error(place: Place, guest: QdrantClient) -> None:
    with place.daemon("--debug") as daemon:
        daemon.ready()
        refused(guest)
        status = [place.command("status", *more) for more in ((), ("--json",), ("--debug",))]
    told = [text for done in status for text in (done.stdout, done.stderr)]
    place.settings["RECQ_SERVE_READ_KEY"] = KEY
    same = place.command("run", str(place.root), "--once", "--debug")
    assert (same.returncode, "are the same" in same.stderr) == (2, True)
    told += [daemon.log.read_text(), same.stdout, same.stderr]
    assert not [text for text in told if KEY in text or READ_KEY in text]


def test_a_port_that_is_taken_ends_the_daemon_with_one_line(place: Place) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(place.settings["RECQ_SERVE_PORT"])))
        other.listen()
        done = place.once()
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"recq-ingest: setting 'serve_port': port {place.settings['RECQ_SERVE_PORT']} of 127.0.0.1 ")
    assert not {KEY, READ_KEY} & set(line.split())
    assert read_address(place.data) is None
    assert place.once().returncode == 0, "nothing is left in its way"


@pytest.mark.parametrize("name", ["RECQ_SERVE_KEY", "RECQ_SERVE_READ_KEY"])
def test_a_wrong_key_ends_the_daemon_before_anything_is_done(place: Place, name: str) -> None:
    place.settings[name] = "short"
    done = place.once()
    assert done.returncode == 2
    assert done.stderr == f"recq-ingest: setting '{name[5:].lower()}' ({name}): a key has 8 characters or more\n"
    assert not place.data.exists()

"""What docker-compose.yml starts, started without Docker: all of it by `make stack-check`, a part with each change."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.eventually import eventually
from tests.packaging.building import ROOT
from tests.packaging.stack import CLUSTER, COMPOSE, ELSEWHERE, KEYS, Stack, load, stack

WRITER, READER, TOKEN = KEYS["QDRANT_API_KEY"], KEYS["QDRANT_READ_KEY"], KEYS["RECQ_TOKEN"]
pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """All three services, with one picture indexed."""
    with stack(load(COMPOSE)) as made:
        dropped(made, "tent.jpg")
        made.up()
        for each in made.services.values():
            each.healthy()
        yield made


def dropped(made: Stack, name: str) -> None:
    shutil.copy(ROOT / "samples" / name, made.drop)
    (made.drop / name).chmod(0o644)


def asked(made: Stack, path: str, token: str | None = TOKEN) -> httpx.Response:
    """The page's answer."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{made.url('page', 6340)}{path}", headers=headers, timeout=30, trust_env=False)


def names(made: Stack) -> set[str]:
    """What is indexed, as the page finds it."""
    answer = asked(made, "/api/v1/search?k=50")
    assert answer.status_code == 200, answer.text
    return {Path(each["path"]).name for each in answer.json()["results"]}


def index(made: Stack, method: str, path: str, key: str | None, **more: Any) -> int:
    headers = {} if key is None else {"api-key": key}
    url = f"{made.url('qdrant', 6333)}{path}"
    return httpx.request(method, url, headers=headers, timeout=30, trust_env=False, **more).status_code


def test_what_is_dropped_is_found_by_the_page(running: Stack) -> None:
    eventually(lambda: names(running) >= {"tent.jpg"})
    dropped(running, "laptop.jpg")
    eventually(lambda: names(running) >= {"tent.jpg", "laptop.jpg"})
    (tent,) = (each for each in asked(running, "/api/v1/search").json()["results"] if "tent" in each["path"])
    picture = asked(running, f"/api/v1/items/{tent['id']}/image")
    assert picture.content == (ROOT / "samples" / "tent.jpg").read_bytes()
    similar = asked(running, "/api/v1/similar?target=tent.jpg")
    assert similar.status_code == 200, similar.text


def test_keys_open_what_they_are_for(running: Stack) -> None:
    assert asked(running, "/api/v1/search", None).status_code == 401
    assert asked(running, "/api/v1/search", "x" * 24).status_code == 401
    collection = {"vectors": {"size": 4, "distance": "Cosine"}}
    assert index(running, "GET", "/collections", None) == 401
    assert index(running, "GET", "/collections", READER) == 200
    assert index(running, "PUT", "/collections/others", READER, json=collection) == 403
    assert index(running, "GET", "/collections/others/exists", WRITER) == 200
    assert asked(running, "/api/v1/metrics").status_code == 200


def test_what_writes_is_refused_by_the_page_in_words(running: Stack) -> None:
    """It has the key that only reads: an answer says so, and nothing is logged as an error of its own."""
    (running.drop / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    os.utime(running.drop / "broken.jpg", (1_000_000_000, 1_000_000_000))  # old: nobody is still writing it
    eventually(lambda: asked(running, "/api/v1/failed").json())
    answer = httpx.post(
        f"{running.url('page', 6340)}/api/v1/retry",
        headers={"Authorization": f"Bearer {TOKEN}"},
        json={"pattern": "*"},
        timeout=30,
        trust_env=False,
    )
    assert answer.status_code == 503, answer.text
    assert answer.json()["exit_code"] == 4
    assert "key" in answer.json()["message"]
    assert "Traceback" not in running.services["page"].said()


def test_no_key_is_printed_or_seen_by_others(running: Stack) -> None:
    for service in running.services.values():
        assert service.process is not None
        title = Path(f"/proc/{service.process.pid}/cmdline").read_bytes().decode()
        for key in KEYS.values():
            assert key not in service.said()
            assert key not in title


def test_services_write_nothing_but_their_volumes(running: Stack) -> None:
    for service in running.services.values():
        assert list(service.folder.iterdir()) == []
    assert {path.name for path in running.drop.iterdir()} <= {"tent.jpg", "laptop.jpg", "broken.jpg"}


def test_each_ends_in_its_time_and_comes_back(running: Stack) -> None:
    for name in ("page", "ingest", "qdrant"):
        code, _ = running.services[name].stop()
        assert code == 0, running.services[name].said()[-2000:]
    running.up()
    for each in running.services.values():
        each.healthy()
    eventually(lambda: names(running) >= {"tent.jpg"})


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "new"), [("qdrant", "basketball.jpg"), ("ingest", "bonsai-tree.jpg"), ("page", "allstar-sneakers.jpg")]
)
def test_one_that_is_killed_comes_back_and_nothing_is_lost(running: Stack, name: str, new: str) -> None:
    """As `restart: unless-stopped` does it; what is dropped meanwhile is found afterwards."""
    running.services[name].kill()
    dropped(running, new)
    running.services[name].restart()
    for each in running.services.values():
        each.healthy()
    eventually(lambda: new in names(running), within=60)


@pytest.mark.long
def test_beside_a_server_elsewhere_two_services_are_enough(running: Stack) -> None:
    """The server of the other stack is the one elsewhere."""
    services = load(COMPOSE, ELSEWHERE, env=KEYS | {"RECQ_URL": running.url("qdrant", 6333)})
    assert services.keys() == {"ingest", "page"}
    for each in services.values():
        each["environment"]["RECQ_CATALOG"] = "others"
    with stack(services) as beside:
        dropped(beside, "laptop.jpg")
        beside.up()
        beside.services["page"].healthy()
        eventually(lambda: names(beside) == {"laptop.jpg"})


@pytest.mark.long
def test_three_nodes_become_a_cluster_that_the_daemon_fills_also_when_one_is_killed() -> None:
    with stack(load(COMPOSE, CLUSTER)) as made:
        dropped(made, "tent.jpg")
        made.up("qdrant", "qdrant-2", "qdrant-3")
        url = f"{made.url('qdrant', 6333)}/cluster"

        def peers() -> int:
            status = httpx.get(url, headers={"api-key": READER}, timeout=5, trust_env=False).json()["result"]
            return len(status["peers"]) if status["status"] == "enabled" else 0

        eventually(lambda: peers() == 3, within=60)
        made.up("ingest")
        eventually(lambda: index(made, "GET", "/collections/images", READER) == 200, within=90)
        made.up("page")  # which ends without a catalog, and would be started again
        made.services["page"].healthy()
        eventually(lambda: names(made) == {"tent.jpg"}, within=60)
        made.services["qdrant"].kill()  # the one that all ask first
        dropped(made, "laptop.jpg")
        eventually(lambda: names(made) == {"tent.jpg", "laptop.jpg"}, within=60)

"""Changes over HTTP: asked for, waited for, and as a stream that goes on where it was cut."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest

from recq.api import changes
from recq.api.schemas import components
from recq.errors import UsageError
from recq.index.catalog import Catalog
from recq.index.connect import connect_or_make
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item, ItemError
from recq.settings import Settings
from tests.eventually import eventually
from tests.recq.api.serving import PREFIX, Api, served
from tests.recq.index.conftest import SPACE


def item(name: str, digest: str = "") -> Item:
    return Item(FileFacts("shop", name, 10, 20, sha256=digest or f"{abs(hash(name)):064x}"[:64]))


def entry(name: str, digest: str = "") -> ItemVector:
    return ItemVector(item(name, digest), np.eye(8, dtype=np.float32)[len(name) % 8])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", workers=1)
    with catalog_of(made, make=True):
        pass
    return made


@contextmanager
def catalog_of(settings: Settings, *, make: bool = False) -> Iterator[Catalog]:
    with connect_or_make(settings) as client:
        yield Catalog.create(client, "images", SPACE) if make else Catalog.open(client, "images")


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    with served(settings) as made:
        yield made


def shown(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["change"], each["path"]) for each in document["changes"]]


def test_changes_come_in_their_order_and_once_each(api: Api, settings: Settings) -> None:
    start = api.get("/changes").json()["cursor"]
    now = api.get("/changes", since="now").json()
    assert now["changes"] == []
    with catalog_of(settings) as catalog:
        catalog.writes.upsert([entry("a.jpg"), entry("bb.jpg"), entry("ccc.jpg")])
        catalog.writes.upsert([ItemVector(replace(item("d.jpg"), error=ItemError("empty", "", "2026-01-01")), None)])
    for since in (start, now["cursor"]):
        first = api.get("/changes", since=since, limit=2).json()
        assert shown(first) == [("indexed", "a.jpg"), ("indexed", "bb.jpg")]
        assert first["more"]
        rest = api.get("/changes", since=first["cursor"]).json()
        assert shown(rest) == [("indexed", "ccc.jpg"), ("failed", "d.jpg")]
        assert rest["changes"][1]["reason"] == "empty"
        assert not rest["more"]
    with catalog_of(settings) as catalog:
        catalog.writes.replace_metadata([replace(item("a.jpg"), metadata={"price": 5})])
        catalog.writes.remove([item("bb.jpg").gone()])
    assert shown(api.get("/changes", since=rest["cursor"]).json()) == [("changed", "a.jpg"), ("gone", "bb.jpg")]
    assert shown(api.get("/changes", since=first["changes"][0]["cursor"]).json()) == [
        ("indexed", "ccc.jpg"), ("failed", "d.jpg"), ("changed", "a.jpg"), ("gone", "bb.jpg")
    ]  # fmt: skip
    jsonschema.validate(rest, {"$ref": "#/components/schemas/changes", "components": {"schemas": components()}})


def test_what_waits_is_answered_with_the_first_change(api: Api, settings: Settings) -> None:
    now = api.get("/changes", since="now").json()["cursor"]
    found: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: found.append(api.get("/changes", since=now, wait=60)))
    waiting.start()
    with catalog_of(settings) as catalog:
        catalog.writes.upsert([entry("a.jpg")])
    waiting.join(30)
    assert shown(found[0].json()) == [("indexed", "a.jpg")]
    assert shown(api.get("/changes", since=now, wait=60).json()) == [("indexed", "a.jpg")]


def events(stream: Iterator[str], count: int) -> list[tuple[str, str, dict[str, Any]]]:
    """The next events: kind, id, document."""
    found, lines = [], {}
    for line in stream:
        name, _, value = line.partition(": ")
        if line and name:
            lines[name] = value
        elif "data" in lines:
            found.append((lines["event"], lines.get("id", ""), json.loads(lines["data"])))
            lines = {}
            if len(found) == count:
                return found
    raise AssertionError(f"the stream ended: {found}")


def test_a_stream_goes_on_where_it_was_cut(api: Api, settings: Settings) -> None:
    url = f"{PREFIX}/changes/stream"
    with api.client.stream("GET", url, params={"since": "now"}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.iter_lines()
        next(lines)  # it has begun
        with catalog_of(settings) as catalog:
            catalog.writes.upsert([entry("a.jpg"), entry("bb.jpg"), entry("ccc.jpg")])
        first = events(lines, 1)
        assert first[0][0] == "indexed"
        assert first[0][2]["path"] == "a.jpg"
    with api.client.stream("GET", url, headers={"Last-Event-ID": first[0][1]}) as response:
        lines = response.iter_lines()
        assert [each[2]["path"] for each in events(lines, 2)] == ["bb.jpg", "ccc.jpg"]
        with catalog_of(settings) as catalog:
            catalog.writes.remove([item("a.jpg").gone()])
        assert [(each[0], each[2]["path"]) for each in events(lines, 1)] == [("gone", "a.jpg")]


def test_a_cursor_that_the_log_does_not_reach_is_gone(api: Api, settings: Settings) -> None:
    with catalog_of(settings) as catalog:
        catalog.writes.upsert([entry("a.jpg")])
    cursor = api.get("/changes").json()["cursor"]
    with catalog_of(settings) as catalog:
        catalog._client.update_collection(
            catalog.collection, metadata={"changes": {"log": cursor.partition(".")[0], "horizon": 2**52}}
        )
    for route in ("/changes", "/changes/stream"):
        gone = api.get(route, since=cursor)
        assert (gone.status_code, gone.json()["code"], gone.json()["exit_code"]) == (410, "gone", 3)
        assert "\n" not in gone.json()["message"]
    assert shown(api.get("/changes").json()) == [("indexed", "a.jpg")]
    assert api.get("/changes", since=f"abcd{cursor[4:]}").status_code == 410


@pytest.mark.parametrize(
    "asked",
    [{"since": ""}, {"since": "x"}, {"since": "ab.-1.0"}, {"since": "ab.1.0.zz-1"}, {"since": "ab.1.1.1-2-3"},
     {"limit": 0}, {"limit": 1001}, {"wait": -1}, {"wait": 61}, {"wait": "nan"}, {"nothing": 1}],
)  # fmt: skip
def test_a_bad_question_is_a_usage_error(api: Api, asked: dict[str, Any]) -> None:
    wrong = api.get("/changes", **asked)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "usage"), wrong.text
    assert "\n" not in wrong.json()["message"]


FOLLOWING: dict[str, tuple[str, dict[str, Any]]] = {
    "a stream": ("/changes/stream", {}),
    "a question that waits": ("/changes", {"wait": 60}),
}
"""How a client follows: a route and what it is asked."""


def statuses_of(api: Api, since: str, hows: list[str]) -> tuple[list[threading.Thread], queue.SimpleQueue[int]]:
    """Clients that come at once and follow until there is a change, and the status of each as it comes."""
    found: queue.SimpleQueue[int] = queue.SimpleQueue()
    ready = threading.Barrier(len(hows))

    def follow(how: str) -> None:
        route, asked = FOLLOWING[how]
        ready.wait(30)
        with api.client.stream("GET", PREFIX + route, params={"since": since, **asked}) as response:
            found.put(response.status_code)
            if response.status_code == 200 and how == "a stream":
                events(response.iter_lines(), 1)

    clients = [threading.Thread(target=follow, args=(how,)) for how in hows]
    for each in clients:
        each.start()
    return clients, found


@pytest.mark.parametrize("hows", [["a stream"], ["a question that waits"], list(FOLLOWING)])
def test_of_many_that_come_at_once_only_so_many_follow(
    api: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch, hows: list[str]
) -> None:
    monkeypatch.setattr(changes, "MOST_FOLLOWING", 3)
    clients, statuses = statuses_of(api, api.get("/changes", since="now").json()["cursor"], (hows * 12)[:12])
    found: list[int] = []
    while found.count(503) < 9:
        found.append(statuses.get(timeout=30))
    with catalog_of(settings) as catalog:
        catalog.writes.upsert([entry("a.jpg")])
    found += [statuses.get(timeout=30) for _ in range(12 - len(found))]
    assert sorted(found) == [200] * 3 + [503] * 9
    for each in clients:
        each.join(30)
    assert not any(each.is_alive() for each in clients)


def leaving(api: Api, how: str, since: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A client follows, alone, and has its place; what is given back ends its connection."""
    asked, ask = threading.Semaphore(0), api.service.ask

    def counted(*given: Any) -> Any:
        asked.release()
        return ask(*given)

    monkeypatch.setattr(api.service, "ask", counted)
    route, parameters = FOLLOWING[how]
    address = httpx.URL(PREFIX + route, params={"since": since, **parameters})
    connection = socket.create_connection(("127.0.0.1", api.client.base_url.port or 80), timeout=30)
    connection.sendall(f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    for _ in range(2):  # a second look is taken by who follows alone
        assert asked.acquire(timeout=30)
    return connection.close


@pytest.mark.parametrize("how", FOLLOWING)
def test_who_has_left_follows_no_more(api: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(changes, "MOST_FOLLOWING", 1)
    with catalog_of(settings) as catalog:
        catalog.writes.upsert([entry("a.jpg")])
    now = api.get("/changes", since="now").json()["cursor"]
    leave = leaving(api, how, now, monkeypatch)
    for route, asked in FOLLOWING.values():
        busy = api.get(route, since=now, **asked)
        assert (busy.status_code, busy.json()["code"]) == (503, "busy")
        assert int(busy.headers["retry-after"]) > 0
    assert shown(api.get("/changes", since=now).json()) == []
    assert shown(api.get("/changes", wait=60).json()) == [("indexed", "a.jpg")], "what is there needs no waiting"
    leave()
    assert eventually(lambda: api.get("/changes", since=now, wait=0.01).status_code == 200)


def test_every_end_gives_the_place_back(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST_FOLLOWING", 1)
    now = api.get("/changes", since="now").json()["cursor"]
    for _ in range(3):
        assert api.get("/changes", since=now, wait=0.01).status_code == 200
        assert api.get("/changes/stream", since="no cursor").status_code == 400
        assert api.get("/changes/stream", catalog="elsewhere").status_code == 404
    ask, failing = api.service.ask, threading.Event()

    def breaking(*given: Any) -> Any:
        if failing.is_set():
            raise UsageError("no more")
        failing.set()
        return ask(*given)

    monkeypatch.setattr(api.service, "ask", breaking)
    assert api.get("/changes", since=now, wait=60).status_code == 400, "an error while it waits is its answer"
    failing.clear()
    with api.client.stream("GET", f"{PREFIX}/changes/stream", params={"since": now}) as response:
        assert events(response.iter_lines(), 1)[0][0] == "error"
    monkeypatch.setattr(api.service, "ask", ask)
    assert api.get("/changes", since=now, wait=0.01).status_code == 200

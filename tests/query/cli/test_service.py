"""The command line and a running service: the same answers as without one, and what is gone around."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from recq.announced import SERVICES, Announced, alike, announce
from recq.api import client
from recq.api.access import Gatekeeper
from recq.api.client import AskedFirst
from recq.settings import Settings
from tests.packs import ROOT
from tests.query.conftest import CATALOG, FAILED, HOSTILE, LATIN1, WAITING, Reply, Shop, stocked
from tests.recq.api.serving import served, settings_of

KEY = "the key of this start"
SAMPLE = str(ROOT / "samples" / "tent.jpg")


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, shop_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder that a daemon owns, with a service beside it."""
    folder = tmp_path_factory.mktemp("data")
    with stocked("loopback", folder, shop_root, request) as options:
        settings = settings_of(options, CATALOG, cache_dir=folder / "cache", workers=1)
        with served(settings, Gatekeeper(own=KEY)) as api:
            url = str(api.client.base_url).rstrip("/")
            announce(folder, Announced(url, KEY, None, os.getpid(), alike(Settings(data_dir=folder))))
            yield folder


@pytest.fixture
def shop(place: Path, shop_root: Path, ask: Callable[..., Reply]) -> Shop:
    return Shop(shop_root, ["--data-dir", str(place)], ask)


@pytest.fixture
def by_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service is the only one to answer."""

    def nobody(_: AskedFirst) -> None:
        raise AssertionError("this process was to answer")

    monkeypatch.setattr(AskedFirst, "_here", nobody)


def without_times(reply: Reply) -> tuple[int, str, str]:
    """All that a command prints, but for how long the answer took."""
    lines = [line for line in reply.out.decode("utf-8", "surrogateescape").split("\n") if '"took_ms"' not in line]
    return reply.code, "\n".join(lines), reply.err


QUESTIONS: list[list[str]] = [
    ["similar", "sofas/one.png"],
    ["similar", "sofas/two.png", "--format", "json"],
    ["similar", "twin-a.png", "--format", "csv", "-k", "3"],
    ["similar", "two.png", "--format", "paths", "-0"],
    ["similar", "shop/beds/three.png", "--format", "jsonl", "--fields", "price,title"],
    ["similar", "one.png"],
    ["similar", "ID of twin-b.png"],
    ["similar", HOSTILE],
    ["similar", os.fsdecode(os.fsencode(LATIN1)), "--format", "json"],
    ["similar", FAILED],
    ["similar", "nothing of that name.png"],
    ["similar", "tow.png"],
    ["similar", "https://example.org/sofa.png"],
    ["similar", "00000000-0000-0000-0000-000000000000"],
    ["similar", ""],
    ["similar", "ROOT"],
    ["similar", f"ROOT/{WAITING}", "--format", "json"],
    ["similar", "ROOT/sofas/one.png", "-k", "1"],
    ["similar", f"ROOT/{FAILED}"],
    ["similar", SAMPLE],
    ["similar", SAMPLE, "--region", "10%,10%,50%,50%", "--format", "json"],
    ["similar", SAMPLE, "--region", "5000,0,10,10"],
    ["similar", "two.png", "--region", "0,0,10,10", "--format", "json"],
    ["similar", "two.png", SAMPLE, "missing.png", f"ROOT/{FAILED}"],
    ["similar", "two.png", SAMPLE, "missing.png", "--format", "jsonl"],
    ["similar", "two.png", "three.png", "--format", "csv"],
    ["similar", "two.png", "three.png", "--format", "json"],
    ["similar", "two.png", "three.png", "--filter", "category=nothing"],
    ["similar", "two.png", "--filter", "category=bed", "--any-of", "price<=100 || price>=200"],
    ["similar", "two.png", "--filter", "category=Bed"],
    ["similar", "two.png", "--filter", "category=bed", "--filter", "price<=1"],
    ["similar", "two.png", "--filter", "prize<=50"],
    ["similar", "two.png", "--filter", "price<=cheap"],
    ["similar", "two.png", "--min-score", "0.99999"],
    ["similar", "two.png", "--min-score", "auto", "--format", "json"],
    ["similar", "two.png", "--max-distance", "3"],
    ["similar", "two.png", "--page", "2", "-k", "2"],
    ["similar", "two.png", "--page", "9", "-k", "5"],
    ["similar", "two.png", "--page", "2", "--offset", "1"],
    ["similar", "two.png", "--group-by", "category", "--keep-own-group", "--diversity", "0.4"],
    ["similar", "two.png", "--diversity", "7"],
    ["similar", "two.png", "--sort", "price:desc"],
    ["similar", "two.png", "--space", "missing"],
    ["recommend", "--like", "two.png", "--dislike", "three.png", "--format", "json"],
    ["recommend", "--like", "two.png", "--like", SAMPLE, "--strategy", "best"],
    ["recommend", "--like", "two.png", "--dislike", "missing.png"],
    ["recommend"],
    ["search", "--sort", "price"],
    ["search", "--filter", "title~sofa", "--format", "json"],
    ["search", "--filter", "?price", "-k", "1"],
    ["search", "--filter", "category=nothing"],
    ["search", "leather"],
    ["show", "two.png"],
    ["show", FAILED, "--json"],
    ["show", SAMPLE],
    ["show", "missing.png"],
    ["fields"],
    ["fields", "--format", "json"],
    ["changes"],
    ["changes", "--limit", "2", "--json"],
    ["changes", "--since", "now", "--format", "jsonl"],
    ["changes", "--since", "CURSOR"],
    ["changes", "--since", "nothing"],
    ["changes", "--limit", "5000"],
    ["facets", "category"],
    ["facets", "price", "--format", "json"],
    ["facets", "labels", "--filter", "category=nothing"],
    ["facets", "nothing"],
    ["predict", "two.png", "--top", "2"],
    ["predict", SAMPLE, "missing.png", "--format", "json"],
    ["predict", SAMPLE, "--space", "missing"],
]
"""Every kind of question, answer and error: ROOT stands for the shop's folder, `ID of` for an item's id, CURSOR for one
of its changes."""


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda words: " ".join(map(ascii, words))[:70])
@pytest.mark.usefixtures("by_service")
def test_the_answer_is_the_same_with_and_without_a_service(
    shop: Shop, question: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [shop.id(word.removeprefix("ID of ")) if word.startswith("ID of ") else word for word in question]
    words = [word.replace("ROOT", str(shop.root)) for word in words]
    if "CURSOR" in words:
        cursor = json.loads(shop.ask("changes", "--limit", "3", "--json").text)["cursor"]
        words = [cursor if word == "CURSOR" else word for word in words]
    with_it = shop.ask(*words)
    assert "this process was to answer" not in with_it.err
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECQ_CLIENT", "off")
    assert without_times(with_it) == without_times(shop.ask(*words))


@pytest.mark.usefixtures("by_service")
@pytest.mark.parametrize(
    "words",
    [
        ["catalogs", "--format", "json"],
        ["catalogs"],
        ["compare", "two.png", "--catalog", CATALOG, "--catalog", "nothing"],
        ["compare", "two.png", "--catalog", CATALOG],
        ["similar", "two.png", "--catalog", "nothing"],
        ["similar", "two.png", "--catalog", "no/name"],
        ["search", "--catalog", "nothing"],
    ],
    ids=" ".join,
)
def test_so_are_those_about_other_catalogs(
    words: list[str], place: Path, ask: Callable[..., Reply], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_it = ask([*words, "--data-dir", str(place)])
    monkeypatch.setattr(AskedFirst, "_here", HERE)
    monkeypatch.setenv("RECQ_CLIENT", "off")
    assert without_times(with_it) == without_times(ask([*words, "--data-dir", str(place)]))


HERE = AskedFirst._here


@pytest.mark.usefixtures("by_service")
def test_a_picture_beside_an_item_of_its_name_is_ambiguous(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a name means where the command runs is seen there, and decided by the service."""
    (tmp_path / "two.png").write_bytes(Path(SAMPLE).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert (shop.ask("similar", "two.png").code, shop.ask("similar", "./two.png").code) == (3, 0)
    (tmp_path / "two.png").write_bytes(b"no picture")
    said = shop.ask("similar", "./two.png")
    assert (said.code, "not-an-image" in said.err) == (3, True)


@pytest.mark.usefixtures("by_service")
def test_a_grid_shows_the_picture_that_was_sent(shop: Shop, tmp_path: Path) -> None:
    said = shop.ask("similar", SAMPLE, "-k", "2", "--grid", str(tmp_path / "grid.html"))
    assert (said.code, said.err) == (0, f"recq: picture grid written to {tmp_path / 'grid.html'}\n")
    assert (tmp_path / "grid.html").read_text("utf-8").count("data:image/") == 3


@pytest.mark.usefixtures("by_service")
def test_what_the_messages_print_can_be_pasted_into_this_shell(shop: Shop) -> None:
    said = shop.ask("similar", "a missing name of nothing")
    assert f"--data-dir {shop.options[1]}" in said.err


# -- what is gone around ------------------------------------------------------------------------------------------


class Counting(HTTPServer):
    """A service that gives one answer, whatever it is asked, and counts its questions."""

    def __init__(self, status: int, content: bytes) -> None:
        counting = self

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                counting.asked += 1
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        super().__init__(("127.0.0.1", 0), Answering)
        self.asked = 0


@pytest.fixture
def lone(shop_root: Path, embedded_options: list[str], ask: Callable[..., Reply]) -> Iterator[Shop]:
    """The shop in a folder that nobody has, and where no service is known after the test."""
    yield Shop(shop_root, embedded_options, ask)
    Path(embedded_options[1], SERVICES).unlink(missing_ok=True)


def known_at(shop: Shop, port: int) -> Announced:
    folder = Path(shop.options[1])
    made = Announced(f"http://127.0.0.1:{port}", KEY, None, os.getpid(), alike(Settings(data_dir=folder)))
    announce(folder, made)
    return made


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b"<html>another program took the port</html>"),
        (200, b'["r","Answer",{}]'),
        (200, b'["m"]'),
        (403, b'{"code": "forbidden", "exit_code": null, "message": "another key"}'),
        (404, b'{"code": "no-route", "exit_code": null, "message": "an older service"}'),
        (429, b'{"code": "too-many", "exit_code": null, "message": "more is asked than the service allows"}'),
        (500, b'{"code": "unexpected", "exit_code": 1, "message": "a bug"}'),
        (503, b'["m",["error","IndexUnreachable"],["message","the index is away"]]'),
        (200, b'["m",["error","SystemExit"],["message","no error of recq"]]'),
        (200, b'["m",["error","annotations"],["message","no class"]]'),
        (200, b'["m",["needed",["l","two.png"]]]'),
    ],
)
def test_a_service_that_does_not_answer_the_question_is_gone_around(lone: Shop, status: int, content: bytes) -> None:
    expected = without_times(lone.ask("similar", "two.png", "--format", "json"))
    with Counting(status, content) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        known_at(lone, service.server_port)
        assert without_times(lone.ask("similar", "two.png", "--format", "json")) == expected
        service.shutdown()
        assert service.asked


def test_so_is_one_that_is_not_there_or_says_nothing(lone: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = without_times(lone.ask("similar", "two.png", "--format", "json"))
    monkeypatch.setattr(client, "ANSWERS_WITHIN", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        known_at(lone, silent.getsockname()[1])
        assert without_times(lone.ask("similar", "two.png", "--format", "json")) == expected
        silent.listen()
        code, out, err = without_times(lone.ask("similar", "two.png", "--format", "json"))
    assert (code, out) == expected[:2]
    assert err == f"recq: process {os.getpid()}, which answers questions, did not: the index is asked without it\n"


@pytest.mark.parametrize("change", ["version", "alike", "client", "readable"])
def test_a_service_of_another_kind_is_not_even_asked(lone: Shop, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(lone.options[1])
    with Counting(200, b"never") as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        made = known_at(lone, service.server_port)
        match change:
            case "version":
                announce(folder, replace(made, version="0.0.1/1"))
            case "alike":  # the settings of the service are others
                announce(folder, replace(made, alike=alike(Settings(data_dir=folder, max_pixels=7))))
            case "client":
                monkeypatch.setenv("RECQ_CLIENT", "off")
            case "readable":
                (folder / SERVICES).chmod(0o644)
        assert lone.ask("similar", "two.png").code == 0
        service.shutdown()
        assert not service.asked


@pytest.mark.parametrize(
    "words",
    [["similar", "-"], ["similar", *(["two.png"] * (client.MOST_TARGETS + 1))], ["labels", "audit", "category"]],
    ids=["standard input", "many targets", "another command"],
)
def test_what_a_service_is_not_for(lone: Shop, words: Sequence[str]) -> None:
    with Counting(200, json.dumps(["m", ["answer", None]]).encode()) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        known_at(lone, service.server_port)
        lone.ask(*words, stdin=Path(SAMPLE).read_bytes())
        service.shutdown()
        assert not service.asked

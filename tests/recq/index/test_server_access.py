"""Keys and certificates of a server: what is sent where, tokens for one catalog, and whose certificate is believed."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import numpy as np
import pytest
import typer

from ingest.cli.main import app as ingest_app
from query.cli.main import app as query_app
from recq.cli_errors import run
from recq.errors import IndexError_, IndexRefused, TargetNotFound, UsageError
from recq.index import server_access
from recq.index.catalog import Catalog
from recq.index.connect import connect, server_client
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.index.server_access import is_private, require_unread
from recq.index.tokens import token, token_for
from recq.settings import Settings
from tests.qdrant_server import QdrantServer
from tests.recq.index.conftest import SPACE
from tests.recq.index.test_connect import certificate, speaking

__all__ = ["certificate"]

KEY = "a key of a server that has thirty-two characters and more"
NEAR = [
    "127.0.0.1",
    "localhost",
    "::1",
    "10.1.2.3",
    "172.20.0.5",
    "192.168.7.7",
    "169.254.3.4",
    "100.100.1.1",
    "fd00::5",
]
FAR = ["8.8.8.8", "1.1.1.1", "172.15.0.1", "2606:4700::1111"]


@pytest.mark.parametrize(("host", "private"), [*((each, True) for each in NEAR), *((each, False) for each in FAR)])
def test_a_key_goes_over_plain_http_only_where_nobody_forwards_it(host: str, private: bool) -> None:
    assert is_private(host) is private
    shown = f"[{host}]" if ":" in host else host
    given = Settings.load(url=f"http://{shown}:6333", api_key="secret key")
    if private:
        require_unread(given)
    else:
        with pytest.raises(UsageError, match="plain http beyond a private network") as refused:
            server_client(given)
        assert "secret" not in str(refused.value)
    require_unread(Settings.load(url=f"http://{shown}:6333"))
    require_unread(Settings.load(url=f"https://{shown}:6333", api_key="secret key"))
    require_unread(Settings.load(url=f"http://{shown}:6333", api_key="secret key", insecure=True))


def test_one_address_on_the_internet_is_enough_and_none_is_left_to_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolved(*addresses: str) -> bool:
        found = [(0, 0, 0, "", (each, 0)) for each in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        return is_private("qdrant.example")

    assert not resolved("10.0.0.1", "93.184.216.34")
    assert resolved("10.0.0.1", "fe80::1%eth0")
    monkeypatch.undo()
    assert is_private("no host has this name.invalid")


@pytest.mark.parametrize(("program", "command"), [(query_app, "fields"), (ingest_app, "problems")])
def test_insecure_is_an_option_of_both_programs(
    program: typer.Typer, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server_access, "is_private", lambda _: False)
    for name, value in (("API_KEY", "secret key"), ("CONNECT_TIMEOUT", "0.2"), ("CLIENT", "off")):
        monkeypatch.setenv(f"RECQ_{name}", value)
    words = [command, "--url", "http://127.0.0.1:9"]
    assert run(program, "recq", words) == 2
    assert "or --insecure to send it all the same" in (said := capsys.readouterr()).err
    assert run(program, "recq", [*words, "--insecure"]) == 4
    assert "no Qdrant server answers" in (then := capsys.readouterr()).err
    assert "secret" not in said.err + then.err


# ---- tokens ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantServer]:
    """A server that takes tokens, with two catalogs."""
    with QdrantServer(tmp_path_factory.mktemp("server") / "q", KEY, QDRANT__SERVICE__JWT_RBAC="true") as server:
        with connect(settings_of(server)) as client:
            for name in ("shop", "other"):
                fill(Catalog.create(client, name, SPACE))
        yield server


def settings_of(server: QdrantServer, key: str = KEY, **more: Any) -> Settings:
    return Settings.load(url=server.url, api_key=key, catalog="shop", **more)


def fill(catalog: Catalog, count: int = 4) -> None:
    catalog.writes.upsert(
        [
            ItemVector(Item(FileFacts("s", f"{number}.jpg", 1, 1, sha256=f"{number:064x}")), vector)
            for number, vector in enumerate(np.eye(8, dtype=np.float32)[:count])
        ]
    )


def test_a_token_reads_one_catalog_also_after_a_rebuild(guarded: QdrantServer) -> None:
    made = token_for(settings_of(guarded), read=True, expires=int(time.time()) + 60)
    with connect(settings_of(guarded, made)) as client:
        catalog = Catalog.open(client, "shop")
        assert {item.file.path for item in catalog.items.rows([])} == {f"{number}.jpg" for number in range(4)}
        assert catalog.background() is None
        with pytest.raises(IndexError_):
            fill(catalog, 1)
        with pytest.raises(TargetNotFound):
            Catalog.open(client, "other")
    with connect(settings_of(guarded)) as client:
        rebuilt = Catalog.begin_rebuild(client, "shop", dataclasses.replace(SPACE, weights="1"))
        fill(rebuilt, 7)
        rebuilt.finish_rebuild()
    with connect(settings_of(guarded, made)) as client:
        catalog = Catalog.open(client, "shop")
        assert (catalog.items.count(), catalog.space.weights) == (7, "1")


def test_what_a_token_may_and_for_how_long_is_in_it(guarded: QdrantServer) -> None:
    claims = jwt.decode(token(KEY, "shop", read=True, expires=2_000_000_000), KEY, algorithms=["HS256"])
    assert claims == {"access": [{"collection": "shop", "access": "r"}], "exp": 2_000_000_000}
    writes = token_for(settings_of(guarded), read=False, expires=int(time.time()) + 60)
    with connect(settings_of(guarded, writes)) as client:
        fill(Catalog.open(client, "shop"), 1)
    for wrong in (
        token(KEY, "shop", read=True, expires=int(time.time()) - 60),
        token(f"{KEY}x", "shop", read=True, expires=int(time.time()) + 60),
    ):
        with pytest.raises(IndexRefused), connect(settings_of(guarded, wrong)) as client:
            Catalog.open(client, "shop")


@pytest.mark.server
def test_a_server_without_tokens_says_so(tmp_path: Path) -> None:
    with QdrantServer(tmp_path / "q", KEY) as server:
        with connect(settings_of(server)) as client:
            Catalog.create(client, "shop", SPACE)
        with pytest.raises(IndexRefused, match="JWT_RBAC"):
            token_for(settings_of(server), read=True, expires=int(time.time()) + 60)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (Settings(), "only a Qdrant server takes tokens"),
        (Settings(url="http://127.0.0.1:1"), "set RECQ_API_KEY"),
    ],
)
def test_a_token_needs_a_server_and_its_key(settings: Settings, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        token_for(settings, read=True, expires=0)


# ---- certificates ----------------------------------------------------------------------------------------------------


def test_a_certificate_of_ones_own_is_believed_where_it_is_named(certificate: Path) -> None:
    with speaking(certificate) as port:
        url = f"https://localhost:{port}"
        with pytest.raises(IndexRefused, match="RECQ_CA_FILE"):
            server_client(Settings.load(url=url))
        with pytest.raises(IndexRefused, match="no Qdrant server"):  # it was believed, and asked
            server_client(Settings.load(url=url, ca_file=certificate.with_name("c.pem")))


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), (b"nothing of the kind", "no certificate")])
def test_a_file_without_certificates_is_refused(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=why):
        server_client(Settings.load(url="https://localhost:1", ca_file=file))

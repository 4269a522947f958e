"""Keys stay where they belong: the look for them finds what it should, and no command takes one as an argument."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from ingest.cli.main import app as ingest_app
from query.cli.main import app as query_app
from recq.cli_commands import leaves
from tests import secrecy
from tests.ingest.pictures import put
from tests.ingest.running import Place
from tests.packs import ROOT
from tests.secrecy import note_keys, require_kept, require_kept_below, secret


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(secrecy, "KNOWN", set())
    yield
    secrecy.KNOWN.clear()


def test_a_key_is_found_in_output_and_in_files(tmp_path: Path) -> None:
    first, second = secret(secrets.token_hex(16)), secrets.token_hex(16)
    note_keys({"RECQ_READ_TOKEN": second, "RECQ_TOKEN_FILE": "/a/file", "OTHER_KEY": "nothing of recq's"})
    require_kept("nothing", b"/a/file, nothing of recq's")
    for text in (f"a line with {first} in it", second.encode()):
        with pytest.raises(AssertionError, match="a key is in the output"):
            require_kept(text)
    (tmp_path / "serve.json").write_text(first)
    require_kept_below(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log").write_text(f"said {second}\n")
    with pytest.raises(AssertionError, match="a key is in deep/log"):
        require_kept_below(tmp_path)
    secrecy.KNOWN.clear()  # what this test wrote is not to fail it


def test_no_key_is_in_what_an_engine_keeps(tmp_path: Path) -> None:
    keys = {f"RECQ_{name}": secrets.token_hex(16) for name in ("SERVE_KEY", "SERVE_READ_KEY", "TOKEN", "READ_TOKEN")}
    place = Place(tmp_path / "shop", tmp_path / "data", settings=keys)
    put(place.root / "a.jpg", 1)
    (place.root / "broken.jpg").write_bytes(b"no picture")
    assert place.once().returncode == 3
    with place.daemon() as running:
        running.ready()
        put(place.root / "b.jpg", 2)
        running.said("indexed", path="b.jpg")
    assert place.command("status").returncode == 0
    assert len(secrecy.KNOWN) == len(keys)
    require_kept_below(tmp_path, engines=True)


@pytest.mark.parametrize("app", [query_app, ingest_app])
def test_no_option_takes_a_key(app: typer.Typer) -> None:
    """Whoever else uses the machine sees command lines."""
    options = [option for _, each in leaves(get_command(app)) for one in each.params for option in one.opts]
    assert len(options) > 50
    assert [each for each in options if re.search(r"key|token|password|secret", each)] == []


def test_the_threat_model_names_tests_that_there_are() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8").split("## Threats, surface by surface")[1]
    surfaces = ("files", "metadata", "loopback", "API", "page", "server", "models", "supply chain")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`tests/" in line]
    assert {row.split(" | ")[0].removeprefix("| ") for row in rows} == set(surfaces)
    named = re.findall(r"`(tests/[\w/.]+)`", text)
    assert len(named) >= len(rows)
    assert [each for each in named if not (ROOT / each).exists()] == []

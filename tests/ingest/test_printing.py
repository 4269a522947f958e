"""`recq-ingest` prints names of any characters, and of bytes that are none, whatever the locale."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from ingest.cli import main
from recq.errors import Reason
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item, ItemError
from recq.settings import Settings
from tests.ingest.running import COMMAND, environment
from tests.recq.index.conftest import SPACE

NAMES = ["沙发/红色.jpg", "café.jpg", "🛋.jpg"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of failed items, in whose source a table is wrong as well."""
    folder = tmp_path_factory.mktemp("data")
    with own_folder(Settings(data_dir=folder)) as owned:
        catalog = Catalog.create(owned.client, "images", SPACE)
        catalog.sources.register(folder, "商店")
        error = ItemError(Reason.CORRUPT, "broken data stream: 坏", "2026-11-21T10:00:00Z", 2)
        catalog.writes.upsert([ItemVector(Item(FileFacts("商店", name, 1, 1), {}, error), None) for name in NAMES])
    return folder


def printed(encoding: str, *command: str) -> str:
    """What a command prints, where the locale has that encoding."""
    env = environment(LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING=encoding)
    done = subprocess.run([*COMMAND, *command], env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_standard_output_is_utf_8_in_any_locale(data: Path, encoding: str) -> None:
    found = json.loads(printed(encoding, "failed", "--json", "--data-dir", str(data)))
    assert {each["path"] for each in found} == set(NAMES)
    table = printed(encoding, "failed", "--data-dir", str(data))
    assert all(f"商店/{name}: corrupt: broken data stream: 坏" in table for name in NAMES)


def test_a_name_that_is_no_text_is_printed_as_its_bytes(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for name in ("begun", "leaving"):  # they are for a process of its own
        monkeypatch.setattr(main, name, lambda: None)
    with open(1, "w", encoding="ascii", closefd=False) as out:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(main, "run_shell", lambda *_: typer.echo("caf\udce9 沙发"))
        monkeypatch.setattr(sys, "argv", ["recq-ingest", "failed"])
        with pytest.raises(SystemExit):
            main.main()
    assert capfdbinary.readouterr().out == b"caf\xe9 " + "沙发\n".encode()

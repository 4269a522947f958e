"""Exports, backups and collections on a server that an older recq made: brought up to date, they answer as before."""

from __future__ import annotations

import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import make_schema_fixture as fixture
import pytest
from qdrant_client import QdrantClient, models

from query.cli.main import app
from query.cli.shell import PROG
from recq.cli_errors import run
from recq.index.catalog import Catalog
from recq.index.connect import connect, server_client
from recq.index.schema import SCHEMA_VERSION, VECTOR
from recq.settings import Settings
from tests import forked
from tests.ingest.running import STARTS_WITHIN, Place, environment
from tests.qdrant_server import QdrantServer

FIRST_BACKUP = 6
"""The schema of the first recq that made backups."""

EXPORTS = range(2, SCHEMA_VERSION + 1)
BACKUPS = range(FIRST_BACKUP, SCHEMA_VERSION + 1)
COLLECTIONS = range(2, SCHEMA_VERSION)


def numbers(pattern: str) -> list[int]:
    return sorted(int(path.name.split(".")[0].rpartition("-")[2]) for path in fixture.FIXTURES.glob(pattern))


def test_every_schema_from_2_on_has_its_fixtures() -> None:
    """`tools/make_schema_fixture.py --moved` makes those of a new one."""
    assert numbers("export-*.jsonl.xz") == list(EXPORTS)
    assert numbers("backup-*.tar.xz") == list(BACKUPS)


def ends(schema: int, of: range, *more: object) -> Any:
    """A parameter: the oldest and the newest schema always, those between them in the full run."""
    return pytest.param(schema, *more, marks=() if schema in (of[0], of[-1]) else pytest.mark.long)


def expected(schema: int) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = json.loads((fixture.FIXTURES / f"schema-{schema}.json").read_text("utf-8"))
    return answers


def answers(place: Place, schema: int) -> list[dict[str, Any]]:
    """To the questions that the fixture was asked."""
    return fixture.answers(lambda arguments: asked(place, arguments), [each["question"] for each in expected(schema)])


def asked(place: Place, arguments: Sequence[str]) -> str:
    """`recq` in this process: ten questions of each fixture would be ten starts."""
    written = io.BytesIO()
    with (
        mock.patch.dict(os.environ, environment(), clear=True),
        redirect_stdout(io.TextIOWrapper(written, "utf-8")) as out,
    ):
        assert run(app, PROG, [*arguments, *place.reached]) == 0
        out.flush()
        return written.getvalue().decode()


def recq(place: Place, program: str, *arguments: str) -> str:
    done = forked.run(program, [*arguments, *place.reached], environment(), STARTS_WITHIN)
    assert done.returncode == 0, done.stderr
    return done.stdout


def unpacked(name: str, folder: Path) -> Path:
    with tarfile.open(fixture.FIXTURES / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("schema", [ends(schema, EXPORTS) for schema in EXPORTS])
def test_an_export_of_every_schema_is_imported_and_answers_as_its_index_did(schema: int, tmp_path: Path) -> None:
    place, file = Place(tmp_path / "photos", tmp_path / "data"), tmp_path / "export.jsonl"
    file.write_bytes(lzma.decompress((fixture.FIXTURES / f"export-{schema}.jsonl.xz").read_bytes()))
    recq(place, "query.cli", "import", str(file))
    assert answers(place, schema) == expected(schema)
    with place.catalog() as catalog:
        assert catalog.upgrade() is None
        assert catalog.changes.known


@pytest.mark.long  # of the newest schema tests/whole/test_backup.py does the same beside a daemon
@pytest.mark.parametrize("schema", BACKUPS)
def test_a_backup_of_every_schema_is_restored_and_goes_on(schema: int, tmp_path: Path) -> None:
    place = Place(tmp_path / "photos", tmp_path / "data")
    folder = unpacked(f"backup-{schema}", tmp_path) / "backup"
    recq(place, "ingest.cli", "restore", str(folder))
    assert answers(place, schema) == expected(schema)
    written = json.loads(recq(place, "ingest.cli", "backup", str(folder), "--json"))
    assert (written["written"], written["items"], written["failed"]) == (0, 10, 1)
    assert '"equal": true' in recq(place, "ingest.cli", "check", "--backup", str(folder), "--json")


# -- collections on a server -----------------------------------------------------------------------------------------


def replay(folder: Path, remote: QdrantClient) -> None:
    """The collection of a data folder on a server, point for point, with its metadata, indexes and alias."""
    with connect(Settings(data_dir=folder)) as client:
        (alias,) = client.get_aliases().aliases
        name = alias.collection_name
        info = client.get_collection(name)
        points, _ = client.scroll(name, limit=1000, with_payload=True, with_vectors=True)
    assert isinstance(info.config.params.vectors, dict)
    remote.create_collection(
        name,
        vectors_config={VECTOR: info.config.params.vectors[VECTOR]},
        metadata=info.config.metadata,
    )
    for key, index in info.payload_schema.items():
        remote.create_payload_index(name, key, field_schema=index.params or index.data_type, wait=True)
    remote.upsert(
        name,
        [models.PointStruct(id=each.id, vector=each.vector or {}, payload=each.payload) for each in points],
        wait=True,
    )
    made = models.CreateAlias(collection_name=name, alias_name=alias.alias_name)
    remote.update_collection_aliases([models.CreateAliasOperation(create_alias=made)])


@contextmanager
def on_server(schema: int, folder: Path, url: str) -> Iterator[Place]:
    """The fixture of a schema, on a server that is left as it was."""
    fixture.lay(folder / "photos", schema)
    remote = server_client(Settings(url=url))
    before = {each.name for each in remote.get_collections().collections}
    replay(unpacked(f"schema-{schema}", folder) / "data", remote)
    try:
        yield Place(folder / "photos", folder / "elsewhere", ("--url", url))
    finally:
        for each in remote.get_collections().collections:
            if each.name not in before:
                remote.delete_collection(each.name)
        remote.close()


def by_upgrade(place: Place, schema: int) -> None:
    with place.catalog() as catalog:
        assert catalog.upgrade() == schema
        assert catalog.upgrade() is None


def by_daemon(place: Place, schema: int) -> None:
    done = place.command("run", "--once", "--source", f"{fixture.SOURCE}={place.root}", "--log-format", "json")
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [each["schema"] for each in events if each["event"] == "upgraded"] == [schema]
    assert not [each for each in events if each["event"] == "indexed"], done.stderr


@pytest.mark.server
@pytest.mark.parametrize(
    ("schema", "upgrade"),
    [ends(each, COLLECTIONS, by_daemon if each == COLLECTIONS[-1] else by_upgrade) for each in COLLECTIONS],
)
def test_a_collection_on_a_server_answers_as_before_once_it_is_upgraded(
    schema: int, upgrade: Callable[[Place, int], None], tmp_path: Path, qdrant_server: QdrantServer
) -> None:
    with on_server(schema, tmp_path, qdrant_server.url) as place:
        upgrade(place, schema)
        assert answers(place, schema) == expected(schema)
        with place.catalog() as catalog:
            assert isinstance(catalog, Catalog)
            found = catalog.changes.since(catalog.changes.start())
            assert len(found.changes) == len(list(catalog.ledger.scan(fixture.SOURCE)))
            assert catalog.items.count(["title~strasse cafe"]) == 1


@pytest.mark.server
@pytest.mark.long
def test_a_server_of_the_last_schema_is_read_and_backed_up_as_it_is(
    tmp_path: Path, qdrant_server: QdrantServer
) -> None:
    """As before the daemon that upgrades it: there is no log of changes yet."""
    schema, back = COLLECTIONS[-1], Place(tmp_path / "other", tmp_path / "back")
    with on_server(schema, tmp_path, qdrant_server.url) as place:
        assert answers(place, schema) == expected(schema)
        recq(place, "ingest.cli", "backup", str(tmp_path / "backup"))
    recq(back, "ingest.cli", "restore", str(tmp_path / "backup"))
    assert answers(back, schema) == expected(schema)

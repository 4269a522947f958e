"""An older program on what a newer recq made refuses in one line, whatever it is, and changes nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from recq.index.connect import connect
from recq.index.schema import METADATA_KEY, SCHEMA_VERSION
from recq.settings import Settings
from recq.transfer.backup_manifest import _digest
from tests import forked
from tests.ingest.pictures import put
from tests.ingest.running import STARTS_WITHIN, Place, environment
from tests.qdrant_server import QdrantServer

NEWER = SCHEMA_VERSION + 1

COMMANDS = {
    "run": ["ingest.cli", "run", "PHOTOS"],
    "run --once": ["ingest.cli", "run", "PHOTOS", "--once"],
    "status": ["ingest.cli", "status"],
    "failed": ["ingest.cli", "failed"],
    "problems": ["ingest.cli", "problems"],
    "retry": ["ingest.cli", "retry"],
    "reconcile": ["ingest.cli", "reconcile"],
    "reconcile --dry-run": ["ingest.cli", "reconcile", "--dry-run"],
    "rebuild": ["ingest.cli", "rebuild", "--model", "pixels:4"],
    "forget": ["ingest.cli", "forget", "photos"],
    "backup": ["ingest.cli", "backup", "NEW"],
    "restore": ["ingest.cli", "restore", "BACKUP"],
    "check": ["ingest.cli", "check"],
    "check --backup": ["ingest.cli", "check", "--backup", "BACKUP"],
    "similar": ["query.cli", "similar", "a.jpg"],
    "search": ["query.cli", "search"],
    "facets": ["query.cli", "facets", "category"],
    "export": ["query.cli", "export", "NEW"],
    "import": ["query.cli", "import", "EXPORT"],
    "serve": ["query.cli", "serve", "--port", "0"],
}
ALIKE = {"failed", "problems", "retry", "reconcile --dry-run", "check --backup", "search", "facets", "forget"}
"""These open the catalog in the same call as others."""

REFUSED = f"was made by a newer recq (schema {NEWER}): update recq"


def called(place: Place, given: list[str]) -> tuple[int, str]:
    """Exit code and standard error of a command, the words in capitals replaced by what there is."""
    folder = place.data.parent
    names = {"PHOTOS": "photos", "BACKUP": "backup", "EXPORT": "export.jsonl", "NEW": "new"}
    program, *arguments = (str(folder / names[each]) if each in names else each for each in given)
    done = forked.run(program, [*arguments, *place.reached], environment(), STARTS_WITHIN)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, their index, an export and a backup of it, all of today."""
    folder = tmp_path_factory.mktemp("newer")
    place = Place(folder / "photos", folder / "data")
    put(place.root / "a.jpg", 1)
    assert place.once().returncode == 0
    assert called(place, ["query.cli", "export", "EXPORT"])[0] == 0
    assert called(place, ["ingest.cli", "backup", "BACKUP"])[0] == 0
    return folder


def raise_schema(settings: Settings) -> None:
    with connect(settings) as client:
        (alias,) = client.get_aliases().aliases
        own = (client.get_collection(alias.collection_name).config.metadata or {})[METADATA_KEY]
        client.update_collection(alias.collection_name, metadata={METADATA_KEY: {**own, "schema": NEWER}})


def digest_of(folder: Path) -> str:
    """Of all names and bytes of an embedded index, but for what locks and journals leave."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("edge/*.json")):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def newer(made: Path) -> Place:
    """The index as a newer recq would have left it."""
    shutil.copytree(made / "data", made / "newer")
    place = Place(made / "photos", made / "newer")
    raise_schema(Settings(data_dir=place.data))
    return place


def require_refused(place: Place, command: str, said: str, code: int) -> None:
    returned, stderr = called(place, COMMANDS[command])
    lines = [line for line in stderr.splitlines() if not line.startswith(("timestamp=", "{"))]
    assert (returned, len(lines)) == (code, 1), stderr
    assert lines[0].startswith(("recq: ", "recq-ingest: "))
    assert said in lines[0]
    assert not (place.data.parent / "new").exists()


@pytest.mark.parametrize(
    "command", [pytest.param(each, marks=[pytest.mark.long] if each in ALIKE else []) for each in COMMANDS]
)
def test_every_command_refuses_a_newer_index_in_one_line(newer: Place, command: str) -> None:
    before = digest_of(newer.data)
    require_refused(newer, command, REFUSED, 4)
    assert digest_of(newer.data) == before


@pytest.mark.server
def test_a_newer_collection_on_a_server_is_refused_and_stays(made: Path, own_server: QdrantServer) -> None:
    place = Place(made / "photos", made / "elsewhere", ("--url", own_server.url))
    assert called(place, ["query.cli", "import", "EXPORT"])[0] == 0
    settings = Settings(url=own_server.url)
    raise_schema(settings)
    with connect(settings) as client:
        (collection,) = client.get_collections().collections
        before = client.get_collection(collection.name).config.metadata
    for command in ("run --once", "backup", "restore", "similar", "import"):
        require_refused(place, command, REFUSED, 4)
    with connect(settings) as client:
        assert client.get_collection(collection.name).config.metadata == before
        assert client.count(collection.name).count == 1


def newer_export(made: Path) -> None:
    head, *lines = (made / "export.jsonl").read_text().splitlines()
    document = json.loads(head)
    document["recq"]["schema"] = NEWER
    (made / "export.jsonl").write_text("\n".join([json.dumps(document), *lines]) + "\n")


def newer_backup(made: Path, *, layout: int | None = None) -> None:
    path = made / "backup" / "backup.json"
    document: dict[str, Any] = json.loads(path.read_text())
    del document["sha256"]
    if layout is not None:
        document["recq_backup"] = layout
    else:
        document["head"]["schema"] = NEWER
    path.write_text(json.dumps({**document, "sha256": _digest(document)}))


def test_a_newer_export_and_backup_are_refused_and_stay(made: Path, tmp_path: Path) -> None:
    for name in ("export.jsonl", "backup", "photos", "data"):
        copy = shutil.copytree if (made / name).is_dir() else shutil.copyfile
        copy(made / name, tmp_path / name)
    newer_export(tmp_path)
    place = Place(tmp_path / "photos", tmp_path / "data")
    require_refused(place, "import", "was written by a newer recq: update recq", 2)
    for layout in (None, 2):
        newer_backup(tmp_path, layout=layout)
        before = (tmp_path / "backup" / "backup.json").read_bytes()
        for command in ("restore", "check --backup"):
            require_refused(place, command, "was written by a newer recq: update recq", 2)
        code, stderr = called(place, ["ingest.cli", "backup", "BACKUP"])
        assert (code, stderr.count("\n")) == (2, 1)
        assert "was written by a newer recq: update recq" in stderr
        assert (tmp_path / "backup" / "backup.json").read_bytes() == before

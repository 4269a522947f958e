"""A data folder that an older recq made: the next daemon upgrades it, embeds nothing, and answers are equal."""

from __future__ import annotations

import json
import re
import tarfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import make_schema_fixture as fixture
import pytest

from ingest.index.retrying import Retrier
from ingest.index.retrying_index import RetryingIndex
from ingest.reconcile.compare import Action, Reconciliation
from ingest.source.watched_source import WatchedSource
from recq.errors import IndexPending
from recq.index.catalog import Catalog
from recq.index.schema import SCHEMA_VERSION
from tests import forked
from tests.ingest.running import STARTS_WITHIN, Place, environment

SCHEMAS = sorted(path.name.removesuffix(".tar.xz") for path in fixture.FIXTURES.glob("schema-*.tar.xz"))


def test_every_schema_before_this_one_from_2_on_has_its_fixture() -> None:
    assert [f"schema-{version}" for version in range(2, SCHEMA_VERSION)] == SCHEMAS


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The folder and the data folder of a fixture."""
    with tarfile.open(fixture.FIXTURES / f"{request.param}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    fixture.lay(tmp_path / "photos", int(request.param.removeprefix("schema-")))
    return Place(tmp_path / "photos", tmp_path / "data")


def answers(data: Path, schema: str) -> list[dict[str, object]]:
    """To the questions that the fixture was asked."""
    questions: list[list[str]] = [each["question"] for each in expected(schema)]
    return fixture.answers(lambda arguments: asked(arguments, data), questions)


def asked(arguments: Sequence[str], data: Path) -> str:
    done = forked.run("query.cli", [*arguments, "--data-dir", str(data)], environment(), STARTS_WITHIN)
    assert done.returncode == 0, done.stderr
    return done.stdout


def expected(schema: str) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = json.loads((fixture.FIXTURES / f"{schema}.json").read_text(encoding="utf-8"))
    return answers


@pytest.mark.parametrize(("place", "schema"), [(SCHEMAS[-1], SCHEMAS[-1])], indirect=["place"])
def test_the_index_of_the_last_schema_is_upgraded_by_a_daemon_and_answers_as_before(place: Place, schema: str) -> None:
    assert answers(place.data, schema) == expected(schema)  # read as it is
    run = ["run", "--once", "--source", f"{fixture.SOURCE}={place.root}", "--log-format", "json"]
    done = place.command(*run)
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [event["schema"] for event in events if event["event"] == "upgraded"] == [int(schema[-1])]
    assert not [event for event in events if event["event"] == "indexed"], done.stderr
    assert done.returncode == 3  # the broken picture
    assert answers(place.data, schema) == expected(schema)
    assert_all_is_found(place.data, schema)
    again = place.command(*run)
    assert '"upgraded"' not in again.stderr
    assert '"event": "metadata"' not in again.stderr


@pytest.mark.parametrize(
    ("place", "schema"),
    [pytest.param(name, name, marks=pytest.mark.long if name != SCHEMAS[0] else (), id=name) for name in SCHEMAS[:-1]],
    indirect=["place"],
)
def test_an_index_of_an_older_schema_answers_as_before_once_it_is_upgraded(place: Place, schema: str) -> None:
    """The same upgrade, in this process: what a daemon does besides is that of the test above."""
    if schema == "schema-3":
        assert_folders_cannot_be_asked(place.data)
    found = [[], [], []] if schema == "schema-2" else list(NEW.values())
    assert [search(place.data, words) for words in NEW] == found
    with place.catalog() as catalog, pytest.raises(IndexPending, match="the next 'recq-ingest run"):
        catalog.changes.start()
    with place.catalog() as catalog:
        assert catalog.upgrade() == int(schema[-1])
        assert_all_are_changes(catalog)
        watched = WatchedSource(
            fixture.SOURCE, place.root, table_path=None, types=catalog.fields.types, say=lambda *_: None
        )
        watched.load_tables()
        retrier = Retrier(threading.Event(), give_up_after=1, waiting=lambda _: None, recovered=lambda: None)
        differences = [*Reconciliation(watched, RetryingIndex(catalog, retrier), first=False).differences()]
    if schema != "schema-2":  # whose pictures are decoded once more, and keep the vectors of their bytes
        assert {each.path for each in differences if each.action is Action.EMBED} <= {fixture.BROKEN}
    assert differences  # their ctimes are others: bytes are compared
    assert answers(place.data, schema) == expected(schema)
    assert_all_is_found(place.data, schema)


def assert_all_is_found(data: Path, schema: str) -> None:
    """What no older index found, too."""
    assert [search(data, words) for words in NEW] == list(NEW.values())
    assert search(data, "file.name~leather sofa") == ["sofa_leather.jpg"]
    paths = [Path(path) for path in fixture.pictures(int(schema[-1]))]
    for folder in ("scans", "scans/2024"):
        below = sorted(path.name for path in paths if Path(folder) in path.parents)
        assert sorted(search(data, f"file.folders={folder}")) == below


def assert_all_are_changes(catalog: Catalog) -> None:
    """The first changes are the items that there were."""
    found = catalog.changes.since(catalog.changes.start())
    items = list(catalog.ledger.scan(fixture.SOURCE))
    assert len(items) > 5
    assert {(each.id, each.kind.value) for each in found.changes} == {
        (item.id, "indexed" if item.error is None else "failed") for item in items
    }
    assert all(each.at.startswith("2") for each in found.changes)


def assert_folders_cannot_be_asked(data: Path) -> None:
    for command in (["search", "--filter", "no:file.folders"], ["facets", "file.folders"]):
        done = forked.run("query.cli", [*command, "--data-dir", str(data)], environment(), STARTS_WITHIN)
        assert done.returncode == 2, command
        assert "field 'file.folders' is not indexed yet, since an older recq made this index" in done.stderr
        assert re.search("the next 'recq-ingest run [^']*' brings it up to date", done.stderr)
    fields = {each["name"]: each for each in json.loads(asked(["fields", "--format", "json"], data))}
    assert fields["file.folders"]["problem"].startswith("field 'file.folders' is not indexed yet")


NEW = {"title~strasse cafe": ["tent.jpg"], "title~CAFE": ["tent.jpg"], "title~fur": ["tent.jpg"]}
"""What an index of schema 2 did not find, and finds as soon as it is upgraded."""


def search(data: Path, filter_: str) -> list[str]:
    results = json.loads(asked(["search", "--filter", filter_, "--format", "json"], data))["results"]
    return [Path(row["path"]).name for row in results]


@pytest.mark.parametrize("place", ["schema-2"], indirect=True)
def test_values_that_no_file_gives_anew_are_rewritten_by_the_upgrade(place: Place) -> None:
    """A sidecar whose size and time are what they were is not read again: the payload itself is put right."""
    with place.catalog() as catalog:
        (tent,) = catalog.lookups.find_name("tent.jpg")
        values = {"released": "2024-01-31 12:00", "brand": "Cafe\u0301"}
        catalog._client.set_payload(catalog._collection, payload=values, points=[tent.id], wait=True)
        assert catalog.upgrade() == 2
    assert search(place.data, "released=2024-01-31T12:00Z") == search(place.data, "brand=Caf\u00e9") == ["tent.jpg"]
    assert place.items()["tent.jpg"].metadata["released"] == "2024-01-31T12:00:00Z"
    assert search(place.data, "brand~cafe") == ["tent.jpg"]


@pytest.mark.parametrize("place", ["schema-2"], indirect=True)
def test_what_an_old_index_cannot_answer_is_said(place: Place) -> None:
    done = forked.run(
        "query.cli",
        ["search", "--filter", "file.name~orchid", "--data-dir", str(place.data)],
        environment(),
        STARTS_WITHIN,
    )
    assert done.returncode == 2
    assert re.search("the next 'recq-ingest run [^']*' brings it up to date", done.stderr)

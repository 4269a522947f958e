"""A data folder that an older recq made: the next daemon upgrades it, embeds nothing, and answers are equal."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import make_schema_fixture as fixture
import pytest

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
    fixture.lay(tmp_path / "photos")
    return Place(tmp_path / "photos", tmp_path / "data")


def answers(data: Path) -> list[dict[str, object]]:
    return fixture.answers(lambda arguments: asked(arguments, data))


def asked(arguments: Sequence[str], data: Path) -> str:
    done = forked.run("query.cli", [*arguments, "--data-dir", str(data)], environment(), STARTS_WITHIN)
    assert done.returncode == 0, done.stderr
    return done.stdout


def expected(schema: str) -> list[dict[str, object]]:
    answers: list[dict[str, object]] = json.loads((fixture.FIXTURES / f"{schema}.json").read_text(encoding="utf-8"))
    return answers


@pytest.mark.parametrize(("place", "schema"), [(name, name) for name in SCHEMAS], indirect=["place"])
def test_an_index_of_an_older_schema_is_upgraded_and_answers_as_before(place: Place, schema: str) -> None:
    assert answers(place.data) == expected(schema)  # read as it is
    run = ["run", "--once", "--source", f"{fixture.SOURCE}={place.root}", "--log-format", "json"]
    done = place.command(*run)
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [event["schema"] for event in events if event["event"] == "upgraded"] == [int(schema[-1])]
    assert not [event for event in events if event["event"] == "indexed"], done.stderr
    assert done.returncode == 3  # the broken picture
    assert answers(place.data) == expected(schema)
    again = place.command(*run)
    assert '"upgraded"' not in again.stderr
    assert '"event": "metadata"' not in again.stderr

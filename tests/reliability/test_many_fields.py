"""A table of hundreds of columns: pictures come first, their fields' indexes after them, and nothing of it is lost."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from recq.errors import IndexPending
from recq.index.schema import payload_key, shadow_key
from tests import forked
from tests.ingest.pictures import put
from tests.ingest.running import STARTS_WITHIN, Place, environment
from tests.qdrant_server import QdrantServer
from tests.reliability.conftest import PATIENT, Figures

pytestmark = pytest.mark.timeout(PATIENT)

PICTURES = 21
COLUMNS, SHORT = 300, 26  # more than are made at once
READY = 10.0
"""Seconds for a picture on a machine with much else to do; 2 in the full form, or a tenth of what all indexes take."""


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.server)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "embedded":
        yield Place(tmp_path / "shop", tmp_path / "data")
        return
    with QdrantServer(tmp_path / "server") as server:
        yield Place(tmp_path / "shop", tmp_path / "data", ("--url", server.url))


def names(full: bool) -> list[str]:
    return [f"c{number:03d}" for number in range(COLUMNS if full else SHORT)]


def fill(place: Place, columns: list[str]) -> None:
    """Pictures, and a table with a text in every cell; the last row is of one that comes later."""
    for number in range(PICTURES):
        put(place.root / f"{number}.jpg", number)
    with (place.root / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", *columns])
        for name in (*map(str, range(PICTURES)), "late"):
            table.writerow([f"{name}.jpg", *(f"Green {column} of {name}" for column in columns)])


def at(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def require_all_made(place: Place, columns: list[str], pictures: int) -> None:
    """Every index is there, nothing is recorded as missing any more, and values and words are found."""
    with place.catalog() as catalog:
        info = catalog._client.get_collection(catalog._collection)
        expected = {key for name in columns for key in (payload_key(name), shadow_key(name))}
        assert expected <= set(info.payload_schema)
        assert not [key for key in info.config.metadata or {} if key.startswith(("field:", "index_seconds"))]
        last = columns[-1]
        assert catalog.items.count([f"{last}=Green {last} of 7", f"{last}~green"]) == 1
        assert catalog.items.count([f"{last}~green"]) == pictures
        assert catalog.values.facets(last).total == pictures


def test_pictures_come_before_the_indexes_of_many_columns(place: Place, full: bool, figures: Figures) -> None:
    columns = names(full)
    fill(place, columns)
    with place.daemon() as daemon:
        began = at(daemon.said("started", within=STARTS_WITHIN))
        first = at(daemon.said("indexed", within=STARTS_WITHIN)) - began
        put(place.root / "late.jpg", 99)
        late = daemon.said("indexed", path="late.jpg", within=STARTS_WITHIN)["ms"] / 1000
        assert place.status()["running"]  # it answers while it makes them
        done = daemon.said("indexes", waiting=0, within=PATIENT)
        assert done["made"] == 2 * len(columns)
        assert max(first, late) < max(2.0 if full else READY, done["seconds"] / 10)
        assert place.status()["indexes_waiting"] == 0
        figures(
            "many fields", engine=place.status()["engine"].partition(":")[0], columns=len(columns),
            first_picture=round(first, 2), late_drop=late, indexes=done["made"], seconds=done["seconds"],
        )  # fmt: skip
        require_all_made(place, columns, PICTURES + 1)


@pytest.mark.long
def test_indexes_that_a_killed_daemon_left_are_made_by_the_next_pass(place: Place, full: bool) -> None:
    columns = names(full)
    fill(place, columns)
    with place.daemon() as daemon:
        daemon.said("indexes", made=0, within=STARTS_WITHIN)
        daemon.process.kill()
        daemon.process.wait()
    left = place.status()["indexes_waiting"]
    assert left > 0
    text = place.command("status").stdout
    assert f"  {left} indexes of new fields wait: filters on these fields are refused, and 'recq-ingest run " in text
    with place.catalog() as catalog, pytest.raises(IndexPending):
        catalog.items.count([f"{columns[-1]}~green"])
    asked = ["search", "--filter", f"{columns[-1]}~green", *place.reached]
    answer = forked.run("query.cli", asked, environment(**place.settings), STARTS_WITHIN)
    assert (answer.returncode, answer.stdout) == (4, "")
    assert answer.stderr.startswith(f"recq: the index for '{columns[-1]}~' is being made, {left} wait: try again in ")
    assert answer.stderr.count("\n") == 1
    done = place.command("run", str(place.root), "--once", within=PATIENT)
    assert done.returncode == 0, done.stderr
    require_all_made(place, columns, PICTURES)

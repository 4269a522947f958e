"""EXIF as metadata, with the setting `exif`: turned on and off for a catalog that is there, and who wins over it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from recq.index.schema import FieldType
from tests import forked
from tests.eventually import eventually
from tests.ingest.documented import validated
from tests.ingest.pictures import put
from tests.ingest.running import Place, environment
from tests.recq.images.exif_samples import exif, put_photo

COUNT = 25  # more than may lose metadata unasked
WHOLE = {
    "exif.taken": "2024-05-01T10:30:15.250000Z",
    "exif.camera": "Canon EOS R5",
    "exif.lens": "RF24-105mm F4 L IS USM",
    "exif.lat": 48.2084722,
    "exif.lon": -16.3666667,
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1", "RECQ_EXIF": "true"})


def metadata(place: Place) -> dict[str, Any]:
    return {path: dict(item.metadata) for path, item in place.items().items()}


def problems(place: Place) -> list[dict[str, Any]]:
    done = place.command("problems", "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = validated("problems", json.loads(done.stdout))
    return found


def passed(place: Place, *, code: int = 0) -> dict[str, Any]:
    """What a pass came to."""
    done = place.once("--log-format", "json")
    assert done.returncode == code, done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    return dict(next(event for event in events if event["event"] == "stopped"))


def search(place: Place, *filters: str) -> list[str]:
    options = [option for each in filters for option in ("--filter", each)]
    done = forked.run(
        "query.cli", ["search", *options, "--format", "jsonl", "--keep-duplicates", *place.reached], environment(), 60
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["payload"]["file"]["path"] for line in done.stdout.splitlines()]


def test_new_pictures_have_it_at_once_and_are_found_by_it(place: Place) -> None:
    put_photo(place.root / "photos/a.jpg")
    shutil.copyfile(place.root / "photos/a.jpg", place.root / "copy.jpg")
    put(place.root / "plain.jpg", 1)
    (place.root / "broken.jpg").write_bytes((place.root / "photos/a.jpg").read_bytes()[:600])
    passed(place, code=3)
    assert metadata(place) == {
        "photos/a.jpg": {"category": "photos", **WHOLE},
        "copy.jpg": WHOLE,
        "plain.jpg": {},
        "broken.jpg": WHOLE,  # it has headers, if no picture
    }
    assert search(place, "exif.camera=Canon EOS R5", "exif.lat>48", "exif.taken=2024-05-01", "exif.lens~rf24") == [
        "copy.jpg",
        "photos/a.jpg",
    ]
    assert search(place, "no:exif.taken") == ["plain.jpg"]


@pytest.mark.long
def test_it_is_turned_on_for_a_catalog_without_decoding_and_off_only_when_that_was_meant(place: Place) -> None:
    for number in range(COUNT):
        put_photo(place.root / f"{number}.jpg")
    off = {**place.settings, "RECQ_EXIF": "false"}
    place.settings, on = off, place.settings
    assert passed(place)["metadata"] == 0
    before = place.vectors()
    place.settings = on | {"RECQ_MAX_PIXELS": "1"}  # every picture that is decoded fails
    counts = passed(place)
    assert (counts["metadata"], counts["indexed"] + counts["reused"], counts["failed"]) == (COUNT, 0, 0)
    assert metadata(place) == {f"{number}.jpg": WHOLE for number in range(COUNT)}
    assert all((place.vectors()[path] == vector).all() for path, vector in before.items())
    assert passed(place)["metadata"] == 0

    place.settings = off
    assert passed(place, code=3)["metadata"] == 0
    assert metadata(place)["0.jpg"] == WHOLE
    (held,) = problems(place)
    assert (held["kind"], held["count"]) == ("held", COUNT)
    assert "since the setting exif is off" in held["detail"]
    assert held["path"] is None  # no table has to do with it
    assert place.command("confirm", "shop").returncode == 0
    assert passed(place)["metadata"] == COUNT
    assert metadata(place) == {f"{number}.jpg": {} for number in range(COUNT)}
    assert problems(place) == []


def test_a_table_and_a_sidecar_win_and_a_column_of_the_same_name_is_told(place: Place) -> None:
    put_photo(place.root / "a.jpg")
    put_photo(place.root / "b.jpg", exif({0x0110: "X100"}, {}, {}))
    (place.root / "metadata.csv").write_text("file,exif.camera,price\na.jpg,Leica M6,5\n")
    (place.root / "b.jpg.json").write_text('{"exif.camera": null, "exif.taken": "1999-12-31T23:00"}')
    passed(place)
    assert metadata(place) == {
        "a.jpg": {**WHOLE, "exif.camera": "Leica M6", "price": 5},
        "b.jpg": {"exif.taken": "1999-12-31T23:00:00Z"},
    }
    (found,) = problems(place)
    assert (found["kind"], found["field"], found["path"]) == ("twice", "exif.camera", "metadata.csv")
    assert found["detail"].endswith("where both have a value, that of metadata.csv holds")


def test_a_running_daemon_takes_the_exif_of_what_changes_and_moves(place: Place) -> None:
    put_photo(place.root / "a.jpg")
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: metadata(place) == {"a.jpg": WHOLE})
        put_photo(place.root / "a.jpg", exif({0x0110: "X100"}, {}, {}))
        eventually(lambda: metadata(place) == {"a.jpg": {"exif.camera": "X100"}})
        (place.root / "new").mkdir()
        (place.root / "a.jpg").rename(place.root / "new/b.jpg")
        eventually(lambda: metadata(place) == {"new/b.jpg": {"category": "new", "exif.camera": "X100"}})


def test_the_type_of_a_field_is_no_matter_of_its_first_value(place: Place) -> None:
    """A camera that is called like a date makes no dates of cameras."""
    put_photo(place.root / "a.jpg", exif({0x0110: "2024-05-01"}, {}, {}))
    passed(place)
    assert search(place, "exif.camera=2024-05-01") == ["a.jpg"]
    with place.catalog() as catalog:
        assert catalog.fields.types()["exif.camera"] is FieldType.STRING

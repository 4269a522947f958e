"""Metadata that goes from many items at once is held like deletions, however it went; few items lose it at once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.eventually import eventually
from tests.ingest.documented import validated
from tests.ingest.pictures import put
from tests.ingest.running import Place

COUNT = 30  # more than may lose metadata unasked


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1"})


def write_table(place: Place, prefix: str = "images/", *, count: int = COUNT, header: str = "file,title,price") -> None:
    rows = [f"{prefix}{number}.jpg,Title {number},{number}" for number in range(count)]
    (place.root / "metadata.csv").write_text("\n".join([header, *rows]) + "\n")


def fill(place: Place) -> None:
    for number in range(COUNT):
        put(place.root / f"images/{number}.jpg", number)
    write_table(place)


def metadata(place: Place) -> dict[str, Any]:
    return {path: dict(item.metadata) for path, item in place.items().items()}


def expected(numbers: range = range(COUNT)) -> dict[str, Any]:
    return {
        f"images/{number}.jpg": {"category": "images", "title": f"Title {number}", "price": number}
        for number in numbers
    }


def problems(place: Place, *arguments: str) -> list[dict[str, Any]]:
    done = place.command("problems", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = validated("problems", json.loads(done.stdout))
    return found


def source(place: Place) -> dict[str, Any]:
    (found,) = place.status()["sources"]
    return dict(found)


def test_a_table_whose_rows_match_no_file_takes_nothing_away_until_that_is_confirmed(engine_place: Place) -> None:
    place = engine_place
    fill(place)
    assert place.once().returncode == 0
    assert metadata(place) == expected()
    write_table(place, "")
    put(place.root / "new.jpg", 98)
    put(place.root / "images/0.jpg", 99)  # embedded again
    with (place.root / "metadata.csv").open("a") as table:
        table.write("new.jpg,New,5\n")
    for _ in range(2):  # a restart knows what the items had
        done = place.once()
        assert done.returncode == 3
        (held,) = [line for line in done.stderr.splitlines() if "event=held" in line]
        assert f"items={COUNT}" in held
        assert "did you mean images/0.jpg?" in held
        assert "recq-ingest confirm shop" in held
        assert metadata(place) == {**expected(), "new.jpg": {"title": "New", "price": 5}}
    assert (source(place)["held"], source(place)["held_metadata"]) == (0, COUNT)
    assert source(place)["problem_counts"] == {"held": COUNT, "row": COUNT}
    assert "30 items keep metadata" in place.command("status").stdout
    listed = problems(place)
    assert [each["kind"] for each in listed] == ["held", *["row"] * COUNT]
    assert [each["line"] for each in listed[1:]] == [*range(2, COUNT + 2)]
    assert "'7.jpg' names no file: did you mean images/7.jpg?" in listed[8]["detail"]
    assert "hold  shop: images/3.jpg" in place.command("reconcile", "--dry-run").stdout
    confirmed = place.command("confirm", "--json")
    assert validated("asked", json.loads(confirmed.stdout)) == {
        "items": {"shop": COUNT}, "pid": None, "metadata": {"shop": COUNT},
    }  # fmt: skip
    done = place.once()
    assert done.returncode == 0, done.stderr
    bare = {path: {"category": "images"} for path in expected()}
    assert metadata(place) == {**bare, "new.jpg": {"title": "New", "price": 5}}
    assert place.command("confirm").stderr == "nothing is held\n"
    write_table(place)
    assert place.once().returncode == 0
    assert {each: metadata(place)[each] for each in expected()} == expected()
    assert problems(place) == []


def vanish(table: Path) -> None:
    table.unlink()


def empty(table: Path) -> None:
    table.write_bytes(b"")


def keep_header(table: Path) -> None:
    table.write_text("file,title,price\n")


def empty_cells(table: Path) -> None:
    table.write_text("file,title,price\n" + "".join(f"images/{number}.jpg,,\n" for number in range(COUNT)))


def drop_column(table: Path) -> None:
    table.write_text("file,price\n" + "".join(f"images/{number}.jpg,{number}\n" for number in range(COUNT)))


def make_unreadable(table: Path) -> None:
    table.write_bytes(b"\x00\xff\x13" * 50)


def rename_file_column(table: Path) -> None:
    table.write_text(table.read_text().replace("file", "name", 1))


def make_folder(table: Path) -> None:
    table.unlink()
    table.mkdir()


@pytest.mark.parametrize(
    "spoil",
    [vanish, empty, keep_header, empty_cells, drop_column, make_unreadable, rename_file_column, make_folder],
    ids=lambda spoil: spoil.__name__,
)
def test_however_a_table_stops_saying_what_it_said_the_old_values_stay(
    place: Place, spoil: Callable[[Path], None]
) -> None:
    fill(place)
    assert place.once().returncode == 0
    spoil(place.root / "metadata.csv")
    done = place.once()
    assert done.returncode == 3
    assert "event=held" in done.stderr
    assert metadata(place) == expected()
    with place.daemon() as daemon:  # it starts
        daemon.ready()
        assert daemon.said("held")["items"] == COUNT
        assert metadata(place) == expected()
        shutil.rmtree(place.root / "metadata.csv", ignore_errors=True)
        write_table(place)
        eventually(lambda: source(place)["problem_counts"] == {}, every=0.2)
        assert source(place)["held_metadata"] == 0
    assert metadata(place) == expected()


def test_an_unreadable_table_takes_nothing_away_from_few_items_either(place: Place) -> None:
    """What it says is not known: that is not the same as nothing."""
    put(place.root / "a.jpg", 1)
    table = place.root / "metadata.csv"
    table.write_text("file,price\na.jpg,1\n")
    assert place.once().returncode == 0
    table.write_text("name,price\na.jpg,1\n")
    assert place.once().returncode == 3
    assert metadata(place) == {"a.jpg": {"price": 1}}
    assert {each["kind"] for each in problems(place)} == {"table", "held"}
    (held,) = (each for each in problems(place) if each["kind"] == "held")
    assert held["detail"].endswith(f"If that was meant, run 'recq-ingest confirm shop --data-dir {place.data}'")
    assert place.command("confirm", "shop").returncode == 0
    assert place.once().returncode == 3  # it is unreadable all the same
    assert metadata(place) == {"a.jpg": {}}


def test_pictures_are_indexed_without_a_table_that_cannot_be_read(place: Place) -> None:
    put(place.root / "a.jpg", 1)
    (place.root / "metadata.csv").write_text("name;price\na.jpg;1\n")
    done = place.once()
    assert done.returncode == 3
    assert len(done.stderr.splitlines()[-1].split(": ")) > 1
    assert metadata(place) == {"a.jpg": {}}
    (problem,) = problems(place)
    assert (problem["kind"], problem["source"], problem["path"]) == ("table", "shop", "metadata.csv")
    assert "metadata.csv:1: no column 'file'" in problem["detail"]
    (place.root / "metadata.csv").write_text("file;price\na.jpg;1\n")
    assert place.once().returncode == 0
    assert metadata(place) == {"a.jpg": {"price": 1}}
    assert problems(place) == []


def test_few_items_lose_what_the_table_takes_away(place: Place) -> None:
    fill(place)
    assert place.once().returncode == 0
    write_table(place, count=15)
    assert place.once().returncode == 0
    assert metadata(place) == {
        path: given if given["price"] < 15 else {"category": "images"} for path, given in expected().items()
    }


def test_while_it_is_held_everything_else_goes_on(place: Place) -> None:
    fill(place)
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: metadata(place) == expected(), within=60)
        write_table(place, "images/", header="file,name,price")  # a column is called differently
        assert daemon.said("held")["items"] == COUNT
        renamed = {path: {**given, "name": given["title"]} for path, given in expected().items()}
        eventually(lambda: metadata(place) == renamed)  # the new one is there, the old one stays
        put(place.root / "images/1.jpg", 71)
        put(place.root / "new.jpg", 72)
        (place.root / "images/2.jpg.json").write_text('{"price": 77}')
        eventually(lambda: "new.jpg" in place.items())
        daemon.said("indexed", path="images/1.jpg", within=30)
        eventually(lambda: metadata(place)["images/2.jpg"]["price"] == 77)
        assert metadata(place)["images/1.jpg"] == renamed["images/1.jpg"]
        assert place.command("confirm", "shop").stdout == (
            f"shop: process {daemon.process.pid} takes from {COUNT} items the metadata that the folder does not give "
            "any more\n"
        )
        eventually(lambda: not any("title" in each for each in metadata(place).values()))
        assert metadata(place)["images/2.jpg"] == {"category": "images", "name": "Title 2", "price": 77}
        eventually(lambda: source(place)["problem_counts"] == {}, every=0.2)


def test_sidecars_that_go_together_are_held_as_well(engine_place: Place) -> None:
    place = engine_place
    for number in range(COUNT):
        put(place.root / f"{number}.jpg", number)
        (place.root / f"{number}.jpg.json").write_text(json.dumps({"price": number}))
    with place.daemon() as daemon:
        daemon.ready()
        before = {f"{number}.jpg": {"price": number} for number in range(COUNT)}
        eventually(lambda: metadata(place) == before, within=60)
        for number in range(25):
            (place.root / f"{number}.jpg.json").unlink()
        held = daemon.said("held")
        assert (held["what"], held["items"]) == ("metadata", 25)
        assert metadata(place) == before
        eventually(lambda: source(place)["problem_counts"] == {"held": 25}, every=0.2)
    assert place.once().returncode == 3
    assert metadata(place) == before
    assert place.command("confirm").returncode == 0
    assert place.once().returncode == 0
    assert metadata(place) == {path: given if given["price"] >= 25 else {} for path, given in before.items()}


def test_files_that_changed_together_with_the_table_keep_what_they_had(place: Place) -> None:
    """A copy without times makes every item be embedded again; none of them loses metadata by that."""
    fill(place)
    assert place.once().returncode == 0
    write_table(place, "")
    for number in range(COUNT):
        os.utime(place.root / f"images/{number}.jpg", ns=(number, number))
    assert place.once().returncode == 3
    assert metadata(place) == expected()
    assert place.once().returncode == 3
    assert metadata(place) == expected()


def test_a_renamed_folder_whose_rows_name_the_old_one_costs_nothing(place: Place) -> None:
    fill(place)
    assert place.once().returncode == 0
    (place.root / "images").rename(place.root / "pictures")
    moved = {
        f"pictures/{number}.jpg": {"category": "pictures", "title": f"Title {number}", "price": number}
        for number in range(COUNT)
    }
    for _ in range(2):
        done = place.once()
        assert done.returncode == 3
        assert "event=held" in done.stderr
        assert metadata(place) == moved
    assert "did you mean pictures/7.jpg?" in problems(place)[8]["detail"]
    write_table(place, "pictures/")
    assert place.once().returncode == 0
    assert metadata(place) == moved
    with place.daemon() as daemon:
        daemon.ready()
        (place.root / "pictures").rename(place.root / "images")
        assert daemon.said("held", within=60)["items"] == COUNT
        eventually(lambda: metadata(place) == expected(), within=60)
        assert place.command("confirm").returncode == 0
        eventually(lambda: metadata(place) == {path: {"category": "images"} for path in expected()}, within=60)


def test_few_files_that_move_get_the_metadata_of_their_new_place(place: Place) -> None:
    fill(place)
    assert place.once().returncode == 0
    (place.root / "images/0.jpg").rename(place.root / "other.jpg")
    assert place.once().returncode == 0
    assert metadata(place)["other.jpg"] == {}


def test_a_rebuild_keeps_what_the_table_does_not_give_any_more(place: Place) -> None:
    fill(place)
    assert place.once().returncode == 0
    write_table(place, "")
    done = place.command("rebuild", "--model", "efficientnet_lite2")
    assert done.returncode == 3, done.stderr
    assert metadata(place) == expected()
    with place.catalog() as catalog:
        assert catalog.space.model == "efficientnet_lite2"
    assert place.once().returncode == 3
    assert metadata(place) == expected()

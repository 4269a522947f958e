"""A source while it is watched: its table, its sidecars, its problems, its root."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.source.files import FileState
from ingest.source.nearest import Nearest
from ingest.source.scan import Rules, Seen, look
from ingest.source.watched_source import Ignored, WatchedSource
from recq.errors import UsageError
from recq.index.problems import MOST_KEPT, ProblemKind
from recq.index.schema import FieldType, FieldTypes, FileFacts, Item, Metadata, stored_payload
from tests.ingest.pictures import put


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def watched(tmp_path: Path, said: list[str]) -> WatchedSource:
    root = tmp_path / "root"
    root.mkdir()
    return WatchedSource("s", root, table_path=None, types=dict, say=lambda path, message: said.append(message))


def reloaded(watched: WatchedSource, *paths: str) -> bool:
    """Read tables that are complete, as after their events; whether there are others now."""
    for path in paths:
        watched.note_table(path)
    return watched.load_tables()


def test_the_table_comes_changes_and_goes(watched: WatchedSource) -> None:
    table = watched.root / "metadata.csv"
    watched.load_tables()
    assert watched.describe("a.jpg").metadata == {}
    table.write_text("file,price\na.jpg,1\n")
    assert not watched.table_changed()  # seen once: it may still be being written
    assert watched.table_changed()
    watched.load_tables()
    assert not watched.table_changed()
    assert watched.describe("a.jpg").metadata == {"price": 1}
    table.unlink()
    assert reloaded(watched, "metadata.csv")
    assert watched.describe("a.jpg").metadata == {}


def test_a_bad_table_leaves_the_old_one(watched: WatchedSource) -> None:
    table = watched.root / "metadata.csv"
    table.write_text("file,price\na.jpg,1\n")
    watched.load_tables()
    table.write_text("name,price\na.jpg,2\n")
    assert not reloaded(watched, "metadata.csv")
    assert watched.describe("a.jpg").metadata == {"price": 1}
    (problem,) = watched.own_problems()
    assert problem.kind is ProblemKind.TABLE
    assert "metadata.csv:1: no column 'file'" in problem.detail
    assert not watched.blind  # what it said before is known
    table.write_text("file,price\na.jpg,3\n")
    assert reloaded(watched, "metadata.csv")
    assert watched.own_problems() == []


def test_a_backslash_in_a_row_is_a_slash_unless_a_file_is_called_so(watched: WatchedSource) -> None:
    (watched.root / "images").mkdir()
    (watched.root / "metadata.csv").write_text("file,price\nimages\\a.jpg,1\n")
    watched.load_tables()
    digest = watched.describe("images/a.jpg").digest
    assert watched.describe("images/a.jpg").metadata == {"category": "images", "price": 1}
    assert watched.is_described("images/a.jpg", digest)
    (watched.root / "images\\a.jpg").touch()
    assert watched.describe("images/a.jpg").metadata == {"category": "images"}
    assert watched.describe("images\\a.jpg").metadata == {"price": 1}
    assert not watched.is_described("images/a.jpg", digest)


def test_a_source_lists_every_row_that_names_no_file_and_stays_bounded(watched: WatchedSource, said: list[str]) -> None:
    rows = [f"gone/{number}.jpg,{number}" for number in range(3_000)]
    (watched.root / "metadata.csv").write_text("\n".join(["file,price", *rows]) + "\n")
    watched.load_tables()
    own = watched.tables.own
    watched.note_rows(own, set(), Nearest(own.rows))
    assert "lines" not in vars(own)  # which takes as much as a fifth of the table: only messages need it
    watched.note_rows(own, set(own.rows), Nearest(own.rows))
    problems = watched.own_problems()
    assert [problem.line for problem in problems[:-1]] == [*range(2, MOST_KEPT + 2)]
    assert problems[-1].count == 3_000 - MOST_KEPT
    assert problems[-1].detail.endswith("in the lines 1002-3001")
    assert said == ["metadata.csv: 3,000 rows name no file (first: line 2, 'gone/0.jpg')"]


def test_a_table_that_was_named_is_no_unread_one(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("file,price\na.jpg,1\n")
    (tmp_path / "labels.csv").write_text("file,price\na.jpg,1\n")
    there = tmp_path / "sub/.." / "products.csv"
    (tmp_path / "sub").mkdir()
    watched = WatchedSource("s", tmp_path, table_path=there, types=dict, say=lambda path, message: None)
    assert watched.is_table("products.csv")
    assert not watched.is_table("labels.csv")
    assert not watched.is_table("metadata.csv")


def test_a_named_table_has_to_exist(tmp_path: Path) -> None:
    watched = WatchedSource("s", tmp_path, table_path=tmp_path / "no.csv", types=dict, say=lambda path, message: None)
    with pytest.raises(UsageError, match=r"no.csv: there is no such file"):
        watched.load_tables()


def test_a_bad_sidecar_is_said_once_and_leaves_the_rest(watched: WatchedSource, said: list[str]) -> None:
    sidecar = watched.root / "beds_1.jpg.json"
    sidecar.write_text("{")
    for _ in range(3):
        assert watched.describe("beds_1.jpg").metadata == {"category": "beds"}
    assert len(said) == 1
    sidecar.write_text('{"price": 2}')
    assert watched.describe("beds_1.jpg").metadata == {"category": "beds", "price": 2}
    sidecar.write_text("{")
    watched.describe("beds_1.jpg")
    assert len(said) == 2


def test_a_sidecar_is_a_file_of_its_own(watched: WatchedSource, tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text('{"secret": 1}')
    (watched.root / "a.jpg.json").symlink_to(tmp_path / "outside.json")
    description = watched.describe("a.jpg")
    assert description.metadata == {}
    assert "a.jpg.json cannot be read" in description.problems[0].detail
    (watched.root / "b.jpg.json").mkdir()
    assert watched.describe("b.jpg").metadata == {}


def test_a_sidecar_that_cannot_be_there_or_be_read_makes_no_news(watched: WatchedSource, said: list[str]) -> None:
    """Else each comparison would write the same metadata again."""
    longest = "x" * 251 + ".jpg"  # no room for the suffix: no sidecar, and no problem
    assert watched.is_described(longest, watched.describe(longest).digest)
    assert not said
    (watched.root / "circle.jpg.json").symlink_to("circle.jpg.json")
    assert watched.is_described("circle.jpg", watched.describe("circle.jpg").digest)
    assert len(said) == 1


def test_the_root_is_the_folder_not_its_name(watched: WatchedSource, tmp_path: Path) -> None:
    assert watched.is_same_root()
    assert not watched.has_content()
    watched.root.rename(tmp_path / "elsewhere")
    assert not watched.is_same_root()
    assert not watched.root_replaced()  # gone is not replaced
    watched.root.mkdir()
    assert not watched.is_same_root()
    assert watched.root_replaced()
    watched.renew()
    assert watched.is_same_root()


def test_ignored_files_are_counted_once() -> None:
    ignored, state = Ignored(), FileState(1, 1)
    for _ in range(2):
        ignored.add("a.txt", state)
    assert len(ignored) == 1
    assert ignored.has("a.txt", state)
    assert not ignored.has("a.txt", FileState(2, 1))
    ignored.discard("a.txt")
    assert len(ignored) == 0


def test_ignored_files_are_bounded_while_a_walk_meets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.source.watched_source._MOST_IGNORED", 3)
    ignored, state = Ignored(), FileState(1, 1)
    for number in range(10):
        ignored.met(f"{number}.txt", state)
        assert len(ignored._files) <= 3
    assert len(ignored) == 10
    assert [number for number in range(10) if ignored.has(f"{number}.txt", state)] == [0, 1, 2]


@pytest.fixture
def caseless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that finds a file in upper and in lower case, and lists it in one of them."""

    def looking(path: str, rules: Rules) -> Seen | None:
        listed = [str(each.relative_to(rules.root)) for each in rules.root.rglob("*")]
        there = next((each for each in listed if each.casefold() == path.casefold()), path)
        seen = look(there, rules)
        return None if seen is None else replace(seen, path=path)

    monkeypatch.setattr("ingest.source.watched_source.look", looking)


@pytest.mark.parametrize(("path", "now"), [("sub/a.jpg", "sub/A.jpg"), ("sub/a.jpg", "Sub/a.jpg")])
@pytest.mark.usefixtures("caseless")
def test_a_name_that_no_listing_gives_is_nowhere_until_one_does(watched: WatchedSource, path: str, now: str) -> None:
    put(watched.root / path, 1)
    assert watched.look_listed(path) is not None
    (watched.root / now).parent.mkdir(exist_ok=True)
    (watched.root / path).rename(watched.root / now)
    if now.startswith("Sub"):
        (watched.root / "sub").rmdir()
    assert watched.look(path) is not None, "as the disk says"
    assert watched.look_listed(path) is None
    assert watched.look(path) is None, "whoever looks later is told the same"
    assert watched.look(now) is not None
    (watched.root / path).parent.mkdir(exist_ok=True)
    (watched.root / now).rename(watched.root / path)
    assert watched.look(path) is not None


def test_few_names_that_are_listed_nowhere_are_remembered(
    watched: WatchedSource, caseless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.source.watched_source._MOST_UNLISTED", 2)
    for name in "abc":
        put(watched.root / f"{name.upper()}.jpg", 1)
        assert watched.look_listed(f"{name}.jpg") is None
    assert [name for name in "abc" if watched.look(f"{name}.jpg") is None] == ["a", "b"]
    watched.forget_unlisted()
    assert all(watched.look(f"{name}.jpg") for name in "abc")


def test_one_listing_of_a_folder_serves_many_names(watched: WatchedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        put(watched.root / f"{number}.jpg", number)
    listed, scandir = [], os.scandir

    def counting(folder: Path) -> object:
        listed.append(folder)
        return scandir(folder)

    monkeypatch.setattr("ingest.source.listings.os.scandir", counting)
    monkeypatch.setattr("ingest.source.listings._USED_FOR", 60.0)
    assert all(watched.look_listed(f"{number}.jpg") for number in range(20))
    assert len(listed) == 1
    put(watched.root / "new.jpg", 1)
    os.utime(watched.root, ns=(1, 1))  # as a moment later
    assert watched.look_listed("new.jpg") is not None


def test_what_is_compared_with_an_item_has_the_form_that_is_stored(tmp_path: Path) -> None:
    """A category is lost where only the folder gives one now, and not where its name is decomposed."""
    types: FieldTypes = {"taken": FieldType.DATE}
    watched = WatchedSource("s", tmp_path, table_path=None, types=lambda: types, say=lambda *_: None)
    now: Metadata = {"category": "u\u0308ber", "taken": "2024-01-31 12:00:00", "Gro\u0308\u00dfe": ["u\u0308", 3]}
    before = stored_payload(Item(FileFacts("s", "u\u0308ber/a.jpg", 1, 1), now), types)
    stored = watched.as_stored(now)
    assert stored == {name: before[name] for name in stored} != now
    assert watched.lost("u\u0308ber/a.jpg", stored, now) == []
    assert watched.lost("u\u0308ber/a.jpg", {**stored, "category": "chairs"}, now) == ["category"]


COMPOSED, DECOMPOSED = "caf\u00e9.jpg", "cafe\u0301.jpg"


@pytest.mark.parametrize(("file", "named"), [(DECOMPOSED, COMPOSED), (COMPOSED, DECOMPOSED)])
def test_rows_and_sidecars_mean_the_file_that_looks_the_same(watched: WatchedSource, file: str, named: str) -> None:
    folder = watched.root / "u\u0308ber"
    folder.mkdir()
    (folder / file).write_bytes(b"")
    (watched.root / "metadata.csv").write_text(f"file,price\n\u00fcber/{named},1\n", encoding="utf-8")
    watched.load_tables()
    (folder / f"{named}.json").write_text('{"title": "x"}')
    path = f"u\u0308ber/{file}"
    described = watched.describe(path)
    assert described.metadata == {"category": "u\u0308ber", "price": 1, "title": "x"}
    assert watched.is_described(path, described.digest)
    assert watched.picture_of(f"u\u0308ber/{named}.json") == path
    (folder / f"{named}.json").write_text('{"title": "other"}')
    assert not watched.is_described(path, described.digest)

    (folder / f"{file}.json").write_text('{"title": "own"}')
    assert watched.describe(path).metadata["title"] == "own"


def test_rows_and_sidecars_of_another_file_are_not_taken(watched: WatchedSource) -> None:
    for name in (COMPOSED, DECOMPOSED):
        (watched.root / name).write_bytes(b"")
    (watched.root / "metadata.csv").write_text(f"file,price\n{COMPOSED},1\n", encoding="utf-8")
    watched.load_tables()
    (watched.root / f"{COMPOSED}.json").write_text('{"title": "x"}')
    assert watched.describe(COMPOSED).metadata == {"price": 1, "title": "x"}
    assert watched.describe(DECOMPOSED).metadata == {}
    assert watched.picture_of(f"{DECOMPOSED}.json") == DECOMPOSED


def test_names_of_fields_are_composed_so_that_a_sidecar_wins_over_the_table(watched: WatchedSource) -> None:
    (watched.root / "metadata.csv").write_text("file,Gro\u0308\u00dfe\na.jpg,1\n", encoding="utf-8")
    watched.load_tables()
    (watched.root / "a.jpg.json").write_text('{"Gr\u00f6\u00dfe": 2}', encoding="utf-8")
    assert watched.describe("a.jpg").metadata == {"Gr\u00f6\u00dfe": 2}


def test_digests_are_those_of_before_there_was_a_door(tmp_path: Path) -> None:
    """Of a catalog that an older recq filled nothing is described anew: these are its digests."""
    files = {
        "chairs/a.jpg": "", "sofa_1.jpg": "", "sofa_2.jpg": "", "plain.jpg": "",
        "metadata.csv": "file,price,labels\nchairs/a.jpg,5,red|blue\nsofa_2.jpg,,\n",
        "chairs/a.jpg.json": '{"title": "Ä", "price": null}', "sofa_1.jpg.json": '{"bad"',
    }  # fmt: skip
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        os.utime(path, ns=(10**18, 10**18))
    watched = WatchedSource(
        "s", tmp_path, table_path=None, types=dict, say=lambda path, message: None, tells_ctime=lambda _: False
    )
    watched.load_tables()
    digests = {name: watched.describe(name).digest for name in files if name.endswith(".jpg")}
    assert digests == {
        "chairs/a.jpg": "85f6a23ddb0a4d8e",
        "sofa_1.jpg": "57008aeff02e03c5",
        "sofa_2.jpg": "8d3d40c813d4908e",
        "plain.jpg": "44136fa355b3678a",
    }

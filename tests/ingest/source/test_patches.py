"""Patches: which files are ones, how they are merged, and what becomes of an item when they come, change and go."""

from __future__ import annotations

import csv
import errno
import io
import os
import threading
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.source.files import FileState
from ingest.source.nearest import Nearest
from ingest.source.patches import patched
from ingest.source.scan import Kind, Rules, Seen, walk
from ingest.source.table import read_table, read_tables, sheet
from ingest.source.table_files import MAX_TABLE_BYTES
from ingest.source.watched_source import WatchedSource
from recq import paths
from recq.index.cells import REMOVED
from recq.index.patch_names import in_order, patch_name
from recq.index.problems import MOST_KEPT, ProblemKind
from recq.index.schema import FieldType, FieldTypes, Metadata, Value

# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("metadata.fixes.csv", "fixes"),
        ("metadata.2026-11-27_a.b.csv", "2026-11-27_a.b"),
        ("metadata.Möbel.csv", "Möbel"),
        (unicodedata.normalize("NFD", "metadata.Möbel.csv"), "Möbel"),
        ("metadata.csv", None),
        ("metadata..csv", None),
        ("metadata.my fixes.csv", None),
        ("Metadata.fixes.csv", None),  # nor is Metadata.csv the table
        ("metadata.fixes.CSV", None),
        ("metadata.fixes.csv~", None),
        (".metadata.fixes.csv", None),
        ("sub/metadata.fixes.csv", None),
        ("metadata.sub/fixes.csv", None),
        ("metadata.\udcff.csv", None),
    ],
)
def test_which_files_are_patches(path: str, name: str | None) -> None:
    assert patch_name(path) == name


def test_the_order_is_that_of_the_names() -> None:
    names = ["b", "a-1", "a", "10", "2", "A", "a.b"]
    assert in_order(f"metadata.{name}.csv" for name in names) == [
        f"metadata.{name}.csv" for name in ["10", "2", "A", "a", "a-1", "a.b", "b"]
    ]


# -- merging -------------------------------------------------------------------------------------------------------

FIELDS, FILES = ("colour", "price", "title"), ("a.jpg", "b.jpg")
CELLS = st.sampled_from(["", " ", "red", "blue", REMOVED, REMOVED.upper(), f" {REMOVED} "])
TABLES = st.dictionaries(
    st.sampled_from(["1", "2", "10", "a", "b"]),
    st.fixed_dictionaries({file: st.fixed_dictionaries(dict.fromkeys(FIELDS, CELLS)) for file in FILES}),
)
Cells = Mapping[str, Mapping[str, str]]
TEXT: FieldTypes = dict.fromkeys(FIELDS, FieldType.STRING)


def written(cells: Cells) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(
        [["file", *FIELDS], *([file, *(row[field] for field in FIELDS)] for file, row in cells.items())]
    )
    return out.getvalue().encode()


@given(TABLES, st.randoms())
def test_the_last_name_that_says_something_holds(tables: Mapping[str, Cells], random: Random) -> None:
    """However the files were found: only their names count. An empty cell says nothing, the marker removes."""
    shuffled = list(tables)
    random.shuffle(shuffled)
    sheets = [sheet(written(tables[name]), f"metadata.{name}.csv", patch=True) for name in shuffled]
    read = {table.name: table for table in read_tables(sheets, TEXT)}
    expected: dict[str, dict[str, Value | None]] = {file: {} for file in FILES}
    for name in sorted(tables):
        for file, row in tables[name].items():
            said = {field: cell.strip() for field, cell in row.items() if cell.strip()}
            expected[file] |= {field: None if cell.lower() == REMOVED else cell for field, cell in said.items()}
    for file in FILES:
        rows = [(read[path].rows[file], read[path].removed.get(file, ())) for path in in_order(read)]
        assert patched(rows) == expected[file]


VALUES = st.sampled_from(["1", "2", "19.99", "007", "red", "red|blue", "true", "2024-01-31", "nan", "1,234", "0,5", ""])


@given(st.lists(st.tuples(VALUES, VALUES, st.integers(0, 2)), min_size=1, max_size=12))
def test_rows_have_the_same_values_whichever_table_they_stand_in(rows: Sequence[tuple[str, str, int]]) -> None:
    """Types and lists are those of all tables of a source together."""
    lines = [(f"{number}.jpg", *cells) for number, (*cells, _) in enumerate(rows)]
    parts = [[line for line, (*_, at) in zip(lines, rows, strict=True) if at == part] for part in range(3)]

    def table(lines: Sequence[Sequence[str]]) -> bytes:
        out = io.StringIO(newline="")
        csv.writer(out).writerows([["file", "x", "y"], *lines])
        return out.getvalue().encode()

    whole = read_table(table(lines), "metadata.csv", {})
    tables = read_tables([sheet(table(part), f"{at}.csv", patch=at > 0) for at, part in enumerate(parts)], {})
    assert {file: row for each in tables for file, row in each.rows.items()} == whole.rows
    assert {name: kind for each in tables for name, kind in each.types.items()} == whole.types


def test_the_marker_is_one_in_patches_alone_and_has_no_type() -> None:
    data = f"file,price,Gro\u0308\u00dfe,_x\na.jpg,{REMOVED},{REMOVED},{REMOVED}\nb.jpg,5,,\n".encode()
    assert read_table(data, "metadata.csv", {}).rows["a.jpg"]["price"] == REMOVED
    (table,) = read_tables([sheet(data, "metadata.a.csv", patch=True)], {})
    assert table.types == {"price": FieldType.INTEGER}
    assert table.rows == {"a.jpg": {}, "b.jpg": {"price": 5}}
    assert table.removed == {"a.jpg": {"price", "Größe"}}
    (problem,) = table.problems
    assert problem.detail == "metadata.a.csv:1: column '_x' is reserved for recq: rename it"


def test_each_table_writes_its_numbers_in_its_own_way() -> None:
    own, patch = read_tables(
        [sheet(b"file;price\na.jpg;12,5\n", "metadata.csv"), sheet(b"file,price\nb.jpg,13.5\n", "p", patch=True)], {}
    )
    assert (own.rows["a.jpg"], patch.rows["b.jpg"]) == ({"price": 12.5}, {"price": 13.5})
    own, patch = read_tables(
        [sheet(b"file,price\na.jpg,1\n", "metadata.csv"), sheet(b'file,price\nb.jpg,"1,234"\n', "p", patch=True)], {}
    )
    assert (own.types["price"], patch.rows["b.jpg"]) == (FieldType.INTEGER, {"price": "1,234"})
    assert [(problem.kind, problem.path, problem.line) for problem in patch.problems] == [(ProblemKind.MISFIT, "p", 2)]


# -- a watched source ----------------------------------------------------------------------------------------------


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def types() -> dict[str, FieldType]:
    return {}


@pytest.fixture
def watched(tmp_path: Path, said: list[str], types: dict[str, FieldType]) -> WatchedSource:
    root = tmp_path / "root"
    root.mkdir()
    return source(root, said, types)


def source(root: Path, said: list[str], types: FieldTypes, table: Path | None = None) -> WatchedSource:
    return WatchedSource(
        "s", root, table_path=table, types=lambda: types, say=lambda path, message: said.append(message)
    )


def put(watched: WatchedSource, **tables: str) -> bool:
    """Write tables by NAME (`own` is metadata.csv; rows are separated by spaces) and read them."""
    for name, rows in tables.items():
        path = "metadata.csv" if name == "own" else f"metadata.{name}.csv"
        (watched.root / path).write_text("\n".join([*rows.split(), ""]), "utf-8")
        watched.note_table(path)
    return watched.load_tables()


def test_patches_win_over_table_and_sidecar_in_the_order_of_their_names(watched: WatchedSource) -> None:
    put(watched, own="file,price,colour,title,brand a.jpg,1,red,old,acme")
    (watched.root / "a.jpg.json").write_text('{"title": "sidecar", "size": 3}')
    put(watched, b="file,title,colour a.jpg,b,<remove>", a="file,title,size,colour,tag a.jpg,a,4,green,new")
    assert watched.describe("a.jpg").metadata == {"price": 1, "title": "b", "brand": "acme", "size": 4, "tag": "new"}
    (watched.root / "metadata.b.csv").unlink()
    watched.note_table("metadata.b.csv")
    assert watched.load_tables()
    expected = {"price": 1, "colour": "green", "title": "a", "brand": "acme", "size": 4, "tag": "new"}
    assert watched.describe("a.jpg").metadata == expected


def test_a_patch_does_not_change_the_type_of_a_field(watched: WatchedSource, types: dict[str, FieldType]) -> None:
    put(watched, own="file,sku,labels a.jpg,00123,red|blue b.jpg,7,green")
    put(watched, fixes="file,sku,labels b.jpg,8,yellow")
    assert watched.describe("b.jpg").metadata == {"sku": "8", "labels": ["yellow"]}
    assert watched.tables.types == {"sku": FieldType.STRING, "labels": FieldType.STRING}
    types["price"] = FieldType.INTEGER
    put(watched, fixes="file,price b.jpg,soon")
    assert watched.tables.types["price"] is FieldType.INTEGER
    assert watched.describe("b.jpg").metadata["price"] == "soon"  # stored as it is, and reported with the item


def test_exactly_the_items_whose_metadata_changes_are_described_anew(watched: WatchedSource) -> None:
    put(watched, own="file,price a.jpg,1 b.jpg,2 c.jpg,3")
    (watched.root / "c.jpg.json").write_text('{"price": 6}')
    digests = {path: watched.describe(path).digest for path in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")}

    def changed() -> set[str]:
        found = {path for path, digest in digests.items() if not watched.is_described(path, digest)}
        digests.update((path, watched.describe(path).digest) for path in found)
        return found

    put(watched, fixes="file,price,tag a.jpg,5, b.jpg,2,<remove> d.jpg,,")
    assert changed() == {"a.jpg"}
    put(watched, fixes="file,price a.jpg,5", later="file,price a.jpg,5")
    assert changed() == set()
    put(watched, fixes="file,price c.jpg,7")
    assert changed() == {"c.jpg"}
    put(watched, fixes="file,price", later="file,price", own="file,price a.jpg,5 b.jpg,2 c.jpg,7")  # taken over
    assert changed() == {"c.jpg"}  # where the sidecar wins again
    assert watched.describe("c.jpg").metadata == {"price": 6}


def test_a_bad_patch_takes_nothing_away(watched: WatchedSource, said: list[str]) -> None:
    put(watched, own="file,price,tag a.jpg,1,old", fixes="file,price a.jpg,2", later="file,tag a.jpg,x")
    assert not put(watched, fixes="name,price a.jpg,3")
    assert watched.describe("a.jpg").metadata == {"price": 2, "tag": "x"}
    (problem,) = watched.own_problems()
    assert (problem.kind, problem.path) == (ProblemKind.TABLE, "metadata.fixes.csv")
    assert said == [problem.detail]
    assert problem.detail.startswith("metadata.fixes.csv:1: no column 'file'")
    assert watched.is_unmet()
    assert not watched.blind  # what it held before is known
    put(watched, new="", later="file,tag a.jpg,y")
    assert watched.describe("a.jpg").metadata == {"price": 2, "tag": "y"}
    assert "metadata.new.csv is empty" in watched.own_problems()[1].detail
    assert not watched.blind  # it never gave anything
    put(watched, fixes="file,price a.jpg,4", new="file,x")
    assert watched.describe("a.jpg").metadata == {"price": 4, "tag": "y"}
    assert watched.own_problems() == []


def test_what_an_unreadable_patch_gave_before_the_start_stays(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "metadata.csv").write_text("file,price,title\na.jpg,1,new\n")
    (tmp_path / "metadata.fixes.csv").write_text("nothing of a table")
    watched = source(tmp_path, said, {})
    watched.load_tables()
    assert watched.blind
    now = watched.describe("a.jpg").metadata
    before: Metadata = {"price": 2, "tag": "x", "day": "2024-01-31"}
    assert watched.lost("a.jpg", before, {**now, "day": "2024-01-31"}) == ["tag", "price"]
    assert "metadata.fixes.csv:1: no column 'file'" in watched.hold_metadata(1, "a.jpg", ["tag"])
    (tmp_path / "metadata.fixes.csv").unlink()
    watched.note_table("metadata.fixes.csv")
    assert watched.load_tables()
    assert watched.lost("a.jpg", before, now) == ["tag", "day"]
    assert not any(problem.kind is ProblemKind.TABLE for problem in watched.own_problems())


def test_why_metadata_would_be_lost(watched: WatchedSource) -> None:
    put(watched, own="file,price a.jpg,1", fixes="file,tag a.jpg,x", later="file,price a.jpg,<remove>")
    assert watched.hold_metadata(30, "a.jpg", ["price"]).startswith(
        "30 items would lose metadata, since metadata.later.csv:2 removes price from a.jpg: the old values stay."
    )
    (watched.root / "metadata.fixes.csv").unlink()
    watched.note_table("metadata.fixes.csv")
    watched.load_tables()
    why = "since metadata.fixes.csv, which gave a.jpg its tag, has gone: the old values stay"
    assert why in watched.hold_metadata(30, "a.jpg", ["tag"])
    held = next(problem for problem in watched.own_problems() if problem.kind is ProblemKind.HELD)
    assert held.path == "metadata.fixes.csv"
    watched.release_metadata()
    why = "since neither metadata.csv, a patch nor a sidecar gives a.jpg its tag any more"
    assert why in watched.hold_metadata(30, "a.jpg", ["tag"])


def test_a_patch_is_read_when_it_is_due_and_no_sooner(watched: WatchedSource) -> None:
    put(watched, own="file,price a.jpg,1", fixes="file,price a.jpg,2")
    (watched.root / "metadata.fixes.csv").write_text("file,price\n")  # being written
    (watched.root / "metadata.new.csv").write_text("file,price\na.jpg,9\n")
    put(watched, later="file,tag a.jpg,x")
    assert watched.describe("a.jpg").metadata == {"price": 2, "tag": "x"}
    assert not watched.table_changed()  # seen once
    assert watched.table_changed()
    assert watched.load_tables()
    assert watched.describe("a.jpg").metadata == {"price": 1, "tag": "x"}
    for path in watched.root.iterdir():
        watched.note_patch(path.name)  # a walk meets what no event has reported
    assert not watched.table_changed()
    assert watched.table_changed()
    assert watched.load_tables()
    assert watched.describe("a.jpg").metadata == {"price": 9, "tag": "x"}
    assert not watched.table_changed()
    (watched.root / "metadata.new.csv").unlink()
    assert not watched.table_changed()
    assert watched.table_changed()
    assert watched.load_tables()
    assert watched.describe("a.jpg").metadata == {"price": 1, "tag": "x"}
    assert not watched.table_changed()


def test_a_patch_that_is_renamed_is_never_missing(watched: WatchedSource) -> None:
    put(watched, fixes="file,price a.jpg,2")
    (watched.root / "metadata.fixes.csv").rename(watched.root / "metadata.other.csv")
    watched.note_table("metadata.fixes.csv")  # the event of its new name follows
    watched.load_tables()
    assert watched.describe("a.jpg").metadata == {"price": 2}
    assert [table.name for table in watched.tables.patches] == ["metadata.other.csv"]
    watched.note_table("metadata.other.csv")
    watched.load_tables()
    assert watched.describe("a.jpg").metadata == {"price": 2}


def test_patches_apply_on_top_of_a_table_elsewhere(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "products.csv").write_text("file,price,tag\na.jpg,1,x\n")
    watched = source(tmp_path / "root", said, {}, tmp_path / "products.csv")
    put(watched, fixes="file,price a.jpg,2")
    assert watched.describe("a.jpg").metadata == {"price": 2, "tag": "x"}


def test_a_named_table_is_no_patch_whatever_its_name(tmp_path: Path, said: list[str]) -> None:
    table = tmp_path / "metadata.mine.csv"
    table.write_text("file,price,tag\na.jpg,1,<remove>\n")
    (tmp_path / "a.jpg.json").write_text('{"price": 2}')
    watched = source(tmp_path, said, {}, table)
    watched.load_tables()
    assert watched.tables.patches == ()
    assert watched.describe("a.jpg").metadata == {"price": 2, "tag": "<remove>"}
    put(watched, mine="file,price,tag a.jpg,1,y")
    assert watched.tables.patches == ()
    assert watched.describe("a.jpg").metadata == {"price": 2, "tag": "y"}


def test_only_regular_files_are_patches(watched: WatchedSource, tmp_path: Path) -> None:
    (watched.root / "metadata.folder.csv").mkdir()
    (watched.root / "metadata.dangling.csv").symlink_to("nowhere")
    os.mkfifo(watched.root / "metadata.pipe.csv")
    (tmp_path / "elsewhere.csv").write_text("file,price\na.jpg,3\n")
    (watched.root / "metadata.link.csv").symlink_to(tmp_path / "elsewhere.csv")
    watched.load_tables()
    assert [table.name for table in watched.tables.patches] == ["metadata.link.csv"]
    for path in watched.root.iterdir():
        watched.note_table(path.name)
    watched.load_tables()
    assert [table.name for table in watched.tables.patches] == ["metadata.link.csv"]
    assert watched.own_problems() == []


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_too_long(path: Path) -> None:
    path.touch()
    os.truncate(path, MAX_TABLE_BYTES + 1)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (make_fifo, "cannot be read: not a regular file"),
        (make_endless, "cannot be read: not a regular file"),
        (Path.mkdir, "cannot be read: not a regular file"),
        (make_too_long, ": 1,073,741,825 bytes, more than 1,073,741,824: make it shorter"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_a_table_that_is_none_takes_nothing_away(
    tmp_path: Path, said: list[str], make: Callable[[Path], None], why: str, named: bool
) -> None:
    """Neither at the start nor later does its reading wait, or end for want of memory."""
    (tmp_path / "root").mkdir()
    table = tmp_path / "named.csv" if named else tmp_path / "root" / "metadata.csv"
    make(table)
    watched = source(tmp_path / "root", said, {}, table if named else None)
    watched.load_tables()
    assert watched.blind
    (problem,) = watched.own_problems()
    assert (problem.kind, problem.path) == (ProblemKind.TABLE, paths.printable(str(table)) if named else "metadata.csv")
    assert problem.detail.startswith(str(problem.path))
    assert problem.detail.endswith(why)
    table.rmdir() if table.is_dir() else table.unlink()
    table.write_text("file,price\na.jpg,1\n")
    assert not watched.table_changed()
    assert watched.table_changed()
    assert watched.load_tables()
    assert (watched.describe("a.jpg").metadata, watched.own_problems()) == ({"price": 1}, [])
    table.unlink()
    make(table)
    assert not watched.table_changed()
    assert watched.table_changed()
    assert not watched.load_tables()
    assert watched.describe("a.jpg").metadata == {"price": 1}


def test_a_disk_that_hangs_keeps_nobody_from_noting_tables(
    watched: WatchedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking for changes waits for the disk in a worker; notes are taken in the thread of all sources."""
    put(watched, fixes="file,price a.jpg,2")
    (watched.root / "metadata.new.csv").write_text("file,price\na.jpg,9\n")
    watched.note_patch("metadata.new.csv")
    waited: list[bool] = []
    stat = Path.stat

    def hang(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        for note, name in ((watched.note_table, "metadata.fixes.csv"), (watched.note_patch, "metadata.more.csv")):
            noting = threading.Thread(target=note, args=(name,), daemon=True)
            noting.start()
            noting.join(5)
            waited.append(noting.is_alive())
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", hang)
    watched.table_changed()
    monkeypatch.undo()
    assert waited
    assert not any(waited)
    (watched.root / "metadata.more.csv").write_text("file,tag\na.jpg,x\n")
    watched.table_changed()
    assert watched.table_changed()
    assert watched.load_tables()
    assert watched.describe("a.jpg").metadata == {"price": 9, "tag": "x"}  # what was noted meanwhile is looked at, too


def test_a_patch_without_permission_is_reported(watched: WatchedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    put(watched, fixes="file,price a.jpg,2")

    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))  # root may read every file

    monkeypatch.setattr(os, "open", refuse)
    watched.note_table("metadata.fixes.csv")
    assert not watched.load_tables()
    assert watched.describe("a.jpg").metadata == {"price": 2}
    assert watched.own_problems()[0].detail == "metadata.fixes.csv cannot be read: Permission denied"


def test_rows_that_cannot_be_used_are_reported_with_the_patch(watched: WatchedSource, said: list[str]) -> None:
    (watched.root / "metadata.fixes.csv").write_bytes(
        b"file,price,tag\na.jpg,1,x\na.jpg,2,y\nb.jpg,3,\xff\nc.jpg,4,z\n"
    )
    put(watched, own="file,price a.jpg,0")
    (table,) = watched.tables.patches
    watched.note_rows(table, {"c.jpg"}, Nearest(table.rows))
    listed = {(problem.kind, problem.line): problem.detail for problem in watched.own_problems()}
    assert listed == {
        (
            ProblemKind.ROW,
            3,
        ): "metadata.fixes.csv:3: 'a.jpg' stands in line 2 already, which holds: remove one of the two",
        (ProblemKind.FIELD, 4): "metadata.fixes.csv:4: column 'tag': a character cannot be read, 0xFF is not UTF-8: "
        "save the table as UTF-8",
        (ProblemKind.ROW, 5): "metadata.fixes.csv:5: 'c.jpg' names no file",
    }
    assert said[-1] == "metadata.fixes.csv: 1 row names no file (first: line 5, 'c.jpg')"
    (watched.root / "metadata.fixes.csv").unlink()
    watched.note_table("metadata.fixes.csv")
    watched.load_tables()
    assert watched.own_problems() == []


def test_the_problems_of_all_tables_are_bounded_together(watched: WatchedSource) -> None:
    rows = " ".join(["file,price", *(f"{number}.jpg,{number}" for number in range(MOST_KEPT))])
    put(watched, own=rows, a=rows, b=rows)
    for table in watched.tables.all:
        watched.note_rows(table, set(table.rows), Nearest(table.rows))
    found = watched.own_problems()
    assert len(found) == MOST_KEPT + 2
    assert sum(problem.count for problem in found) == 3 * MOST_KEPT
    assert [problem.path for problem in found[-2:]] == ["metadata.a.csv", "metadata.b.csv"]


def test_a_patch_is_no_item_whatever_it_holds(tmp_path: Path) -> None:
    (tmp_path / "metadata.fixes.csv").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/metadata.fixes.csv").write_bytes(b"\xff\xd8\xff\xe0")
    found = {seen.path: seen.kind for seen in walk(Rules((), tmp_path)) if isinstance(seen, Seen)}
    assert found == {"metadata.fixes.csv": Kind.IGNORED, "sub/metadata.fixes.csv": Kind.MAYBE}


def test_a_patch_is_read_although_a_rule_ignores_it(watched: WatchedSource) -> None:
    (watched.root / ".recqignore").write_text("*.csv\n")
    put(watched, fixes="file,price a.jpg,2")
    assert watched.describe("a.jpg").metadata == {"price": 2}
    seen = watched.look("metadata.fixes.csv")
    assert seen is not None
    assert isinstance(seen.state, FileState)
    assert seen.kind is Kind.IGNORED

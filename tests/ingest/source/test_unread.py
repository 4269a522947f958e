"""Files that look like tables and are not read, rows that mean another file, and what rules pass over."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.source.ignore_files import Rule
from ingest.source.nearest import Nearest
from ingest.source.skipped import Skipped
from ingest.source.unread import looks_like_table, may_be_table, unread
from recq.index.problems import MOST_KEPT


@pytest.mark.parametrize(
    ("path", "data", "expected"),
    [
        ("labels.csv", b"file,label\na.jpg,x\n", True),
        ("deep/er/products.tsv", b"sku\tFile\n1\ta.jpg\n", True),
        ("labels.CSV", "sep=;\r\nfile;label\r\n".encode("utf-16"), True),
        ("other.csv", b"name,label\na.jpg,x\n", False),
        ("empty.csv", b"", False),
        ("noise.csv", bytes(range(256)), False),
        ("sub/metadata.csv", b"name,label\n", True),
        ("sub/metadata.fixes.csv", b"name,label\n", True),
        ("metadata.my fixes.csv", b"", True),  # no name that a patch may have
        ("Metadata.xlsx", b"", True),
        ("metadata.txt", b"", True),
        ("metadata.jsonl", b"", True),
        ("book.xlsx", b"no workbook", False),
    ],
)
def test_what_looks_like_a_table(tmp_path: Path, path: str, data: bytes, expected: bool) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_bytes(data)
    assert may_be_table(path)
    assert looks_like_table(tmp_path, path) is expected
    assert unread(path).startswith(f"{path} looks like a table of metadata, but is not read: ")


@pytest.mark.parametrize("path", ["notes.txt", "a.jpg.json", "metadata", "csv", "a.jpg", "readme.md"])
def test_most_files_are_never_opened(path: str) -> None:
    assert not may_be_table(path)


def test_a_workbook_with_a_column_file_looks_like_a_table(tmp_path: Path) -> None:
    for name, text in (("products.xlsx", "<t>File</t><t>price</t>"), ("accounts.xlsx", "<t>name</t>")):
        with zipfile.ZipFile(tmp_path / name, "w") as workbook:
            workbook.writestr("xl/sharedStrings.xml", text)
    assert looks_like_table(tmp_path, "products.xlsx")
    assert not looks_like_table(tmp_path, "accounts.xlsx")
    assert not looks_like_table(tmp_path, "gone.xlsx")


def workbook(*, compression: int = zipfile.ZIP_DEFLATED, others: Sequence[str] = ()) -> bytes:
    """A workbook with a column `file`, and more members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as members:
        members.writestr("xl/sharedStrings.xml", "<t>File</t>" * 50)
        for name in others:
            members.writestr(name, "x")
    return out.getvalue()


def with_a_name_that_is_no_text() -> bytes:
    """The flag says that the name of a member is UTF-8."""
    return workbook(others=["\N{GREEK SMALL LETTER ALPHA}"]).replace(b"\xce\xb1", b"\xce\x41")


def with_more_than_there_is() -> bytes:
    """The first member says that it has more bytes than the file."""
    data = bytearray(workbook(compression=zipfile.ZIP_STORED))
    sizes = data.index(b"PK\1\2") + 20  # in the central directory, which zipfile believes
    data[sizes : sizes + 8] = (100_000).to_bytes(4, "little") * 2
    return bytes(data)


def with_a_broken_stream(compression: int) -> bytes:
    """The bytes of the first member are no stream."""
    data = bytearray(workbook(compression=compression))
    start = 30 + len("xl/sharedStrings.xml")
    data[start + 9 : start + 20] = b"\xff" * 11
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        with_a_name_that_is_no_text(),
        with_more_than_there_is(),
        *map(with_a_broken_stream, (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)),
    ],
    ids=["name", "size", "deflate", "bzip2", "lzma"],
)
def test_an_odd_workbook_is_no_table(tmp_path: Path, data: bytes) -> None:
    """Every comparison looks at it: what were raised would end the daemon at each start."""
    (tmp_path / "book.xlsx").write_bytes(data)
    assert not looks_like_table(tmp_path, "book.xlsx")


WORKBOOKS = [workbook(compression=each, others=["\u03b1", "b"]) for each in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workbooks")


@given(
    st.sampled_from(WORKBOOKS),
    st.lists(st.tuples(st.integers(0, min(map(len, WORKBOOKS)) - 1), st.integers(0, 255)), max_size=8),
    st.integers(0, 20),
)
def test_no_bytes_of_a_workbook_raise_anything(
    folder: Path, data: bytes, changes: Sequence[tuple[int, int]], cut: int
) -> None:
    changed = bytearray(data[: len(data) - cut])
    for at, byte in changes:
        changed[min(at, len(changed) - 1)] = byte
    (folder / "book.xlsx").write_bytes(changed)
    assert looks_like_table(folder, "book.xlsx") in (True, False)


@pytest.mark.parametrize("name", ["labels.csv", "labels.xlsx"])
def test_what_is_no_regular_file_is_no_table(tmp_path: Path, name: str) -> None:
    """A comparison meets it; opening a FIFO would wait for a writer for ever."""
    os.mkfifo(tmp_path / name)
    assert not looks_like_table(tmp_path, name)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    assert not looks_like_table(tmp_path, name)


@pytest.mark.parametrize(
    ("row", "meant"),
    [
        ("wb02-green-0.jpg", "images/wb02-green-0.jpg"),
        ("photos\\WB02-Green-0.JPG", "images/wb02-green-0.jpg"),
        ("wb02-green-0", "images/wb02-green-0.jpg"),
        ("images/wb02-green-0.jpeg", "images/wb02-green-0.jpg"),
        ("images/wb02-gren-0.jpg", "images/wb02-green-0.jpg"),
        ("something/else.png", None),
        ("images/wb02-green-1.jpg", None),
        ("y.jpg", None),
    ],
)
def test_the_file_that_a_row_may_mean(row: str, meant: str | None) -> None:
    nearest = Nearest([row])
    for path in ("images/wb02-green-0.jpg", "images/bag.jpg", "z.jpg"):
        nearest.met(path)
    assert nearest.of(row) == meant


def test_what_rules_pass_over_is_counted_by_rule_and_folder_and_bounded() -> None:
    skipped = Skipped()
    for number in range(3):
        skipped.add(Rule("._*"), f"a/._{number}.jpg", folder=False)
    skipped.add(Rule("@eaDir"), "a/@eaDir", folder=True)
    skipped.add(Rule("*.jpg", "a/.recqignore", 3), "a/b/c.jpg", folder=False)
    told = [(problem.path, problem.count, problem.detail) for problem in skipped.problems()]
    assert told == [
        ("a/._0.jpg", 3,
         "3 pictures in a are skipped by the rule '._*' of the setting 'ignore' (first: a/._0.jpg)"),
        ("a/@eaDir", 1, "1 folder in a is skipped by the rule '@eaDir' of the setting 'ignore' (first: a/@eaDir)"),
        ("a/b/c.jpg", 1,
         "1 picture in a/b is skipped by the rule '*.jpg' in a/.recqignore line 3 (first: a/b/c.jpg)"),
    ]  # fmt: skip
    for number in range(3 * MOST_KEPT):
        skipped.add(Rule("@eaDir"), f"{number}/@eaDir", folder=True)
    problems = list(skipped.problems())
    assert len(problems) == MOST_KEPT + 1
    assert sum(problem.count for problem in problems) == 3 * MOST_KEPT + 5

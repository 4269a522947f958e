"""Files that look like tables and are not read, rows that mean another file, and what rules pass over."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

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

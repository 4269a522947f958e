"""The text form of file names is exact and reversible."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq import paths

raw_names = st.binary(min_size=1).filter(lambda raw: b"\0" not in raw)


@given(raw_names)
def test_every_name_comes_back(raw: bytes) -> None:
    name = os.fsdecode(raw)
    text, encoded = paths.to_text(name)
    text.encode("utf-8")  # no lone surrogates: they would break JSON and UUIDs
    assert os.fsencode(paths.from_text(text, encoded)) == raw


@given(st.text(min_size=1).filter(lambda t: "\0" not in t))
def test_utf8_names_stay_as_they_are(name: str) -> None:
    assert paths.to_text(os.fsdecode(name.encode("utf-8"))) == (name, False)


@given(st.lists(raw_names, unique=True, max_size=20))
def test_different_names_are_different_items(raws: list[bytes]) -> None:
    ids = [paths.item_id("shop", *paths.to_text(os.fsdecode(raw))) for raw in raws]
    assert len(set(ids)) == len(raws)


def test_a_percent_sign_alone_is_no_escape() -> None:
    assert paths.to_text("100%.jpg") == ("100%.jpg", False)
    assert paths.to_text(os.fsdecode(b"100%\xff.jpg")) == ("100%25%FF.jpg", True)


def test_ids_never_change() -> None:
    """A changed id would make every existing index start anew."""
    assert paths.item_id("shop", "a/b.jpg") == str(uuid.UUID("c3942c98-a3c1-5017-ad7a-f75735c95c0c"))


@pytest.mark.parametrize(
    ("path", "folders"),
    [
        (b"a.jpg", []),
        (b"scans/2024/a.jpg", ["scans", "scans/2024"]),
        (b"100%/a.jpg", ["100%"]),
        (b"100%/\xff.jpg", ["100%"]),
        (b"100%/\xff/a.jpg", ["100%", "100%25/%FF"]),
    ],
)
def test_folders_above_a_file(path: bytes, folders: list[str]) -> None:
    assert paths.folders_above(*paths.to_text(os.fsdecode(path))) == folders


@given(st.lists(raw_names.filter(lambda raw: b"/" not in raw), min_size=1, max_size=8))
def test_a_folder_has_the_text_of_its_own_path_whatever_lies_in_it(parts: list[bytes]) -> None:
    path = b"/".join(parts)
    above = [os.fsdecode(b"/".join(parts[:n])) for n in range(1, len(parts))]
    assert paths.folders_above(*paths.to_text(os.fsdecode(path))) == [paths.to_text(folder)[0] for folder in above]


def test_of_very_many_folders_the_outermost_are_listed() -> None:
    found = paths.folders_above("a/" * 2000 + "x.jpg", False)
    assert found[:2] == ["a", "a/a"]
    assert len(found) == paths.MOST_FOLDERS
    assert sum(map(len, found)) < 20_000


def test_printable() -> None:
    assert paths.printable("a\nb\x1b[31m\udcff") == "a\\nb\\x1b[31m\\udcff"
    assert paths.printable("Größe 😀") == "Größe 😀"


def test_spellings_begin_with_the_name_and_look_the_same() -> None:
    assert paths.spellings("a/b.jpg") == ["a/b.jpg"]
    mixed = "caf\u00e9/u\u0308.jpg"
    assert paths.spellings(mixed)[0] == mixed
    assert set(paths.spellings(mixed)) == {
        f"{folder}/{name}.jpg" for folder in ("caf\u00e9", "cafe\u0301") for name in ("\u00fc", "u\u0308")
    }
    assert len(paths.spellings("/".join(["\u00e9"] * 50))) == 2


def test_what_exists_is_found_part_by_part(tmp_path: Path) -> None:
    there = tmp_path / "caf\u00e9" / "u\u0308.jpg"
    there.parent.mkdir()
    there.write_bytes(b"")
    for folder in ("caf\u00e9", "cafe\u0301"):
        for name in ("\u00fc.jpg", "u\u0308.jpg"):
            assert paths.existing(f"{tmp_path}/{folder}/{name}") == str(there)
    nothing = f"{tmp_path}/cafe\u0301/o\u0308.jpg"
    assert paths.existing(nothing) == nothing

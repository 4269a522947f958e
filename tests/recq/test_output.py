"""Where files are written: never over what is no file, through links, and whole or not at all."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from recq.errors import UsageError
from recq.output import replaced, require_place


def folder(place: Path) -> None:
    place.mkdir()


def fifo(place: Path) -> None:
    os.mkfifo(place)


def link_to_a_folder(place: Path) -> None:
    place.symlink_to(place.parent)


def link_to_a_fifo(place: Path) -> None:
    os.mkfifo(place.with_name("fifo"))
    place.symlink_to("fifo")


def link_to_a_device(place: Path) -> None:
    place.symlink_to(os.devnull)


def link_to_itself(place: Path) -> None:
    place.symlink_to(place.name)


def listening(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(os.path.relpath(place))


REFUSED = [
    (folder, "is a folder: name a file in it"),
    (link_to_a_folder, "is a folder: name a file in it"),
    *((make, "is no regular file: name another") for make in (fifo, link_to_a_fifo, link_to_itself, listening)),
]


@pytest.mark.parametrize(("make", "says"), REFUSED, ids=[make.__name__ for make, _ in REFUSED])
def test_what_is_no_file_is_refused_and_stays(
    make: Callable[[Path], None], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "out.html"
    make(place)
    before = {each.name: each.lstat() for each in tmp_path.iterdir()}
    with pytest.raises(UsageError, match=rf"^--grid {place} {says}$"):
        require_place(place, "--grid")
    with pytest.raises(UsageError, match=says), replaced(place, "--grid"):
        pass
    kept = {each.name: each.lstat() for each in tmp_path.iterdir()}
    assert {name: (each.st_ino, each.st_mode) for name, each in kept.items()} == {
        name: (each.st_ino, each.st_mode) for name, each in before.items()
    }


@pytest.mark.parametrize("linked", [False, True])
def test_a_device_is_refused(linked: bool, tmp_path: Path) -> None:
    """Only asked for: were it not refused, root would replace it."""
    place = tmp_path / "out.jsonl" if linked else Path(os.devnull)
    if linked:
        link_to_a_device(place)
    for or_stream, end in ((False, ""), (True, ", or - for standard output")):
        with pytest.raises(UsageError, match=rf"^the export {place} is no regular file: name another{end}$"):
            require_place(place, "the export", or_stream=or_stream)


@pytest.mark.parametrize("there", [True, False], ids=["a file", "nothing yet"])
def test_of_a_link_what_it_leads_to_is_replaced(there: bool, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "real.jsonl"
    if there:
        real.write_text("old")
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    second.symlink_to(Path("elsewhere") / "real.jsonl")
    first.symlink_to("second.jsonl")
    with replaced(first, "the export") as stream:
        stream.write(b"new")
    assert real.read_bytes() == b"new"
    assert (first.is_symlink(), second.is_symlink(), real.is_symlink()) == (True, True, False)
    assert [each.name for each in real.parent.iterdir()] == ["real.jsonl"]


def test_a_link_into_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    place = tmp_path / "out.png"
    place.symlink_to("nowhere/real.png")
    with pytest.raises(UsageError, match=rf"^--out {place}: there is no folder {tmp_path}/nowhere$"):
        require_place(place, "--out")


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "x/" * 3000])
def test_a_name_that_is_too_long_is_told(name: str, tmp_path: Path) -> None:
    place = tmp_path / name
    with pytest.raises(UsageError, match=r"File name too long|there is no folder"), replaced(place, "--out"):
        pass


def test_what_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "out.html"
    place.write_text("old")

    def fail() -> None:
        with replaced(place, "--grid") as stream:
            stream.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert place.read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]

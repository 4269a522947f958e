"""Sidecars as files, and what else may stand where one is looked for: only regular files are opened and kept open."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.source.regular_files import NotRegular, open_regular
from ingest.source.watched_source import WatchedSource


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_device(path: Path) -> None:
    path.symlink_to(os.devnull)


def lowest_descriptor() -> int:
    """The one that the next opened file gets: a higher one, where an earlier file has stayed open."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


@pytest.mark.parametrize("make", [Path.mkdir, make_fifo, make_device])
def test_what_is_no_regular_file_is_not_opened_and_leaves_nothing_open(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "odd")
    before = lowest_descriptor()
    with pytest.raises(NotRegular, match="not a regular file"):
        open_regular(tmp_path / "odd")
    assert lowest_descriptor() == before


def test_a_link_is_followed_where_that_is_meant(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"x"
    with pytest.raises(OSError, match="link"):
        open_regular(tmp_path / "link", follow=False)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "gone")


@pytest.mark.parametrize("make", [Path.mkdir, make_fifo])
def test_what_is_no_regular_file_is_no_sidecar(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """The picture is described once and not again at each look, and no look leaves a file open."""
    make(tmp_path / "a.jpg.json")
    watched = WatchedSource("s", tmp_path, table_path=None, types=lambda: {}, say=lambda path, message: None)
    watched.load_tables()
    before = lowest_descriptor()
    described = [watched.describe("a.jpg") for _ in range(3)]
    assert lowest_descriptor() == before
    assert all((each.metadata, [*each.problems]) == ({}, []) for each in described)
    assert watched.is_described("a.jpg", described[0].digest)

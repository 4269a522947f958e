"""Which name a folder gets, and what is recorded of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recq.errors import UsageError
from recq.index.sources import Source, Watcher, choose_name, host_name

KNOWN = {
    "shop": Source("shop", {"here": "/data/shop"}),
    "shop-2": Source("shop-2", {"there": "/data/shop"}),
}


def name(root: str, wanted: str | None = None, *, alive: bool = True) -> str:
    return choose_name(KNOWN, Path(root), "here", wanted, root_alive=alive)


def test_a_known_folder_keeps_its_name() -> None:
    assert name("/data/shop") == "shop"


def test_a_new_folder_is_named_after_itself() -> None:
    assert name("/data/archive") == "archive"
    assert name("/") == "root"


def test_a_taken_name_is_numbered() -> None:
    assert name("/other/shop") == "shop-3"


def test_another_host_may_share_a_wanted_name() -> None:
    assert name("/mnt/shop", "shop-2") == "shop-2"


def test_two_living_folders_of_one_host_never_share_a_name() -> None:
    with pytest.raises(UsageError, match="choose another name"):
        name("/other/shop", "shop")


def test_a_moved_folder_may_keep_its_name() -> None:
    assert name("/moved/shop", "shop", alive=False) == "shop"


def test_one_folder_is_never_two_sources() -> None:
    with pytest.raises(UsageError, match="already indexed as source 'shop'"):
        name("/data/shop", "again")


def test_a_folder_of_any_name_is_found_again() -> None:
    """A name that is not UTF-8, and the name that looks like its text form, are two folders."""
    odd, literal = Path(os.fsdecode(b"/data/caf\xe9")), Path("/data/caf%E9")
    source = Source("caf").with_root(host_name(), odd)
    assert source.root_here() == odd
    assert Source.from_json("caf", source.to_json()) == source
    assert choose_name({"caf": source}, odd, host_name(), None, root_alive=True) == "caf"
    assert choose_name({"caf": source}, literal, host_name(), None, root_alive=True) == "caf%E9"
    moved = source.with_root(host_name(), literal)
    assert moved.root_here() == moved.any_root() == literal
    assert moved.with_root("there", odd).all_roots() == [literal, odd]


def test_a_record_of_an_older_version_can_be_read() -> None:
    old = {"roots": {"here": "/data/shop"}, "ignored": 3, "reconciled_at": "2026-01-01T00:00:00Z"}
    assert Source.from_json("shop", old).root_on("here") == Path("/data/shop")
    watched = Source("shop", watcher=Watcher("here", 7, "2026-01-01T00:00:00+00:00"))
    assert Source.from_json("shop", watched.to_json()) == watched

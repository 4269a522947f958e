"""Which name a folder gets."""

from __future__ import annotations

import pytest

from recq.errors import UsageError
from recq.index.sources import Source, choose_name

KNOWN = {
    "shop": Source("shop", {"here": "/data/shop"}),
    "shop-2": Source("shop-2", {"there": "/data/shop"}),
}


def name(root: str, wanted: str | None = None, *, alive: bool = True) -> str:
    return choose_name(KNOWN, root, "here", wanted, root_alive=alive)


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

"""The walk: what is an item, what is passed over, and what a strange folder does to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingest.source.files import FileState
from ingest.source.scan import Kind, Rules, Seen, Unreadable, holds_image, look, walk
from recq.settings import DEFAULT_IGNORE
from tests.ingest.pictures import jpeg, put

RULES = Rules(DEFAULT_IGNORE)


def kinds(root: Path, below: str = "") -> dict[str, str]:
    found = list(walk(root, RULES, below))
    assert len({each.path for each in found}) == len(found)
    return {each.path: each.kind.value if isinstance(each, Seen) else "unreadable" for each in found}


def test_names_decide_first(tmp_path: Path) -> None:
    for name in (
        "a.jpg",
        "b.JPEG",
        "deep/c.webp",
        "notes.txt",
        "noext",
        "metadata.csv",
        "deep/metadata.csv",
        "a.jpg.json",
        ".hidden.jpg",
        "x.jpg.part",
        "~tmp.jpg",
        "THUMBS.DB",
        "@eaDir/a.jpg",
        ".git/b.jpg",
    ):
        put(tmp_path / name, 1)  # fmt: skip
    assert kinds(tmp_path) == {
        "a.jpg": "item",
        "b.JPEG": "item",
        "deep/c.webp": "item",
        "notes.txt": "maybe",
        "noext": "maybe",
        "deep/metadata.csv": "maybe",
        "a.jpg.json": "maybe",
        "metadata.csv": "ignored",
        ".hidden.jpg": "ignored",
        "x.jpg.part": "ignored",
        "~tmp.jpg": "ignored",
        "THUMBS.DB": "ignored",
        "@eaDir": "ignored",
        ".git": "ignored",
    }
    assert kinds(tmp_path, "deep") == {"deep/c.webp": "item", "deep/metadata.csv": "maybe"}


def test_first_bytes_decide_the_rest(tmp_path: Path) -> None:
    put(tmp_path / "photo", 1)
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    assert [name for name in ("photo", "text", "empty", "pipe", "absent") if holds_image(tmp_path, name)] == ["photo"]


def test_state_is_of_the_file(tmp_path: Path) -> None:
    file = put(tmp_path / "a.jpg", 1)
    status = file.stat()
    assert look(tmp_path, "a.jpg", RULES) == Seen("a.jpg", FileState.of(status), Kind.ITEM)
    assert list(walk(tmp_path, RULES)) == [look(tmp_path, "a.jpg", RULES)]


def test_links_lead_no_further_than_the_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    put(root / "a.jpg", 1)
    put(outside / "b.jpg", 2)
    (root / "inside.jpg").symlink_to("a.jpg")
    (root / "out.jpg").symlink_to(outside / "b.jpg")
    (root / "outdir").symlink_to(outside)
    (root / "circle").symlink_to(root)
    (root / "self.jpg").symlink_to("self.jpg")
    (root / "dangling.jpg").symlink_to("nothing.jpg")
    os.mkfifo(root / "pipe.jpg")
    expected = {
        "a.jpg": "item", "inside.jpg": "item", "out.jpg": "ignored", "outdir": "ignored", "circle": "ignored",
        "self.jpg": "ignored", "dangling.jpg": "ignored", "pipe.jpg": "ignored",
    }  # fmt: skip
    assert kinds(root) == expected
    for path, kind in expected.items():
        seen = look(root, path, RULES)
        assert seen is not None
        assert seen.kind == kind
    inside = look(root, "inside.jpg", RULES)
    assert inside is not None
    assert inside.state.size == len(jpeg(1))


def test_any_name_the_system_allows(tmp_path: Path) -> None:
    names = [
        "with space.jpg",
        'quote".jpg',
        "new\nline.jpg",
        "émoji🙂.jpg",
        "n" * 251 + ".jpg",
        os.fsdecode(b"\xff\xfe.jpg"),
    ]
    for number, name in enumerate(names):
        put(tmp_path / name, number)
    assert set(kinds(tmp_path)) == set(names)
    assert look(tmp_path, "n" * 300, RULES) is None


def test_nothing_and_folders_are_nothing(tmp_path: Path) -> None:
    put(tmp_path / "d/a.jpg", 1)
    assert look(tmp_path, "absent.jpg", RULES) is None
    assert look(tmp_path, "d", RULES) is None
    assert look(tmp_path, "d/a.jpg/b.jpg", RULES) is None


def test_a_root_that_has_gone_is_unreadable_not_empty(tmp_path: Path) -> None:
    (found,) = walk(tmp_path / "gone", RULES)
    assert isinstance(found, Unreadable)
    assert found.covers("anything/below.jpg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_an_unreadable_folder_is_reported(tmp_path: Path) -> None:
    put(tmp_path / "closed/a.jpg", 1)
    put(tmp_path / "open.jpg", 2)
    (tmp_path / "closed").chmod(0)
    try:
        assert kinds(tmp_path) == {"closed": "unreadable", "open.jpg": "item"}
    finally:
        (tmp_path / "closed").chmod(0o755)


def test_own_patterns_replace_the_defaults(tmp_path: Path) -> None:
    rules = Rules(["*.bak.jpg", "thumbs"])
    assert rules.ignores_path("a/Thumbs/b.jpg")
    assert rules.ignores_path("a.bak.jpg")
    assert not rules.ignores_path(".hidden/a.jpg")
    assert not Rules([]).ignores_path(".hidden")


@pytest.mark.parametrize(
    "folder",
    [
        "#recycle",
        "@Recycle",
        "@recycle",
        "@Recently-Snapshot",
        "#snapshot",
        ".snapshot",
        ".snapshots",
        ".zfs",
        "~snapshot",
        "@GMT-2026.01.31-12.00.00",
        "$RECYCLE.BIN",
        "$Recycle.Bin",
        "RECYCLER",
        "System Volume Information",
        "lost+found",
        ".Trash-1000",
        ".Trashes",
        "@tmp",
        "@sharebin",
        "@eaDir",
        ".@__thumb",
        "@__thumb",
        "Network Trash Folder",
        "TheVolumeSettingsFolder",
        "Temporary Items",
        "FOUND.000",
        "found.012",
        "trashbox",
    ],
)
def test_bins_and_snapshots_are_passed_over_at_any_depth(tmp_path: Path, folder: str) -> None:
    """A NAS shows what was deleted, and older states, as folders among the pictures."""
    put(tmp_path / folder / "deep/a.jpg", 1)
    put(tmp_path / "shop" / folder / "b.jpg", 2)
    put(tmp_path / "shop/c.jpg", 3)
    assert kinds(tmp_path) == {folder: "ignored", f"shop/{folder}": "ignored", "shop/c.jpg": "item"}
    assert RULES.ignores_path(f"{folder}/deep/a.jpg")
    seen = look(tmp_path, f"shop/{folder}/b.jpg", RULES)
    assert seen is not None
    assert seen.kind is Kind.IGNORED


@pytest.mark.parametrize(
    "name",
    [
        "recycle", "Recycled wood", "recycle bin.jpg", "snapshot", "lost and found", "found.jpg", "FOUND.0001",
        "$5 tent.jpg", "#1.jpg", "@home", "[a].jpg", "lost+found.jpg", "tmp",
        "quota.jpg", "System Volume.jpg", "recyclers",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_bin_is_none(name: str) -> None:
    assert not RULES.ignores_path(name)
    assert not RULES.ignores_path(f"{name}/a.jpg")


@pytest.mark.parametrize(
    "name", ["aquota.user", "aquota.group", "quota.user", "a.jpg@SynoEAStream", "a.jpg@SynoResource"]
)
def test_books_of_file_systems_are_no_pictures(name: str) -> None:
    assert RULES.kind_of(name) is Kind.IGNORED

"""The walk: what is an item, what is passed over, and what a strange folder does to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingest.source.files import FileState
from ingest.source.scan import Kind, Rules, Seen, Unreadable, holds_image, look, walk
from recq.settings import DEFAULT_IGNORE
from tests.ingest.pictures import jpeg, put
from tests.ingest.unreadable import CODES, unreadable


def kinds(root: Path, below: str = "") -> dict[str, str]:
    found = list(walk(Rules(DEFAULT_IGNORE, root), below))
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
    assert [name for name in ("photo", "text", "empty", "pipe") if holds_image(tmp_path, name)] == ["photo"]


@pytest.mark.parametrize("code", CODES)
def test_what_cannot_be_read_is_told_apart_from_what_is_no_image(tmp_path: Path, code: int) -> None:
    put(tmp_path / "photo", 1)
    with unreadable("photo", code), pytest.raises(OSError, match=f"Errno {code}"):
        holds_image(tmp_path, "photo")
    with pytest.raises(FileNotFoundError):
        holds_image(tmp_path, "absent")


def test_state_is_of_the_file(tmp_path: Path) -> None:
    file = put(tmp_path / "a.jpg", 1)
    status = file.stat()
    assert look("a.jpg", Rules(DEFAULT_IGNORE, tmp_path)) == Seen("a.jpg", FileState.of(status), Kind.ITEM)
    assert list(walk(Rules(DEFAULT_IGNORE, tmp_path))) == [look("a.jpg", Rules(DEFAULT_IGNORE, tmp_path))]


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
        seen = look(path, Rules(DEFAULT_IGNORE, root))
        assert seen is not None
        assert seen.kind == kind
    inside = look("inside.jpg", Rules(DEFAULT_IGNORE, root))
    assert inside is not None
    assert inside.state.size == len(jpeg(1))


@pytest.mark.parametrize("linked", ["2023", "deep/2023", "2023/above"])
def test_a_look_finds_nothing_behind_a_link_to_a_folder_as_a_walk_does(tmp_path: Path, linked: str) -> None:
    root, path = tmp_path / "root", f"{linked}/below/x.jpg"
    put(root / path, 1)
    put(root / linked / "y.jpg", 2)
    assert look(path, Rules(DEFAULT_IGNORE, root)) is not None
    (root / linked).rename(tmp_path / "away")
    (root / linked).symlink_to(tmp_path / "away")
    (root / "link.jpg").symlink_to(f"{linked}/y.jpg")
    (tmp_path / "away/y.jpg").rename(root / "z.jpg")
    (tmp_path / "away/y.jpg").symlink_to(root / "z.jpg")
    assert kinds(root) == {linked: "ignored", "link.jpg": "item", "z.jpg": "item"}
    assert look(path, Rules(DEFAULT_IGNORE, root)) is None
    assert look(f"{linked}/y.jpg", Rules(DEFAULT_IGNORE, root)) is None
    (root / linked).unlink()
    (tmp_path / "away").rename(root / linked)
    assert look(path, Rules(DEFAULT_IGNORE, root)) is not None


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
    assert look("n" * 300, Rules(DEFAULT_IGNORE, tmp_path)) is None


def test_nothing_and_folders_are_nothing(tmp_path: Path) -> None:
    put(tmp_path / "d/a.jpg", 1)
    assert look("absent.jpg", Rules(DEFAULT_IGNORE, tmp_path)) is None
    assert look("d", Rules(DEFAULT_IGNORE, tmp_path)) is None
    assert look("d/a.jpg/b.jpg", Rules(DEFAULT_IGNORE, tmp_path)) is None


def test_a_root_that_has_gone_is_unreadable_not_empty(tmp_path: Path) -> None:
    (found,) = walk(Rules(DEFAULT_IGNORE, tmp_path / "gone"))
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
    rules = Rules(["*.bak.jpg", "thumbs"], Path("/shop"))
    assert rules.ignores_path("a/Thumbs/b.jpg")
    assert rules.ignores_path("a.bak.jpg")
    assert not rules.ignores_path(".hidden/a.jpg")
    assert not Rules([], Path("/shop")).ignores_path(".hidden")


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
def test_bins_and_snapshots_are_skipped_at_any_depth(tmp_path: Path, folder: str) -> None:
    """A NAS shows what was deleted, and older states, as folders among the pictures."""
    put(tmp_path / folder / "deep/a.jpg", 1)
    put(tmp_path / "shop" / folder / "b.jpg", 2)
    put(tmp_path / "shop/c.jpg", 3)
    assert kinds(tmp_path) == {folder: "ignored", f"shop/{folder}": "ignored", "shop/c.jpg": "item"}
    assert Rules(DEFAULT_IGNORE, tmp_path).ignores_path(f"{folder}/deep/a.jpg")
    seen = look(f"shop/{folder}/b.jpg", Rules(DEFAULT_IGNORE, tmp_path))
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
    assert not Rules(DEFAULT_IGNORE, Path("/shop")).ignores_path(name)
    assert not Rules(DEFAULT_IGNORE, Path("/shop")).ignores_path(f"{name}/a.jpg")


@pytest.mark.parametrize(
    "name", ["aquota.user", "aquota.group", "quota.user", "a.jpg@SynoEAStream", "a.jpg@SynoResource"]
)
def test_books_of_file_systems_are_no_pictures(name: str) -> None:
    assert Rules(DEFAULT_IGNORE, Path("/shop")).kind_of(name) is Kind.IGNORED

"""Why a rebuilt collection may be without an item: only what the folder has as it was is lost."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.reconcile.rebuild_check import _Found, _note_missing
from ingest.source import watched_source
from ingest.source.scan import Rules, Seen, look
from ingest.source.watched_source import WatchedSource
from recq.index.schema import FileFacts, Item
from tests.ingest.pictures import put


def nothing(root: Path, outside: Path) -> None:
    """As it was."""


def remove(root: Path, outside: Path) -> None:
    (root / "sub/a.jpg").unlink()


def change(root: Path, outside: Path) -> None:
    (root / "sub/a.jpg").write_bytes(b"other")


def ignore(root: Path, outside: Path) -> None:
    (root / ".recqignore").write_text("*.jpg\n")


def link_folder(root: Path, outside: Path) -> None:
    (root / "sub").rename(outside)
    (root / "sub").symlink_to(outside)


def link_folder_inside(root: Path, outside: Path) -> None:
    (root / "sub").rename(root / "other")
    (root / "sub").symlink_to("other")


def link_out(root: Path, outside: Path) -> None:
    (root / "sub/a.jpg").rename(outside)
    (root / "sub/a.jpg").symlink_to(outside)


def link_within(root: Path, outside: Path) -> None:
    (root / "sub/a.jpg").rename(root / "b.jpg")
    (root / "sub/a.jpg").symlink_to(root / "b.jpg")


def recase(root: Path, outside: Path) -> None:
    (root / "sub/a.jpg").rename(root / "sub/A.jpg")


@pytest.mark.parametrize(
    ("happen", "kind"),
    [
        (nothing, "lost"),
        (link_within, "lost"),
        (change, None),
        (remove, "gone"),
        (ignore, "ignored"),
        (link_folder, "gone"),
        (link_folder_inside, "gone"),
        (link_out, "gone"),
        (recase, "gone"),
    ],
)
def test_why_an_item_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happen: Callable[[Path, Path], None], kind: str | None
) -> None:
    root = tmp_path / "root"
    status = put(root / "sub/a.jpg", 1).stat()
    item = Item(FileFacts("s", "sub/a.jpg", status.st_size, status.st_mtime_ns))
    watched = WatchedSource("s", root, table_path=None, types=dict, say=lambda *_: None)
    happen(root, tmp_path / "outside")
    if happen is recase:
        monkeypatch.setattr(watched_source, "look", caseless)
    found = _Found()
    _note_missing(found, watched, item)
    assert [name for name, some in vars(found).items() if some] == ([kind] if kind else [])


def caseless(path: str, rules: Rules) -> Seen | None:
    """A disk that finds `A.jpg` as `a.jpg`."""
    return look(path, rules) or look(path.replace("a.jpg", "A.jpg"), rules)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_what_cannot_be_looked_at_has_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """In doubt nothing is replaced."""
    watched = WatchedSource("s", tmp_path, table_path=None, types=dict, say=lambda *_: None)

    def refusing(path: str) -> os.stat_result:
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr("ingest.source.scan.os.lstat", refusing)
    found = _Found()
    _note_missing(found, watched, Item(FileFacts("s", "a.jpg", 1, 1)))
    monkeypatch.undo()
    assert found.gone == []
    assert [str(each) for each in found.lost] == [f"a.jpg: it cannot be looked at: {os.strerror(code)}"]

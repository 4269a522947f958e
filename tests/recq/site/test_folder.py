"""The folder of a site is whole at any moment, and nothing in it that recq did not make is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from recq.errors import UsageError
from recq.site.folder import MARK, SiteFolder

OLD, NEW = (
    "0" * 8 + "-0000-0000-0000-" + "0" * 12 + "-11111111.jpg",
    "1" * 8 + "-0000-0000-0000-" + "0" * 12 + "-11111111.jpg",
)


def write(path: Path, content: bytes, picture: str, *, finish: bool = True) -> None:
    with SiteFolder(path) as folder:
        folder.write("a.js", content)
        if not folder.has_picture(picture):
            folder.keep_picture(picture, b"jpeg")
        if finish:
            folder.finish(lambda parts: f"<p>{parts}")


def files(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())


def parts_of(path: Path) -> Path:
    return path / (path / "index.html").read_text().removeprefix("<p>")


def test_a_page_names_its_parts_and_replaces_the_former(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write(site, b"1", OLD)
    first = parts_of(site)
    assert (first / "a.js").read_bytes() == b"1"
    write(site, b"2", NEW)
    second = parts_of(site)
    assert files(site) == sorted([MARK, "index.html", f"{second.name}/a.js", f"pictures/11/{NEW}"])
    assert first != second
    assert not (site / "pictures" / "00").exists()


def test_the_same_content_is_the_same_folder(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write(site, b"1", OLD)
    before = files(site)
    write(site, b"1", OLD)
    assert files(site) == before


def test_an_export_that_ends_early_leaves_the_former_page_and_its_own_pictures(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write(site, b"1", OLD)
    before = files(site)
    write(site, b"2", NEW, finish=False)
    assert files(site) == sorted([*before, f"pictures/11/{NEW}"])
    assert (parts_of(site) / "a.js").read_bytes() == b"1"
    with SiteFolder(site) as folder:
        assert folder.has_picture(NEW)


def test_one_that_made_nothing_leaves_no_folder(tmp_path: Path) -> None:
    with SiteFolder(tmp_path / "site") as folder:
        folder.write("a.js", b"1")
    assert not (tmp_path / "site").exists()
    (tmp_path / "empty").mkdir()
    with SiteFolder(tmp_path / "empty"):
        pass
    assert (tmp_path / "empty").is_dir()  # somebody else's


def test_what_is_not_of_the_site_stays(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write(site, b"1", OLD)
    own = ["CNAME", "pictures/00/holiday.jpg", "parts-mine/a.js", "pictures/note.jpg"]
    for name in own:
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text("mine")
    write(site, b"2", NEW)
    assert all((site / name).read_text() == "mine" for name in own)


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("full", "is not empty, and no site of recq"),
        ("file", "is a file"),
        ("no/site", "there is no folder"),
        ("link", "is a file"),
    ],
)
def test_what_is_no_site_is_refused(tmp_path: Path, place: str, says: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "index.html").write_text("somebody else's")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=says):
        SiteFolder(tmp_path / place)
    assert (tmp_path / "full" / "index.html").read_text() == "somebody else's"
    assert files(tmp_path / "full") == ["index.html"]


def test_two_exports_do_not_write_at_once(tmp_path: Path) -> None:
    with SiteFolder(tmp_path / "site"), pytest.raises(UsageError, match="another export is writing"):
        SiteFolder(tmp_path / "site")


def test_a_link_in_place_of_old_parts_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    site, other = tmp_path / "site", tmp_path / "other"
    write(site, b"1", OLD)
    other.mkdir()
    (other / "kept").touch()
    (site / "parts-000000000000").symlink_to(other)
    (site / "parts-unfinished").symlink_to(other)
    write(site, b"2", OLD)
    assert (other / "kept").exists()
    assert not (site / "parts-000000000000").is_symlink()

"""TARGET's order, rule by rule, without an index: what wins, what is ambiguous, what is said when nothing fits."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from recq import paths
from recq.errors import AmbiguousTarget, Reason, TargetError, TargetNotFound, UsageError
from recq.index.schema import FileFacts, Item, ItemError
from recq.index.sources import Source
from recq.region import Region
from recq.search.target import (
    FileTarget,
    Given,
    GivenPart,
    IndexedName,
    IndexedTarget,
    Local,
    StreamTarget,
    look,
    read_picture,
    require_embedded,
    resolve,
    settle,
)
from recq.settings import Settings


class Index:
    """Items in memory, found as the catalog finds them."""

    catalog = "images"

    def __init__(self, *items: Item, **roots: Path) -> None:
        self.items = items
        self.roots = roots
        self.asked: list[str] = []
        self.elsewhere: dict[str, Index] = {}

    def get(self, item_id: str) -> Item | None:
        self.asked.append(item_id)
        return next((item for item in self.items if item.id == item_id), None)

    def find_path(self, path: str) -> Sequence[Item]:
        return [item for item in self.items if item.file.path == path]

    def find_name(self, name: str) -> Sequence[Item]:
        return [item for item in self.items if item.file.name == name]

    def places(self) -> Iterable[tuple[str, str]]:
        return [(item.file.source, item.file.path) for item in self.items]

    def others(self) -> Iterable[tuple[str, Index]]:
        return self.elsewhere.items()

    def sources(self) -> Mapping[str, Source]:
        return {name: Source(name).with_root(socket.gethostname(), root) for name, root in self.roots.items()}


def item(path: str, source: str = "shop", error: ItemError | None = None) -> Item:
    text, encoded = paths.to_text(path)
    return Item(FileFacts(source, text, 1, 1, encoded=encoded), error=error)


def file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"picture")
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, outside every source."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


SOFA, BED = item("sofas/one.jpg"), item("beds/two.jpg")


def test_a_dash_is_standard_input_even_where_a_file_has_that_name(here: Path) -> None:
    file(here / "-")
    assert resolve(Index(item("-")), "-") == StreamTarget()


def test_a_uuid_is_an_id_in_upper_case_too(here: Path) -> None:
    file(here / SOFA.id)
    for text in (SOFA.id, SOFA.id.upper()):
        assert resolve(Index(BED, SOFA), text) == IndexedTarget(SOFA)


def test_a_file_may_be_named_like_an_id_that_nothing_has(here: Path) -> None:
    path = file(here / BED.id)
    assert resolve(Index(SOFA), BED.id) == FileTarget(path)


@pytest.mark.parametrize("spelling", ["absolute", "relative", "dotted", "through a link", "detour"])
def test_a_file_below_a_root_is_its_item_however_it_is_written(here: Path, tmp_path: Path, spelling: str) -> None:
    root = tmp_path / "shop"
    path = file(root / "sofas" / "one.jpg")
    (tmp_path / "link").symlink_to(root)
    (here / "linked.jpg").symlink_to(path)
    written = {
        "absolute": str(path),
        "relative": os.path.relpath(path),
        "dotted": f"../{root.name}/./sofas/one.jpg",
        "through a link": str(tmp_path / "link" / "sofas" / "one.jpg"),
        "detour": str(here / "linked.jpg"),
    }[spelling]
    assert resolve(Index(BED, SOFA, shop=root), written) == IndexedTarget(SOFA)


def test_a_file_below_a_root_wins_over_an_equal_path_in_another_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "shop"
    file(root / "one.jpg")
    monkeypatch.chdir(root)
    mine, other = item("one.jpg"), item("one.jpg", "other")
    assert resolve(Index(other, mine, shop=root), "one.jpg") == IndexedTarget(mine)


@pytest.mark.parametrize("number", range(4))
def test_an_indexed_link_is_itself_not_what_it_leads_to(here: Path, tmp_path: Path, number: int) -> None:
    """Whichever of the two ids is the smaller."""
    original = file(tmp_path / "shop" / f"one_{number}.jpg")
    link = tmp_path / "shop" / "link.jpg"
    link.symlink_to(original)
    index = Index(item(original.name), item("link.jpg"), shop=tmp_path / "shop")
    assert resolve(index, str(link)) == IndexedTarget(item("link.jpg"))
    assert resolve(index, str(original)) == IndexedTarget(item(original.name))


def test_a_path_as_it_is_printed_names_what_is_not_utf_8(here: Path, tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"caf\xe9")
    odd = file(root / os.fsdecode(b"100% \xff.jpg"))
    mine = item(odd.name)
    index = Index(mine, shop=root)
    assert resolve(index, f"{tmp_path}/caf%E9/100%25 %FF.jpg") == IndexedTarget(mine)
    odd.unlink()
    assert resolve(index, f"{tmp_path}/caf%E9/100%25 %FF.jpg") == IndexedTarget(mine)
    file(tmp_path / "A.jpg")
    for other in ("%41.jpg", "caf%e9/100%25 %FF.jpg", "caf%E9/nothing.jpg"):
        with pytest.raises(TargetNotFound, match=re.escape(other)):
            resolve(index, f"{tmp_path}/{other}")


def test_the_innermost_of_nested_roots_has_the_file(here: Path, tmp_path: Path) -> None:
    path = file(tmp_path / "all" / "shoes" / "one.jpg")
    outer, inner = item("shoes/one.jpg", "all"), item("one.jpg", "shoes")
    index = Index(outer, inner, all=tmp_path / "all", shoes=tmp_path / "all" / "shoes")
    assert resolve(index, str(path)) == IndexedTarget(inner)
    assert resolve(Index(outer, **index.roots), str(path)) == IndexedTarget(outer)


def test_a_file_below_a_root_that_is_not_indexed_yet_is_read_and_says_so(here: Path, tmp_path: Path) -> None:
    path = file(tmp_path / "shop" / "new.jpg")
    assert resolve(Index(SOFA, shop=tmp_path / "shop"), str(path)) == FileTarget(path, "shop")


def test_a_neighbour_that_merely_begins_like_a_root_is_not_below_it(here: Path, tmp_path: Path) -> None:
    path = file(tmp_path / "shop-old" / "sofas" / "one.jpg")
    assert resolve(Index(SOFA, shop=tmp_path / "shop"), str(path)) == FileTarget(path)


def test_dots_do_not_lead_out_of_a_root_and_into_an_item(here: Path, tmp_path: Path) -> None:
    (tmp_path / "shop" / "sofas").mkdir(parents=True)
    outside = file(tmp_path / "elsewhere" / "one.jpg")
    target = resolve(Index(SOFA, shop=tmp_path / "shop"), str(tmp_path / "shop" / ".." / "elsewhere" / "one.jpg"))
    assert isinstance(target, FileTarget)
    assert target.source is None
    assert target.path.samefile(outside)


def test_an_exact_path_wins_over_names(here: Path) -> None:
    top, deep = item("one.jpg"), item("sofas/one.jpg")
    assert resolve(Index(deep, top), "one.jpg") == IndexedTarget(top)
    assert resolve(Index(deep, top), "sofas/one.jpg") == IndexedTarget(deep)


def test_an_exact_path_wins_over_a_file_elsewhere_unless_the_file_is_meant(here: Path) -> None:
    path = file(here / "sofas" / "one.jpg")
    assert resolve(Index(SOFA), "sofas/one.jpg") == IndexedTarget(SOFA)
    for written in ("./sofas/one.jpg", str(path)):
        assert resolve(Index(SOFA), written) == FileTarget(path)


def test_a_unique_name_is_enough(here: Path) -> None:
    assert resolve(Index(SOFA, BED), "two.jpg") == IndexedTarget(BED)


@pytest.mark.parametrize("text", ["one.jpg", "sofas/one.jpg"])
def test_an_ambiguous_name_lists_the_candidates(here: Path, text: str) -> None:
    several = [item("sofas/one.jpg"), item("sofas/one.jpg", "other")]
    with pytest.raises(AmbiguousTarget) as raised:
        resolve(Index(*several, BED), text)
    assert str(raised.value).splitlines()[1:] == [f"{each.id}  {each.file.source}: sofas/one.jpg" for each in several]


def test_a_bare_name_that_is_also_another_file_here_is_ambiguous(here: Path) -> None:
    path = file(here / "one.jpg")
    with pytest.raises(AmbiguousTarget, match=r"\./one\.jpg") as raised:
        resolve(Index(SOFA), "one.jpg")
    assert SOFA.id in str(raised.value)
    assert resolve(Index(SOFA), "./one.jpg") == FileTarget(path)


def test_a_source_and_a_path_name_the_item(here: Path) -> None:
    mine, other = item("sofas/one.jpg"), item("sofas/one.jpg", "other")
    odd = item(os.fsdecode(b"caf\xe9.jpg"), "other")
    index = Index(mine, other, BED, odd)
    assert resolve(index, "shop/sofas/one.jpg") == IndexedTarget(mine)
    assert resolve(index, "other/sofas/one.jpg") == IndexedTarget(other)
    assert resolve(index, "shop/beds/two.jpg") == IndexedTarget(BED)
    assert resolve(index, os.fsdecode(b"other/caf\xe9.jpg")) == IndexedTarget(odd)
    assert resolve(index, "other/caf%E9.jpg") == IndexedTarget(odd)
    composed = item("caf\u00e9.jpg", "b\u00fccher")
    assert resolve(Index(composed), "bu\u0308cher/cafe\u0301.jpg") == IndexedTarget(composed)
    for wrong in ("shop/one.jpg", "other/beds/two.jpg", "/shop/sofas/one.jpg", "./shop/sofas/one.jpg", "shop/", "shop"):
        with pytest.raises(TargetError):
            resolve(index, wrong)


@pytest.mark.parametrize("text", ["a/" * 5_000 + "b", "%2F/" * 3_000 + "b", "caf\u00e9/" * 2_000 + "b"])
def test_what_a_name_costs_does_not_grow_with_its_slashes(here: Path, text: str) -> None:
    index = Index(SOFA, BED)
    with pytest.raises(TargetNotFound):
        resolve(index, IndexedName(text))
    assert len(index.asked) < 10


@pytest.mark.parametrize("given", [str, IndexedName, lambda text: GivenPart(IndexedName(text), Region(0, 0, 9, 9))])
def test_a_name_that_no_path_can_have_is_looked_up_nowhere(given: Callable[[str], Given]) -> None:
    index = Index(SOFA, BED)
    with pytest.raises(UsageError, match="200,001 characters: a name or path has 16,384 at most"):
        resolve(index, given("a/" * 100_000 + "b"))
    assert index.asked == []


def test_a_source_and_a_path_that_are_also_something_else_are_ambiguous(here: Path) -> None:
    """Another item's path, another source's, or a file: whoever wrote one of them did not mean the others."""
    mine, whole = item("sofas/one.jpg"), item("shop/sofas/one.jpg", "all")
    with pytest.raises(AmbiguousTarget, match="SOURCE/path, or the id") as raised:
        resolve(Index(mine, whole), "shop/sofas/one.jpg")
    assert sorted(line[:36] for line in str(raised.value).splitlines()[1:]) == sorted([mine.id, whole.id])
    assert resolve(Index(mine, whole), "all/shop/sofas/one.jpg") == IndexedTarget(whole)
    path = file(here / "shop" / "sofas" / "one.jpg")
    with pytest.raises(AmbiguousTarget, match=r"write '\./shop/sofas/one\.jpg' for the file"):
        resolve(Index(mine), "shop/sofas/one.jpg")
    assert resolve(Index(mine), "./shop/sofas/one.jpg") == FileTarget(path)
    assert resolve(Index(mine, shop=here / "shop"), "shop/sofas/one.jpg") == IndexedTarget(mine)  # the same thing


def test_a_folder_of_that_name_is_no_other_file(here: Path) -> None:
    (here / "one.jpg").mkdir()
    assert resolve(Index(SOFA), "one.jpg") == IndexedTarget(SOFA)


def test_a_file_elsewhere_comes_last(here: Path) -> None:
    assert resolve(Index(SOFA), str(file(here / "mine.jpg"))) == FileTarget(here / "mine.jpg")
    assert resolve(Index(SOFA), "mine.jpg") == FileTarget(here / "mine.jpg")


def test_the_path_of_an_item_whose_file_has_gone_still_names_it(here: Path, tmp_path: Path) -> None:
    index = Index(SOFA, shop=tmp_path / "shop")
    assert resolve(index, str(tmp_path / "shop" / "sofas" / "one.jpg")) == IndexedTarget(SOFA)


def test_names_that_are_not_utf8(here: Path) -> None:
    odd, plain = item(os.fsdecode(b"caf\xe9.jpg")), item("caf%E9.jpg")
    assert odd.file.path == plain.file.path
    assert resolve(Index(plain, odd), os.fsdecode(b"caf\xe9.jpg")) == IndexedTarget(odd)
    assert resolve(Index(odd), "caf%E9.jpg") == IndexedTarget(odd)
    with pytest.raises(AmbiguousTarget):
        resolve(Index(plain, odd), "caf%E9.jpg")


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(("typed", "stored"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_name_in_unicodes_other_form_is_meant_where_none_fits_exactly(
    here: Path, tmp_path: Path, typed: str, stored: str
) -> None:
    indexed = item(f"{COMPOSED}/{stored}.jpg")
    index = Index(indexed, shop=tmp_path / "shop")
    for text in (f"{typed}.jpg", f"{typed}/{typed}.jpg", str(tmp_path / "shop" / typed / f"{typed}.jpg")):
        assert resolve(index, text) == IndexedTarget(indexed)
    file(tmp_path / "shop" / COMPOSED / f"{stored}.jpg")
    assert resolve(index, str(tmp_path / "shop" / typed / f"{typed}.jpg")) == IndexedTarget(indexed)
    exact = item(f"{typed}.jpg")
    assert resolve(Index(indexed, exact), f"{typed}.jpg") == IndexedTarget(exact)
    found = resolve(Index(), str(tmp_path / "shop" / typed / f"{typed}.jpg"))
    assert found == FileTarget(tmp_path / "shop" / COMPOSED / f"{stored}.jpg")


def test_failed_items_are_targets_and_listed_as_such(here: Path) -> None:
    failed = item("broken.jpg", error=ItemError(Reason.CORRUPT, "bad data", "2026-11-21T10:00:00Z"))
    assert resolve(Index(failed), "broken.jpg") == IndexedTarget(failed)
    with pytest.raises(TargetError, match="corrupt: bad data"):
        require_embedded(failed)
    with pytest.raises(AmbiguousTarget, match=r"\(failed\)"):
        resolve(Index(failed, item("broken.jpg", "other")), "broken.jpg")


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("", UsageError, "TARGET is empty"),
        (".", UsageError, "is a folder"),
        ("no.jpg", TargetNotFound, "nothing is indexed as 'no.jpg'"),
        ("chairs/one.jpg", TargetNotFound, "did you mean:\n" + SOFA.id),
        (item("x").id, TargetNotFound, "no item has the id"),
        ("https://example.org/a.jpg", TargetNotFound, "curl"),
        ("x" * 300 + ".jpg", TargetNotFound, "nothing is indexed"),
        ("no\x1b[31m.jpg", TargetNotFound, r"'no\\x1b\[31m.jpg'"),
    ],
)
def test_what_is_said_when_nothing_fits(here: Path, text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        resolve(Index(SOFA), text)


RUNNING = item("shoes/running-shoe_runx.jpg")


@pytest.mark.parametrize(
    "typed",
    [
        "runing-shoe_runx.jpg",
        "RUNNING-SHOE_RUNX.JPG",
        "Running-Shoe_RunX.jpg",
        "running-shoe_runx",
        "running-shoe_runx.png",
        "boots/running-shoe-runx.jpg",
        "shoe/runing-shoe_runx.jpg",
        "shop/running-shoe_runx",
        "/srv/shop/shoes/runing-shoe_runx.jpg",
        "shoes\\running-shoe_runx.jpg",
    ],
)
def test_a_mistyped_target_gets_a_suggestion_that_works(here: Path, typed: str) -> None:
    with pytest.raises(TargetNotFound) as raised:
        resolve(Index(BED, RUNNING, SOFA), typed)
    assert str(raised.value).endswith(": did you mean 'shoes/running-shoe_runx.jpg'?")
    assert resolve(Index(BED, RUNNING, SOFA), "shoes/running-shoe_runx.jpg") == IndexedTarget(RUNNING)


@pytest.mark.parametrize(
    ("path", "typed", "meant"),
    [
        ("-dash.jpg", "dash.jpg", "shop/-dash.jpg"),
        ("--help.jpg", "--hepl.jpg", "shop/--help.jpg"),
        ("it's.jpg", "its.jpg", "it's.jpg"),
        ("new\nline.jpg", "new line.jpg", "new\nline.jpg"),
        ("sp ace$HOME.jpg", "space$home.png", "sp ace$HOME.jpg"),
    ],
)
def test_a_suggestion_is_one_word_of_a_shell_and_no_option(here: Path, path: str, typed: str, meant: str) -> None:
    index = Index(item(path))
    with pytest.raises(TargetNotFound) as raised:
        resolve(index, typed)
    word = str(raised.value).rpartition("did you mean ")[2].removesuffix("?")
    read = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, text=True, check=True).stdout
    assert read == meant
    assert resolve(index, read) == IndexedTarget(index.items[0])


def test_where_two_sources_have_it_the_suggestion_names_both(here: Path) -> None:
    index = Index(RUNNING, item("shoes/running-shoe_runx.jpg", "old"))
    with pytest.raises(TargetNotFound) as raised:
        resolve(index, "running-shoe_runx")
    both = "'old/shoes/running-shoe_runx.jpg' or 'shop/shoes/running-shoe_runx.jpg'"
    assert str(raised.value).endswith(f"did you mean {both}?")
    assert resolve(index, "old/shoes/running-shoe_runx.jpg") == IndexedTarget(index.items[1])


def test_a_mistyped_file_gets_the_name_of_one_beside_it(here: Path) -> None:
    file(here / "holiday.jpg")
    file(here / "more" / "Sea side.jpg")
    for typed, meant in (
        ("holliday.jpg", "./holiday.jpg"), ("./HOLIDAY.JPG", "./holiday.jpg"),
        ("./more/seaside", "./more/Sea side.jpg"), (f"{here}/holidy.jpg", f"{here}/holiday.jpg"),
    ):  # fmt: skip
        with pytest.raises(TargetNotFound, match=re.escape(f"did you mean '{meant}'?")):
            resolve(Index(BED), typed)
        assert isinstance(resolve(Index(BED), meant), FileTarget)


def test_an_item_of_another_catalog_names_that_catalog(here: Path) -> None:
    index = Index(BED)
    index.elsewhere = {"empty": Index(), "shoes": Index(RUNNING)}
    for typed in ("running-shoe_runx.jpg", "shoes/running-shoe_runx.jpg", f"shop/{RUNNING.file.path}", RUNNING.id):
        with pytest.raises(TargetNotFound, match="in catalog 'shoes', add --catalog shoes"):
            resolve(index, typed)
    with pytest.raises(
        TargetNotFound, match=r"did you mean 'shoes/running-shoe_runx\.jpg'\? \(that is in catalog 'shoes'"
    ):
        resolve(index, "runing-shoe_runx")


def test_what_is_like_nothing_gets_no_suggestion(here: Path) -> None:
    for typed in ("elephant.jpg", "x.jpg", "one.jpeg/", "..", "a" * 4000):
        with pytest.raises((TargetNotFound, UsageError)) as raised:
            resolve(Index(BED, RUNNING), typed)
        assert "did you mean" not in str(raised.value)


def test_settling_looks_at_no_disk() -> None:
    """The order itself is pure: a file that exists nowhere is settled on as told."""
    local = Local(Path("/shop/new.jpg"), (Path("/shop/new.jpg"),), is_file=True)
    assert settle("new.jpg", Index(shop=Path("/shop")), local) == FileTarget(Path("/shop/new.jpg"), "shop")


def test_looking_survives_names_that_cannot_be(here: Path) -> None:
    (here / "loop").symlink_to("loop")
    for name in ("loop", "x" * 5000, "nul\0byte"):
        assert not look(name).is_file


# -- reading what is not in the index ---------------------------------------------------------------------------------


SMALL = Settings(max_bytes=10)


def test_standard_input_is_read_up_to_the_cap() -> None:
    assert read_picture(StreamTarget(), SMALL, io.BytesIO(b"x" * 10)) == b"x" * 10
    endless = io.BytesIO(b"x" * 1000)
    with pytest.raises(TargetError, match=r"standard input cannot be read, too-large"):
        read_picture(StreamTarget(), SMALL, endless)
    assert endless.tell() == 11


def test_nothing_on_standard_input_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)  # as after `recq similar - <&-`
    with pytest.raises(UsageError, match="standard input"):
        read_picture(StreamTarget(), SMALL)


def test_files_are_read_up_to_the_cap(tmp_path: Path) -> None:
    path = file(tmp_path / "a.jpg")
    assert read_picture(FileTarget(path), SMALL, io.BytesIO()) == b"picture"
    path.write_bytes(b"x" * 11)
    with pytest.raises(TargetError, match=r"a\.jpg' cannot be read, too-large"):
        read_picture(FileTarget(path), SMALL, io.BytesIO())
    path.unlink()
    with pytest.raises(TargetNotFound, match="deleted"):
        read_picture(FileTarget(path), SMALL, io.BytesIO())


def test_a_pipe_in_the_file_system_is_refused_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TargetError, match="not a regular file"):
        read_picture(FileTarget(tmp_path / "pipe"), SMALL, io.BytesIO())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    path = file(tmp_path / "a.jpg")
    path.chmod(0)
    with pytest.raises(TargetError, match="permission"):
        read_picture(FileTarget(path), SMALL, io.BytesIO())

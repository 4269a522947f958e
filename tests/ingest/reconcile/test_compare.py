"""Folder against index: the decision, and the pass that finds what needs one, against an index in a dictionary."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.reconcile import compare as reconcile
from ingest.reconcile.compare import Action, Reconciliation, decide
from ingest.reconcile.survivors import Survivors
from ingest.source import watched_source
from ingest.source.files import FileState
from ingest.source.ignore_files import IGNORE_FILE
from ingest.source.scan import Rules, Seen, Unreadable, look
from ingest.source.watched_source import WatchedSource
from recq import paths
from recq.errors import Reason
from recq.images.formats import FORMATS
from recq.images.revision import ALTERED, DECODER_REVISION
from recq.index.problems import ProblemKind
from recq.index.schema import FieldType, FileFacts, Item, ItemError, stored_payload
from recq.settings import DEFAULT_IGNORE
from tests.ingest.pictures import put
from tests.ingest.unreadable import CODES, unreadable

STATE = FileState(10, 5)


def item(
    path: str = "a.jpg",
    state: FileState = STATE,
    *,
    reason: Reason | None = None,
    decoder: int | None = DECODER_REVISION,
    fmt: str = "JPEG",
) -> Item:
    error = ItemError(reason, "", "2026-01-01T00:00:00+00:00") if reason else None
    facts = FileFacts(
        "s", path, state.size, state.mtime_ns, sha256=None if reason else "0" * 64, ctime_ns=state.ctime_ns,
        decoder=decoder,
    )  # fmt: skip
    if reason is None:
        facts = replace(facts, format=fmt)
    return Item(facts, {}, error).with_digest()


DIGEST = item().file.metadata_digest


@pytest.mark.parametrize(
    ("state", "known", "digest", "action"),
    [
        (None, None, "", Action.NOTHING),
        (None, item(), "", Action.DELETE),
        (STATE, None, DIGEST, Action.EMBED),
        (STATE, item(), DIGEST, Action.NOTHING),
        (STATE, item(), "other", Action.METADATA),
        (FileState(11, 5), item(), DIGEST, Action.EMBED),
        (FileState(10, 6), item(), DIGEST, Action.EMBED),
        (FileState(10, 6), item(), "other", Action.EMBED),
        (STATE, item(reason=Reason.TRUNCATED), DIGEST, Action.NOTHING),
        (STATE, item(reason=Reason.TRUNCATED), "other", Action.METADATA),
        (FileState(10, 6), item(reason=Reason.TRUNCATED), DIGEST, Action.EMBED),
        (STATE, item(reason=Reason.PERMISSION), DIGEST, Action.NOTHING),
    ],
)
def test_decide(state: FileState | None, known: Item | None, digest: str, action: Action) -> None:
    assert decide(state, known, lambda: known is not None and known.file.metadata_digest == digest) is action


def touched(ctime_ns: int | None) -> FileState:
    return replace(STATE, ctime_ns=ctime_ns)


@pytest.mark.parametrize(
    ("state", "known", "described", "action"),
    [
        (touched(2), item(state=touched(1)), True, Action.COMPARE),
        (touched(2), item(state=touched(1)), False, Action.COMPARE),  # its bytes first
        (touched(1), item(state=touched(2)), True, Action.COMPARE),  # a clock that was set back
        (touched(1), item(state=touched(1)), True, Action.NOTHING),
        (touched(1), item(state=touched(1)), False, Action.METADATA),
        (touched(1), item(), True, Action.NOTHING),  # an older recq wrote it
        (touched(None), item(state=touched(1)), True, Action.NOTHING),  # it is polled now
        (FileState(10, 6, 1), item(state=touched(1)), True, Action.EMBED),
        (touched(2), item(state=touched(1), reason=Reason.PERMISSION), True, Action.EMBED),
        (touched(1), item(state=touched(1), reason=Reason.PERMISSION), True, Action.NOTHING),
    ],
)
def test_a_ctime_that_alone_differs_asks_for_the_bytes(
    state: FileState, known: Item, described: bool, action: Action
) -> None:
    assert decide(state, known, lambda: described) is action


def test_a_retry_embeds_what_failed_and_nothing_else() -> None:
    described = lambda: True  # noqa: E731
    assert decide(STATE, item(reason=Reason.PERMISSION), described, retry=True) is Action.EMBED
    assert decide(STATE, item(reason=Reason.CORRUPT), described, retry=True) is Action.EMBED
    assert decide(STATE, item(), described, retry=True) is Action.NOTHING


class TestAnotherDecoder:
    """What an older decoder made is decoded again where this one may make something else."""

    def decided(self, known: Item) -> Action:
        return decide(STATE, known, lambda: True)

    @pytest.mark.parametrize("decoder", [None, 0])
    def test_pictures_of_a_format_that_was_altered(self, decoder: int | None) -> None:
        assert self.decided(item(decoder=decoder, fmt="TIFF")) is Action.EMBED
        assert self.decided(item(decoder=DECODER_REVISION, fmt="TIFF")) is Action.NOTHING

    def test_a_later_revision_decodes_only_what_it_altered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(ALTERED, DECODER_REVISION + 1, frozenset({"AVIF"}))
        assert self.decided(item(fmt="AVIF")) is Action.EMBED
        assert self.decided(item(fmt="TIFF")) is Action.NOTHING
        assert self.decided(item(fmt="AVIF", decoder=DECODER_REVISION + 1)) is Action.NOTHING

    def test_a_newer_recq_s_items_are_left_alone(self) -> None:
        assert self.decided(item(decoder=DECODER_REVISION + 5)) is Action.NOTHING
        assert self.decided(item(decoder=DECODER_REVISION + 5, reason=Reason.CORRUPT)) is Action.NOTHING

    @pytest.mark.parametrize("reason", Reason)
    def test_failures_that_a_decoder_has_a_part_in(self, reason: Reason) -> None:
        another = reason in (Reason.EMPTY, Reason.PERMISSION, Reason.IO_ERROR, Reason.INFERENCE, Reason.REFUSED)
        assert self.decided(item(decoder=None, reason=reason)) is (Action.NOTHING if another else Action.EMBED)
        assert self.decided(item(reason=reason)) is Action.NOTHING

    def test_every_format_that_is_altered_is_one(self) -> None:
        assert max(ALTERED) == DECODER_REVISION
        assert all(formats <= set(FORMATS) for formats in ALTERED.values())


class Ledger:
    """An index in memory that counts what it is asked."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.scans = 0
        self.largest_page = 0

    def add(
        self, root: Path, path: str, *, metadata: Mapping[str, str] | None = None, error: ItemError | None = None
    ) -> None:
        status = (root / path).stat()
        digest = None if error else hashlib.sha256((root / path).read_bytes()).hexdigest()
        facts = FileFacts("s", path, status.st_size, status.st_mtime_ns, sha256=digest, decoder=DECODER_REVISION)
        entry = Item(facts, dict(metadata or {}), error).with_digest()
        self.items[entry.id] = entry

    def keep_ctimes(self, root: Path) -> None:
        """As if all had been written by a daemon that keeps them."""
        for each in list(self.items.values()):
            ctime_ns = (root / each.file.path).stat().st_ctime_ns
            self.items[each.id] = replace(each, file=replace(each.file, ctime_ns=ctime_ns))

    def holders(self, digests: Collection[str], **_: object) -> Iterator[Item]:
        yield from [each for each in self.items.values() if each.file.sha256 in digests]

    def known(self, ids: Sequence[str]) -> Mapping[str, Item]:
        self.largest_page = max(self.largest_page, len(ids))
        return {each: self.items[each] for each in ids if each in self.items}

    def get_many(self, ids: Sequence[str]) -> Mapping[str, Item]:
        return self.known(ids)

    def scan(self, source: str) -> Iterator[Item]:
        self.scans += 1
        yield from [replace(each, metadata={}) for each in self.items.values() if each.file.source == source]

    def size(self, source: str) -> int:
        return len(self.items)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    for number, name in enumerate(("a.jpg", "sub/b.jpg", "sub/deep/c.jpg")):
        put(folder / name, number)
    return folder


def watched_at(root: Path, ignore: Sequence[str] = DEFAULT_IGNORE) -> WatchedSource:
    return WatchedSource("s", root, table_path=None, types=dict, say=lambda path, message: None, ignore=ignore)


def compared(watched: WatchedSource, ledger: Ledger) -> tuple[dict[str, str], Reconciliation]:
    reconciliation = Reconciliation(watched, ledger)
    found = {
        each.path: "gone" if each.state is None else "known" if each.known else "new"
        for each in reconciliation.differences()
    }
    assert len(found) == reconciliation.differing
    return found, reconciliation


def stocked(root: Path) -> Ledger:
    ledger = Ledger()
    ledger.add(root, "a.jpg")
    ledger.add(root, "sub/b.jpg", metadata={"category": "sub"})
    ledger.add(root, "sub/deep/c.jpg", metadata={"category": "sub"})
    return ledger


def test_an_empty_index_needs_everything(root: Path) -> None:
    found, reconciliation = compared(watched_at(root), Ledger())
    assert found == {"a.jpg": "new", "sub/b.jpg": "new", "sub/deep/c.jpg": "new"}
    assert (reconciliation.items, reconciliation.held) == (3, 0)


def test_nothing_changed_needs_nothing_and_no_second_pass(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "notes.txt").write_text("not a picture")
    ledger, watched = stocked(root), watched_at(root)
    assert compared(watched, ledger)[0] == {}
    assert ledger.scans == 0
    monkeypatch.setattr(watched_source, "holds_image", lambda *_: pytest.fail("bytes were read"))
    assert compared(watched, ledger)[0] == {}  # not even those of the file that is passed over
    assert len(watched.ignored) == 1


def test_changed_gone_and_redescribed(root: Path) -> None:
    ledger = stocked(root)
    put(root / "a.jpg", 99)
    os.utime(root / "a.jpg", ns=(1, 1))
    (root / "sub/b.jpg").unlink()
    (root / "sub/deep/c.jpg.json").write_text('{"price": 3}')
    put(root / "d.jpg", 4)
    found, _ = compared(watched_at(root), ledger)
    assert found == {"a.jpg": "known", "d.jpg": "new", "sub/deep/c.jpg": "known", "sub/b.jpg": "gone"}
    assert list(found)[-1] == "sub/b.jpg"  # last, so that a move finds the vector


def test_a_file_that_is_now_ignored_has_gone(root: Path) -> None:
    ledger = stocked(root)
    ledger.add(root, "a.jpg")
    reconciliation = Reconciliation(watched_at(root, ignore=["a.jpg"]), ledger)
    assert [(each.path, each.state) for each in reconciliation.differences()] == [("a.jpg", None)]


def test_a_file_without_an_extension_that_holds_no_picture_any_more_has_gone(root: Path) -> None:
    for name in ("emptied", "text", "same"):
        put(root / name, 7)
    ledger = stocked(root)
    for name in ("emptied", "text", "same"):
        ledger.add(root, name)
    (root / "emptied").write_bytes(b"")
    (root / "text").write_text("not a picture")
    watched = watched_at(root)
    for _ in range(2):  # also when it has been passed over before
        assert compared(watched, ledger)[0] == {"emptied": "gone", "text": "gone"}


def test_a_vanished_or_emptied_root_deletes_nothing(root: Path, tmp_path: Path) -> None:
    ledger, watched = stocked(root), watched_at(root)
    root.rename(tmp_path / "elsewhere")
    found, reconciliation = compared(watched, ledger)
    assert (found, reconciliation.held) == ({}, 3)
    root.mkdir()
    found, reconciliation = compared(watched, ledger)
    assert (found, reconciliation.held) == ({}, 3)
    put(root / "a.jpg", 0)
    found, reconciliation = compared(watched, ledger)
    assert reconciliation.held == 0
    assert {"sub/b.jpg": "gone", "sub/deep/c.jpg": "gone"}.items() <= found.items()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_what_lies_in_an_unreadable_folder_stays(root: Path) -> None:
    ledger = stocked(root)
    (root / "sub").chmod(0)
    try:
        found, reconciliation = compared(watched_at(root), ledger)
    finally:
        (root / "sub").chmod(0o755)
    assert found == {}
    assert [each.path for each in reconciliation.unreadable] == ["sub"]


def test_what_lies_in_a_folder_that_cannot_be_listed_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, for tests that run as root."""
    ledger, scandir = stocked(root), os.scandir

    def refusing(folder: Path) -> object:
        if folder.name == "sub":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr("ingest.source.scan.os.scandir", refusing)
    found, reconciliation = compared(watched_at(root), ledger)
    assert found == {}
    assert [(each.path, each.reason) for each in reconciliation.unreadable] == [("sub", "Permission denied")]


def test_pages_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "PAGE", 7)
    for number in range(40):
        put(tmp_path / f"{number % 5}/{number}.jpg", 1)
    ledger = Ledger()
    assert len(compared(watched_at(tmp_path), ledger)[0]) == 40
    assert ledger.largest_page == 7


def test_rows_that_name_no_file_are_said_once_and_cleared(root: Path) -> None:
    said: list[tuple[str, str]] = []
    watched = WatchedSource(
        "s",
        root,
        table_path=None,
        types=dict,
        say=lambda path, message: said.append((path, message)),
        ignore=DEFAULT_IGNORE,
    )
    (root / "notes.txt").write_text("there, but no picture")
    table = root / "metadata.csv"
    table.write_text("file,price\na.jpg,1\nnotes.txt,1\nsub/b.jpg,2\ntypo.jpg,3\nsub/typo.jpg,4\nA.jpg,5\n")
    watched.load_tables()
    for _ in range(2):
        compared(watched, Ledger())
    message = "metadata.csv: 3 rows name no file (first: line 5, 'typo.jpg')"
    assert said == [("metadata.csv", message)]
    assert [(problem.line, problem.detail) for problem in watched.own_problems()] == [
        (5, "metadata.csv:5: 'typo.jpg' names no file"),
        (6, "metadata.csv:6: 'sub/typo.jpg' names no file"),
        (7, "metadata.csv:7: 'A.jpg' names no file"),
    ]
    put(root / "typo.jpg", 9)
    put(root / "A.jpg", 10)
    compared(watched, Ledger())
    assert [problem.line for problem in watched.own_problems()] == [6]
    table.write_text("file,price\na.jpg,1\n")
    watched.note_table("metadata.csv")
    watched.load_tables()
    compared(watched, Ledger())
    assert watched.own_problems() == []
    assert len(said) == 2


def test_rows_of_a_vanished_root_are_no_typos(root: Path, tmp_path: Path) -> None:
    (root / "metadata.csv").write_text("file,price\na.jpg,1\n")
    ledger, watched = stocked(root), watched_at(root)
    watched.load_tables()
    root.rename(tmp_path / "elsewhere")
    compared(watched, ledger)
    compared(watched, Ledger())
    assert watched.own_problems() == []


def many(root: Path, count: int) -> Ledger:
    """A folder of so many pictures, all indexed."""
    ledger = Ledger()
    for number in range(count):
        put(root / f"{number}.jpg", number)
        ledger.add(root, f"{number}.jpg")
    return ledger


def decided(watched: WatchedSource, ledger: Ledger, confirmed: int | None = None) -> tuple[set[str], Reconciliation]:
    """What is handed over as gone, once what is new has been indexed."""
    reconciliation = Reconciliation(watched, ledger, confirmed=confirmed)
    found = [each for each in reconciliation.differences() if each.state is None]
    if reconciliation.undecided:
        assert not found
        for path in (each.path for each in Reconciliation(watched, ledger).differences() if each.state):
            ledger.add(watched.root, path)
        found = list(reconciliation.decided(Survivors(ledger, {"s": watched})))
    return {each.path for each in found}, reconciliation


@pytest.mark.parametrize(("lost", "held"), [(20, 0), (25, 0), (26, 26), (49, 49)])
def test_more_than_half_of_a_source_is_held(tmp_path: Path, lost: int, held: int) -> None:
    ledger, watched = many(tmp_path, 50), watched_at(tmp_path)
    for number in range(lost):
        (tmp_path / f"{number}.jpg").unlink()
    found, reconciliation = decided(watched, ledger)
    assert (len(found), reconciliation.held) == (lost - held, held)


def test_twenty_of_a_small_source_may_go(tmp_path: Path) -> None:
    ledger, watched = many(tmp_path, 22), watched_at(tmp_path)
    for number in range(20):
        (tmp_path / f"{number}.jpg").unlink()
    assert len(decided(watched, ledger)[0]) == 20


def test_a_folder_that_moved_is_not_held(tmp_path: Path) -> None:
    ledger, watched = many(tmp_path, 50), watched_at(tmp_path)
    (tmp_path / "moved").mkdir()
    for number in range(45):
        (tmp_path / f"{number}.jpg").rename(tmp_path / f"moved/{number}.jpg")
    found, reconciliation = decided(watched, ledger)
    assert (len(found), reconciliation.held, reconciliation.undecided) == (45, 0, True)


def test_what_moved_goes_although_the_rest_is_held(tmp_path: Path) -> None:
    ledger, watched = many(tmp_path, 80), watched_at(tmp_path)
    (tmp_path / "moved").mkdir()
    for number in range(30):
        (tmp_path / f"{number}.jpg").rename(tmp_path / f"moved/{number}.jpg")
    for number in range(30, 75):
        (tmp_path / f"{number}.jpg").unlink()
    found, reconciliation = decided(watched, ledger)
    assert found == {f"{number}.jpg" for number in range(30)}
    assert reconciliation.held == 45


def test_items_that_had_failed_are_no_loss(tmp_path: Path) -> None:
    ledger, watched = many(tmp_path, 4), watched_at(tmp_path)
    error = ItemError(Reason.CORRUPT, "", "2026-01-01T00:00:00+00:00")
    for number in range(100, 140):
        put(tmp_path / f"{number}.jpg", number)
        ledger.add(tmp_path, f"{number}.jpg", error=error)
        (tmp_path / f"{number}.jpg").unlink()
    found, reconciliation = decided(watched, ledger)
    assert (len(found), reconciliation.held) == (40, 0)


def test_confirmed_deletions_are_made_and_not_many_more(tmp_path: Path) -> None:
    ledger, watched = many(tmp_path, 100), watched_at(tmp_path)
    for number in range(60):
        (tmp_path / f"{number}.jpg").unlink()
    assert decided(watched, ledger)[1].held == 60
    assert len(decided(watched, ledger, confirmed=60)[0]) == 60
    for number in range(60, 95):  # the disk went away after somebody had confirmed
        (tmp_path / f"{number}.jpg").unlink()
    found, reconciliation = decided(watched, ledger, confirmed=60)
    assert (found, reconciliation.held) == (set(), 95)


def test_an_emptied_root_may_be_confirmed_a_vanished_one_not(root: Path, tmp_path: Path) -> None:
    ledger, watched = stocked(root), watched_at(root)
    for file in root.rglob("*.jpg"):
        file.unlink()
    assert decided(watched, ledger)[1].held == 3
    assert len(decided(watched, ledger, confirmed=3)[0]) == 3
    root.rename(tmp_path / "elsewhere")
    assert decided(watched, ledger, confirmed=3)[1].held == 3


def test_verify_finds_bytes_that_changed_in_silence(root: Path) -> None:
    ledger, watched = stocked(root), watched_at(root)
    state = (root / "a.jpg").stat()
    (root / "a.jpg").write_bytes((root / "a.jpg").read_bytes()[:-1] + b"!")
    os.utime(root / "a.jpg", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert compared(watched, ledger)[0] == {}
    (found,) = Reconciliation(watched, ledger, verify=True).differences()
    assert (found.path, found.action, found.altered) == ("a.jpg", Action.EMBED, True)


@pytest.mark.parametrize(
    ("error", "first", "retry"),
    [
        (ItemError(Reason.CORRUPT, "", "2026-01-01T00:00:00+00:00"), True, False),
        (ItemError(Reason.CORRUPT, "", "2026-01-01T00:00:00+00:00", retry=True), False, True),
        (ItemError(Reason.IO_ERROR, "", "2026-01-01T00:00:00+00:00", attempts=99), False, True),
        (ItemError(Reason.IO_ERROR, "", datetime.now(UTC).isoformat(), attempts=99), False, False),
        (ItemError(Reason.IO_ERROR, "", datetime.now(UTC).isoformat(), attempts=99), True, True),
    ],
)
def test_which_failures_a_reconcile_tries_again(root: Path, error: ItemError, first: bool, retry: bool) -> None:
    ledger = stocked(root)
    ledger.add(root, "a.jpg", error=error)
    found = list(Reconciliation(watched_at(root), ledger, first=first).differences())
    assert [(each.path, each.retry) for each in found] == ([("a.jpg", True)] if retry else [])


def test_no_sidecar_is_read_that_is_as_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a.jpg.json").write_text('{"price": 3}')
    ledger, watched = stocked(root), watched_at(root)
    known = ledger.items[paths.item_id("s", "a.jpg", False)]
    ledger.items[known.id] = replace(known, file=replace(known.file, metadata_digest=watched.describe("a.jpg").digest))
    monkeypatch.setattr("ingest.source.own_sources._read", lambda _: pytest.fail("it was read"))
    assert compared(watched, ledger)[0] == {}
    monkeypatch.undo()
    (root / "a.jpg.json").write_text('{"price": 4444}')
    assert compared(watched, ledger)[0] == {"a.jpg": "known"}


def test_a_file_replaced_with_size_and_time_kept_is_found_between_runs(root: Path) -> None:
    ledger = stocked(root)
    ledger.keep_ctimes(root)
    assert compared(watched_at(root), ledger)[0] == {}
    data, status = (root / "a.jpg").read_bytes(), (root / "a.jpg").stat()
    (root / "a.jpg").write_bytes(bytes(reversed(data)))
    os.utime(root / "a.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    (found,) = Reconciliation(watched_at(root), ledger).differences()
    assert (found.path, found.action) == ("a.jpg", Action.COMPARE)


def test_where_the_folder_is_polled_no_ctime_is_looked_at(root: Path) -> None:
    """Network file systems make it up, some anew for each look."""
    ledger = stocked(root)
    ledger.keep_ctimes(root)
    (root / "a.jpg").chmod(0o600)
    polled = WatchedSource(
        "s",
        root,
        table_path=None,
        types=dict,
        say=lambda *_: None,
        tells_ctime=lambda _: False,
        ignore=DEFAULT_IGNORE,
    )
    kept: dict[str, int] = {}
    reconciliation = Reconciliation(polled, ledger, keep=kept.update)
    assert list(reconciliation.differences()) == []
    assert kept == {}
    seen = polled.look("a.jpg")
    assert seen is not None
    assert seen.state.ctime_ns is None
    assert all(each.state.ctime_ns is None for each in polled.walk() if isinstance(each, Seen))


def test_items_of_an_older_recq_get_their_ctime_without_being_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their bytes are believed to be the known ones, as size and time say; from then on a change is noticed."""
    monkeypatch.setattr(reconcile, "sha256_of", lambda *_: pytest.fail("bytes were read"))
    ledger = stocked(root)
    kept: dict[str, int] = {}
    reconciliation = Reconciliation(watched_at(root), ledger, keep=kept.update)
    assert list(reconciliation.differences()) == []
    assert kept == {each.id: (root / each.file.path).stat().st_ctime_ns for each in ledger.items.values()}


@pytest.mark.parametrize("way", ["its target is written", "its target is exchanged", "it leads elsewhere"])
def test_a_link_whose_target_changed_is_found(root: Path, way: str) -> None:
    """No event tells of it: the link itself was not touched, or lies in another folder than what was."""
    (root / "link.jpg").symlink_to(root / "sub/b.jpg")
    ledger = stocked(root)
    ledger.add(root, "link.jpg")
    ledger.keep_ctimes(root)
    assert compared(watched_at(root), ledger)[0] == {}
    if way == "its target is written":
        put(root / "sub/b.jpg", 7)
    elif way == "its target is exchanged":
        put(root.parent / "new.jpg", 7).replace(root / "sub/b.jpg")
    else:
        (root / "link.jpg").unlink()
        (root / "link.jpg").symlink_to("sub/deep/c.jpg")
    found = {each.path: each.action for each in Reconciliation(watched_at(root), ledger).differences()}
    assert found.pop("link.jpg") in (Action.EMBED, Action.COMPARE)
    assert set(found) <= {"sub/b.jpg"}


@pytest.mark.parametrize("keeps_time", [True, False])
def test_a_picture_written_through_its_name_outside_is_found(root: Path, tmp_path: Path, keeps_time: bool) -> None:
    """A hard link: the kernel tells the watcher of the other name's folder, which nobody watches."""
    outside = tmp_path / "outside.jpg"
    os.link(root / "a.jpg", outside)
    ledger = stocked(root)
    ledger.keep_ctimes(root)
    status = outside.stat()
    with outside.open("r+b") as file:
        file.write(b"\xff\xd8\xff\xe1")
    if keeps_time:
        os.utime(outside, ns=(status.st_atime_ns, status.st_mtime_ns))
    (found,) = Reconciliation(watched_at(root), ledger).differences()
    assert (found.path, found.action) == ("a.jpg", Action.COMPARE if keeps_time else Action.EMBED)


def test_a_file_without_an_extension_whose_bytes_were_exchanged_in_silence_is_read_again(root: Path) -> None:
    (root / "a.jpg").rename(root / "noext")
    ledger = Ledger()
    ledger.add(root, "noext")
    ledger.keep_ctimes(root)
    (root / "sub/b.jpg").unlink()
    (root / "sub/deep/c.jpg").unlink()
    assert compared(watched_at(root), ledger)[0] == {}
    status = (root / "noext").stat()
    (root / "noext").write_bytes(bytes(status.st_size))
    os.utime(root / "noext", ns=(status.st_atime_ns, status.st_mtime_ns))
    put(root / "other.jpg", 9)  # so that the folder does not seem unmounted
    assert compared(watched_at(root), ledger)[0] == {"other.jpg": "new", "noext": "gone"}


@pytest.fixture
def unnamed(tmp_path: Path) -> tuple[WatchedSource, Ledger]:
    """A source of 60 pictures without an extension, all indexed."""
    ledger = Ledger()
    for number in range(60):
        put(tmp_path / f"photo{number}", number)
        ledger.add(tmp_path, f"photo{number}")
    ledger.keep_ctimes(tmp_path)
    return watched_at(tmp_path), ledger


class TestIgnoredEntries:
    """Folders that a rule ignores are counted; nobody asks where a link that one ignores leads."""

    @pytest.mark.parametrize(
        "leads",
        ["a" * 300, "itself", "nothing", "{outside}", "/dev/null", "/proc/self/mem/below"],
        ids=["a name that is too long", "itself", "nowhere", "a folder", "a device", "below a file"],
    )
    @pytest.mark.parametrize("name", [".hidden", "ruled", "itself"])
    def test_a_link_is_not_followed(self, root: Path, monkeypatch: pytest.MonkeyPatch, name: str, leads: str) -> None:
        outside = put(root.parent / "outside/x.jpg", 9).parent
        for folder in ("", "sub"):
            (root / folder / name).symlink_to(leads.format(outside=outside))
        (root / IGNORE_FILE).write_text("ruled\nitself\n")
        followed, stat = list[str](), os.stat

        def noting(path: Any, *rest: Any, follow_symlinks: bool = True, **named: Any) -> os.stat_result:
            if follow_symlinks and not isinstance(path, int):
                followed.append(os.fspath(path))
            return stat(path, *rest, follow_symlinks=follow_symlinks, **named)

        monkeypatch.setattr(os, "stat", noting)
        watched = watched_at(root)
        found, reconciliation = compared(watched, Ledger())
        assert sorted(found) == ["a.jpg", "sub/b.jpg", "sub/deep/c.jpg"]
        assert reconciliation.unreadable == []
        assert not [path for path in followed if path.endswith(name)]
        assert skipped_in(watched) == []

    def test_folders_are_counted_by_rule(self, root: Path) -> None:
        for folder in (".cache", "sub/.cache", "ruled"):
            put(root / folder / "x.jpg", 9)
        (root / IGNORE_FILE).write_text("/ruled\n")
        (root / ".link").symlink_to(root / "sub")
        watched = watched_at(root)
        compared(watched, Ledger())
        assert skipped_in(watched) == [(".cache", 1), ("ruled", 1), ("sub/.cache", 1)]


def skipped_in(watched: WatchedSource) -> list[tuple[str | None, int]]:
    """The first of what each rule ignores in a folder, and how many."""
    problems = (each for each in watched.own_problems() if each.kind is ProblemKind.IGNORED)
    return sorted((each.path, each.count) for each in problems)


class TestUnreadable:
    """A file whose name does not tell what it is, and which cannot be read, is none that holds no image."""

    @pytest.mark.parametrize("code", CODES)
    def test_an_item_stays_and_counts_as_met(self, unnamed: tuple[WatchedSource, Ledger], code: int) -> None:
        watched, ledger = unnamed
        for number in range(60):
            (watched.root / f"photo{number}").chmod(0o600)
        with unreadable("", code):
            reconciliation = Reconciliation(watched, ledger)
            found = list(reconciliation.differences())
            assert {each.action for each in found} == {Action.COMPARE}, "as one with an image's name"
            assert len(found) == reconciliation.items == 60
            assert list(reconciliation.gone()) == []
        assert (ledger.scans, len(watched.ignored)) == (1, 0), "only this test looked for what has gone"

    @pytest.mark.parametrize("code", CODES)
    def test_a_new_one_is_found_when_the_error_has_passed(self, root: Path, code: int) -> None:
        ledger, watched = stocked(root), watched_at(root)
        put(root / "photo", 7)
        with unreadable("photo", code):
            assert compared(watched, ledger)[0] == {}
        assert len(watched.ignored) == 0
        assert compared(watched, ledger)[0] == {"photo": "new"}

    def test_one_that_was_not_met_stays(self, root: Path) -> None:
        """It came, or was exchanged, after the walk."""
        ledger, watched = stocked(root), watched_at(root)
        ledger.add(root, "a.jpg")
        put(root / "photo", 7)
        ledger.add(root, "photo")
        os.utime(root / "photo", ns=(1, 1))
        with unreadable("photo", errno.EIO):
            assert list(Reconciliation(watched, ledger).gone()) == []


class TestSurvivors:
    """The file of an item that goes may stand: its bytes do not."""

    def test_pictures_that_are_overwritten_are_lost(self, unnamed: tuple[WatchedSource, Ledger]) -> None:
        watched, ledger = unnamed
        for number in range(40):
            (watched.root / f"photo{number}").write_text(f"no picture {number}")
        found, reconciliation = decided(watched, ledger)
        assert (found, reconciliation.held) == (set(), 40)
        put(watched.root / "copies/0.jpg", 0)
        ledger.add(watched.root, "copies/0.jpg")
        found, reconciliation = decided(watched, ledger)
        assert (found, reconciliation.held) == ({"photo0"}, 39), "of that one a copy stands"

    @pytest.mark.parametrize("spoil", ["text", "nothing", "unreadable", "a link to a folder above"])
    def test_what_is_no_item_any_more_has_no_bytes(self, tmp_path: Path, spoil: str) -> None:
        ledger, watched = Ledger(), watched_at(tmp_path)
        for place in ("one/photo", "two/photo"):  # copies that go together do not spare each other
            put(tmp_path / place, 1)
            ledger.add(tmp_path, place)
        (digest,) = {each.file.sha256 for each in ledger.items.values() if each.file.sha256}

        def survives() -> bool:
            return bool(Survivors(ledger, {"s": watched}, "s").among({digest}))

        assert survives()
        for folder in (tmp_path / "one", tmp_path / "two"):
            if spoil == "text":
                (folder / "photo").write_text("no picture")
            elif spoil == "nothing":
                (folder / "photo").unlink()
            elif spoil != "unreadable":
                away = folder.rename(tmp_path.parent / f"{tmp_path.name} {folder.name}")
                folder.symlink_to(away)
        with unreadable("photo" if spoil == "unreadable" else "no such file", errno.EIO):
            assert not survives(), "what cannot be read counts as lost, so that more is held"


class TestNotListed:
    """An item that no walk meets has gone, whatever the disk says of its name."""

    def test_behind_a_link_to_a_folder(self, root: Path, tmp_path: Path) -> None:
        ledger, watched = stocked(root), watched_at(root)
        (root / "sub/deep").rename(tmp_path / "away")
        (root / "sub/deep").symlink_to(tmp_path / "away")
        assert compared(watched, ledger)[0] == {"sub/deep/c.jpg": "gone"}

    def test_many_of_them_are_held(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        ledger = Ledger()
        for number in range(40):
            put(root / f"2023/{number}.jpg", number)
            ledger.add(root, f"2023/{number}.jpg")
        put(root / "a.jpg", 99)
        ledger.add(root, "a.jpg")
        (root / "2023").rename(tmp_path / "away")
        (root / "2023").symlink_to(tmp_path / "away")
        found, reconciliation = decided(watched_at(root), ledger)
        assert (found, reconciliation.held) == (set(), 40)
        assert len(decided(watched_at(root), ledger, confirmed=40)[0]) == 40

    def test_of_a_name_in_another_case(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A disk that takes both finds the file under either."""
        caseless(monkeypatch)
        ledger, watched = stocked(root), watched_at(root)
        (root / "a.jpg").rename(root / "A.jpg")
        assert compared(watched, ledger)[0] == {"A.jpg": "new", "a.jpg": "gone"}
        assert watched.look("a.jpg") is None, "whoever looks at it once more does not find it either"
        ledger.add(root, "A.jpg")
        del ledger.items[paths.item_id("s", "a.jpg", False)]
        assert compared(watched, ledger)[0] == {}
        (root / "A.jpg").rename(root / "a.jpg")
        assert compared(watched, ledger)[0] == {"a.jpg": "new", "A.jpg": "gone"}

    def test_a_file_that_comes_after_the_walk_stays(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        caseless(monkeypatch)
        ledger, watched = stocked(root), watched_at(root)
        reconciliation = Reconciliation(watched, ledger)
        found = reconciliation.differences()
        walk = watched.walk

        def walking(below: str = "") -> Iterator[Seen | Unreadable]:
            yield from walk(below)
            put(root / "late.jpg", 9)
            ledger.add(root, "late.jpg")

        monkeypatch.setattr(watched, "walk", walking)
        assert list(found) == []
        assert ledger.scans == 1

    def test_what_was_met_is_not_looked_for_in_a_listing(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ledger, watched = stocked(root), watched_at(root)
        (root / "a.jpg").unlink()
        monkeypatch.setattr(watched, "look_listed", lambda path: watched.look(path) and pytest.fail(path))
        assert compared(watched, ledger)[0] == {"a.jpg": "gone"}


def caseless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that finds a file in upper and in lower case, and lists it in one of them."""

    def looking(path: str, rules: Rules) -> Seen | None:
        folder = (rules.root / path).parent
        listed = [each.name for each in folder.iterdir()] if folder.is_dir() else []
        name = next((each for each in listed if each.casefold() == path.rpartition("/")[2].casefold()), None)
        return None if name is None else look(f"{path.rpartition('/')[0]}/{name}".lstrip("/"), rules)

    monkeypatch.setattr(watched_source, "look", looking)


def test_files_that_are_passed_over_are_bounded_while_they_are_met(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_source, "_MOST_IGNORED", 3)
    for number in range(20):
        (root / f"{number}.txt").write_text("not a picture")
    watched = watched_at(root)
    reconciliation = Reconciliation(watched, stocked(root))
    assert list(reconciliation.differences()) == []
    assert len(watched.ignored) == 20
    assert len(reconciliation._ignored._files) == 3


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("2024-01-31 12:00:00", FieldType.DATE),
        ("2024-01-31T12:00:00+02:00", FieldType.DATE),
        ("u\u0308ber", FieldType.STRING),
        ("\u00fcber", FieldType.STRING),
        ("7", FieldType.INTEGER),
    ],
)
def test_what_an_item_keeps_is_no_change_of_it(root: Path, row: str, kind: FieldType) -> None:
    """Or each comparison would write all items whose loss is held, and ask for the next one."""
    types = {"told": kind, "title": FieldType.STRING, "name": FieldType.STRING}
    watched = WatchedSource("s", root, table_path=None, types=lambda: types, say=lambda *_: None, ignore=DEFAULT_IGNORE)
    ledger = stocked(root)
    (root / "metadata.csv").write_text(f"file,told,title\na.jpg,{row},T\n", "utf-8")
    watched.load_tables()
    item_id = paths.item_id("s", "a.jpg", False)
    described = replace(ledger.items[item_id], metadata=watched.describe("a.jpg").metadata)
    ledger.items[item_id] = Item.from_payload(stored_payload(described, types))
    (root / "metadata.csv").write_text(f"file,told\na.jpg,{row}\n", "utf-8")
    watched.note_table("metadata.csv")
    watched.load_tables()
    watched.losses.decide = lambda losing, *, blind: False  # type: ignore[method-assign]
    held = Reconciliation(watched, ledger)
    assert list(held.differences()) == []
    assert (held.losing, held.held_metadata is None) == (1, False)
    (root / "metadata.csv").write_text(f"file,told,name\na.jpg,{row},N\n", "utf-8")
    watched.note_table("metadata.csv")
    watched.load_tables()
    (changed,) = Reconciliation(watched, ledger).differences()
    assert (changed.path, changed.action) == ("a.jpg", Action.METADATA)

"""Folder against index: the decision, and the pass that finds what needs one, against an index in a dictionary."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest import reconcile
from ingest.files import FileState
from ingest.reconcile import Action, Reconciliation, decide
from ingest.scan import Rules
from ingest.survivors import Survivors
from ingest.watched import Watched
from recq import paths
from recq.errors import Reason
from recq.index.schema import FileFacts, Item, ItemError
from recq.settings import DEFAULT_IGNORE
from tests.ingest.pictures import put

STATE = FileState(10, 5)
RULES = Rules(DEFAULT_IGNORE)


def item(path: str = "a.jpg", state: FileState = STATE, *, reason: Reason | None = None) -> Item:
    error = ItemError(reason, "", "2026-01-01T00:00:00+00:00") if reason else None
    facts = FileFacts("s", path, state.size, state.mtime_ns, sha256=None if reason else "0" * 64)
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


def test_a_retry_embeds_what_failed_and_nothing_else() -> None:
    described = lambda: True  # noqa: E731
    assert decide(STATE, item(reason=Reason.PERMISSION), described, retry=True) is Action.EMBED
    assert decide(STATE, item(reason=Reason.CORRUPT), described, retry=True) is Action.EMBED
    assert decide(STATE, item(), described, retry=True) is Action.NOTHING


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
        facts = FileFacts("s", path, status.st_size, status.st_mtime_ns, sha256=digest)
        entry = Item(facts, dict(metadata or {}), error).with_digest()
        self.items[entry.id] = entry

    def holders(self, digests: Collection[str]) -> Iterator[Item]:
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


def watched_at(root: Path) -> Watched:
    return Watched("s", root, table_path=None, types=dict, say=lambda path, message: None)


def compared(watched: Watched, ledger: Ledger) -> tuple[dict[str, str], Reconciliation]:
    reconciliation = Reconciliation(watched, ledger, RULES)
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
    monkeypatch.setattr(reconcile, "holds_image", lambda *_: pytest.fail("bytes were read"))
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
    reconciliation = Reconciliation(watched_at(root), ledger, Rules(["a.jpg"]))
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

    monkeypatch.setattr("ingest.scan.os.scandir", refusing)
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
    watched = Watched("s", root, table_path=None, types=dict, say=lambda path, message: said.append((path, message)))
    (root / "notes.txt").write_text("there, but no picture")
    table = root / "metadata.csv"
    table.write_text("file,price\na.jpg,1\nnotes.txt,1\nsub/b.jpg,2\ntypo.jpg,3\nsub/typo.jpg,4\nA.jpg,5\n")
    watched.load_table()
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
    watched.load_table()
    compared(watched, Ledger())
    assert watched.own_problems() == []
    assert len(said) == 2


def test_rows_of_a_vanished_root_are_no_typos(root: Path, tmp_path: Path) -> None:
    (root / "metadata.csv").write_text("file,price\na.jpg,1\n")
    ledger, watched = stocked(root), watched_at(root)
    watched.load_table()
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


def decided(watched: Watched, ledger: Ledger, confirmed: int | None = None) -> tuple[set[str], Reconciliation]:
    """What is handed over as gone, once what is new has been indexed."""
    reconciliation = Reconciliation(watched, ledger, RULES, confirmed=confirmed)
    found = [each for each in reconciliation.differences() if each.state is None]
    if reconciliation.undecided:
        assert not found
        for path in (each.path for each in Reconciliation(watched, ledger, RULES).differences() if each.state):
            ledger.add(watched.root, path)
        found = list(reconciliation.decided(Survivors(ledger, {"s": watched}, RULES)))
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
    (found,) = Reconciliation(watched, ledger, RULES, verify=True).differences()
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
    found = list(Reconciliation(watched_at(root), ledger, RULES, first=first).differences())
    assert [(each.path, each.retry) for each in found] == ([("a.jpg", True)] if retry else [])


def test_no_sidecar_is_read_that_is_as_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a.jpg.json").write_text('{"price": 3}')
    ledger, watched = stocked(root), watched_at(root)
    known = ledger.items[paths.item_id("s", "a.jpg", False)]
    ledger.items[known.id] = replace(known, file=replace(known.file, metadata_digest=watched.describe("a.jpg").digest))
    monkeypatch.setattr("ingest.watched._read_sidecar", lambda _: pytest.fail("it was read"))
    assert compared(watched, ledger)[0] == {}
    monkeypatch.undo()
    (root / "a.jpg.json").write_text('{"price": 4444}')
    assert compared(watched, ledger)[0] == {"a.jpg": "known"}

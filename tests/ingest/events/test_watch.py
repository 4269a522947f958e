"""Watchers: what happens in a folder becomes marks, natively and by polling; and which of the two is chosen."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from watchdog.events import DirMovedEvent, FileCreatedEvent, FileDeletedEvent
from watchdog.observers.api import EventQueue, ObservedWatch

from ingest.events import watch as watch_module
from ingest.events.hints import Hints, Mark, Noticed, outermost
from ingest.events.watch import Watch
from ingest.source.files import Key
from ingest.source.filesystems import is_silent, kind_at
from ingest.source.ignore_files import IGNORE_FILE
from ingest.source.met import MOST, Met
from ingest.source.watched_source import WatchedSource
from recq.settings import DEFAULT_IGNORE, WatchMode
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.unreadable import obeying_permissions


@dataclass
class Seeing:
    """A watch at work, and everything it has noticed so far."""

    root: Path
    watch: Watch
    hints: Hints
    modes: list[tuple[str, str]]
    noticed: Noticed = field(default_factory=Noticed)

    def mark(self, path: str) -> Mark | None:
        self._drain()
        return self.noticed.marks.get(Key("s", path))

    def has(self, kind: str, path: str) -> bool:
        self._drain()
        return Key("s", path) in getattr(self.noticed, kind)

    def _drain(self) -> None:
        new = self.hints.drain()
        self.noticed.marks.update(new.marks)
        self.noticed.folders |= new.folders
        self.noticed.lost |= new.lost
        self.noticed.ruled |= new.ruled
        self.noticed.overflowed |= new.overflowed


Start = Callable[[WatchMode], Seeing]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Seeing] = []

    def begin(mode: WatchMode) -> Seeing:
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        watched = WatchedSource(
            "s", root, table_path=None, types=dict, say=lambda path, message: None, ignore=DEFAULT_IGNORE
        )
        hints, modes = Hints(lambda: None), []  # type: tuple[Hints, list[tuple[str, str]]]
        watch = Watch(watched, hints, mode=mode, poll_interval=0.05, say=lambda *said: modes.append((said[0], said[1])))
        watch.start()
        started.append(Seeing(root, watch, hints, modes))
        return started[-1]

    yield begin
    for seeing in started:
        seeing.watch.stop()


def test_native_events(start: Start, tmp_path: Path) -> None:
    seeing = start("native")
    put(seeing.root / "a.jpg", 1)
    eventually(lambda: seeing.mark("a.jpg") is Mark.CLOSED)
    (seeing.root / "a.jpg").rename(seeing.root / "b.jpg")
    eventually(lambda: seeing.mark("b.jpg") is Mark.CLOSED and seeing.mark("a.jpg") is Mark.GONE)
    put(tmp_path / "outside.jpg", 2).rename(seeing.root / "c.jpg")  # an upload renamed into place
    eventually(lambda: seeing.mark("c.jpg") is Mark.CLOSED)
    (seeing.root / "c.jpg").rename(tmp_path / "out.jpg")
    eventually(lambda: seeing.mark("c.jpg") is Mark.GONE)
    (seeing.root / "b.jpg").unlink()
    eventually(lambda: seeing.mark("b.jpg") is Mark.GONE)
    with (seeing.root / "slow.jpg").open("wb", buffering=0) as file:
        file.write(b"x")
        eventually(lambda: seeing.mark("slow.jpg") is Mark.WRITING)
    eventually(lambda: seeing.mark("slow.jpg") is Mark.CLOSED)
    assert seeing.mark(".hidden.jpg") is None


def test_native_folders(start: Start, tmp_path: Path) -> None:
    seeing = start("native")
    put(seeing.root / "x/y/z/a.jpg", 1)
    eventually(lambda: seeing.has("folders", "x"))
    eventually(lambda: seeing.mark("x/y/z/a.jpg") is not None)
    put(tmp_path / "tree/deep/b.jpg", 2)
    (tmp_path / "tree").rename(seeing.root / "tree")
    eventually(lambda: seeing.has("folders", "tree"))
    (seeing.root / "tree").rename(seeing.root / "moved")
    eventually(lambda: seeing.has("folders", "moved") and seeing.has("lost", "tree"))
    put(seeing.root / "moved/deep/late.jpg", 3)
    eventually(lambda: seeing.mark("moved/deep/late.jpg") is Mark.CLOSED)


def test_a_folder_that_came_back_under_another_name_is_seen_where_it_is(start: Start, tmp_path: Path) -> None:
    """Also when another one of its old name is moved, which took its watch along."""
    seeing = start("native")
    put(seeing.root / "old/deep/a.jpg", 1)
    eventually(lambda: seeing.mark("old/deep/a.jpg") is not None)
    (seeing.root / "old").rename(tmp_path / "outside")
    eventually(lambda: seeing.has("lost", "old"))
    (tmp_path / "outside").rename(seeing.root / "back")
    eventually(lambda: seeing.has("folders", "back"))
    put(seeing.root / "old/b.jpg", 2)
    eventually(lambda: seeing.mark("old/b.jpg") is not None)
    (seeing.root / "old").rename(seeing.root / "moved")
    eventually(lambda: seeing.has("folders", "moved"))
    put(seeing.root / "back/deep/d.jpg", 4)
    eventually(lambda: seeing.mark("back/deep/d.jpg") is Mark.CLOSED)
    put(seeing.root / "moved/e.jpg", 5)
    eventually(lambda: seeing.mark("moved/e.jpg") is Mark.CLOSED)
    (seeing.root / "moved").rename(tmp_path / "gone")
    eventually(lambda: seeing.has("lost", "moved"))


def test_polling_events(start: Start, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    put(tmp_path / "root/old.jpg", 0)
    (tmp_path / "root/circle").symlink_to(tmp_path / "root")
    seeing = start("poll")
    assert seeing.modes == [("poll", "as asked; every 0.05 s")]
    put(seeing.root / "sub/a.jpg", 1)
    eventually(lambda: seeing.mark("sub/a.jpg") is Mark.APPEARED)
    put(seeing.root / "old.jpg", 2)
    eventually(lambda: seeing.mark("old.jpg") in (Mark.APPEARED, Mark.TOUCHED))
    (seeing.root / "sub/a.jpg").unlink()
    eventually(lambda: seeing.mark("sub/a.jpg") is Mark.MISSING)


@pytest.mark.parametrize("mode", ["native", "poll"])
def test_rules_that_come_change_move_and_go(start: Start, tmp_path: Path, mode: WatchMode) -> None:
    for folder in ("a", "b", ".hidden"):
        (tmp_path / "root" / folder).mkdir(parents=True)
    seeing = start(mode)

    def ruled(*folders: str) -> None:
        """These are noticed, and then forgotten."""
        eventually(lambda: all(seeing.has("ruled", folder) for folder in folders))
        seeing.noticed.ruled.clear()

    (seeing.root / ".hidden" / IGNORE_FILE).write_text("x")
    (seeing.root / "a" / IGNORE_FILE).write_text("x")
    ruled("a")
    (seeing.root / IGNORE_FILE).write_text("x")
    ruled("")
    (seeing.root / "a" / IGNORE_FILE).write_text("other")
    ruled("a")
    (seeing.root / "a" / IGNORE_FILE).rename(seeing.root / "b" / IGNORE_FILE)
    ruled("a", "b")
    (seeing.root / "b" / IGNORE_FILE).unlink()
    ruled("b")
    assert not seeing.has("ruled", ".hidden")
    assert seeing.mark(IGNORE_FILE) is None


def test_what_a_walk_met_between_two_polls_is_noticed_to_have_gone(tmp_path: Path) -> None:
    """Rules, a picture with its sidecar, each in the root and in a folder."""
    watched = WatchedSource("s", tmp_path, table_path=None, types=dict, say=lambda path, message: None)
    events = EventQueue()
    emitter = watch_module._Emitter(
        events,
        ObservedWatch(str(tmp_path), recursive=True),
        event_filter=[FileCreatedEvent, FileDeletedEvent],
        met=watched.met,
    )

    def polled() -> list[tuple[str, str]]:
        """The kinds of events and the names that one look brings."""
        emitter.queue_events(0.0)
        found = [events.get_nowait()[0] for _ in range(events.qsize())]
        return sorted((each.event_type, str(Path(str(each.src_path)).relative_to(tmp_path))) for each in found)

    def met(name: str) -> None:
        """What a walk and the description of what it finds read."""
        assert watched.look("other.jpg") is None
        if name.endswith(IGNORE_FILE):
            list(watched.walk())
        else:
            assert watched.describe(name.removesuffix(".json")).metadata["price"] == 5

    (tmp_path / "deep").mkdir()
    emitter.on_thread_start()
    for name in (IGNORE_FILE, f"deep/{IGNORE_FILE}", "a.jpg.json", "deep/a.jpg.json"):
        path = tmp_path / name
        path.write_text('{"price": 5}')
        met(name)
        path.unlink()
        assert polled() == [("deleted", name)]
        assert polled() == []
        path.write_text('{"price": 5}')
        assert polled() == [("created", name)]
        met(name)
        path.unlink()
        assert polled() == [("deleted", name)]
        assert polled() == []


def test_a_file_that_came_after_a_look_and_was_met_is_noticed_once(tmp_path: Path) -> None:
    met = Met(tmp_path)
    events = EventQueue()
    emitter = watch_module._Emitter(
        events, ObservedWatch(str(tmp_path), recursive=True), event_filter=[FileDeletedEvent], met=met
    )
    emitter.on_thread_start()
    snapshot, taken = emitter._take_snapshot, emitter._take_snapshot()
    emitter._take_snapshot = lambda: taken  # the look was over when the file came
    (tmp_path / "a.jpg").touch()
    met.note("a.jpg")
    emitter.queue_events(0.0)
    assert events.qsize() == 0
    emitter._take_snapshot = snapshot
    (tmp_path / "a.jpg").unlink()
    emitter.queue_events(0.0)
    event, _ = events.get_nowait()
    assert (type(event), event.src_path) == (FileDeletedEvent, str(tmp_path / "a.jpg"))


def test_what_is_met_is_bounded_and_taken_once(tmp_path: Path) -> None:
    met = Met(tmp_path)
    for number in range(MOST + 5):
        met.note(f"{number}.jpg")
    taken = met.take()
    assert len(taken) == MOST
    assert str(tmp_path / f"{MOST + 4}.jpg") in taken
    assert met.take() == set()


def test_rules_hold_natively_when_their_writer_has_closed_them(start: Start) -> None:
    seeing = start("native")
    with (seeing.root / IGNORE_FILE).open("wb", buffering=0) as file:
        eventually(lambda: seeing.has("ruled", ""))  # there is a file: an empty one
        seeing.noticed.ruled.clear()
        file.write(b"*")
        put(seeing.root / "a.jpg", 1)
        eventually(lambda: seeing.mark("a.jpg") is Mark.CLOSED)
        assert not seeing.has("ruled", "")
    eventually(lambda: seeing.has("ruled", ""))


def test_a_root_that_returns_is_watched_again(start: Start, tmp_path: Path) -> None:
    seeing = start("native")
    seeing.root.rename(tmp_path / "elsewhere")
    seeing.root.mkdir()
    seeing.watch.renew()
    put(seeing.root / "a.jpg", 1)
    eventually(lambda: seeing.mark("a.jpg") is Mark.CLOSED)


def test_no_inotify_watches_left_means_polling(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is hit below the root, where watchdog itself would keep silent."""
    from watchdog.observers.inotify_c import InotifyFD

    add = InotifyFD.add_callback

    def limited(self: InotifyFD, path: bytes, *rest: Any) -> Any:
        if path.endswith(b"/sub"):
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return add(self, path, *rest)

    monkeypatch.setattr(InotifyFD, "add_callback", limited)
    put(tmp_path / "root/sub/old.jpg", 1)
    seeing = start("auto")
    assert [mode for mode, _ in seeing.modes] == ["poll"]
    assert "fs.inotify.max_user_watches" in seeing.modes[0][1]
    put(seeing.root / "sub/new.jpg", 2)
    eventually(lambda: seeing.mark("sub/new.jpg") is not None)


def closed_in(seeing: Seeing) -> set[str]:
    """The folders that cannot be read, as the watch knows."""
    closed = set(seeing.watch._observer._inotify.closed)  # type: ignore[union-attr]
    return {os.path.relpath(os.fsdecode(each), seeing.root) for each in closed}


@pytest.mark.skipif(sys.platform != "linux", reason="inotify alone has a watch for each folder")
class TestClosedFolders:
    """A folder that may not be read is watched and walked as soon as it may be, with all that is in it."""

    @pytest.fixture
    def start(self, start: Start) -> Start:
        def begin(mode: WatchMode) -> Seeing:
            with obeying_permissions():  # the threads of the watch, not who copies pictures into the folder
                return start(mode)

        return begin

    @pytest.mark.parametrize("permissions", [0o000, 0o100, 0o300, 0o400, 0o600], ids=oct)
    @pytest.mark.parametrize("when", ["before the start", "later"])
    def test_one_that_is_opened(self, start: Start, tmp_path: Path, permissions: int, when: str) -> None:
        box = tmp_path / "root/a/box"
        box.parent.mkdir(parents=True)
        if when == "later":
            seeing = start("native")
            box.mkdir(permissions)
            eventually(lambda: seeing.has("folders", "a/box"))
            seeing.noticed.folders.clear()
        else:
            put(box / "deep/old.jpg", 1)
            box.chmod(permissions)
            seeing = start("native")
        assert "a/box" in closed_in(seeing)
        box.chmod(0o755)
        eventually(lambda: seeing.has("folders", "a/box"))
        assert closed_in(seeing) == set()
        put(box / "deep/new.jpg", 2)
        put(box / "new.jpg", 3)
        eventually(lambda: seeing.mark("a/box/new.jpg") is Mark.CLOSED)
        eventually(lambda: seeing.mark("a/box/deep/new.jpg") is not None)
        if when == "before the start":
            assert seeing.mark("a/box/deep/new.jpg") is Mark.CLOSED

    @pytest.mark.parametrize("moved", ["a", "a/box"])
    def test_one_that_is_opened_under_another_name(self, start: Start, tmp_path: Path, moved: str) -> None:
        box = tmp_path / "root/a/box"
        box.mkdir(parents=True)
        box.chmod(0)
        seeing = start("native")
        (tmp_path / "root" / moved).rename(tmp_path / "root/moved")
        eventually(lambda: seeing.has("folders", "moved"))
        seeing.noticed.folders.clear()
        name = "moved/box" if moved == "a" else "moved"
        (tmp_path / "root" / name).chmod(0o755)
        eventually(lambda: seeing.has("folders", name))
        put(tmp_path / "root" / name / "new.jpg", 1)
        eventually(lambda: seeing.mark(f"{name}/new.jpg") is Mark.CLOSED)

    def test_one_that_was_open_before(self, start: Start, tmp_path: Path) -> None:
        box = tmp_path / "root/box"
        box.mkdir(parents=True)
        seeing = start("native")
        assert closed_in(seeing) == set()
        box.chmod(0)
        eventually(lambda: closed_in(seeing) == {"box"})
        box.chmod(0o755)
        eventually(lambda: seeing.has("folders", "box"))

    def test_one_that_has_gone_is_forgotten(self, start: Start, tmp_path: Path) -> None:
        box = tmp_path / "root/box"
        box.mkdir(parents=True)
        box.chmod(0)
        seeing = start("native")
        box.rmdir()
        assert not seeing.watch.renew()
        assert closed_in(seeing) == set()
        assert not seeing.has("folders", "box")

    @pytest.mark.skipif(os.geteuid() != 0, reason="root alone may read more than permissions allow")
    def test_one_that_this_process_may_read_now(self, start: Start, tmp_path: Path) -> None:
        box = put(tmp_path / "root/box/deep/old.jpg", 1).parent.parent
        box.chmod(0)
        seeing = start("native")
        assert not seeing.watch.renew()  # no watch that began anew
        assert seeing.has("folders", "box")
        put(box / "deep/new.jpg", 2)
        eventually(lambda: seeing.mark("box/deep/new.jpg") is Mark.CLOSED)

    def test_a_root_is_watched_once_it_may_be_read(self, start: Start, tmp_path: Path) -> None:
        (tmp_path / "root").mkdir()
        (tmp_path / "root").chmod(0)
        seeing = start("native")
        with obeying_permissions():
            assert not seeing.watch.renew()
            assert seeing.modes == []
            seeing.root.chmod(0o755)
            assert seeing.watch.renew()
        assert seeing.modes == [("native", "as asked")]
        put(seeing.root / "new.jpg", 1)
        eventually(lambda: seeing.mark("new.jpg") is Mark.CLOSED)


def test_an_overflow_is_noticed(start: Start) -> None:
    from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, WatchDescriptor

    seeing = start("native")
    inotify = seeing.watch._observer._inotify  # type: ignore[union-attr]
    inotify.handle_event(InotifyEvent(WatchDescriptor(-1), InotifyConstants.IN_Q_OVERFLOW, 0, b""))
    seeing.mark("")
    assert seeing.noticed.overflowed == {"s"}


def test_hints_wake_once_and_keep_the_latest() -> None:
    woken: list[int] = []
    hints = Hints(lambda: woken.append(1))
    key = Key("s", "a")
    for mark in (Mark.APPEARED, Mark.WRITING, Mark.CLOSED, Mark.TOUCHED):
        hints.mark(key, mark)
    assert len(woken) == 1
    assert hints.drain().marks == {key: Mark.CLOSED}
    assert not hints.drain()
    hints.mark(key, Mark.TOUCHED)
    assert hints.drain().marks == {key: Mark.TOUCHED}
    assert len(woken) == 2


def test_hints_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.events.hints.MOST", 2)
    hints = Hints(lambda: None)
    for number in range(5):
        hints.mark(Key("s", str(number)), Mark.CLOSED)
    noticed = hints.drain()
    assert len(noticed.marks) == 2
    assert noticed.overflowed == {"s"}
    for number in range(5):
        hints.folder(Key("s", str(number)))
        hints.folder_gone(Key("t", str(number)))
        hints.rules_changed(Key("u", str(number)))
    noticed = hints.drain()
    assert (len(noticed.folders), len(noticed.lost), len(noticed.ruled)) == (2, 2, 2)
    assert noticed.overflowed == {"s", "t", "u"}


def test_only_the_outermost_of_new_folders_is_walked() -> None:
    assert outermost(["a/b", "a", "ab", "a/b/c", "b/c", "a-b"]) == ["a-b", "a", "ab", "b/c"]


def test_hints_survive_many_threads() -> None:
    hints = Hints(lambda: None)

    def fill(thread: int) -> None:
        for number in range(500):
            hints.mark(Key("s", f"{thread}/{number}"), Mark.CLOSED)

    threads = [threading.Thread(target=fill, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    seen: set[Key] = set()
    while any(thread.is_alive() for thread in threads):
        seen |= hints.drain().marks.keys()
    seen |= hints.drain().marks.keys()
    assert len(seen) == 2000


MOUNTS = [
    ("/", "ext4"),
    ("/mnt/nas", "nfs4"),
    ("/mnt/nas/local", "xfs"),
    ("/mnt/phone", "fuse.sshfs"),
    ("/data", "tmpfs"),
    ("/data", "cifs"),
]


@pytest.mark.parametrize(
    ("folder", "kind", "silent"),
    [
        ("/home/me", "ext4", False),
        ("/mnt/nas/photos", "nfs4", True),
        ("/mnt/nasty", "ext4", False),
        ("/mnt/nas/local/x", "xfs", False),
        ("/mnt/phone", "fuse.sshfs", True),
        ("/data/x", "cifs", True),
    ],
)
def test_the_file_system_decides(folder: str, kind: str, silent: bool) -> None:
    assert kind_at(Path(folder), MOUNTS) == kind
    assert is_silent(kind) is silent


def test_auto_polls_a_silent_file_system(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "file_system", lambda folder: "nfs4")
    assert start("auto").modes == [("poll", "a nfs4 file system does not report every change; every 0.05 s")]


def test_a_new_file_with_the_inode_of_a_deleted_folder_is_noticed_by_polling(tmp_path: Path) -> None:
    """Two snapshots show the inode at another path, which watchdog takes for a folder that moved there."""
    watched = WatchedSource(
        "s", tmp_path, table_path=None, types=dict, say=lambda path, message: None, ignore=DEFAULT_IGNORE
    )
    hints = Hints(lambda: None)
    handler = watch_module._Handler(watched, hints, None)
    handler.dispatch(DirMovedEvent(str(tmp_path / "deleted"), str(tmp_path / "new.jpg")))
    noticed = hints.drain()
    assert noticed.marks[Key("s", "new.jpg")] is Mark.APPEARED
    assert Key("s", "deleted") in noticed.lost

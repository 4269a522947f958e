"""Turns file-system events into hints: native events where the file system has them, polling elsewhere.

A watch only makes the daemon fast; the reconcile finds what it misses. watchdog does not report three things: a folder
below the root that cannot be watched, since there are no inotify watches left, one that may not be read, and a queue
that overflowed. All are noticed here, where watchdog calls the kernel. A folder that may not be read is watched, and
walked, as soon as it may be: the copy of a tree is often closed until it is whole.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver, EventEmitter
from watchdog.observers.polling import PollingEmitter

from ingest.events.hints import Hints, Mark
from ingest.source.files import Key
from ingest.source.filesystems import file_system, is_silent
from ingest.source.ignore_files import IGNORE_FILE
from ingest.source.met import Met
from ingest.source.timebox import within
from ingest.source.watched_source import WatchedSource
from recq.settings import WatchMode

_EVENTS: list[type[FileSystemEvent]] = [
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]

_JOIN = 0.5  # seconds to wait for a watcher's threads, which do not keep the process alive; the disk may never answer

Say = Callable[[str, str], None]
"""Called with the mode in which a source is watched, and the reason."""

Opened = Callable[[str], Sequence[str]]
"""Watches folders at and below a path that could not be read before, and gives those that can be read now."""


class Watch:
    """The watch on one source, from `start` to `stop`; every method is for one thread.

    `start` and `renew` touch the disk (the first snapshot of a poll is a walk of everything): that thread is not the
    loop's. `stop` takes half a second at most.
    """

    def __init__(
        self, watched: WatchedSource, hints: Hints, *, mode: WatchMode, poll_interval: float, say: Say
    ) -> None:
        self._watched = watched
        self._hints = hints
        self._mode = mode
        self._poll_interval = poll_interval
        self._chosen = say
        self._observer: BaseObserver | None = None
        self._handler: _Handler | None = None
        self._short_of_watches = False

    def start(self) -> None:
        """Begin to watch: what happens from now on is noticed. A root that does not exist is watched once it does."""
        kind = file_system(self._watched.root)
        if self._mode == "native":
            self._start_native("as asked")
        elif self._mode == "poll":
            self._start_polling("as asked")
        elif is_silent(kind):
            self._start_polling(f"a {kind} file system does not report every change")
        else:
            self._start_native(f"{kind or 'the'} file system")

    def stop(self) -> None:
        """End the watch without waiting for a slow disk."""
        observer, self._observer = self._observer, None
        if observer is not None:
            _end(observer)

    def renew(self) -> bool:
        """Watch again where the watch has ended (the root had gone), or where inotify ran out of watches.

        Whether a watch began that way: what happened before it did is noticed by nobody. Folders that could not be read
        are tried again, since the rights of this process may have changed and not those of the folders.
        """
        alive = self._observer is not None and any(emitter.is_alive() for emitter in self._observer.emitters)
        if self._short_of_watches:
            self.stop()
            self._start_polling(_NO_MORE_WATCHES)
        elif not alive or not self._watched.is_same_root():
            self.stop()
            self.start()
        else:
            assert self._handler is not None, "it came with the observer"
            self._handler.may_be_open(str(self._watched.root))
            return False
        return self._observer is not None

    def _start_native(self, reason: str) -> None:
        observer: BaseObserver | None = None
        try:
            observer, opened = _native_observer(self._ran_over, self._refused)
            self._begin(observer, opened)
        except OSError as error:
            if observer is not None:
                _end(observer)
            self._observer = None
            if error.errno in (errno.ENOSPC, errno.EMFILE):
                self._start_polling(_NO_MORE_WATCHES)
            return  # else the root is not there now, or may not be read: `renew` tries again
        if self._short_of_watches:
            self.renew()
        else:
            self._chosen("native", reason)

    def _start_polling(self, reason: str) -> None:
        self._short_of_watches = False
        emitter = partial(_Emitter, met=self._watched.met)
        observer = BaseObserver(cast(type[EventEmitter], emitter), timeout=self._poll_interval)
        try:
            self._begin(observer, None)
        except OSError:
            _end(observer)
            return
        self._chosen("poll", f"{reason}; every {self._poll_interval:g} s")

    def _begin(self, observer: BaseObserver, opened: Opened | None) -> None:
        """Without `opened` it polls."""
        handler = _Handler(self._watched, self._hints, opened)
        observer.start()
        observer.schedule(handler, str(self._watched.root), recursive=True, event_filter=_EVENTS)
        self._observer, self._handler = observer, handler

    def _ran_over(self) -> None:
        self._hints.overflow(self._watched.name)

    def _refused(self) -> None:
        """Some folder could not be watched: the next `renew` polls instead; until then a walk finds what it holds."""
        self._short_of_watches = True
        self._hints.overflow(self._watched.name)


_NO_MORE_WATCHES = (
    "the system has no more inotify watches (raise them with 'sysctl fs.inotify.max_user_watches=1048576' "
    "and 'fs.inotify.max_user_instances=1024')"
)


def _end(observer: BaseObserver) -> None:
    """Stop a watcher. One whose disk does not answer is left behind, since watchdog would wait for it for ever."""

    def end() -> None:
        observer.stop()
        if observer.ident is not None:
            observer.join()

    with suppress(TimeoutError):
        within(_JOIN, end, "unwatch")


def _lstat(path: str) -> os.stat_result:
    return Path(path).lstat()


class _Emitter(PollingEmitter):
    """watchdog's polling, which also reports that files have gone which came after one look and went before the next.

    A walk may have `met` such a file, and it is indexed, or what goes by its rules or metadata is: without an event
    that would stay so until the next comparison.
    """

    def __init__(self, *args: Any, met: Met, **kwargs: Any) -> None:
        # Seen through lstat, links are files: none is followed into a circle.
        super().__init__(*args, stat=_lstat, listdir=os.scandir, **kwargs)
        self._met = met
        self._unseen: set[str] = set()  # they stood there after the last look, which may have been too early

    def queue_events(self, timeout: float) -> None:
        """Wait so many seconds, and queue what has changed since the last look."""
        before = self._snapshot.paths
        super().queue_events(timeout)
        taken = self._met.take()
        absent = (self._unseen | taken).difference(self._snapshot.paths)
        gone = {path for path in absent if not os.path.lexists(path)}
        for path in gone - before:
            self.queue_event(FileDeletedEvent(path))
        self._unseen = (taken & absent) - gone


class _Handler(FileSystemEventHandler):
    """Turns each event into a mark. Called in watchdog's thread: it is quick and never raises.

    `opened` is native events'; a poll has none, since it looks at every folder each time.
    """

    def __init__(self, watched: WatchedSource, hints: Hints, opened: Opened | None) -> None:
        self._source = watched.name
        self._rules = watched.rules
        self._root = f"{watched.root}{os.sep}" if str(watched.root) != os.sep else os.sep
        self._hints = hints
        self._opened = opened
        self._polling = opened is None

    def may_be_open(self, path: str) -> None:
        """Have the folders at and below a path watched and walked that could not be read before and can be now."""
        for opened in () if self._opened is None else self._opened(path):
            key = self._key(opened)
            if key is not None:
                self._hints.folder(key)

    def dispatch(self, event: FileSystemEvent) -> None:
        """Handle events of files and of folders, which watchdog's own dispatching does not distinguish."""
        if self._polling or not isinstance(event, FileModifiedEvent):  # natively its close follows, when it is complete
            self._rules_of(event.src_path)
            self._rules_of(event.dest_path)
        source, target = self._key(event.src_path), self._key(event.dest_path)
        if event.is_directory:
            self._folder(event, source, target)
        elif isinstance(event, FileMovedEvent):  # one of the two may lie outside the root
            self._mark(source, Mark.MISSING if self._polling else Mark.GONE)
            self._mark(target, Mark.APPEARED if self._polling else Mark.CLOSED)
        elif isinstance(event, FileDeletedEvent):
            self._mark(source, Mark.MISSING if self._polling else Mark.GONE)
        elif isinstance(event, FileClosedEvent):
            self._mark(source, Mark.CLOSED)
        elif isinstance(event, FileModifiedEvent) and not self._polling:
            self._mark(source, Mark.WRITING)
        elif isinstance(event, FileAttribEvent):
            self._mark(source, Mark.TOUCHED)
        else:
            self._mark(source, Mark.APPEARED)

    def _folder(self, event: FileSystemEvent, source: Key | None, target: Key | None) -> None:
        if isinstance(event, DirMovedEvent | DirDeletedEvent) and source is not None:
            self._hints.folder_gone(source)
        if isinstance(event, DirAttribEvent):
            self.may_be_open(os.fsdecode(event.src_path))
        appeared = target if isinstance(event, DirMovedEvent) else source
        if isinstance(event, DirMovedEvent | DirCreatedEvent) and appeared is not None:
            self._hints.folder(appeared)
        if isinstance(event, DirMovedEvent) and self._polling:
            # Polling recognises a move by the inode: a new file with the inode of a deleted folder is reported so.
            self._mark(target, Mark.APPEARED)

    def _rules_of(self, path: bytes | str) -> None:
        """Note that the rules of a folder may have changed, where the path is its `.recqignore`."""
        folder, _, name = os.fsdecode(path).rpartition(os.sep)
        if name == IGNORE_FILE:
            below = f"{folder}{os.sep}".removeprefix(self._root).removesuffix(os.sep)
            if f"{folder}{os.sep}".startswith(self._root) and not self._rules.ignores_path(below):
                self._hints.rules_changed(Key(self._source, below))

    def _mark(self, key: Key | None, mark: Mark) -> None:
        if key is not None:
            self._hints.mark(key, mark)

    def _key(self, path: bytes | str) -> Key | None:
        """The path below the root; None outside it, for the root itself and for names that are skipped."""
        text = os.fsdecode(path)
        if not text.startswith(self._root):
            return None
        relative = text[len(self._root) :]
        return None if not relative or self._rules.ignores_path(relative) else Key(self._source, relative)


def _forget_other_path(group: Any, descriptor: int, path: bytes) -> None:
    """Take an older path from a folder that is watched at a new one.

    A folder that leaves the root keeps its watch, and so do those in it. When they come back under another name,
    watchdog (7.1) gives the watch the new path, but does not forget the old one: as soon as another folder of the old
    name is moved, it takes the watch along, and what happens in the first one is reported where nothing is.
    """
    before = group._active_callbacks_by_watch.get(descriptor)  # called with the group's lock
    if before not in (None, path) and group._active_callbacks_by_path.get(before) == descriptor:
        del group._active_callbacks_by_path[before]


def _may_enter(path: str | bytes) -> bool:
    """Whether a folder can be listed, and what is in it be looked at."""
    return os.access(path, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def _native_observer(ran_over: Callable[[], None], refused: Callable[[], None]) -> tuple[BaseObserver, Opened]:
    """watchdog's native observer; on Linux one that reports lost events and folders that it cannot watch."""
    if sys.platform != "linux":
        from watchdog.observers import Observer

        return Observer(), lambda _: ()
    from watchdog.observers.inotify import InotifyFullEmitter
    from watchdog.observers.inotify_c import InotifyEvent, InotifyFD

    # watchdog's own log is dropped: the methods below report what matters.
    logging.getLogger("watchdog").addHandler(logging.NullHandler())
    warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)

    class TellingInotify(InotifyFD):
        def __init__(self) -> None:
            super().__init__()
            self._group: Any = None  # of all that is watched: there is one root
            self.closed: set[bytes] = set()
            """Folders that cannot be listed or searched; what happens in them is not noticed. By the group's lock."""

        def add_callback(self, path: bytes, mask: Any, callback: Any, id_: Any) -> Any:
            self._group = callback
            try:
                descriptor = super().add_callback(path, mask, callback, id_)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    refused()
                self._note(path, closed=error.errno == errno.EACCES)
                raise
            self._note(path, closed=not _may_enter(path))
            _forget_other_path(callback, descriptor, path)
            return descriptor

        def _get_or_create_watch(self, path: bytes, mask: Any) -> Any:
            """watchdog (7.1) takes a folder that may not be read for watched, with a descriptor that is none."""
            watch = super()._get_or_create_watch(path, mask)
            if watch.wd == -1:
                del self._watch_for_wd[watch.wd]
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fsdecode(path))
            return watch

        def _note(self, path: bytes, *, closed: bool) -> None:
            if closed:
                self.closed.add(path)
            else:
                self.closed.discard(path)

        def opened(self, changed: str) -> Sequence[str]:
            """As `Opened`. The rights of the folder at that path may have changed, either way."""
            group, path = self._group, os.fsencode(changed)
            with group._lock:
                if not group.is_active:
                    return ()
                below = path.rstrip(b"/") + b"/"
                tried = {each for each in self.closed if each == path or each.startswith(below)}
                if path not in group._active_callbacks_by_path or not _may_enter(path):  # it came under another name
                    tried.add(path)
                for each in tried:
                    with suppress(OSError):  # of the root, which `renew` sees to
                        group._add_all_callbacks(each)
                watched = tried & group._active_callbacks_by_path.keys()
                return [os.fsdecode(each) for each in watched - self.closed]

        def handle_event(self, event: InotifyEvent) -> None:
            super().handle_event(event)
            if event.is_queue_overflow:
                ran_over()

    class TellingObserver(BaseObserver):
        def __init__(self) -> None:
            self._inotify = TellingInotify()
            self._inotify.start()
            super().__init__(InotifyFullEmitter, inotify_fd=self._inotify)

        def on_thread_stop(self) -> None:
            super().on_thread_stop()
            self._inotify.stop()
            self._inotify.join()

    observer = TellingObserver()
    return observer, observer._inotify.opened

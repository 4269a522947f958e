"""The embedded data folder: collections as sub-folders, opened on first use, created and deleted crash-safely.

    edge/manifest.json            which collections and aliases exist (see `manifest`)
    edge/images-0d4f.../          one Edge shard each

A collection's folder is complete before the manifest names it, and is no longer named before it is deleted. So a
folder that the manifest does not name is left from a creation, deletion or compaction that was killed; the next
opening removes it.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from recq.errors import RecqError
from recq.index.edge import hashed_backfill, waste
from recq.index.edge import manifest as manifests
from recq.index.edge.compaction import Abandoned, Copy
from recq.index.edge.hashed_index import NarrowFields
from recq.index.edge.manifest import Manifest, ShardEntry
from recq.index.edge.problem import Problem, closed
from recq.index.edge.shard import FLUSH_WHEN_IDLE, Shard
from recq.index.edge.throttle import throttled
from recq.index.edge.waste import Usage, give_back_memory, rows_of
from recq.private_files import make_private_folder, tighten

_log = throttled(__name__)
_OURS = re.compile(r"[a-z0-9_]{0,40}-[0-9a-f]{12}")


class Folder:
    """All collections of one data folder. Thread-safe. The caller holds the data folder's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path / "manifest.json"
        self._changing = threading.RLock()
        self._narrowing = threading.Lock()
        self._shards: dict[str, Shard] = {}
        self._closed = False
        self.manifest = self._recover()
        self._keep_private()
        self._wake = threading.Condition()
        self._dirty = False
        self._flusher: threading.Thread | None = None

    def _keep_private(self) -> None:
        """Make files that older versions or the engine created readable by the owner only; leave all others."""
        if not self.path.is_dir():
            return
        inside = list(self.path.iterdir())
        ours = [one for one in inside if one.name.startswith(self._file.name) or _OURS.fullmatch(one.name)]
        tighten([self.path] if len(ours) == len(inside) else ours)

    def _recover(self) -> Manifest:
        known = manifests.read(self._file)
        left = [one for one in self.path.glob("*") if one.is_dir() and _OURS.fullmatch(one.name)]
        if known is None:
            if left:
                raise RecqError(f"{self._file} is missing beside {left[0].name}: move {self.path} away and index again")
            return Manifest()
        named = {entry.folder for entry in known.collections.values()}
        for folder in left:
            if folder.name not in named:
                shutil.rmtree(folder)
        return known

    def shard(self, name: str) -> Shard:
        """The open shard of the collection or alias `name`. Raises Problem 404."""
        real, entry = self.manifest.resolve(name)
        shard = self._shards.get(entry.folder)
        if shard is not None:
            return shard
        with self._changing:
            self._refuse_when_closed()
            real, entry = self.manifest.resolve(name)
            shard = self._shards.get(entry.folder)
            if shard is None:
                path = self.path / entry.folder
                if not path.is_dir():
                    raise Problem(500, f"Service internal error: {path}, the folder of collection `{real}`, is missing")
                shard = self._shards[entry.folder] = Shard.load(path, entry.specs, entry.narrow)
            return shard

    def create(self, name: str, entry: ShardEntry) -> None:
        """A new collection; `entry.folder` is chosen here. Raises Problem 400 or 409."""
        with self._changing:
            self._refuse_when_closed()
            entry = replace(entry, folder=_folder_name(name))
            after = self.manifest.with_collection(name, entry)
            if not self._file.exists():  # from here on a folder that it does not name is known to be a remnant
                make_private_folder(self.path)
                manifests.write(self._file, self.manifest)
            path = self.path / entry.folder
            try:
                shard = Shard.create(path, entry.specs, entry.options.get("on_disk_payload"))
                shard.flush()
                manifests.sync_folder(self.path)
                manifests.write(self._file, after)
            except BaseException:
                shutil.rmtree(path, ignore_errors=True)
                raise
            self._shards[entry.folder] = shard
            self.manifest = after
            self._keep_private()

    def open_collections(self) -> list[tuple[str, Path]]:
        """Name and folder of every collection that is open now."""
        return [
            (name, self.path / entry.folder)
            for name, entry in self.manifest.collections.items()
            if entry.folder in self._shards
        ]

    def usage(self, name: str) -> Usage:
        """What a collection wastes. Raises Problem 404."""
        shard = self.shard(name)
        _, entry = self.manifest.resolve(name)
        points, rewritten = shard.counts()
        row = 4 * sum(spec.size for spec in entry.specs.values())
        return Usage(points, rows_of(self.path / entry.folder), rewritten, row)

    def compact(self, name: str, breathe: Callable[[float], None]) -> None:
        """Free the dead space of a collection while it is used (see `compaction`); one at a time.

        Not for the main thread: an exception out of a signal handler may not come between manifest and memory.
        Raises Abandoned, Problem, OSError, or what `breathe` raises; then nothing has changed.
        """
        shard = self.shard(name)
        real, entry = self.manifest.resolve(name)
        old, new = self.path / entry.folder, self.path / _folder_name(real)
        changes = shard.watch()
        try:
            with Copy.begin(shard, new, entry.options.get("on_disk_payload"), breathe) as copy:
                copy.fill(changes)
                with self._changing, shard.writes_held():
                    self._refuse_when_closed()
                    now = self.manifest.collections.get(real)
                    if now is None or now.folder != old.name:
                        raise Abandoned("the collection was deleted")
                    copy.finish(changes)
                    manifests.sync_folder(self.path)
                    retired = shard.exchange(copy.shard, new)  # before the manifest: it may still be refused
                    try:
                        self._commit(self.manifest.with_entry(real, replace(now, folder=new.name)))
                    except BaseException:
                        shard.exchange_back(retired)
                        raise
                    self._shards[new.name] = shard
                    self._shards.pop(old.name, None)
        finally:
            shard.unwatch()
        try:
            retired.close()
        except Exception as error:  # any error: the new folder is in use, whatever becomes of the old one
            _log.warning("the embedded index was compacted, and its old folder %s cannot be closed: %s", old, error)
        shutil.rmtree(old, ignore_errors=True)  # what is left goes at the next opening
        give_back_memory()

    def delete(self, name: str) -> bool:
        """Delete the collection `name` and its aliases; False where there is none (an alias is none)."""
        with self._changing:
            self._refuse_when_closed()
            entry = self.manifest.collections.get(name)
            if entry is None:
                return False
            self._commit(self.manifest.without_collection(name))
            shard = self._shards.pop(entry.folder, None)
            if shard is not None:
                shard.close_for_deletion()
            shutil.rmtree(self.path / entry.folder, ignore_errors=True)  # what is left goes at the next opening
            return True

    def change(self, step: Callable[[Manifest], Manifest]) -> None:
        """Replace the manifest by what `step` makes of it; a Problem that `step` raises changes nothing."""
        with self._changing:
            self._refuse_when_closed()
            after = step(self.manifest)
            if after != self.manifest:
                self._commit(after)

    def make_narrow(self, name: str, key: str, params: Mapping[str, Any]) -> None:
        """A narrow index on `key`, also for the existing points; `params` are the requested ones.

        If the process is killed before the manifest names it, the index that it replaces is still there.
        """
        with self._narrowing:
            shard = self.shard(name)
            before = shard.narrow
            try:
                if key not in before.fields:
                    hashed_backfill.begin(shard, key, params)
                    hashed_backfill.fill(shard)
                self._name_narrow(name, before.with_field(key, params).finished(key))
            except BaseException:
                shard.narrow = before
                raise
            shard.drop_index(key)

    def drop_narrow(self, name: str, key: str) -> None:
        """Remove the narrow index on `key`; the numbers in the points stay, and are ignored."""
        with self._narrowing:
            narrow = self.shard(name).narrow
            if key in narrow.fields:
                self._name_narrow(name, narrow.without(key))

    def _name_narrow(self, name: str, narrow: NarrowFields) -> None:
        def step(manifest: Manifest) -> Manifest:
            real, entry = manifest.resolve(name)
            return manifest.with_entry(real, replace(entry, narrow=narrow))

        self.change(step)
        self.shard(name).narrow = narrow

    def _commit(self, after: Manifest) -> None:
        manifests.write(self._file, after)
        self.manifest = after

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise closed()

    def written(self) -> None:
        """Called after every write: a thread that otherwise sleeps flushes the shard a little later."""
        with self._wake:
            self._dirty = True
            if self._flusher is None and not self._closed:
                self._flusher = threading.Thread(target=self._flush_in_time, name="recq-edge-flush", daemon=True)
                self._flusher.start()
            self._wake.notify()

    def _flush_in_time(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._dirty or self._closed)
                if self._closed:
                    return
                self._wake.wait(FLUSH_WHEN_IDLE / 4)
                self._dirty = False
            left = [self._flush_one(shard) for shard in list(self._shards.values())]
            if any(left):
                with self._wake:
                    self._dirty = True

    @staticmethod
    def _flush_one(shard: Shard) -> bool:
        try:
            return shard.flush_if_due(time.monotonic())
        except Problem as problem:
            _not_flushed(problem)
            return False

    def flush(self) -> None:
        """Flush every open shard, where that can be done now."""
        for shard in list(self._shards.values()):
            try:
                shard.flush()
            except Problem as problem:
                _not_flushed(problem)

    def close(self) -> None:
        """Flush and close everything; later calls find the folder closed."""
        with self._changing, self._wake:
            self._closed = True
            self._wake.notify_all()
        if self._flusher is not None:
            self._flusher.join()
        for shard in self._shards.values():
            shard.close()
        self._shards.clear()
        self._keep_private()


def _not_flushed(problem: Problem) -> None:
    """A shard was deleted meanwhile, or the disk is full: the journal still has everything."""
    if problem.status != 404:
        _log.warning("cannot flush the embedded index: %s", problem.message)


def bytes_of(path: Path, collection: str) -> int:
    """What a collection of the engine's folder `path` takes on the disk; 0 for one that is not there."""
    known = manifests.read(path / "manifest.json")
    entry = None if known is None else known.collections.get(collection)
    if entry is None:
        return 0
    return waste.bytes_of(path / entry.folder)


def _folder_name(collection: str) -> str:
    """A new name for the folder of a collection."""
    return f"{re.sub(r'[^a-z0-9_]+', '', collection.lower())[:40]}-{uuid.uuid4().hex[:12]}"

"""The files of a backup: parts, the list of what they have, and the manifest, which is written last.

    DIR/backup.json              the manifest; without it there is no backup
    DIR/list-N.jsonl             the list (`recq.transfer.backup_list`)
    DIR/parts/SHA256.jsonl.gz    a part: an export of some items; `zcat PART | recq import -` reads it, too
    DIR/parts/SHA256.json        a record that is too large for the manifest: a trained head
    DIR/lock                     held by who writes here

A file gets its name when its bytes are on the disk. A killed backup leaves the manifest of the one before, whose parts
are all there, and parts and lines that the next backup goes on with. Only their owner can read the files.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from recq.errors import BackupDamaged, IndexBusy, UsageError
from recq.index.points import ItemVector
from recq.private_files import make_private_folder, open_private, replaced_privately
from recq.progress import Progress, silent
from recq.transfer.archive import Head, JsonLines, read
from recq.transfer.backup_list import Listed, Part, content, first_line, number, part_line
from recq.transfer.backup_manifest import Manifest

MANIFEST = "backup.json"
_PARTS = "parts"
_LOCK = "lock"
_LISTS = "list-"
_OURS = (MANIFEST, _PARTS, _LOCK, _LISTS)
_COMPRESSION = 1  # a higher level takes several times as long, and digits of numbers do not become smaller
_BLOCK = 1 << 20
_LARGE = 1 << 14  # bytes of a record that the manifest names and does not have


class Backup(NamedTuple):
    """A whole backup: what its manifest says, and what the list has that it names."""

    manifest: Manifest
    listed: Listed


class BackupFolder:
    """A backup's folder. Methods raise UsageError for a folder that cannot be read or written, and BackupDamaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = folder / _PARTS

    def read(self) -> Backup:
        """The backup that the folder has. Raises UsageError where it has none."""
        manifest = self._manifest()
        if manifest is None:
            raise UsageError(f"{self.folder} has no backup of recq ({MANIFEST} is missing): name the folder of one")
        path = self.folder / manifest.list_name
        with _told(self.folder):
            text = path.read_bytes()[: manifest.list_bytes] if path.is_file() else b""
        if hashlib.sha256(text).hexdigest() != manifest.list_sha256:
            raise BackupDamaged(f"{path} is damaged: it has another checksum than {MANIFEST} says")
        return Backup(manifest, Listed.of(json.loads(line) for line in text.splitlines()))

    def record(self, sha256: str) -> Any:
        """A record that is too large for the manifest. Raises BackupDamaged."""
        data = self._checked(sha256, ".json")
        return json.loads(data)

    def entries(self, part: str) -> Iterator[ItemVector]:
        """The items of a part, dead ones, too. Raises BackupDamaged, before the first where its bytes are others."""
        packed = gzip.GzipFile(fileobj=BytesIO(self._checked(part, ".jsonl.gz")))
        return _unpacked(packed, str(self._path(part)))

    def damaged(self, backup: Backup, progress: Progress = silent) -> dict[str, str]:
        """The files of a backup whose bytes are not what was written, with what is wrong. Reads all of them."""
        names = [(part.name, ".jsonl.gz") for part in backup.listed.in_use()]
        names += [(sha256, ".json") for sha256 in backup.manifest.blobs.values()]
        found = {}
        for number_, (name, ending) in enumerate(names):
            progress("reading parts", number_, len(names))
            why = self._wrong(name, ending)
            if why is not None:
                found[f"{_PARTS}/{name}{ending}"] = why
        return found

    @contextmanager
    def writing(self) -> Iterator[BackupWriter]:
        """The folder, to write the next backup into; it is made where it is missing.

        Raises IndexBusy where another process writes here, UsageError for a folder of something else.
        """
        with _told(self.folder):
            make_private_folder(self.folder)
            others = [path.name for path in self.folder.iterdir() if not path.name.startswith(_OURS)]
            if others and not (self.folder / MANIFEST).exists():
                raise UsageError(f"{self.folder} is no backup and not empty: name an empty or a new folder")
            make_private_folder(self._parts)
            lock = FileLock(self.folder / _LOCK, mode=0o600, thread_local=False, fallback_to_soft=False)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                raise IndexBusy(f"another process writes a backup into {self.folder}: wait for its end") from None
        try:
            yield BackupWriter(self)
        finally:
            lock.release()

    def _manifest(self) -> Manifest | None:
        path = self.folder / MANIFEST
        with _told(self.folder):
            try:
                return Manifest.from_text(path.read_bytes(), str(path))
            except (FileNotFoundError, NotADirectoryError):
                return None
            except BackupDamaged as error:
                raise BackupDamaged(
                    f"{error}: remove it, and the next backup makes another one of the parts"
                ) from error

    def _path(self, name: str, ending: str = ".jsonl.gz") -> Path:
        return self._parts / f"{name}{ending}"

    def _checked(self, name: str, ending: str) -> bytes:
        path = self._path(name, ending)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise BackupDamaged(f"{path} is missing") from None
        except OSError as error:
            raise BackupDamaged(f"{path} cannot be read: {error.strerror or error}") from error
        if hashlib.sha256(data).hexdigest() != name:
            raise BackupDamaged(f"{path} is damaged: its bytes have another checksum than its name")
        return data

    def _wrong(self, name: str, ending: str) -> str | None:
        try:
            with self._path(name, ending).open("rb") as file:
                digest = hashlib.sha256()
                while block := file.read(_BLOCK):
                    digest.update(block)
        except FileNotFoundError:
            return "missing"
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
        return None if digest.hexdigest() == name else "damaged: its bytes have another checksum than its name"


class BackupWriter:
    """Writes the next backup: parts and lines first, the manifest last. `before` is the last whole one, if any."""

    def __init__(self, of: BackupFolder) -> None:
        self._of = of
        self._list = of.folder / f"{_LISTS}1.jsonl"
        self._listed = Listed()
        self.before = of._manifest()
        self.parts_written = self.bytes_written = 0

    def begin(self, space: str, *, verify: bool) -> Listed:
        """What is there to go on with, of items in the embedding space of that fingerprint.

        Items whose part is missing or has another size are left out, with `verify` also those whose part has other
        bytes: they are written again.
        """
        with _told(self._of.folder):
            self._list, length, self._listed = self._to_go_on_with(space)
            descriptor = open_private(str(self._list), os.O_WRONLY | os.O_CREAT)
            os.ftruncate(descriptor, length)
            os.close(descriptor)
            if self._listed.space is None:
                self._append(first_line(space))
                self._listed.space = space
            missing = {part.name for part in self._listed.in_use() if not self._has(part, verify=verify)}
            if lost := [id_ for id_, row in self._listed.rows.items() if row.part in missing]:
                self.note({"gone": lost})
        return self._listed

    def _to_go_on_with(self, space: str) -> tuple[Path, int, Listed]:
        """A list of items in that space, the length of it that can be used, and what that says: the one that counts,
        else one that a killed backup has left, else a new one."""
        counting = None
        if self.before is not None:
            counting = self._of.folder / self.before.list_name
            with suppress(BackupDamaged):  # of a list that is damaged nothing is used
                self._of.read()
                length, listed = _whole_lines(counting, self.before.list_bytes, self._is_there)
                if listed.space == space:
                    return counting, length, listed
        for path in sorted(self._of.folder.glob(f"{_LISTS}*.jsonl")):
            length, listed = _whole_lines(path, 0, self._is_there)
            if path != counting and listed.space == space:
                return path, length, listed
        return self._next_list(), 0, Listed()

    def write(self, head: Head, entries: Sequence[ItemVector], seen: Mapping[str, str]) -> None:
        """A part of these items, and its line; `seen` has by id how each was seen."""
        packed = BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=_COMPRESSION, mtime=0) as stream:
            lines = JsonLines(stream, replace(head, items=len(entries)))  # type: ignore[arg-type]
            lines.write(entries)
            lines.close()
        data = packed.getvalue()
        part = Part(hashlib.sha256(data).hexdigest(), len(data), len(entries))
        rows = [[each.item.id, content(each), seen[each.item.id], number(each.item.stamp)] for each in entries]
        with _told(self._of.folder):
            self._place(self._of._path(part.name), data)
            self.parts_written += 1
            self.note(part_line(part, rows))

    def note(self, line: Mapping[str, Any]) -> None:
        """One line of the list more."""
        with _told(self._of.folder):
            self._append(line)
        self._listed.take(line)

    def finish(self, manifest: Manifest) -> None:
        """Make it the backup: `manifest` without its list. What nothing names any more is removed afterwards."""
        with _told(self._of.folder):
            records, blobs = dict(manifest.records), {}
            for key, value in manifest.records.items():
                data = json.dumps(value, sort_keys=True).encode()
                if len(data) > _LARGE:
                    blobs[key] = hashlib.sha256(data).hexdigest()
                    del records[key]
                    if self._of._wrong(blobs[key], ".json") is not None:
                        self._place(self._of._path(blobs[key], ".json"), data)
            if self._listed.is_long():
                self._list = self._next_list()
                self._place(self._list, b"".join(map(_line, self._listed.lines())))
            text = self._list.read_bytes()
            manifest = replace(
                manifest,
                records=records,
                blobs=blobs,
                list_name=self._list.name,
                list_bytes=len(text),
                list_sha256=hashlib.sha256(text).hexdigest(),
            )
            self._place(self._of.folder / MANIFEST, manifest.to_text().encode())
            self._remove_what_is_not_named(manifest)

    def _remove_what_is_not_named(self, manifest: Manifest) -> None:
        named = {f"{part.name}.jsonl.gz" for part in self._listed.in_use()}
        named |= {f"{sha256}.json" for sha256 in manifest.blobs.values()}
        named |= {MANIFEST, manifest.list_name}
        beside = (path for path in self._of.folder.iterdir() if path.name.startswith((MANIFEST, _LISTS)))
        for path in [*self._of._parts.iterdir(), *beside]:
            if path.name not in named:
                path.unlink(missing_ok=True)

    def _is_there(self, line: Mapping[str, Any]) -> bool:
        return "part" not in line or self._has(Part(**line["part"]), verify=True)

    def _has(self, part: Part, *, verify: bool) -> bool:
        path = self._of._path(part.name)
        if not path.is_file() or path.stat().st_size != part.bytes:
            return False
        return not verify or self._of._wrong(part.name, ".jsonl.gz") is None

    def _next_list(self) -> Path:
        taken = {path.name for path in self._of.folder.glob(f"{_LISTS}*")}
        return self._of.folder / next(name for n in count(1) if (name := f"{_LISTS}{n}.jsonl") not in taken)

    def _append(self, line: Mapping[str, Any]) -> None:
        data = _line(line)
        with self._list.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.bytes_written += len(data)

    def _place(self, path: Path, data: bytes) -> None:
        with replaced_privately(path) as file:
            file.write(data)
        _sync_folder(path.parent)
        self.bytes_written += len(data)


def _unpacked(packed: gzip.GzipFile, file: str) -> Iterator[ItemVector]:
    try:
        yield from read(packed, file)[1]  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error) as error:  # whoever wrote it gave it the right checksum
        raise BackupDamaged(f"{file} is damaged: {error}") from error


def _whole_lines(path: Path, counted: int, is_there: Callable[[Mapping[str, Any]], bool]) -> tuple[int, Listed]:
    """The length of a list up to its last line that can be used, and what it says. Up to `counted` it is known to be
    whole; after it a killed backup may have left half a line, or one whose part is not there or has other bytes."""
    listed, length = Listed(), 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            document = json.loads(line)
            if not line.endswith(b"\n") or (length >= counted and not is_there(document)):
                break
            listed.take(document)
        except (KeyError, TypeError, ValueError):
            break
        length += len(line)
    return length, listed


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _sync_folder(folder: Path) -> None:
    """Have the names of files on the disk, on systems that know how."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"the backup {folder} cannot be used: {error.strerror or error}") from error

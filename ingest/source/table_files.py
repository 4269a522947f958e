"""The tables of a source as files: which there are, which have changed, what each held when it was readable.

A file is read when it is due: at first, when an event has reported it complete, or when it was found changed and the
same twice. All others keep what they held, whatever is being written to them meanwhile. So does one that cannot be
read: what it holds is not known. Their bytes are kept, compressed, since the types of fields depend on all of them.
The root is listed at first alone, since it may hold a million pictures: later patches are met by events and walks.
"""

from __future__ import annotations

import os
import stat
import threading
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ingest.source.files import FileState
from ingest.source.patches import Tables
from ingest.source.regular_files import open_regular
from ingest.source.table import TABLE_NAME, MetadataTable, Sheet, read_tables, sheet
from recq import paths
from recq.errors import MetadataError, UsageError
from recq.index.patch_names import in_order, patch_name
from recq.index.problems import Problem, ProblemKind
from recq.index.schema import FieldTypes

MAX_TABLE_BYTES = 1 << 30
"""Longer tables are refused: it is no table, or reading it takes more memory than most machines have."""


@dataclass(frozen=True)
class TableFile:
    """A table as it was last looked at. `name` is that in messages, `about` the path under which it is reported.

    `held` are the compressed bytes of when it could be read last, None where it never could, or was not there.
    `problem`: it cannot be read. `unknown`: it stood there at the start and could not be read, so that the index alone
    knows what it had of each item.
    """

    path: Path
    name: str
    about: str
    state: FileState | None = None
    identity: tuple[int, int] | None = None
    held: bytes | None = field(default=None, repr=False)
    problem: Problem | None = None
    unknown: bool = False


@dataclass(frozen=True)
class Loaded:
    """What a reading has found: `tables`, None where they are those of before; `looked_at` are the files that were
    due, `gone` those that are no more."""

    tables: Tables | None
    looked_at: Sequence[TableFile] = ()
    gone: Sequence[TableFile] = ()


class TableFiles:
    """The files of a source's tables. `named` is read in place of the root's `metadata.csv`.

    `reliable` takes from a state what does not show changes. One thread at a time asks and loads; any may `note`.
    """

    def __init__(self, root: Path, named: Path | None, reliable: Callable[[FileState], FileState]) -> None:
        self.own = TableFile(
            named or root / TABLE_NAME,
            name=paths.printable(paths.to_text(str(named))[0] if named is not None else TABLE_NAME),
            about=TABLE_NAME,
        )
        self.patches: Mapping[str, TableFile] = {}
        self._root = root
        self._named = named is not None
        self._reliable = reliable
        self._begun = False
        self._seen: Mapping[Path, FileState | None] = {}
        self._due: set[Path] = set()
        self._met: set[str] = set()
        self._lock = threading.Lock()

    @property
    def all(self) -> Sequence[TableFile]:
        """The table, then the patches in their order."""
        patches = self.patches
        return [self.own, *(patches[name] for name in in_order(patches))]

    def is_one(self, path: str) -> bool:
        """Whether the file at `path` is one of the tables that are read."""
        return patch_name(path) is not None or self._is_own(path)

    def note_complete(self, path: str) -> None:
        """Note that the file at `path` is complete, or has gone: the next load reads it."""
        with self._lock:
            self._due.add(self._root / path)

    def note_met(self, path: str) -> None:
        """Note that a walk has met a file that may be a patch, which events may not have reported."""
        if patch_name(path) is not None and path not in self.patches:
            with self._lock:
                self._met.add(path)

    def changed(self) -> bool:
        """Whether any file is another than the one last read, and the same as at the last such question.

        It is due then.
        """
        with self._lock:
            noted, self._met = self._met, set()
        met = {name for name in noted if name not in self.patches and self._is_patch(name)}  # asks a disk that may hang
        with self._lock:
            self._met |= met
        read = {each.path: each.state for each in self.all}
        before = self._seen
        self._seen = {path: self._state(path) for path in (*read, *(self._root / name for name in met))}
        settled = {
            path
            for path, state in self._seen.items()
            if state != read.get(path) and path in before and state == before[path]
        }
        with self._lock:
            self._due |= settled
        return bool(settled)

    def load(self, types: FieldTypes) -> Loaded:
        """Read what is due, with the fields of the catalog. Of a file that cannot be read the old content stays.

        Raises UsageError when a named one is missing at first.
        """
        with self._lock:
            due, self._due = self._due, set()
        sheets: dict[Path, Sheet] = {}
        looked_at: list[TableFile] = []
        own = self.own
        if not self._begun or own.path in due:
            own = self._read(own, sheets)
            looked_at.append(own)
        names = self._listed() if not self._begun else {each.name for each in due if each.parent == self._root}
        patches, gone = dict(self.patches), list[TableFile]()
        for name in in_order(name for name in names if self._may_be_patch(name)):
            known = patches.pop(name, None)
            file = known or TableFile(self._root / name, paths.printable(name), about=name)
            found = self._read(file, sheets) if self._is_patch(name) else None
            if found is not None and (found.held is not None or found.problem is not None):
                patches[name] = found
                looked_at.append(found)
            elif known is not None:
                gone.append(known)
        for name, known in self._moved(gone, patches).items():  # what it held must not be missed until it is due
            patches[name] = replace(known, path=self._root / name, name=paths.printable(name), about=name)
        self.own, self.patches, self._begun = own, patches, True
        changed = bool(sheets or gone or any(each.problem is None for each in looked_at))
        return Loaded(self._tables(sheets, types) if changed else None, looked_at, gone)

    def _moved(self, gone: Sequence[TableFile], patches: Collection[str]) -> Mapping[str, TableFile]:
        """Which patches that have gone stand there under another name, by that name."""
        if not gone:
            return {}
        names = self._listed() - set(patches)
        now = {name: (_identity(self._root / name), self._state(self._root / name)) for name in names}
        return {
            name: each
            for name, (identity, state) in now.items()
            for each in gone
            if identity == each.identity and _is_same(state, each.state)
        }

    def _read(self, file: TableFile, sheets: dict[Path, Sheet]) -> TableFile:
        """The file as it is now, its sheet added to `sheets` where it can be read."""
        is_own = file.about == TABLE_NAME
        file = replace(file, state=self._state(file.path), identity=_identity(file.path))
        try:
            data = _content(file)
            sheets[file.path] = sheet(data, file.name, patch=not is_own)
        except FileNotFoundError as error:
            if not (is_own and self._named):
                return replace(file, held=None, problem=None, unknown=False)
            if not self._begun:
                raise UsageError(f"--metadata {file.name}: there is no such file") from error
            return self._bad(file, f"{file.name} has gone: what it had holds until it is back")
        except OSError as error:
            return self._bad(file, f"{file.name} cannot be read: {error.strerror}")
        except MetadataError as error:
            return self._bad(file, str(error))
        return replace(file, held=zlib.compress(data, 1), problem=None, unknown=False)

    def _bad(self, file: TableFile, detail: str) -> TableFile:
        unknown = file.unknown or not self._begun
        return replace(file, problem=Problem(ProblemKind.TABLE, detail, path=file.name), unknown=unknown)

    def _tables(self, sheets: dict[Path, Sheet], types: FieldTypes) -> Tables:
        """What all files hold, read together."""
        files = [each for each in self.all if each.held is not None]
        found = [
            sheets.get(each.path) or sheet(zlib.decompress(each.held), each.name, patch=each is not self.own)
            for each in files
            if each.held is not None
        ]
        tables = dict(zip((each.path for each in files), read_tables(found, types), strict=True))
        own = tables.pop(self.own.path, MetadataTable(name=self.own.name))
        return Tables(own, tuple(tables.values()))

    def _listed(self) -> set[str]:
        """The names of the patches that stand in the root; none where that cannot be known."""
        try:
            with os.scandir(self._root) as entries:
                names = [entry.name for entry in entries if patch_name(entry.name) is not None]
        except OSError:
            return set()
        return {name for name in names if self._is_patch(name)}

    def _may_be_patch(self, name: str) -> bool:
        return patch_name(name) is not None and not self._is_own(name)

    def _is_patch(self, name: str) -> bool:
        """Whether a regular file of that name stands in the root, which is not the table itself."""
        try:
            return stat.S_ISREG((self._root / name).stat().st_mode) and not self._is_own(name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # reading it tells why
            return True

    def _is_own(self, path: str) -> bool:
        try:
            return (self._root / path).samefile(self.own.path)
        except OSError:
            return False

    def _state(self, path: Path) -> FileState | None:
        try:
            return self._reliable(FileState.of(path.stat()))
        except OSError:
            return None


def _content(file: TableFile) -> bytes:
    """The bytes of a table. Raises OSError, and MetadataError where there are too many."""
    with open_regular(file.path) as opened:
        size = os.fstat(opened.fileno()).st_size
        if size > MAX_TABLE_BYTES:
            raise MetadataError(f"{file.name}: {size:,} bytes, more than {MAX_TABLE_BYTES:,}: make it shorter")
        return opened.read()


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file this is, whatever its name; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_same(one: FileState | None, other: FileState | None) -> bool:
    """Whether both are there with one size and mtime; a rename changes the ctime."""
    return one is not None and other is not None and one.without_ctime() == other.without_ctime()

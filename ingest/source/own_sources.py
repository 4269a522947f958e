"""The folder's own sources of metadata: names of folders and files, the table, sidecars.

They have the same interface as plug-ins, and ask the watched source for what belongs to the folder as a whole. The pure
parts are in `ingest.source.metadata` and `ingest.source.table`.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Protocol

from ingest.source.files import FileState
from ingest.source.met import Met
from ingest.source.metadata import MAX_SIDECAR_BYTES, SIDECAR_SUFFIX, folder_fields, parse_sidecar
from ingest.source.patches import Tables
from ingest.source.regular_files import NotRegular, open_regular
from recq import paths
from recq.errors import MetadataError
from recq.index.metadata_source import FOLDER, SIDECAR, TABLE, Described, PictureFile, SourceFolder
from recq.index.problems import Problem, ProblemKind
from recq.index.schema import FieldTypes, Metadata, Scalar

MARK = ""
"""The key, in a fingerprint, of what is no field; no field has this name."""


class Watched(SourceFolder, Protocol):
    """What the folder's own sources ask of `ingest.source.watched_source.WatchedSource`."""

    @property
    def tables(self) -> Tables:
        """The tables as they were last read."""

    @property
    def met(self) -> Met:
        """Takes the files that are read."""

    def types(self) -> FieldTypes:
        """The catalog's fields."""

    def row_of(self, text: str) -> str | None:
        """The row of the table for the file at `text`; patches have theirs."""

    def sidecar_of(self, path: str) -> str:
        """Where the sidecar of the picture at `path` is, or would be."""

    def reliable(self, state: FileState) -> FileState:
        """The state without its ctime where the ctime does not show changes."""


class FromNames:
    """`category` from the first folder below the root, else from the file's name."""

    precedence = FOLDER

    def __init__(self, folder: Watched) -> None:
        self._folder = folder

    def fingerprint(self, file: PictureFile) -> Metadata:
        """The category."""
        return folder_fields(paths.to_text(file.path)[0], self._folder.tables.types, self._folder.types())

    def describe(self, file: PictureFile) -> Described:
        """The category."""
        found = self.fingerprint(file)
        return Described(found, fingerprint=found)


class FromTable:
    """The picture's row."""

    precedence = TABLE

    def __init__(self, folder: Watched) -> None:
        self._folder = folder

    def fingerprint(self, file: PictureFile) -> Metadata:
        """The row."""
        text = paths.to_text(file.path)[0]
        return self._folder.tables.own.rows.get(self._folder.row_of(text) or text, {})

    def describe(self, file: PictureFile) -> Described:
        """The row. What is wrong with a table is a problem of the source."""
        found = self.fingerprint(file)
        return Described(found, fingerprint=found)


class FromSidecar:
    """The JSON object beside the picture."""

    precedence = SIDECAR

    def __init__(self, folder: Watched) -> None:
        self._folder = folder

    def fingerprint(self, file: PictureFile) -> Metadata:
        """Size, modification time and ctime; the sidecar is not read."""
        state = _regular_state(self._folder.sidecar_of(file.path))
        return _mark(None if state is None else self._folder.reliable(state), bad=False)

    def describe(self, file: PictureFile) -> Described:
        """The fields. A sidecar that cannot be read is read again each time, so that its problem is known."""
        name = paths.printable(f"{paths.to_text(file.path)[0]}{SIDECAR_SUFFIX}")
        state: FileState | None = None
        try:
            path = self._folder.sidecar_of(file.path)
            found = _read(path)
            if found is None:
                return Described(fingerprint={})
            self._folder.met.note(path)
            state = self._folder.reliable(found[0])
            sidecar = parse_sidecar(found[1], name)
        except MetadataError as error:
            problem = str(error)
        except OSError as error:
            problem = f"{name} cannot be read: {error.strerror}"
        else:
            return Described(sidecar.fields, sidecar.problems, _mark(state, bad=False))
        return Described(problems=[Problem(ProblemKind.SIDECAR, problem)], fingerprint=_mark(state, bad=True))


def without_ctime(fingerprint: Metadata) -> Metadata:
    """The fingerprint of a sidecar as it was stored without a ctime (by an older recq, or from a polled folder)."""
    mark = fingerprint.get(MARK)
    return {MARK: [*mark[:2], mark[-1]]} if isinstance(mark, list) and len(mark) > 2 else fingerprint


def _mark(state: FileState | None, *, bad: bool) -> Metadata:
    if state is None and not bad:
        return {}
    known = () if state is None else (state.size, state.mtime_ns, state.ctime_ns)
    mark: list[Scalar] = [each for each in known if each is not None]
    return {MARK: [*mark, bad]}


def _regular_state(path: str) -> FileState | None:
    """The state of a regular file; None when there is none, or when it cannot be known."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return FileState.of(status) if stat.S_ISREG(status.st_mode) else None


def _read(path: str) -> tuple[FileState, bytes] | None:
    """A sidecar's state and bytes, one byte more than allowed when it is too long; None when there is none."""
    try:
        with open_regular(path, follow=False) as file:
            return FileState.of(os.fstat(file.fileno())), file.read(MAX_SIDECAR_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, NotRegular):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # of a picture whose own name leaves no room for the suffix
            return None
        raise

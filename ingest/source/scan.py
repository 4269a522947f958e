"""The files of a source: a streaming walk, and the rules that separate items from everything else.

The setting `ignore` names what is ignored in every source; the `.recqignore` files of folders name more
(`ingest.source.ignore_files`). Links to folders are not followed, links to files only inside the root. A folder that
cannot be read is reported, and never counts as empty.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from ingest.source.files import FileState
from ingest.source.ignore_files import IGNORE_FILE, IgnoreFile, IgnoreFiles, Ignoring, Rule, decide
from ingest.source.met import Met
from ingest.source.table import TABLE_NAME
from recq.images import IMAGE_EXTENSIONS, sniff
from recq.images.inside import AS_IT_IS
from recq.index.patch_names import patch_name

_HEAD = 64  # bytes that `sniff` is shown
_FOLDERS = 4096  # folders of which it is remembered whether they are skipped: their files come one after another
_NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}


class Kind(StrEnum):
    """What the name of a file makes it."""

    ITEM = "item"  # an image's extension: an item whatever it holds
    MAYBE = "maybe"  # its first bytes decide
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Seen:
    """A file in a source; `path` is relative to the root, as the operating system gives it.

    `rule` is the line of a `.recqignore` that a walk has found to ignore it. A folder is met where a rule ignores it
    whole; a link to one is none.
    """

    path: str
    state: FileState
    kind: Kind
    rule: Rule | None = None
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A folder that could not be listed: what the index knows below it stays. `path` is "" for the root."""

    path: str
    reason: str

    def covers(self, path: str) -> bool:
        """Whether `path` lies below this folder."""
        return not self.path or path.startswith(f"{self.path}/")


class Rules:
    """What is skipped below a root; `ignore` are patterns of file and folder names, upper and lower case alike.

    All questions about names and paths are about these patterns alone; `ignore_files` are the `.recqignore` files below
    the root. Safe to use from several threads.
    """

    def __init__(self, ignore: Sequence[str], root: Path, met: Met | None = None) -> None:
        self.root = root
        self.ignore_files = IgnoreFiles(root, met or Met(root))
        self._ignored = re.compile("|".join(map(fnmatch.translate, [*ignore, IGNORE_FILE])), re.IGNORECASE)
        self._patterns = [(pattern, re.compile(fnmatch.translate(pattern), re.IGNORECASE)) for pattern in ignore]
        self._ignores_folder = lru_cache(maxsize=_FOLDERS)(self._has_ignored_part)

    def ignores_name(self, name: str) -> bool:
        """Whether a file or folder of that name is skipped."""
        return self._ignored.match(name) is not None

    def rule_of(self, name: str) -> Rule | None:
        """The first pattern for which a file or folder of that name is skipped."""
        return next((Rule(pattern) for pattern, compiled in self._patterns if compiled.match(name)), None)

    def rule_of_path(self, path: str) -> Rule | None:
        """The same for the first part of a path relative to the root that is skipped."""
        return next((rule for part in path.split("/") if (rule := self.rule_of(part)) is not None), None)

    def ignores_path(self, path: str) -> bool:
        """Whether a path relative to the root has a part that is skipped."""
        folder, _, name = path.rpartition("/")
        return self.ignores_name(name) or self._ignores_folder(folder)

    def _has_ignored_part(self, folder: str) -> bool:
        return bool(folder) and any(map(self.ignores_name, folder.split("/")))

    def kind_of(self, path: str) -> Kind:
        """What the name of a regular file makes it, whatever its folders are; `path` is relative to the root."""
        name = path.rpartition("/")[2]
        return Kind.IGNORED if self.ignores_name(name) else _kind(path, name)


def _kind(path: str, name: str) -> Kind:
    """The same for a file that no pattern of the setting fits."""
    if path == TABLE_NAME or patch_name(path) is not None:
        return Kind.IGNORED
    stem, dot, extension = name.rpartition(".")
    return Kind.ITEM if stem and f"{dot}{extension}".lower() in IMAGE_EXTENSIONS else Kind.MAYBE


def look(path: str, rules: Rules) -> Seen | None:
    """What is at a path relative to the root of the rules; None when nothing is there, or a folder.

    What lies behind a link to a folder is not there: no walk follows one. Raises OSError when that cannot be known (a
    folder on the way may not be searched, the disk does not answer, a `.recqignore` on the way that cannot be used may
    take back what another ignores).
    """
    absolute = f"{rules.root}/{path}"
    try:
        status = os.lstat(absolute)
        if stat.S_ISDIR(status.st_mode) or _is_behind_link(path, rules.root):
            return None
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return None
        raise
    if stat.S_ISLNK(status.st_mode):
        return _look_through(Path(absolute), path, status, rules)
    return _regarded(path, status, rules)


def _is_behind_link(path: str, root: Path) -> bool:
    """Whether a folder above the path, below the root, is a link. Raises OSError."""
    folder = path.rpartition("/")[0]
    while folder:
        if stat.S_ISLNK(os.lstat(f"{root}/{folder}").st_mode):
            return True
        folder = folder.rpartition("/")[0]
    return False


def _regarded(path: str, status: os.stat_result, rules: Rules) -> Seen:
    """What a file is by all rules; raises OSError where these are not known."""
    if not stat.S_ISREG(status.st_mode) or rules.ignores_path(path):
        return Seen(path, FileState.of(status), Kind.IGNORED)
    ignoring = rules.ignore_files.ignoring(path)
    if ignoring is None:
        return Seen(path, FileState.of(status), rules.kind_of(path))
    if ignoring.doubt is not None:
        raise OSError(errno.EAGAIN, f"{ignoring.rule} ignores it, but {ignoring.doubt}")
    return Seen(path, FileState.of(status), Kind.IGNORED, ignoring.rule)


def _look_through(link: Path, path: str, link_status: os.stat_result, rules: Rules) -> Seen:
    """A link counts as the regular file that it leads to, where this lies inside the root; else it is skipped."""
    try:
        status = link.stat()
        inside = link.resolve().is_relative_to(rules.root.resolve())
    except (OSError, RuntimeError):  # it leads nowhere, or in a circle
        return Seen(path, FileState.of(link_status), Kind.IGNORED)
    if not inside or not stat.S_ISREG(status.st_mode):
        return Seen(path, FileState.of(link_status), Kind.IGNORED)
    return _regarded(path, status, rules)


def walk(rules: Rules, below: str = "") -> Iterator[Seen | Unreadable]:
    """Everything below the folder `below` of a source, one folder after the other; a folder skipped counts once.

    Memory is bounded by the number of folders that wait.
    """
    root, ignore_files = rules.root, rules.ignore_files
    above = ignore_files.above(below)
    folders: list[tuple[str, tuple[IgnoreFile, ...]]] = [] if isinstance(above, Ignoring) else [(below, above)]
    while folders:
        folder, files = folders.pop()
        own = ignore_files.of(folder) if folder != below else None
        files = files if own is None else (own, *files)
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    try:
                        is_folder = entry.is_dir(follow_symlinks=False)
                        if rules.ignores_name(entry.name):
                            yield _ignored(entry, path, is_folder=is_folder)
                        elif files and (ignoring := decide(files, path, is_folder=is_folder)) is not None:
                            yield _ignored(entry, path, ignoring.rule, is_folder=is_folder)
                        elif is_folder:
                            folders.append((path, files))
                        else:
                            yield _seen(entry, path, rules)
                    except OSError as error:  # of this one entry
                        if error.errno not in _NOTHING_THERE:
                            yield Unreadable(path, error.strerror or str(error))
        except OSError as error:
            if error.errno not in _NOTHING_THERE or not folder:  # a folder that has just gone is not reported
                yield Unreadable(folder, error.strerror or str(error))


def _seen(entry: os.DirEntry[str], path: str, rules: Rules) -> Seen:
    """What an entry is that no rule ignores."""
    if not (entry.is_file(follow_symlinks=False) or entry.is_symlink()):
        return _ignored(entry, path)
    if entry.is_symlink():
        return look(path, rules) or _ignored(entry, path)
    return Seen(path, FileState.of(entry.stat(follow_symlinks=False)), _kind(path, entry.name))


def _ignored(entry: os.DirEntry[str], path: str, rule: Rule | None = None, *, is_folder: bool = False) -> Seen:
    return Seen(path, FileState.of(entry.stat(follow_symlinks=False)), Kind.IGNORED, rule, is_folder)


def holds_image(root: Path, path: str) -> bool:
    """Whether the file's first bytes are an allowed format's. Raises OSError where it cannot be read."""
    descriptor = os.open(root / path, AS_IT_IS)
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and sniff(os.read(descriptor, _HEAD)) is not None
    finally:
        os.close(descriptor)

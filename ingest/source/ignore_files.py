"""The `.recqignore` files of a source: rules in gitignore's syntax, each for its folder and all below it.

As in git, the last line of a file that fits decides, the nearest file is asked first, and everything below an ignored
folder is ignored, whatever rules stand further in. pathspec translates a pattern into a regular expression. What
surrounds the pattern (spaces, line ends, `!`, a slash at the end) is read here, since git compares each folder of a
path by itself, and pathspec compares whole paths.

A file that cannot be used (no permission, a link, too large, ...) ignores nothing new: its last usable rules hold.
Where it has none, what a rule further out ignores is undecided, since this file may take it back: such a picture stays
in the index if it is there, and is not added if not.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from ingest.source.met import Met
from ingest.source.regular_files import open_regular
from recq import paths
from recq.index.problems import Problem, ProblemKind

IGNORE_FILE = ".recqignore"

MAX_BYTES = 100_000
"""A larger file is not read."""

MAX_RULES = 1_000
"""A file with more rules is not used, since each picture below it is compared with all of them."""

_LONGEST_RULE = 1_000  # characters
_LONGEST_SHOWN = 200
_MOST_DOUBLE_STARS = 3  # of one pattern: each multiplies the ways to try a path by its folders
_SETTLED_AFTER = 2_000_000_000  # nanoseconds; a file younger than this may change without another time (FAT counts so)
_BOM = b"\xef\xbb\xbf"
_HOLDS = "its earlier rules hold"
_NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}

# How pathspec writes these; tests/ingest/source/test_ignore_files.py compares what comes out with git.
_TAIL = "(?:(?P<ps_d>/)|$)"  # the end of the path or of one of its folders
_ANY_FOLDERS = "^(?:.+/)?"
_SOME_FOLDERS = "(?:/.+)?"
_STAR = "[^/]*"
_ODD_CLASS = re.compile(r"(?<!\\)\[[^\]/]*(?:\\|\[[:.=])")

warnings.filterwarnings("ignore", message="Possible (nested set|set )", category=FutureWarning)  # of a class as `[[a]`


@dataclass(frozen=True, slots=True)
class Rule:
    """Why something is ignored: a pattern of the setting `ignore`, or a line (from 1) of a file (text form)."""

    pattern: str
    file: str | None = None
    line: int = 0

    def __str__(self) -> str:
        pattern = paths.shortened(self.pattern, _LONGEST_SHOWN)
        if self.file is None:
            return f"the rule {pattern!r} of the setting 'ignore'"
        return f"the rule {pattern!r} in {paths.printable(self.file)} line {self.line}"


@dataclass(frozen=True, slots=True)
class Ignoring:
    """A path is ignored by `rule`. With a `doubt` that is undecided: a file that may take it back cannot be used."""

    rule: Rule
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line. `includes`: what fits is not ignored. `by_name`: it is compared with the name alone, not the path.

    `regex` fits the whole of it; None of a line that cannot be used.
    """

    rule: Rule
    includes: bool = False
    folders_only: bool = False
    by_name: bool = False
    regex: re.Pattern[str] | None = None


class PatternError(ValueError):
    """A line, or a whole file, cannot be used, for the reason in the message."""


class IgnoreFile:
    """The rules of the file in `folder` ("" for the root).

    `problems` is what is wrong with the file, `doubt` the reason why none of its rules are known.
    """

    def __init__(
        self,
        folder: str,
        patterns: Sequence[Pattern] = (),
        problems: Sequence[Problem] = (),
        doubt: str | None = None,
    ) -> None:
        self.patterns = patterns
        self.problems = problems
        self._doubt = doubt
        self._from = len(folder) + 1 if folder else 0
        self._last_first = tuple(reversed(patterns))
        self._is_certain = doubt is None and not any(each.includes for each in patterns if each.regex is None)
        self._names = _any_of([each.regex for each in patterns if each.regex is not None and each.by_name])
        self._paths = _any_of([each.regex for each in patterns if each.regex is not None and not each.by_name])

    def decides(self, path: str, *, is_folder: bool) -> tuple[Pattern | None, str | None]:
        """The last line that fits `path` (relative to the root), and why an unusable one after it may have fitted."""
        below = path[self._from :]
        name = path.rpartition("/")[2]
        if self._is_certain and not (self._names(name) or self._paths(below)):
            return None, None
        doubt = self._doubt
        for pattern in self._last_first:
            if pattern.regex is None:
                if pattern.includes:
                    doubt = f"{pattern.rule} cannot be used"
            elif (is_folder or not pattern.folders_only) and pattern.regex.match(name if pattern.by_name else below):
                return pattern, doubt
        return None, doubt


def decide(files: Sequence[IgnoreFile], path: str, *, is_folder: bool) -> Ignoring | None:
    """Whether the files above a path (relative to the root), the nearest first, ignore it; None: they do not.

    The folders above the path are not looked at, and must not be ignored themselves.
    """
    doubt: str | None = None
    for file in files:
        pattern, doubted = file.decides(path, is_folder=is_folder)
        doubt = doubt or doubted
        if pattern is not None:
            return None if pattern.includes else Ignoring(pattern.rule, doubt)
    return None


def read_patterns(data: bytes, file: str) -> tuple[list[Pattern], list[Problem]]:
    """The patterns in the bytes of `file` (its path, text form), and the lines that cannot be used.

    Bytes that are not UTF-8 fit the same bytes in names. Raises PatternError where the whole cannot be used.
    """
    if len(data) > MAX_BYTES:
        raise PatternError(f"has more than {MAX_BYTES:,} bytes")
    if b"\0" in data:
        raise PatternError("is no text in UTF-8 (it holds a byte 0): save it as UTF-8")
    found: list[Pattern] = []
    problems: list[Problem] = []
    for number, line in enumerate(data.removeprefix(_BOM).split(b"\n"), start=1):
        text = _without_spaces(line.removesuffix(b"\r").decode("utf-8", "surrogateescape"))
        if not text or text.startswith("#"):
            continue
        if len(found) == MAX_RULES:
            raise PatternError(f"has more than {MAX_RULES:,} rules")
        rule = Rule(text, file, number)
        try:
            found.append(_pattern(text, rule))
        except PatternError as error:
            found.append(Pattern(rule, includes=text.startswith("!") and bool(text.strip("!/"))))
            shown = paths.shortened(text, _LONGEST_SHOWN)
            detail = f"{paths.printable(file)}:{number}: the rule {shown!r} is not used: {error}"
            problems.append(Problem(ProblemKind.RULE, detail, path=file, line=number))
    return found, problems


def _without_spaces(line: str) -> str:
    """A line without the spaces at its end, but for one behind a backslash."""
    end = at = 0
    while at < len(line):
        if line[at] == "\\":
            at += 1
            end = at + 1
        elif line[at] != " ":
            end = at + 1
        at += 1
    return line[:end]


def _pattern(text: str, rule: Rule) -> Pattern:
    """The pattern of a line that is neither empty nor a comment. Raises PatternError."""
    includes = text.startswith("!")
    core = text[1:] if includes else text
    folders_only = core.endswith("/")
    core = core.removesuffix("/")
    if not core.strip("/") or core.endswith("/"):
        raise PatternError("it names nothing")
    if len(core) > _LONGEST_RULE:
        raise PatternError(f"it is longer than {_LONGEST_RULE:,} characters")
    by_name = "/" not in core
    return Pattern(rule, includes, folders_only, by_name, _regex(core, by_name=by_name))


def _regex(core: str, *, by_name: bool) -> re.Pattern[str]:
    """What fits exactly the path or name that a pattern names, not what lies below it.

    `core` has neither `!` before nor a slash behind. Raises PatternError.
    """
    if _ODD_CLASS.search(core):
        raise PatternError("classes as [[:digit:]], and a backslash in brackets, are not known")
    core = re.sub(r"\*{3,}", "**", core)
    if sum(part == "**" for part in core.split("/")) > _MOST_DOUBLE_STARS:
        raise PatternError(f"it has '**' more than {_MOST_DOUBLE_STARS} times")
    try:
        expression, _ = GitIgnoreSpecPattern.pattern_to_regex(_protected(core))
        if expression is None:
            raise PatternError("a bracket is not closed")
        if expression.endswith(_TAIL):
            expression = expression.removesuffix(_TAIL) + r"\Z"
        if by_name:
            expression = expression.removeprefix(_ANY_FOLDERS)
        expression = _SOME_FOLDERS.join(map(_without_backtracking, expression.split(_SOME_FOLDERS)))
        return re.compile(expression, re.DOTALL)
    except PatternError:
        raise
    except (ValueError, re.error) as error:
        why = "it ends in a backslash" if core.endswith("\\") else str(error).partition(":")[0]
        raise PatternError(why) from error


def _protected(core: str) -> str:
    """The pattern for pathspec, which takes `!` and `#` in front and white space behind for its own."""
    if core[:1] in ("!", "#"):
        core = f"\\{core}"
    if core[-1:].isspace():
        before, space = core[:-1], core[-1]
        if (len(before) - len(before.rstrip("\\"))) % 2:
            before = before[:-1]
        core = f"{before}[{space}]"
    return core


def _without_backtracking(expression: str) -> str:
    """The same expression with each star but the last one as short as possible and atomic (no backtracking).

    What stands between two stars has a fixed length, so the first place where it fits serves as well as any later one.
    Otherwise `*a*a*a*a*b` would take hours for a name of 255 characters.
    """
    first, *between = expression.split(_STAR)
    if not between:
        return first
    last = between.pop()
    return first + "".join(f"(?>{_STAR}?{part})" for part in between) + _STAR + last


def _any_of(regexes: Sequence[re.Pattern[str]]) -> Callable[[str], object]:
    """A match of any of them; tried first, since most paths fit none."""
    if not regexes:
        return _nothing
    return re.compile("|".join(f"(?:{each.pattern})" for each in regexes), re.DOTALL).match


def _nothing(_: str) -> None:
    """No pattern fits."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A file as it was last read: `state` is None of one that has to be read again next time.

    `data` is what `file` was made of, None where nothing of it could be used; `stale`: it cannot be used any more.
    """

    state: tuple[int, ...] | None
    data: bytes | None
    file: IgnoreFile
    stale: bool = False


class IgnoreFiles:
    """The files below one root, each read again when it is another, which `met` notes. Safe for several threads.

    Only files that are there are remembered: a folder without one costs a look at the disk each time.
    """

    def __init__(self, root: Path, met: Met) -> None:
        self._root = root
        self._met = met
        self._read: dict[str, _Read] = {}

    def of(self, folder: str) -> IgnoreFile | None:
        """The file that stands in a folder (relative to the root) now; None where there is none."""
        path = f"{self._root}/{folder}/{IGNORE_FILE}" if folder else f"{self._root}/{IGNORE_FILE}"
        try:
            status = os.lstat(path)
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                if self._read:
                    self._read.pop(folder, None)
                return None
            return self._unusable(folder, f"cannot be read: {error.strerror}")
        before = self._read.get(folder)
        if before is not None and before.state == _state(status):
            return before.file
        return self._renewed(folder, path, status, before)

    def above(self, folder: str) -> tuple[IgnoreFile, ...] | Ignoring:
        """The files of a folder ("" for the root) and of those above it, the nearest first; or why one is ignored."""
        own = self.of("")
        files = () if own is None else (own,)
        at = ""
        for part in folder.split("/") if folder else ():
            at = f"{at}/{part}" if at else part
            if files and (ignoring := decide(files, at, is_folder=True)) is not None:
                return ignoring
            own = self.of(at)
            if own is not None:
                files = own, *files
        return files

    def ignoring(self, path: str) -> Ignoring | None:
        """Why the file at a path, relative to the root, is ignored; None where it is not."""
        files = self.above(path.rpartition("/")[0])
        return files if isinstance(files, Ignoring) else decide(files, path, is_folder=False)

    def problems(self, path: str) -> Sequence[Problem]:
        """What is wrong with the file at `path`, relative to the root."""
        file = self.of(path.rpartition("/")[0])
        return () if file is None else file.problems

    def _renewed(self, folder: str, path: str, status: os.stat_result, before: _Read | None) -> IgnoreFile:
        name = _name(folder)
        self._met.note(path)
        try:
            data = _bytes(path, status)
            if before is not None and before.data == data and not before.stale:
                file = before.file
            else:
                file = IgnoreFile(folder, *read_patterns(data, name))
        except PatternError as error:
            return self._unusable(folder, str(error), status)
        except OSError as error:
            if error.errno in _NOTHING_THERE:  # it has just gone
                self._read.pop(folder, None)
                return IgnoreFile(folder)
            return self._unusable(folder, f"cannot be read: {error.strerror}")
        self._read[folder] = _Read(_settled(status), data, file)
        return file

    def _unusable(self, folder: str, why: str, status: os.stat_result | None = None) -> IgnoreFile:
        """The file with its earlier rules, and a problem with the reason why it cannot be used now."""
        before, name = self._read.get(folder), paths.printable(_name(folder))
        data = before.data if before is not None else None
        after = "it ignores nothing, and what it may take back stays as it is" if data is None else _HOLDS
        problem = Problem(ProblemKind.RULE, f"{name} {why}; {after}", path=_name(folder))
        if before is not None and before.file.problems == [problem]:
            file = before.file
        elif before is not None and data is not None:
            file = IgnoreFile(folder, before.file.patterns, [problem])
        else:
            file = IgnoreFile(folder, problems=[problem], doubt=f"{name} {why}")
        state = None if status is None else _settled(status)  # what could not be read is tried again
        self._read[folder] = _Read(state, data, file, stale=True)
        return file


def _name(folder: str) -> str:
    """The path of a folder's file, in text form."""
    return paths.to_text(f"{folder}/{IGNORE_FILE}" if folder else IGNORE_FILE)[0]


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _settled(status: os.stat_result) -> tuple[int, ...] | None:
    """The state by which the file is recognised; None while it is so young that it may change without another time."""
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    return _state(status) if time.time_ns() - changed > _SETTLED_AFTER else None


def _bytes(path: str, status: os.stat_result) -> bytes:
    """The bytes of a file, `MAX_BYTES + 1` at most. Raises PatternError and OSError."""
    if stat.S_ISLNK(status.st_mode):
        raise PatternError("is a link, and none is followed")
    if not stat.S_ISREG(status.st_mode):
        raise PatternError("is a folder" if stat.S_ISDIR(status.st_mode) else "is no regular file")
    with open_regular(path, follow=False) as file:  # another one may stand there by now
        return file.read(MAX_BYTES + 1)

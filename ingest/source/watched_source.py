"""One source while it is watched: its root, its table of metadata, the files skipped, what is wrong with it."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.source.exif import FIELDS as EXIF_FIELDS
from ingest.source.files import FileState
from ingest.source.guard import Guard, LossGuard, held_metadata, too_much_metadata
from ingest.source.headers import Headers
from ingest.source.held import HeldReports
from ingest.source.ignore_files import IGNORE_FILE, Rule
from ingest.source.metadata import SIDECAR_SUFFIX, lost_fields, merge
from ingest.source.metadata_sources import Asked, metadata_sources
from ingest.source.nearest import Nearest
from ingest.source.other_daemons import double_of, undoubled
from ingest.source.own_sources import without_ctime
from ingest.source.scan import Kind, Rules, Seen, Unreadable, look, walk
from ingest.source.table import TABLE_NAME, MetadataTable, read_table
from recq import paths
from recq.commands import command
from recq.errors import MetadataError, UsageError
from recq.images.process import Header
from recq.index.metadata_source import TABLE, PictureFile
from recq.index.problems import UNMET, Problem, ProblemKind, bounded, few, left_out
from recq.index.schema import FieldTypes, Metadata, Value, metadata_digest, storable
from recq.index.sources import Plugin

_MOST_IGNORED = 200_000  # paths that are remembered; more are only counted
_MOST_PROBLEMS = 100
_ROWS = "rows"  # that rows of a table name no file, beside the problem that it cannot be read
_LEFT_OUT = "left out"  # that rows, columns or cells of it are
_TWICE = "twice"  # that columns of it come from elsewhere, too
_UNREAD = "unread"  # that other tables are not read
_RULES = "rules"  # that a `.recqignore`, or a line of one, is not used
_REFUSED = "refused"
_DOUBLED = "doubled"


class Ignored:
    """The files of a source that are no items, so that their first bytes are not read at every walk."""

    def __init__(self) -> None:
        self._files: dict[str, FileState] = {}
        self._more = 0

    def __len__(self) -> int:
        return len(self._files) + self._more

    def has(self, path: str, state: FileState) -> bool:
        """Whether the path was skipped in that very state."""
        return self._files.get(path) == state

    def add(self, path: str, state: FileState) -> None:
        """Note that a file is no item."""
        if path in self._files or len(self._files) < _MOST_IGNORED:
            self._files[path] = state

    def discard(self, path: str) -> None:
        """Note that a file has gone, or has become an item."""
        self._files.pop(path, None)

    def replace(self, files: Mapping[str, FileState]) -> None:
        """Replace all by the files that a whole walk has found."""
        self._more = max(0, len(files) - _MOST_IGNORED)
        self._files = dict(list(files.items())[:_MOST_IGNORED])


class Problems:
    """What is wrong with a source's metadata; each problem is reported once, by `say(path, message)`."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        self._say = say
        self._messages: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def note(self, path: str, message: str, about: str = "") -> None:
        """Report a problem of the file at `path`; `about` distinguishes several problems of one file."""
        key = (path, about)
        with self._lock:
            if self._messages.get(key) == message:
                return
            if key in self._messages or len(self._messages) < _MOST_PROBLEMS:
                self._messages[key] = message
        self._say(path, message)

    def clear(self, path: str, about: str = "") -> None:
        """Note that the file at `path` has this problem no more."""
        with self._lock:
            self._messages.pop((path, about), None)


@dataclass(frozen=True, slots=True)
class Description:
    """The metadata of an item, what is wrong with it, and the `digest` of what it was made of.

    The digest can be computed again without reading the metadata.
    """

    metadata: Metadata
    digest: str
    problems: tuple[Problem, ...] = ()

    def keeping(self, before: Metadata, lost: Collection[str]) -> Description:
        """The same with the values `before` of the fields that it would lose; its digest never equals a folder's."""
        metadata = {**self.metadata, **{name: before[name] for name in lost}}
        return replace(self, metadata=metadata, digest=metadata_digest({**metadata, "": ["held"]}))


class WatchedSource:
    """A source: `name`, `root` (resolved), and `table_path` when a table other than the root's own was named.

    `types()` gives the catalog's fields, `max_delete` is the share of its items that may vanish at once. `held` counts
    the deletions that were not made since they were too many, `held_metadata` the items that would lose metadata
    together with too many others. `ignore` are the patterns of names that are skipped. `tells_ctime(root)` is
    asked whether the ctime of its files shows changes; where it does not, no state has one. With `headers`, EXIF is
    metadata. `plugin_timeout`: seconds that a plug-in has for an answer. `known_plugins` gave the source metadata when
    it was compared last. Safe to use from several threads: the table is replaced whole.
    """

    def __init__(
        self,
        name: str,
        root: Path,
        *,
        table_path: Path | None,
        types: Callable[[], FieldTypes],
        say: Callable[[str, str], None],
        max_delete: float = 0.5,
        tells_ctime: Callable[[Path], bool] = lambda _: True,
        ignore: Sequence[str] = (),
        headers: Headers | None = None,
        plugin_timeout: float = 30.0,
        known_plugins: Mapping[str, Plugin] | None = None,
    ) -> None:
        self.name = name
        self.guard = Guard(max_delete)
        self.losses = LossGuard(max_delete)
        self.held = 0
        self.held_metadata = 0
        self.held_reports = HeldReports()
        self.root = root
        self.rules = Rules(ignore, root)
        self.table = MetadataTable()
        self.ignored = Ignored()
        self.problems = Problems(say)
        self.refused: dict[str, Problem] = {}
        """What the index takes in no form at all, by path (text form)."""
        self._named = table_path is not None
        self._table_path = table_path or root / TABLE_NAME
        self._table_state: FileState | None = None  # as it was last read
        self._table_seen: FileState | None = None
        self._table_loaded = False
        self._table_problem: Problem | None = None
        self._rows: tuple[str, list[Problem]] = "", []  # what is reported of rows that name no file, and each
        self._unread: list[Problem] = []
        self._skipped: list[Problem] = []
        self._bad_rules: list[Problem] = []
        self._held_why = ""
        self._held_by: str | None = None  # the table, where it may have to do with that
        self._doubled: Problem | None = None
        self.types = types
        """The catalog's fields."""
        self.headers = headers
        self._tells_ctime = tells_ctime
        self._has_ctime = tells_ctime(root)
        self._identity = _identity(root)
        self.missing: tuple[Problem, ...] = ()
        """One for each plug-in that cannot be used, or did not answer in time."""
        self._known_plugins = known_plugins or {}
        self._sources = metadata_sources(
            self, exif=headers is not None, plugin_timeout=plugin_timeout, missing=self._note_missing
        )

    def _note_missing(self, problem: Problem) -> None:
        """Keep and report the problem of a source of metadata that cannot be used."""
        self.missing = (*self.missing, problem)  # replaced whole: other threads read it
        self.problems.note("", problem.detail, problem.detail)

    def look(self, path: str) -> Seen | None:
        """What is at a path relative to the root; see `ingest.source.scan.look`. Raises OSError."""
        seen = look(path, self.rules)
        return seen if seen is None or self._has_ctime else replace(seen, state=seen.state.without_ctime())

    def walk(self, below: str = "") -> Iterator[Seen | Unreadable]:
        """Everything below a folder of the source; see `ingest.source.scan.walk`."""
        for found in walk(self.rules, below):
            if self._has_ctime or isinstance(found, Unreadable):
                yield found
            else:
                yield replace(found, state=found.state.without_ctime())

    def rule_ignoring(self, path: str) -> Rule | None:
        """The rule by which the file at a path is ignored; None where no rule does, or nothing is there."""
        try:
            seen = self.look(path)
        except OSError:
            return None
        if seen is None or seen.kind is not Kind.IGNORED:
            return None
        return seen.rule or self.rules.rule_of_path(path)

    def reliable(self, state: FileState) -> FileState:
        """The state without its ctime where the ctime does not show changes."""
        return state if self._has_ctime else state.without_ctime()

    def _state(self, path: Path) -> FileState | None:
        try:
            return self.reliable(FileState.of(path.stat()))
        except OSError:
            return None

    def table_changed(self) -> bool:
        """Whether the table's file is another than the one last read, and the same as at the last such question."""
        before, self._table_seen = self._table_seen, self._state(self._table_path)
        return self._table_seen != self._table_state and self._table_seen == before

    def load_table(self) -> bool:
        """Read the table; whether there is another one now. Of one that cannot be read the old one stays.

        Raises UsageError when a named one is missing at first.
        """
        self._table_state = self._state(self._table_path)
        name = self._table_name()
        try:
            data = self._table_path.read_bytes()
            table = read_table(data, name, self.types())
        except FileNotFoundError as error:
            if self._named and not self._table_loaded:
                raise UsageError(f"--metadata {name}: there is no such file") from error
            if self._named:
                return self._table_is_bad(f"{name} has gone: what it had holds until it is back")
            table = MetadataTable()
        except OSError as error:
            return self._table_is_bad(f"{name} cannot be read: {error.strerror}")
        except MetadataError as error:
            return self._table_is_bad(str(error))
        self.losses.suspect()
        self.table = table
        self._table_loaded = True
        self._table_problem = None
        self.problems.clear(TABLE_NAME)
        self._say_some(TABLE_NAME, table.problems, _LEFT_OUT)
        self._say_some(TABLE_NAME, self._given_twice(), _TWICE)
        return True

    def _table_is_bad(self, detail: str) -> bool:
        self._table_problem = Problem(ProblemKind.TABLE, detail, path=self._table_name())
        self.problems.note(TABLE_NAME, detail)
        return False

    def _say_some(self, path: str, problems: Sequence[Problem], about: str) -> None:
        """Report the problems of one kind in one line, which quotes the first; nothing where there are none."""
        if not problems:
            self.problems.clear(path, about)
            return
        more = (
            f" (and {len(problems) - 1:,} more: {command('recq-ingest', 'problems')} lists them)"
            if len(problems) > 1
            else ""
        )
        self.problems.note(path, problems[0].detail + more, about)

    @property
    def blind(self) -> bool:
        """Whether there is a table and it was never read: only the index knows what it had of each item."""
        return self._table_problem is not None and not self._table_loaded

    def is_table(self, path: str) -> bool:
        """Whether the file at `path` is the table that is read."""
        try:
            return (self.root / path).samefile(self._table_path)
        except OSError:
            return False

    def note_rows(self, table: MetadataTable, missing: Collection[str], nearest: Nearest) -> None:
        """Keep the rows of the table that name no file, as a whole comparison has found them. Reported once."""
        if self.table is not table:  # another comparison, with the new one, follows
            return
        if not missing:
            self._rows = "", []
            self.problems.clear(TABLE_NAME, _ROWS)
            return
        name, lines = self._table_name(), table.lines
        rows = sorted(missing, key=lambda row: lines[row])
        hints = {row: f": did you mean {paths.printable(path)}?" for row in rows if (path := nearest.of(row))}
        problems = [
            Problem(
                ProblemKind.ROW,
                f"{name}:{lines[row]}: '{paths.printable(row)}' names no file{hints.get(row, '')}",
                path=name,
                line=lines[row],
            )
            for row in rows
        ]
        count = "1 row names" if len(rows) == 1 else f"{len(rows):,} rows name"
        first = f"line {lines[rows[0]]}, '{paths.printable(rows[0])}'{hints.get(rows[0], '')}"
        message = f"{name}: {count} no file (first: {first})"
        self._rows = message, problems
        self.problems.note(TABLE_NAME, message, _ROWS)

    def note_refusal(self, path: str, detail: str) -> None:
        """Keep and report that the index refuses the item at `path` (text form) in every form."""
        problem = Problem(ProblemKind.REFUSED, f"{paths.printable(path)}: refused by the index: {detail}", path=path)
        self.refused = {**self.refused, path: problem}  # replaced whole: other threads read it
        self.problems.note(path, problem.detail, _REFUSED)

    def clear_refusal(self, path: str) -> None:
        """Note that the index has taken the item at `path`."""
        if path in self.refused:
            self.refused = {other: problem for other, problem in self.refused.items() if other != path}
            self.problems.clear(path, _REFUSED)

    def note_files(
        self, unread: Sequence[Problem], skipped: Sequence[Problem], bad_rules: Sequence[Problem] = ()
    ) -> None:
        """Keep what a whole walk has found: tables that are not read, and pictures that a rule skips.

        `bad_rules` are lines of `.recqignore` files that are not used.
        """
        named = (unread or self._unread)[:1]  # the first, or the one that is gone
        self._unread, self._skipped, self._bad_rules = list(unread), list(skipped), list(bad_rules)
        self._say_some(IGNORE_FILE, self._bad_rules, _RULES)
        for problem in named:
            self._say_some(problem.path or "", self._unread, _UNREAD)

    def note_double(self, other: str | None, there: Path | None = None) -> bool:
        """Keep that another source, `there` on this host, has most of the same files. Returns whether that is new."""
        before = self._doubled
        if other is None:
            self._doubled = None
            self.problems.clear("", _DOUBLED)
        else:
            detail = double_of(self.name, other, self.root, there)
            self._doubled = Problem(ProblemKind.DOUBLED, detail)
            self.problems.note("", undoubled(self.name, detail), _DOUBLED)
        return self._doubled != before

    def hold_metadata(self, items: int, path: str, fields: Sequence[str]) -> str:
        """Hold a loss of metadata: the message. So many items lose some, the one at `path` (text form) these fields."""
        self._held_by = self._table_name()
        if self._table_problem is not None:
            why = self._table_problem.detail
        else:
            why, self._held_by = self._why_lost(paths.printable(path), fields)
            why += f"; {self._rows[0]}" if self._rows[0] else ""
        self.held_metadata = items
        self._held_why = why
        return too_much_metadata(self.name, items, why)

    def _why_lost(self, path: str, fields: Sequence[str]) -> tuple[str, str | None]:
        """Why the picture at `path` loses these fields, and the file that may have to do with it, if any."""
        names = ", ".join(map(paths.printable, fields))
        if self.headers is None and all(field in EXIF_FIELDS for field in fields):
            return f"the setting exif is off, with which {path} had its {names}", None
        gone = [each for name, each in self._known_plugins.items() if name not in self._asked_plugins]
        if (giver := next((each for each in gone if not set(each.fields).isdisjoint(fields)), None)) is not None:
            return f"{giver.called}, which gave {path} its {names}, is not installed any more", None
        why = f"neither {self._table_name()} nor a sidecar gives {path} its {names} any more"
        if (some := next((each for each in gone if not each.fields), None)) is not None:
            why += f", and {some.called} is not installed any more, which may have given them"
        return why, self._table_name()

    @property
    def _asked_plugins(self) -> Mapping[str, Asked]:
        return {source.name: source for source in self._sources if source.is_plugin}

    @property
    def plugins(self) -> Mapping[str, Plugin]:
        """The plug-ins that give metadata, by name; one that is gone as long as what it gave is held."""
        asked = self._asked_plugins
        known = {name: each for name, each in self._known_plugins.items() if self.held_metadata or name in asked}
        return known | {
            name: Plugin(each.called, tuple(each.types))
            for name, each in asked.items()
            if each.types or name not in known
        }

    def release_metadata(self) -> None:
        """Note that no loss of metadata is held."""
        self.held_metadata = 0

    def own_problems(self) -> list[Problem]:
        """What is wrong with the source as a whole, bounded. The problems of an item are stored with the item."""
        found = [self._table_problem] if self._table_problem is not None else []
        if self.held_metadata:
            detail = held_metadata(self.held_metadata, self._held_why)
            found.append(Problem(ProblemKind.HELD, detail, path=self._held_by, count=self.held_metadata))
        found += [self._doubled] if self._doubled is not None else []
        found += [*self.missing, *bounded(self._given_twice())]
        found += bounded(list(self.refused.values()))
        for kind in (ProblemKind.ROW, ProblemKind.FIELD, ProblemKind.MISFIT):
            found += bounded([problem for problem in self.table.problems if problem.kind is kind])
        return [*found, *bounded(self._rows[1]), *bounded(self._unread), *bounded(self._bad_rules), *self._skipped]

    def is_unmet(self) -> bool:
        """Whether the index lacks metadata of the folder: it is held, cannot be read, or was left out."""
        left_out = any(problem.kind in UNMET | {ProblemKind.ROW} for problem in self.table.problems)
        return bool(self._table_problem or self.held_metadata or left_out or self.missing)

    def _table_name(self) -> str:
        """The name of the table in messages."""
        return paths.printable(paths.to_text(str(self._table_path) if self._named else TABLE_NAME)[0])

    def describe(self, path: str, before: Metadata | None = None) -> Description:
        """The metadata of the item at `path` as its sources give it now.

        A field that cannot be stored is reported and left out. `before` is the metadata that the item has: fields that
        a source could not find out just now keep their values from there.
        """
        text, _ = paths.to_text(path)
        file = self._file(path)
        answers = [source.ask(file) for source in self._sources]
        row = self.row_of(text)
        where, line = self._table_name(), None if row is None else self.table.lines.get(row)
        kept = storable(merge(*(each.fields for each in answers)))
        problems = (
            *(problem for each in answers for problem in each.problems),
            *(left_out(f"{where}:{line}", field, why, line) for field, why in kept.dropped.items()),
        )
        name = f"{text}{SIDECAR_SUFFIX}"
        if problems:
            more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
            self.problems.note(name, problems[0].detail + more)
        else:
            self.problems.clear(name)
        metadata = {field: value for field, value in kept.fields.items() if value is not None}
        if before:
            lost = lost_fields(text, before, metadata)
            unknown = [each.unknown for each in answers]
            metadata |= {
                field: before[field] for field in lost if any(some is None or field in some for some in unknown)
            }
        return Description(metadata, _digest(each.fingerprint for each in answers), few(problems))

    def is_described(self, path: str, digest: str) -> bool:
        """Whether an item with that digest has the metadata that its sources give it now.

        No source is asked while its fingerprint is unchanged; a sidecar's is its size, modification time and ctime. A
        sidecar that cannot be read is read again each time, so that its problem is known.
        """
        file = self._file(path)
        found = [source.fingerprint(file) for source in self._sources]
        if digest in (_digest(found), _digest(map(without_ctime, found))):
            return True
        return digest == self.describe(path).digest

    @property
    def field_types(self) -> FieldTypes:
        """The fields whose types their sources declare, beside those of the table."""
        return {name: kind for source in self._sources for name, kind in source.types.items()}

    def note_header(self, path: str, header: Header) -> None:
        """Keep headers that were just read of the file at the absolute `path`, if it is one of this source."""
        if self.headers is not None and path.startswith(f"{self.root}/"):
            self.headers.note(path, header)

    def _file(self, path: str) -> PictureFile:
        return PictureFile(self.name, self.root, path)

    def _given_twice(self) -> list[Problem]:
        """One problem for each column of the table whose field another source gives as well."""
        found = []
        for source in self._sources:
            for name in sorted(source.types.keys() & self.table.types.keys()):
                wins = self._table_name() if source.precedence < TABLE else source.called
                detail = f"{self._table_name()}: '{paths.printable(name)}' comes from {source.called} as well"
                found.append(
                    Problem(
                        ProblemKind.TWICE,
                        f"{detail}: where both have a value, that of {wins} holds",
                        path=self._table_name(),
                        field=name,
                    )
                )
        return found

    def picture_of(self, sidecar: str) -> str:
        """The path of the picture that a sidecar belongs to: of exactly its name, else of one that looks the same."""
        path = sidecar.removesuffix(SIDECAR_SUFFIX)
        return next((form for form in _look_alikes(path) if os.path.lexists(f"{self.root}/{form}")), path)

    def sidecar_of(self, path: str) -> str:
        """The path of the sidecar of the picture at `path`: of exactly its name, else of one that looks the same.

        A sidecar whose own picture exists is not taken for another picture's.
        """
        own, *others = (f"{self.root}/{form}" for form in _look_alikes(path))
        if not others or os.path.lexists(own + SIDECAR_SUFFIX):
            return own + SIDECAR_SUFFIX
        like = (other for other in others if os.path.lexists(other + SIDECAR_SUFFIX) and not os.path.lexists(other))
        return next(like, own) + SIDECAR_SUFFIX

    def row_of(self, text: str) -> str | None:
        """The row of the table for the file at `text`; a row that names another file exactly is not taken."""
        row = self.table.row_of(text)
        if row is None or row == text:
            return row
        return None if os.path.lexists(f"{self.root}/{paths.from_text(row, encoded=False)}") else row

    def is_same_root(self) -> bool:
        """Whether the root is still the folder that it was: not unmounted, not replaced, not gone."""
        return self._identity is not None and _identity(self.root) == self._identity

    def root_replaced(self) -> bool:
        """Whether another folder stands at the root's path than the one that was compared last."""
        return _identity(self.root) not in (None, self._identity)

    def has_content(self) -> bool:
        """Whether the root is still there and anything stands in it."""
        try:
            with os.scandir(self.root) as entries:
                return next(entries, None) is not None
        except OSError:
            return False

    def renew(self) -> None:
        """Take the folder that is now at the root's path as the root; it may be on another file system."""
        self._identity = _identity(self.root)
        self._has_ctime = self._tells_ctime(self.root)


def _look_alikes(path: str) -> Sequence[str]:
    """A path and those in the same folder whose name looks the same."""
    folder, slash, name = path.rpartition("/")
    return [f"{folder}{slash}{form}" for form in paths.spellings(name)]


def _identity(folder: Path) -> tuple[int, int] | None:
    """Which folder this is, as long as the machine runs; None where there is none."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _digest(fingerprints: Iterable[Metadata]) -> str:
    """The digest of all fingerprints, in the order of the sources."""
    merged: dict[str, Value] = {}
    for each in fingerprints:
        merged |= each
    return metadata_digest(merged)

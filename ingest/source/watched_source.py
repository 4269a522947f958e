"""One source while it is watched: its root, its tables of metadata, the files skipped, what is wrong with it."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ingest.source.exif import FIELDS as EXIF_FIELDS
from ingest.source.files import FileState
from ingest.source.guard import Guard, LossGuard, held_metadata, too_much_metadata
from ingest.source.headers import Headers
from ingest.source.held import HeldReports
from ingest.source.ignore_files import IGNORE_FILE, Rule
from ingest.source.listings import Listings
from ingest.source.met import Met
from ingest.source.metadata import SIDECAR_SUFFIX, changed_fields, lost_fields, merge
from ingest.source.metadata_sources import Asked, metadata_sources
from ingest.source.nearest import Nearest
from ingest.source.other_daemons import double_of
from ingest.source.own_sources import without_ctime
from ingest.source.patches import Patched, Tables
from ingest.source.scan import Kind, Rules, Seen, Unreadable, holds_image, look, walk
from ingest.source.table import TABLE_NAME, MetadataTable
from ingest.source.table_files import TableFiles
from recq import paths
from recq.commands import command
from recq.images.process import Header
from recq.index.metadata_source import TABLE, PictureFile
from recq.index.problems import MOST_KEPT, UNMET, Problem, ProblemKind, bounded, few, left_out
from recq.index.remedies import undoubled
from recq.index.schema import FieldTypes, Metadata, Value, composed, dated, metadata_digest, nfc, storable
from recq.index.sources import Plugin
from recq.part import WHOLE, Part

_MOST_IGNORED = 200_000  # paths that are remembered; more are only counted
_MOST_UNLISTED = 100_000  # paths that are remembered; the next comparison finds the others
_MOST_PROBLEMS = 100
_PATCHED = "_"  # the key, in what a digest is made of, of what patches say: no field and no source has it
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

    def met(self, path: str, state: FileState) -> None:
        """Note a file that a walk meets, each once: those that are too many are counted."""
        self.add(path, state)
        self._more += path not in self._files


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
    it was compared last. `part`: its items that this daemon sees to; all files are seen all the same. Safe to use from
    several threads: the tables are replaced whole.
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
        part: Part = WHOLE,
    ) -> None:
        self.name = name
        self.part = part
        self.guard = Guard(max_delete)
        self.losses = LossGuard(max_delete)
        self.held = 0
        self.held_metadata = 0
        self.held_reports = HeldReports()
        self.root = root
        self.table_path = table_path
        self.met = Met(root)
        self.rules = Rules(ignore, root, self.met)
        self.tables = Tables()
        self.ignored = Ignored()
        """Replaced whole by each comparison."""
        self._listings = Listings(root)
        self._unlisted: set[str] = set()  # paths that are found on disk and not listed, as far as is known
        self.problems = Problems(say)
        self.records_problems = True
        """Whether this process records what is wrong with the source as a whole; of several that work on it one."""
        self.refused: dict[str, Problem] = {}
        """What the index takes in no form at all, by path (text form)."""
        self._files = TableFiles(root, table_path, self.reliable)
        self._rows: dict[str, tuple[str, list[Problem]]] = {}
        """What is reported of rows that name no file, and each, by the path of the table in reports."""
        self._gone: dict[str, MetadataTable] = {}  # patches that have gone, as long as what they gave is held
        self._unread: list[Problem] = []
        self._skipped: list[Problem] = []
        self._bad_rules: list[Problem] = []
        self._held_why = ""
        self._held_by: str | None = None  # the table or patch that may have to do with that
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
        """What is at a path relative to the root; see `ingest.source.scan.look`. Raises OSError.

        A name that `look_listed` has found to be listed nowhere stays so until it is.
        """
        seen = look(path, self.rules)
        if seen is not None and path in self._unlisted:
            if not self._listings.has(path):
                return None
            self._unlisted.discard(path)
        return seen if seen is None or self._has_ctime else replace(seen, state=seen.state.without_ctime())

    def look_listed(self, path: str) -> Seen | None:
        """The same, None also of a name that no listing gives: for paths that a walk has not met. Raises OSError."""
        seen = self.look(path)
        if seen is None or self._listings.has(path):
            return seen
        if len(self._unlisted) < _MOST_UNLISTED:
            self._unlisted.add(path)
        return None

    def forget_unlisted(self) -> None:
        """Have the comparison that begins find anew which names no listing gives."""
        self._unlisted.clear()

    def begins_as_image(self, seen: Seen) -> bool:
        """Whether a file's first bytes are an image's; they are not read where it was passed over in that very state.

        Raises OSError where they cannot be read.
        """
        return not self.ignored.has(seen.path, seen.state) and holds_image(self.root, seen.path)

    def walk(self, below: str = "") -> Iterator[Seen | Unreadable]:
        """Everything below a folder of the source; see `ingest.source.scan.walk`."""
        for found in walk(self.rules, below):
            if self._has_ctime or isinstance(found, Unreadable):
                yield found
            else:
                yield replace(found, state=found.state.without_ctime())

    def has(self, path: str) -> bool:
        """Whether the item at a path is in the part that this daemon sees to."""
        return self.part.is_whole or self.part.has(paths.item_id(self.name, *paths.to_text(path)))

    @property
    def key(self) -> str:
        """The name under which what was found of this part is recorded."""
        return self.part.key(self.name)

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

    def table_changed(self) -> bool:
        """Whether any table's file is another than the one last read, and the same as at the last such question."""
        return self._files.changed()

    def note_table(self, path: str) -> None:
        """Note that the table at `path` is complete, or has gone: `load_tables` looks at it."""
        self._files.note_complete(path)

    def note_patch(self, path: str) -> None:
        """Note that a walk has met a patch, which events may not have reported."""
        self._files.note_met(path)

    def load_tables(self) -> bool:
        """Read the tables that are due, at first all; whether there are others now.

        Of one that cannot be read the old content stays. Raises UsageError when a named one is missing at first.
        """
        loaded = self._files.load(self.types())
        for file in loaded.looked_at:
            if file.problem is not None:
                self.problems.note(file.about, file.problem.detail)
            else:
                self.problems.clear(file.about)
        for file in loaded.gone:
            self._rows.pop(file.about, None)
            for about in ("", _ROWS, _LEFT_OUT):
                self.problems.clear(file.about, about)
        if loaded.tables is None:
            return False
        self.losses.suspect()
        before, self.tables = self.tables, loaded.tables
        names = {table.name for table in self.tables.patches}
        gone = {table.name: table for table in before.patches if table.name not in names}
        self._gone = {name: table for name, table in {**self._gone, **gone}.items() if name not in names}
        for table in self.tables.all:
            self._say_some(self._about(table), table.problems, _LEFT_OUT)
        self._say_some(TABLE_NAME, self._given_twice(), _TWICE)
        return True

    def _about(self, table: MetadataTable) -> str:
        """The path under which a table is reported."""
        return TABLE_NAME if table is self.tables.own else table.name

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
        """Whether there is a table that was never read: only the index knows what it had of each item."""
        return any(file.unknown for file in self._files.all)

    def lost(self, text: str, before: Metadata, now: Metadata) -> list[str]:
        """The fields that the item at `text` had and would lose; see `ingest.source.metadata.lost_fields`.

        While it is not known what a patch gives, so are those whose value would be another: the patch wins over all.
        """
        lost = self._lost_fields(text, before, now)
        if any(file.unknown for file in self._files.patches.values()):
            changed = changed_fields(before, self.as_stored(now))
            lost += [name for name in changed if name not in lost]
        return lost

    def as_stored(self, metadata: Metadata) -> Metadata:
        """Metadata in the form in which the index has them: only that can be compared with what an item has."""
        return dated(composed(metadata), self.types())

    def _lost_fields(self, text: str, before: Metadata, now: Metadata) -> list[str]:
        """The category that a folder gives has the form of the folder's name: what is compared has the stored form."""
        return lost_fields(nfc(text), before, self.as_stored(now))

    def is_table(self, path: str) -> bool:
        """Whether the file at `path` is one of the tables that are read."""
        return self._files.is_one(path)

    def note_rows(self, table: MetadataTable, missing: Collection[str], nearest: Nearest) -> None:
        """Keep the rows of a table that name no file, as a whole comparison has found them. Reported once."""
        if not any(each is table for each in self.tables.all):  # another comparison, with the new one, follows
            return
        about, name = self._about(table), table.name
        if not missing:
            self._rows.pop(about, None)
            self.problems.clear(about, _ROWS)
            return
        lines = table.lines
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
        self._rows[about] = message, problems
        self.problems.note(about, message, _ROWS)

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
        bad = [file.problem for file in self._files.all if file.unknown or file is self._files.own]
        if (problem := next(filter(None, bad), None)) is not None:
            why, self._held_by = problem.detail, problem.path
        else:
            why, self._held_by = self._why_lost(path, fields)
            why = "; ".join([why, *(self._rows[about][0] for about in self._reported_rows())])
        self.held_metadata = items
        self._held_why = why
        return too_much_metadata(self.name, items, why)

    def _why_lost(self, text: str, fields: Sequence[str]) -> tuple[str, str | None]:
        """Why the picture at `text` loses these fields, and the file that may have to do with it, if any."""
        path, names = paths.printable(text), ", ".join(map(paths.printable, fields))
        row_of = partial(self.row_of, text)
        for field in fields:
            last = self.tables.last_on(field, row_of)
            if last is not None and field in last[0].removed.get(last[1], ()):
                name = last[0].name
                return f"{name}:{last[0].lines[last[1]]} removes {paths.printable(field)} from {path}", name
        for name, table in self._gone.items():
            row = row_of(table)
            if row is not None and not table.rows[row].keys().isdisjoint(fields):
                return f"{name}, which gave {path} its {names}, has gone", name
        if self.headers is None and all(field in EXIF_FIELDS for field in fields):
            return f"the setting exif is off, with which {path} had its {names}", None
        gone = [each for name, each in self._known_plugins.items() if name not in self._asked_plugins]
        if (giver := next((each for each in gone if not set(each.fields).isdisjoint(fields)), None)) is not None:
            return f"{giver.called}, which gave {path} its {names}, is not installed any more", None
        own = self.tables.own.name
        tables = f"{own}, a patch" if self.tables.patches or self._gone else own
        why = f"neither {tables} nor a sidecar gives {path} its {names} any more"
        if (some := next((each for each in gone if not each.fields), None)) is not None:
            why += f", and {some.called} is not installed any more, which may have given them"
        return why, own

    def _reported_rows(self) -> list[str]:
        """The tables that have rows which name no file, in their order, by their paths in reports."""
        return [about for table in self.tables.all if (about := self._about(table)) in self._rows]

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
        self._gone = {}

    def own_problems(self) -> list[Problem]:
        """What is wrong with the source as a whole, bounded. The problems of an item are stored with the item."""
        found = [file.problem for file in self._files.all if file.problem is not None]
        if self.held_metadata:
            detail = held_metadata(self.held_metadata, self._held_why)
            found.append(Problem(ProblemKind.HELD, detail, path=self._held_by, count=self.held_metadata))
        found += [self._doubled] if self._doubled is not None else []
        found += [*self.missing, *bounded(self._given_twice())]
        found += bounded(list(self.refused.values()))
        for kind in (ProblemKind.ROW, ProblemKind.FIELD, ProblemKind.MISFIT):
            tables = self.tables.all
            found += _bounded_together(
                [problem for problem in table.problems if problem.kind is kind] for table in tables
            )
        found += _bounded_together(self._rows[about][1] for about in self._reported_rows())
        return [*found, *bounded(self._unread), *bounded(self._bad_rules), *self._skipped]

    def is_unmet(self) -> bool:
        """Whether the index lacks metadata of the folder: it is held, cannot be read, or was left out."""
        unmet = UNMET | {ProblemKind.ROW}
        left_out = any(problem.kind in unmet for table in self.tables.all for problem in table.problems)
        unread = any(file.problem is not None for file in self._files.all)
        return bool(unread or self.held_metadata or left_out or self.missing)

    def describe(self, path: str, before: Metadata | None = None) -> Description:
        """The metadata of the item at `path` as its sources give it now.

        A field that cannot be stored is reported and left out. `before` is the metadata that the item has: fields that
        a source could not find out just now keep their values from there.
        """
        text, _ = paths.to_text(path)
        file = self._file(path)
        answers = [source.ask(file) for source in self._sources]
        patched = self._patched(text)
        kept = storable(merge(*(each.fields for each in answers), patched))
        problems = (
            *(problem for each in answers for problem in each.problems),
            *(self._left_out(text, field, why) for field, why in kept.dropped.items()),
        )
        name = f"{text}{SIDECAR_SUFFIX}"
        if problems:
            more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
            self.problems.note(name, problems[0].detail + more)
        else:
            self.problems.clear(name)
        metadata = {field: value for field, value in kept.fields.items() if value is not None}
        if before:
            removed = {field for field, value in patched.items() if value is None}
            lost = [field for field in self._lost_fields(text, before, metadata) if field not in removed]
            unknown = [each.unknown for each in answers]
            metadata |= {
                field: before[field] for field in lost if any(some is None or field in some for some in unknown)
            }
        return Description(metadata, _digest([each.fingerprint for each in answers], patched), few(problems))

    def _patched(self, text: str) -> Patched:
        """What the patches say about the item at `text`."""
        return self.tables.patched(partial(self.row_of, text))

    def _left_out(self, text: str, field: str, why: str) -> Problem:
        """The problem of a field that cannot be stored, with the table that gives it."""
        table, row = self.tables.last_on(field, partial(self.row_of, text)) or (self.tables.own, self.row_of(text))
        line = None if row is None else table.lines.get(row)
        return left_out(f"{table.name}:{line}", field, why, line)

    def is_described(self, path: str, digest: str) -> bool:
        """Whether an item with that digest has the metadata that its sources give it now.

        No source is asked while its fingerprint is unchanged; a sidecar's is its size, modification time and ctime. A
        sidecar that cannot be read is read again each time, so that its problem is known.
        """
        file = self._file(path)
        found = [source.fingerprint(file) for source in self._sources]
        patched = self._patched(paths.to_text(path)[0])
        return (
            digest == _digest(found, patched)
            or digest == _digest([*map(without_ctime, found)], patched)
            or digest == self.describe(path).digest
        )

    @property
    def field_types(self) -> FieldTypes:
        """The fields whose types their sources declare, beside those of the tables."""
        return {name: kind for source in self._sources for name, kind in source.types.items()}

    def note_header(self, path: str, header: Header) -> None:
        """Keep headers that were just read of the file at the absolute `path`, if it is one of this source."""
        if self.headers is not None and path.startswith(f"{self.root}/"):
            self.headers.note(path, header)

    def _file(self, path: str) -> PictureFile:
        return PictureFile(self.name, self.root, path)

    def _given_twice(self) -> list[Problem]:
        """One problem for each column of the table whose field another source gives as well; a patch means to win."""
        found = []
        own = self.tables.own
        for source in self._sources:
            for name in sorted(source.types.keys() & own.types.keys()):
                wins = own.name if source.precedence < TABLE else source.called
                detail = f"{own.name}: '{paths.printable(name)}' comes from {source.called} as well"
                found.append(
                    Problem(
                        ProblemKind.TWICE,
                        f"{detail}: where both have a value, that of {wins} holds",
                        path=own.name,
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

    def row_of(self, text: str, table: MetadataTable | None = None) -> str | None:
        """The row of a table (metadata.csv, or a patch) for the file at `text`; one that names another file exactly is
        not taken."""
        row = (table or self.tables.own).row_of(text)
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


def _digest(fingerprints: Sequence[Metadata], patched: Patched) -> str:
    """The digest of all fingerprints, in the order of the sources, and of what patches say.

    Where names and table alone come before the patches, it is that of what results, so that nothing is described anew
    when a patch is taken over into the table. Where others come between, their answers are not known here.
    """
    merged: dict[str, Value] = {}
    for each in fingerprints:
        merged |= each
    if any(not name or name.startswith("_") for name in merged):
        canonical = {name: [] if value is None else value for name, value in patched.items()}  # no cell gives []
        return metadata_digest({**merged, _PATCHED: metadata_digest(canonical)} if patched else merged)
    results = {**merged, **patched}
    return metadata_digest({name: value for name, value in results.items() if value is not None})


def _bounded_together(problems: Iterable[Sequence[Problem]]) -> list[Problem]:
    """The problems of one kind, each sequence those of one table: at most `MOST_KEPT`, then numbers for each table."""
    found: list[Problem] = []
    for of_table in problems:
        found += bounded(of_table, max(0, MOST_KEPT - len(found)))
    return found

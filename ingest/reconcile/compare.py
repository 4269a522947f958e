"""Compares a folder with the index. Events are hints; a comparison finds the truth.

`decide` gives the action that one path needs. `Reconciliation` finds the paths that need any: it walks the folder and
looks the files up a page at a time, and scrolls the index for what has gone only when the index knows more items than
the walk met. Memory is bounded by a page and a megabyte, and no byte is read where size, mtime and ctime agree. Each
path is looked at once more before anything is done, so the findings may be outdated by then.

Items that would lose metadata are counted before any of them does, and handed over in a second walk if they may.

Items that have gone may have moved when they are more than may go at once (`ingest.source.guard`). That is known only
when all new files have been indexed: until then the reconciliation is `undecided`, and then `decided` counts what is
lost and hands over the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

from ingest.events.retry import PASSING, is_due
from ingest.reconcile.outdated import needs_decoding
from ingest.reconcile.survivors import Survivors
from ingest.reconcile.walked import Walked
from ingest.source.files import FileState
from ingest.source.ignore_files import IGNORE_FILE, Rule
from ingest.source.nearest import Nearest
from ingest.source.scan import Kind, Seen, Unreadable, holds_image
from ingest.source.skipped import Skipped
from ingest.source.table import MetadataTable
from ingest.source.unread import looks_like_table, may_be_table, unread
from ingest.source.watched_source import Ignored, WatchedSource
from recq import paths
from recq.images import IMAGE_EXTENSIONS
from recq.index.problems import Problem, ProblemKind
from recq.index.schema import Item, ItemError

PAGE = 500
"""Files that are looked up at a time."""

_FIRST = 50  # of them at first: the decoding processes begin while the rest is found

_MOST_NEW = 10_000  # files of other parts among which those that have gone from this one are looked for
_EXAMPLES = 20  # items that are held, among which one is looked for that a rule ignores

T = TypeVar("T")


class Action(StrEnum):
    """What a path needs."""

    NOTHING = "nothing"
    EMBED = "embed"
    COMPARE = "compare"  # its ctime alone is another: its bytes tell whether it is to be embedded
    METADATA = "metadata"
    PREDICT = "predict"  # it is as known, and read again for what is predicted of it
    DELETE = "delete"


def in_pieces(found: Iterable[T], most: int) -> Iterator[list[T]]:
    """All that is found in its order: a few at first, and `most` at a time from there on."""
    found, count = iter(found), min(_FIRST, most)
    while piece := list(islice(found, count)):
        yield piece
        count = most


def decide(
    state: FileState | None, known: Item | None, described: Callable[[], bool], *, retry: bool = False
) -> Action:
    """The action that a path needs: `state` is the file's (None: no item there), `known` what the index has.

    `described` gives whether the item's metadata is the folder's; with `retry` a failed item is embedded again. A
    picture that an older recq decoded is decoded again, once: the item then has the present decoder's revision.
    """
    if state is None:
        return Action.DELETE if known is not None else Action.NOTHING
    if known is None or not is_as_known(state, known):
        return Action.EMBED
    if known.error is not None and (retry or _is_touched(state, known)):
        return Action.EMBED
    if needs_decoding(known):
        return Action.EMBED
    if _is_touched(state, known):
        return Action.COMPARE
    return Action.NOTHING if described() else Action.METADATA


def is_as_known(state: FileState | None, item: Item) -> bool:
    """Whether a file's size and time are those that the index has."""
    return state is not None and (item.file.size, item.file.mtime_ns) == (state.size, state.mtime_ns)


def _is_untouched(seen: Seen, item: Item) -> bool:
    """Whether nothing shows a change of the file since the index got it."""
    return is_as_known(seen.state, item) and not _is_touched(seen.state, item)


def _is_touched(state: FileState, item: Item) -> bool:
    """Whether the ctime shows a change of the file or its attributes, although size and time are as known.

    A ctime that the file system does not give, or that an older recq did not store, equals any other.
    """
    return None not in (state.ctime_ns, item.file.ctime_ns) and state.ctime_ns != item.file.ctime_ns


class Index(Protocol):
    """What the reconcile asks the catalog; each question is repeated while the index is away."""

    def known(self, ids: Sequence[str]) -> Mapping[str, Item]:
        """The items of those ids that exist, without metadata."""

    def get_many(self, ids: Sequence[str]) -> Mapping[str, Item]:
        """The items of those ids that exist, metadata included; of a rebuild those too that are to be replaced."""

    def scan(self, source: str) -> Iterator[Item]:
        """Every item of a source, failed ones included; some perhaps twice."""

    def size(self, source: str) -> int:
        """How many these are."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A path that needs an action; `known` is the item that the index has.

    `retry`: the item failed and is to be tried again. `altered`: its bytes have changed although size and mtime agree.
    """

    path: str
    state: FileState | None
    known: Item | None
    action: Action
    retry: bool = False
    altered: bool = False


@dataclass(frozen=True, slots=True)
class _Loss:
    """An item would lose these fields; `changed`: other fields would change as well."""

    fields: Sequence[str]
    changed: bool


class _Rows:
    """The rows of a table whose file was not met: bounded by the table, which is in memory."""

    def __init__(self, table: MetadataTable) -> None:
        self.table = table
        self.missing = set(table.rows)
        self.nearest = Nearest(table.rows)

    def met(self, text: str, kind: Kind) -> None:
        """Match the file at `text` with its row."""
        if not self.table.rows:
            return
        row = self.table.row_of(text)
        if row is not None:
            self.missing.discard(row)
        elif kind is Kind.ITEM:
            self.nearest.met(text)


class Reconciliation:
    """One comparison of a source with the index. The counts hold when `differences` has ended.

    `first`: the first one of a process, which tries items again at once that failed for a passing cause. With `verify`
    the bytes of every file are read and compared. So many `confirmed` deletions and `confirmed_metadata` losses are
    allowed. A comparison that is `resumed` continues the pass of the one before, so what has gone stays counted. `keep`
    is called with ctimes by id, of unchanged items that an older recq stored without one, and `others` with files of
    other daemons' parts, and their sizes, that appeared since the last comparison, at `compared_ns`.
    """

    def __init__(
        self,
        watched: WatchedSource,
        index: Index,
        *,
        first: bool = True,
        verify: bool = False,
        confirmed: int | None = None,
        confirmed_metadata: int | None = None,
        resumed: bool = False,
        keep: Callable[[Mapping[str, int]], None] = lambda _: None,
        others: Callable[[Sequence[tuple[str, int]]], None] = lambda _: None,
        compared_ns: int | None = None,
    ) -> None:
        self.items = 0
        self.differing = 0
        self.held = 0
        self.losing = 0
        self.held_metadata: str | None = None
        """Why the items that are `losing` metadata keep it, where they do."""
        self.undecided = False
        self.unreadable: list[Unreadable] = []
        self.ignored_by: Rule | None = None
        """A rule that ignores some of the items that are held, if one does."""
        self._watched = watched
        self._index = index
        self._first = first
        self._verify = verify
        self.confirmed = confirmed
        self._resumed = resumed
        self._keep = keep
        self._tell_others = others
        self._compared_ns = compared_ns
        self._new_others: list[tuple[str, int]] = []
        self.confirmed_metadata = confirmed_metadata
        self._first_losing: tuple[str, Sequence[str]] = "", ()
        self._met = 0
        self._others = 0  # items of other daemons' parts: the folder is not empty
        self._rows = [_Rows(table) for table in watched.tables.all]
        self._unread: list[Problem] = []
        self._skipped = Skipped()
        self._bad_rules: list[Problem] = []
        self._ignored = Ignored()
        self._walked = Walked()

    def differences(self) -> Iterator[Difference]:
        """Every path that needs an action: new, changed and re-described ones first, then those that have gone."""
        guard, losses = self._watched.guard, self._watched.losses
        self._watched.forget_unlisted()
        before = self._index.size(self._watched.name)
        losses.suspect()
        if self._resumed:
            guard.resume(self.confirmed)
            losses.resume(self.confirmed_metadata)
        else:
            guard.begin(before, self.confirmed)
            losses.begin(0, self.confirmed_metadata)  # `_decide_losses` sets the number of items
        files = self._files()
        for page in in_pieces(files, PAGE):
            yield from self._counted(self._without_losing(list(self._compare(page))))
        self._watched.ignored = self._ignored
        if self._new_others:
            self._tell_others(self._new_others)
        known = self._index.size(self._watched.name)
        if self.items + self._others == 0 and known and not self._may_be_empty():
            self.held = known  # a folder that lost everything at once was unmounted rather than emptied
            self._note_rule(islice(self._index.scan(self._watched.name), _EXAMPLES))
        elif before - self._met > guard.left:
            self.undecided = True
        elif known > self._met:
            yield from self._counted(self.gone())
        if not self.held:
            for rows in self._rows:
                self._watched.note_rows(rows.table, self._really_missing(rows.missing), rows.nearest)
        self._watched.note_files(self._unread, list(self._skipped.problems()), self._bad_rules)
        yield from self._counted(self._decide_losses())

    def _without_losing(self, page: Sequence[Difference]) -> Iterator[Difference]:
        """The differences that lose nothing, and those that change as well, which keep what they would lose."""
        losing = self._losing_among(page)
        for difference in page:
            loss = losing.get(difference.path)
            if loss is not None:
                if not self.losing:
                    self._first_losing = paths.to_text(difference.path)[0], loss.fields
                self.losing += 1
            if loss is None or loss.changed or difference.action is not Action.METADATA:
                yield difference

    def _losing_among(self, differences: Sequence[Difference]) -> Mapping[str, _Loss]:
        """Which items would lose metadata, by path."""
        present = {self._id(each.path): each for each in differences if each.state is not None}
        stored = self._index.get_many(list(present)) if present else {}
        losing = {}
        for item_id, before in stored.items():
            if before.metadata:
                path = present[item_id].path
                now = self._watched.describe(path, before.metadata)
                if lost := self._watched.lost(before.file.path, before.metadata, now.metadata):
                    kept = now.keeping(before.metadata, lost)
                    losing[path] = _Loss(lost, self._watched.as_stored(kept.metadata) != before.metadata)
        return losing

    def _decide_losses(self) -> Iterator[Difference]:
        """Hand over the items that lose metadata, now that all are counted, or hold the loss of all of them."""
        watched = self._watched
        watched.losses.met(self._met)
        if not self._met:  # a rebuild: the items are in the collection that it replaces
            watched.losses.grown(self.items)
        if watched.losses.decide(self.losing, blind=watched.blind):
            watched.release_metadata()
            if self.losing:
                yield from self.losers()
        else:
            self.held_metadata = watched.hold_metadata(self.losing, *self._first_losing)

    def losers(self) -> Iterator[Difference]:
        """The items that lose metadata and change in no other way."""
        return (each for each, _ in self._losses())

    def losses(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Their paths, each with the fields that it would lose."""
        return ((each.path, fields) for each, fields in self._losses())

    def _losses(self) -> Iterator[tuple[Difference, Sequence[str]]]:
        again = Reconciliation(self._watched, self._index)
        files = again._files()
        while page := list(islice(files, PAGE)):
            described = [each for each in again._compare(page) if each.action is Action.METADATA]
            losing = self._losing_among(described)
            yield from ((each, losing[each.path].fields) for each in described if each.path in losing)

    def decided(self, survivors: Survivors) -> Iterator[Difference]:
        """What has gone and may be deleted; the rest is `held`. Called when all new files have been indexed."""
        lost = sum(len(page) - kept for page, kept in self._judged(survivors))
        if lost <= self._watched.guard.left:
            yield from self._counted(self.gone())
            return
        self.held = lost
        for page, _ in self._judged(survivors):
            if self.ignored_by is None:
                items = (gone.known for gone in page if gone.known is not None and not _spared(gone, survivors))
                self._note_rule(islice(items, _EXAMPLES))
            yield from self._counted(iter([gone for gone in page if _spared(gone, survivors)]))

    def _note_rule(self, held: Iterable[Item]) -> None:
        """Keep the rule by which the first of these items is ignored that is ignored at all."""
        found = (paths.from_text(item.file.path, item.file.encoded) for item in held)
        self.ignored_by = next((rule for path in found if (rule := self._watched.rule_ignoring(path))), None)

    def _judged(self, survivors: Survivors) -> Iterator[tuple[Sequence[Difference], int]]:
        """What has gone, by pages, and how many of a page lose nothing: their bytes are elsewhere, or they failed."""
        found = self.gone()
        while page := list(islice(found, PAGE)):
            survivors.among({digest for gone in page if (digest := _digest(gone)) is not None})
            yield page, sum(_spared(gone, survivors) for gone in page)

    def _may_be_empty(self) -> bool:
        """Whether the loss of all items was confirmed, and the folder is there and was read whole."""
        return self._watched.guard.confirmed and not self.unreadable and self._watched.is_same_root()

    def _counted(self, differences: Iterator[Difference]) -> Iterator[Difference]:
        for difference in differences:
            self.differing += difference.action is not Action.COMPARE  # its bytes will tell whether it differs
            yield difference

    def _files(self) -> Iterator[Seen]:
        for found in self._watched.walk():
            if isinstance(found, Unreadable):
                self.unreadable.append(found)
                continue
            self._note(found)
            if not self._watched.has(found.path):
                self._note_other(found)
            elif found.kind is Kind.IGNORED:
                self._ignored.met(found.path, found.state)
            else:
                yield found

    def _note_other(self, found: Seen) -> None:
        """Count a file of another part; one whose ctime is new may have been moved there."""
        self._others += found.kind is Kind.ITEM
        ctime, compared = found.state.ctime_ns, self._compared_ns
        if ctime is not None and compared is not None and ctime >= compared and len(self._new_others) < _MOST_NEW:
            self._new_others.append((found.path, found.state.size))

    def _note(self, found: Seen) -> None:
        """Match a file with the rows of the tables, and note a problem where it is not read or not indexed."""
        text = paths.to_text(found.path)[0]
        for rows in self._rows:
            rows.met(text, found.kind)
        self._watched.note_patch(found.path)
        name = found.path.rpartition("/")[2]
        if name == IGNORE_FILE:
            self._bad_rules += self._watched.rules.ignore_files.problems(found.path)
        elif found.kind is Kind.IGNORED and _has_image_name(name):
            self._skipped.add(found.rule or self._watched.rules.rule_of(name), text, folder=False)
        elif found.kind is Kind.IGNORED and (rule := found.rule or self._watched.rules.rule_of(name)) is not None:
            if found.is_folder:
                self._skipped.add(rule, text, folder=True)
        elif found.kind is not Kind.ITEM and may_be_table(text) and self._is_unread_table(found.path):
            self._unread.append(Problem(ProblemKind.UNREAD_TABLE, unread(paths.printable(text)), path=text))

    def _is_unread_table(self, path: str) -> bool:
        return not self._watched.is_table(path) and looks_like_table(self._watched.root, path)

    def _really_missing(self, missing: Collection[str]) -> Collection[str]:
        """Rows whose file does not exist; files in folders that could not be listed may exist."""
        if not self.unreadable:
            return missing
        return {row for row in missing if not any(folder.covers(row) for folder in self.unreadable)}

    def _compare(self, page: Sequence[Seen]) -> Iterator[Difference]:
        ids = {seen.path: self._id(seen.path) for seen in page}
        known = self._index.known(list(ids.values()))
        untold: dict[str, int] = {}
        for seen in page:
            item = known.get(ids[seen.path])
            is_item = self._is_item(seen, item)
            if is_item is False:
                self._ignored.met(seen.path, seen.state)
            if not is_item:
                continue
            self._walked.add(seen.path)
            self.items += 1
            self._met += item is not None
            retry = item is not None and item.error is not None and self._is_due(item.error)
            action = decide(seen.state, item, partial(self._is_described, seen, item), retry=retry)
            altered = self._verify and action in (Action.NOTHING, Action.METADATA) and self._is_altered(seen, item)
            if altered or action is not Action.NOTHING:
                action = Action.EMBED if altered else action
                yield Difference(seen.path, seen.state, item, action, retry=retry, altered=altered)
            elif item is not None and item.file.ctime_ns is None and seen.state.ctime_ns is not None:
                untold[item.id] = seen.state.ctime_ns
        if untold:
            self._keep(untold)

    def _id(self, path: str) -> str:
        return paths.item_id(self._watched.name, *paths.to_text(path))

    def _is_described(self, seen: Seen, item: Item | None) -> bool:
        return item is not None and self._watched.is_described(seen.path, item.file.metadata_digest)

    def _is_due(self, error: ItemError) -> bool:
        return (self._first and error.reason in PASSING) or is_due(error, datetime.now(UTC))

    def _is_altered(self, seen: Seen, item: Item | None) -> bool:
        """Whether the bytes have changed since they were embedded; False for failed items and unreadable files."""
        if item is None or item.file.sha256 is None:
            return False
        return sha256_of(self._watched.root, seen.path) not in (None, item.file.sha256)

    def _is_item(self, seen: Seen, item: Item | None) -> bool | None:
        """Whether name or first bytes are an image's; these are read only where this state of the file is unknown.

        A file that cannot be read stays an item where the index has it as one; of others that is not known: None.
        """
        if seen.kind is Kind.ITEM or (item is not None and _is_untouched(seen, item)):
            return True
        try:
            return self._watched.begins_as_image(seen)
        except OSError:
            return None if item is None else True

    def _stands(self, path: str, item: Item) -> bool:
        """Whether a walk meets the file of an item, and an item in it. Raises OSError where that is not known."""
        watched = self._watched
        seen = watched.look(path) if path in self._walked else watched.look_listed(path)
        if seen is None or seen.kind is Kind.IGNORED:
            return False
        return seen.kind is Kind.ITEM or _is_untouched(seen, item) or holds_image(watched.root, path)

    def gone(self) -> Iterator[Difference]:
        """Items whose files have gone; none of a folder that could not be listed, or whose file cannot be read."""
        for item in self._index.scan(self._watched.name):
            path = paths.from_text(item.file.path, item.file.encoded)
            if any(folder.covers(path) for folder in self.unreadable):
                continue
            try:
                stands = self._stands(path, item)
            except OSError:
                continue
            if not stands:
                yield Difference(path, None, item, Action.DELETE)


def sha256_of(root: Path, path: str) -> str | None:
    """The SHA-256 of a file; None where it cannot be read."""
    try:
        with (root / path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _has_image_name(name: str) -> bool:
    stem, dot, extension = name.rpartition(".")
    return bool(stem) and f"{dot}{extension}".lower() in IMAGE_EXTENSIONS


def _digest(gone: Difference) -> str | None:
    return gone.known.file.sha256 if gone.known is not None else None


def _spared(gone: Difference, survivors: Survivors) -> bool:
    """Whether deleting this item loses nothing."""
    digest = _digest(gone)
    return digest is None or bool(survivors.among({digest}))

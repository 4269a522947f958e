"""Folder against index: the truth that events only anticipate.

`decide` says what one path needs. `Reconciliation` finds the paths that need anything: a walk, whose files are looked
up a page at a time, and a scroll of the index for what has gone, made only when the index knows more items than the
walk met. Memory is bounded by a page; where size and mtime agree no byte is read. What it finds is looked at again
before it is acted upon, so nothing here has to be still true by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Protocol

from ingest.files import FileState
from ingest.scan import Kind, Rules, Seen, Unreadable, holds_image, look, walk
from ingest.watched import Watched
from recq import paths
from recq.errors import Reason
from recq.index.schema import Item, metadata_digest

PAGE = 500
"""Files that are looked up at a time."""

PASSING = frozenset({Reason.IO_ERROR, Reason.PERMISSION})
"""Failures whose cause lies outside the file and leaves no trace in it: each reconcile tries these items again."""


class Action(StrEnum):
    """What a path needs."""

    NOTHING = "nothing"
    EMBED = "embed"
    METADATA = "metadata"
    DELETE = "delete"


def decide(state: FileState | None, known: Item | None, digest: str, *, retry: bool = False) -> Action:
    """What a path needs: `state` of the item's file (None: no item there), what the index knows, metadata's digest.

    `retry` embeds an item again that failed for a passing cause.
    """
    if state is None:
        return Action.DELETE if known is not None else Action.NOTHING
    if known is None or (known.file.size, known.file.mtime_ns) != (state.size, state.mtime_ns):
        return Action.EMBED
    if retry and known.error is not None and known.error.reason in PASSING:
        return Action.EMBED
    return Action.NOTHING if known.file.metadata_digest == digest else Action.METADATA


class Index(Protocol):
    """What the reconcile asks of the catalog (with patience)."""

    def known(self, ids: Sequence[str]) -> Mapping[str, Item]:
        """The items of those ids that exist, without metadata."""

    def scan(self, source: str) -> Iterator[Item]:
        """Every item of a source, failed ones included; some perhaps twice."""

    def size(self, source: str) -> int:
        """How many these are."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A path that needs something; `retry` as in `decide`."""

    path: str
    state: FileState | None
    known: bool
    retry: bool = False


class Reconciliation:
    """One comparison of a source with the index. The counts hold when `differences` has ended."""

    def __init__(self, watched: Watched, index: Index, rules: Rules) -> None:
        self.items = 0
        self.differing = 0
        self.held = 0
        self.unreadable: list[Unreadable] = []
        self._watched = watched
        self._index = index
        self._rules = rules
        self._met = 0
        self._table = watched.table
        self._missing = set(self._table.rows)  # rows whose file was not met: bounded by the table, which is in memory
        self._ignored: dict[str, FileState] = {}

    def differences(self) -> Iterator[Difference]:
        """Every path that needs something: new, changed and re-described ones first, then those that have gone."""
        files = self._files()
        while page := list(islice(files, PAGE)):
            yield from self._counted(self._compare(page))
        self._watched.ignored.replace(self._ignored)
        known = self._index.size(self._watched.name)
        if self.items == 0 and known:
            self.held = known  # a folder that lost everything at once was unmounted rather than emptied
        elif known > self._met:
            yield from self._counted(self._gone())
        if not self.held:
            self._watched.note_rows(self._table, self._really_missing())

    def _counted(self, differences: Iterator[Difference]) -> Iterator[Difference]:
        for difference in differences:
            self.differing += 1
            yield difference

    def _files(self) -> Iterator[Seen]:
        for found in walk(self._watched.root, self._rules):
            if isinstance(found, Unreadable):
                self.unreadable.append(found)
                continue
            if self._missing:
                self._missing.discard(paths.to_text(found.path)[0])
            if found.kind is Kind.IGNORED:
                self._ignored[found.path] = found.state
            else:
                yield found

    def _really_missing(self) -> set[str]:
        """Rows whose file is not there: what lies in a folder that could not be listed may be."""
        if not self.unreadable:
            return self._missing
        return {row for row in self._missing if not any(folder.covers(row) for folder in self.unreadable)}

    def _compare(self, page: Sequence[Seen]) -> Iterator[Difference]:
        ids = {seen.path: paths.item_id(self._watched.name, *paths.to_text(seen.path)) for seen in page}
        known = self._index.known(list(ids.values()))
        for seen in page:
            item = known.get(ids[seen.path])
            if seen.kind is Kind.MAYBE and not self._is_item(seen, item):
                self._ignored[seen.path] = seen.state
                continue
            self.items += 1
            self._met += item is not None
            digest = metadata_digest(self._watched.metadata(seen.path))
            if decide(seen.state, item, digest, retry=True) is not Action.NOTHING:
                yield Difference(seen.path, seen.state, item is not None, retry=True)

    def _is_item(self, seen: Seen, item: Item | None) -> bool:
        """Whether the first bytes are an image's; they are read only where nothing is known of this very state."""
        if item is not None and (item.file.size, item.file.mtime_ns) == (seen.state.size, seen.state.mtime_ns):
            return True
        return not self._watched.ignored.has(seen.path, seen.state) and holds_image(self._watched.root, seen.path)

    def _gone(self) -> Iterator[Difference]:
        for item in self._index.scan(self._watched.name):
            path = paths.from_text(item.file.path, item.file.encoded)
            if any(folder.covers(path) for folder in self.unreadable):
                continue
            try:
                seen = look(self._watched.root, path, self._rules)
            except OSError:
                continue
            if seen is None or seen.kind is Kind.IGNORED:
                yield Difference(path, None, known=True)

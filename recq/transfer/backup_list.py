"""What a backup has: which items, in which part, as they were when. Pure; the files: `recq.transfer.backup_folder`.

A part is an export (`recq.transfer.archive`) of some items, compressed and named after the SHA-256 of its bytes. Parts
are never changed. An item that changes is written again into a later part; what earlier parts have of it is dead. The
list says so, a JSON line for each step, and the last line about an item holds:

    {"list": 1, "space": FINGERPRINT}                           the first line
    {"part": {"name", "bytes", "items"}, "rows": [[id, content, seen, n], ...]}
    {"seen": [[id, seen, n], ...]}                              the same content, written once more by the catalog
    {"gone": [id, ...]}

It is only ever appended to, so that a killed backup goes on where it stopped; how much of it counts, the manifest says.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from recq.index.changes import Stamp
from recq.index.points import ItemVector
from recq.index.schema import Item

VERSION = 1
"""The version of the layout of backups."""

MOST_ITEMS = 1000
"""Items of one part: what a killed backup may have to do once more."""

_MOST_NUMBERS = 4_000_000  # of the vectors of one part: 16 MB of memory, several times as much as JSON
_SMALL_PARTS = 20  # that many may have less than half of what they could; more are joined
_DIGEST = 16  # bytes


def items_of_a_part(dim: int) -> int:
    """How many items a part has, at the most, of vectors of `dim` numbers."""
    return max(1, min(MOST_ITEMS, _MOST_NUMBERS // dim))


def seen(item: Item) -> str:
    """A digest of an item as it was read without its vector: equal where the catalog has not written it since."""
    stamp = None if item.stamp is None else item.stamp.to_json()
    return _digest(_canonical([item.to_payload(), stamp]))


def content(entry: ItemVector) -> str:
    """A digest of what a backup keeps of an item: payload and vector, and not when the catalog wrote it."""
    vector = b"" if entry.vector is None else entry.vector.astype("<f4", copy=False).tobytes()
    return _digest(_canonical(entry.item.to_payload()) + b"\0" + vector)


def as_written(entry: ItemVector) -> ItemVector:
    """The entry as its last write with a stamp left it, for comparisons: without what the catalog notes later of an
    item and no stamp tells of (`recq.index.writes`), which is predictions, marks to try it again, the ctime."""
    item = entry.item
    error = None if item.error is None else replace(item.error, retry=False)
    return replace(entry, item=replace(item, file=replace(item.file, ctime_ns=None), error=error, predicted={}))


def number(stamp: Stamp | None) -> int:
    """The number of an item's last write, 0 where it has none."""
    return 0 if stamp is None else stamp.n


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=_DIGEST).hexdigest()


def _canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


@dataclass(frozen=True)
class Part:
    """A part: `name` is the SHA-256 of its bytes; `items` counts dead ones, too."""

    name: str
    bytes: int
    items: int


@dataclass(frozen=True)
class Row:
    """An item of the backup: the part that has it, the digests of its `content` and of how it was `seen`, and `n`, the
    number of its last write (`recq.index.changes`)."""

    part: str
    content: str
    seen: str
    n: int


@dataclass
class Listed:
    """All items of a backup by id, and the parts by name; `rows_written` counts what the list's lines name."""

    space: str | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    rows_written: int = 0

    @classmethod
    def of(cls, lines: Iterable[Mapping[str, Any]]) -> Self:
        """What the lines of a list amount to. Raises KeyError, TypeError or ValueError for lines of another form."""
        listed = cls()
        for line in lines:
            listed.take(line)
        return listed

    def take(self, line: Mapping[str, Any]) -> None:
        """One line more. Raises as `of`, and changes nothing then."""
        if "part" in line:
            part = Part(**line["part"])
            rows = {id_: Row(part.name, content_, seen_, int(n)) for id_, content_, seen_, n in line["rows"]}
            self.parts[part.name] = part
            self.rows |= rows
            self.rows_written += len(rows)
        elif "seen" in line:
            for id_, seen_, n in list(line["seen"]):
                before = self.rows[id_]
                self.rows[id_] = Row(before.part, before.content, seen_, int(n))
            self.rows_written += len(line["seen"])
        elif "gone" in line:
            for id_ in line["gone"]:
                self.rows.pop(id_, None)
            self.rows_written += len(line["gone"])
        elif line.get("list") == VERSION:
            self.space = str(line["space"])
        else:
            raise ValueError("a line of another form")

    def live(self) -> Counter[str]:
        """How many items each part has that no later line replaces; of parts without any, 0."""
        counts = Counter(dict.fromkeys(self.parts, 0))
        counts.update(row.part for row in self.rows.values())
        return counts

    def is_of(self, id_: str, part: str) -> bool:
        """Whether the backup has the item, and has it in that part."""
        row = self.rows.get(id_)
        return row is not None and row.part == part

    def in_use(self) -> list[Part]:
        """The parts that have an item of the backup."""
        live = self.live()
        return [part for name, part in self.parts.items() if live[name]]

    def lines(self) -> Iterator[dict[str, Any]]:
        """The shortest list of the same."""
        yield first_line(self.space or "")
        by_part: dict[str, list[list[Any]]] = {part.name: [] for part in self.in_use()}
        for id_, row in self.rows.items():
            by_part[row.part].append([id_, row.content, row.seen, row.n])
        for name, rows in by_part.items():
            yield part_line(self.parts[name], rows)

    def is_long(self) -> bool:
        """Whether most of what the list's lines name does not count any more."""
        return self.rows_written > 2 * len(self.rows) + MOST_ITEMS


def worn(listed: Listed, items_of_a_part: int) -> set[str]:
    """The parts whose items are to be written again: less than half of what such a part has is alive, or so many parts
    are small that they are worth joining. So a backup takes at most about twice what its items need."""
    live = listed.live()
    dead = {name for name, count in live.items() if count and 2 * count < listed.parts[name].items}
    small = {name for name, count in live.items() if count and 2 * count < items_of_a_part}
    return dead | (small if len(small) > _SMALL_PARTS else set())


def first_line(space: str) -> dict[str, Any]:
    """The first line of a list of items in the embedding space of that fingerprint."""
    return {"list": VERSION, "space": space}


def part_line(part: Part, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The line of a part and its rows: id, content, seen, n."""
    return {"part": vars(part), "rows": rows}

"""Changes by cursor: nothing is lost, skipped or given twice, whatever is written, killed and read meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from recq.errors import CursorGone, UsageError
from recq.index.catalog import Catalog
from recq.index.change_log import newest
from recq.index.changes import GONE, KEY, SETTLES, Change, ChangeKind, Changes, Cursor, Log, Numbers, Row, Stamp, taken
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item, ItemError
from recq.index.stamps import Stamps
from tests.recq.index.conftest import SPACE

# -- what a cursor sees of writes that become visible bit by bit, and in no order -----------------------------------


@dataclass
class Writer:
    """A writer with the batch that it waits for: the points that are not visible yet."""

    by: int
    last: int = 0
    hidden: list[Row] = field(default_factory=list)
    began: int = 0


class World:
    """Some writers of one index, as any number of processes may be, and a reader."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 2 * 10**15
        self.tokens = count(1)
        self.writers = [Writer(next(self.tokens)) for _ in range(3)]
        self.visible: dict[str, Row] = {}
        self.cursor = Cursor("abc")
        self.read: list[Change] = []
        self.given: set[tuple[str, int]] = set()

    def begin(self, writer: Writer) -> None:
        """Write a batch, of which nothing is visible yet: of items that no other writer has under way."""
        taken_ids = {row.id for each in self.writers for row in each.hidden}
        ids = [str(each) for each in range(12) if str(each) not in taken_ids]
        chosen = self.random.sample(ids, min(len(ids), self.random.randint(1, 4)))
        if chosen:
            self.write(writer, [(each, self.random.random() < 0.3) for each in chosen])

    def write(self, writer: Writer, items: list[tuple[str, bool]]) -> None:
        first = max(self.now, writer.last + 1)
        numbers = Numbers(writer.by, first, len(items))
        writer.last, writer.began = first + len(items) - 1, self.now
        writer.hidden = [
            Row(id_, numbers.stamp(position), "s", id_, encoded=False, sha256=None, gone=gone)
            for position, (id_, gone) in enumerate(items)
        ]

    def show(self, writer: Writer) -> None:
        """One more point of a batch becomes visible, any of them."""
        row = writer.hidden.pop(self.random.randrange(len(writer.hidden)))
        self.visible[row.id] = row

    def fail(self, writer: Writer) -> None:
        """The batch was not acknowledged: all of it is written again, as another writer, and the rest of it is lost."""
        items = [(row.id, row.gone) for row in writer.hidden]
        shown = [
            (row.id, row.gone)
            for row in self.visible.values()
            if row.stamp.by == writer.by and row.stamp.batch[1] == writer.last
        ]
        writer.by = next(self.tokens)
        self.write(writer, items + shown)

    def look(self, limit: int) -> None:
        """Read what a reader would be given."""
        rows = sorted(
            (row for row in self.visible.values() if not self.cursor.covers(row.stamp.by, row.stamp.n)),
            key=lambda row: row.stamp.n,
        )

        def newest_of(by: int) -> int:
            return max((row.stamp.n for row in self.visible.values() if row.stamp.by == by), default=0)

        head = max((row.stamp.n for row in self.visible.values()), default=0)
        cut = rows[limit - 1].stamp.n if len(rows) > limit else None
        found: Changes = taken(self.cursor, rows[:limit], head=head, now=self.now, cut=cut, newest_of=newest_of)
        self.cursor = Cursor.parse(str(found.cursor))
        self.read += found.changes

    def step(self) -> None:
        """Anything that may happen next."""
        self.now += self.random.choice((1, 1, 1_000, 100_000, 20_000_000))
        for writer in self.writers:  # nobody waits longer for an answer
            while writer.hidden and self.now - writer.began > SETTLES / 2:
                self.show(writer)
        writer = self.random.choice(self.writers)
        if self.random.random() < 0.4:
            self.look(self.random.randint(1, 6))
        elif not writer.hidden:
            self.begin(writer)
        elif self.random.random() < 0.1:
            self.fail(writer)
        else:
            self.show(writer)

    def finish(self) -> None:
        """All is written and read."""
        for writer in self.writers:
            while writer.hidden:
                self.show(writer)
        self.now += 2 * SETTLES
        for _ in range(100):
            self.look(5)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_whatever_becomes_visible_when_a_reader_ends_with_what_there_is(seed: int) -> None:
    world = World(seed)
    for _ in range(120):
        world.step()
    world.finish()
    known = {change.id: change.kind is ChangeKind.GONE for change in world.read}
    assert known == {row.id: row.gone for row in world.visible.values()}
    assert len({change.cursor for change in world.read}) == len(world.read), "none twice"


def test_a_reader_that_would_trust_the_order_of_numbers_loses_some() -> None:
    """What the test above would find: the same with a cursor that is a number."""
    lost = 0
    for seed in range(50):
        world = World(seed)
        world.look = lambda limit, world=world: by_number(world, limit)  # type: ignore[method-assign, misc]
        for _ in range(120):
            world.step()
        world.finish()
        known = {change.id: change.kind is ChangeKind.GONE for change in world.read}
        lost += known != {row.id: row.gone for row in world.visible.values()}
    assert lost > 10


def by_number(world: World, limit: int) -> None:
    rows = sorted((row for row in world.visible.values() if row.stamp.n > world.cursor.base), key=lambda r: r.stamp.n)
    for row in rows[:limit]:
        kind = ChangeKind.GONE if row.gone else ChangeKind.INDEXED
        world.read.append(Change(kind, row.id, "s", row.id, None, "", str(row.stamp.n)))
        world.cursor = world.cursor.settled(row.stamp.n)


# -- numbers that several writers have -------------------------------------------------------------------------------


def paged(rows: Sequence[Row], limit: int, now: int) -> Iterator[Changes]:
    """What a reader who begins with the first change is given of rows that are all visible, page after page."""

    def newest_of(by: int) -> int:
        return max(row.stamp.n for row in rows if row.stamp.by == by)

    head = max(row.stamp.n for row in rows)
    cursor = Cursor("abc", began=head)
    while True:
        unread = [row for row in rows if not cursor.covers(row.stamp.by, row.stamp.n)]
        unread.sort(key=lambda row: row.stamp.n)
        cut = unread[limit - 1].stamp.n if len(unread) > limit else None
        found = taken(cursor, unread[:limit], head=head, now=now, cut=cut, newest_of=newest_of)
        yield found
        if not found.more:
            return
        assert found.changes, "each page has some, or a reader would never end"
        cursor = Cursor.parse(str(found.cursor))


def rows_of(batches: Sequence[tuple[int, int]]) -> list[Row]:
    """The rows of some batches, each by a writer of its own: the first number and how many; and one much later."""
    batches = [*batches, (2 * 10**15 + 3 * SETTLES, 1)]
    return [
        Row(f"{by}-{position}", Numbers(by, first, count).stamp(position), "s", "p", encoded=False, sha256=None)
        for by, (first, count) in enumerate(batches, start=1)
        for position in range(count)
    ]


B = 2 * 10**15


@settings(max_examples=300, deadline=None)
@given(
    batches=st.lists(st.tuples(st.integers(B, B + 4), st.integers(1, 4)), min_size=1, max_size=6),
    limit=st.integers(1, 6),
    now=st.sampled_from([B - SETTLES, B + 5 * SETTLES]),
)
@example(batches=[(B, 3), (B + 2, 2)], limit=3, now=B + 5 * SETTLES)
@example(batches=[(B, 1)] * 5, limit=2, now=B + 5 * SETTLES)
@example(batches=[(B, 3)], limit=2, now=B - SETTLES)
def test_a_page_that_ends_among_equal_numbers_loses_none(batches: list[tuple[int, int]], limit: int, now: int) -> None:
    """Numbers are a writer's own: those of several may be the same, and more of them than a page has. Nor is anything
    held back from a reader whose clock is late, where no point of a batch is missing."""
    rows = rows_of(batches)
    read = [change.id for page in paged(rows, limit, now) for change in page.changes]
    assert sorted(read) == sorted(row.id for row in rows), "each once"


# -- the same on each engine ----------------------------------------------------------------------------------------


def entry(number: int, version: int = 0) -> ItemVector:
    file = FileFacts("shop", f"{number:03}.jpg", 10, 20, sha256=f"{number:032x}{version:032x}")
    return ItemVector(Item(file), np.eye(8, dtype=np.float32)[number % 8])


def failed(number: int) -> ItemVector:
    return ItemVector(replace(entry(number).item, error=ItemError("empty", "", "2026-11-27T10:00:00Z")), None)


@pytest.fixture
def catalog(client: QdrantClient) -> Catalog:
    return Catalog.create(client, "changes", SPACE)


def all_since(catalog: Catalog, cursor: Cursor, limit: int) -> Iterator[Change]:
    while True:
        found = catalog.changes.since(cursor, limit)
        yield from found.changes
        before, cursor = cursor, Cursor.parse(str(found.cursor))
        if not found.more:
            return
        assert cursor != before, "a reader would never end"


def state_of(catalog: Catalog) -> dict[str, bool]:
    """The paths of all items, and whether they failed."""
    return {item.file.path: item.error is not None for item in catalog.ledger.scan("shop")}


def applied(state: dict[str, bool], changes: list[Change]) -> dict[str, bool]:
    state = dict(state)
    for change in changes:
        if change.kind is ChangeKind.GONE:
            state.pop(change.path, None)
        else:
            state[change.path] = change.kind is ChangeKind.FAILED
    return state


def test_readers_of_any_pace_end_with_what_the_index_has(client: QdrantClient, catalog: Catalog) -> None:
    """Two writers, random writes, removals, failures and metadata; three readers, one of which begins late."""
    choice = random.Random(5)
    writers = [catalog, Catalog.open(client, "changes")]
    readers: list[tuple[Cursor, dict[str, bool], int]] = [
        (catalog.changes.start(), {}, 3), (catalog.changes.now(), {}, 1000)
    ]  # fmt: skip
    for turn in range(60):
        if turn == 30:
            readers.append((catalog.changes.start(), {}, 7))
        writes = choice.choice(writers).writes
        there = list(catalog.ledger.scan("shop"))
        some = choice.sample(there, min(3, len(there)))
        match choice.randrange(5):
            case 0 | 1:
                writes.upsert([entry(choice.randrange(40), choice.randrange(3)) for _ in range(choice.randint(1, 4))])
            case 2:
                writes.upsert([failed(choice.randrange(40))])
            case 3:
                writes.remove([item.gone() for item in some])
            case 4:
                writes.replace_metadata([replace(item, metadata={"price": turn}) for item in some])
        for number, (cursor, state, limit) in enumerate(readers):
            if choice.random() < 0.5:
                found = catalog.changes.since(cursor, limit)
                assert len(found.changes) <= limit
                readers[number] = Cursor.parse(str(found.cursor)), applied(state, list(found.changes)), limit
    for cursor, state, limit in readers:
        assert applied(state, list(all_since(catalog, cursor, limit))) == state_of(catalog)
    assert not list(catalog.ledger.foreign_points())
    assert catalog.items.count() == sum(not each for each in state_of(catalog).values())


def test_kinds_are_those_of_what_the_reader_knows(catalog: Catalog) -> None:
    start = catalog.changes.now()
    catalog.writes.upsert([entry(1)])
    between = catalog.changes.since(start).cursor
    catalog.writes.replace_metadata([replace(entry(1).item, metadata={"price": 5})])
    assert [each.kind for each in catalog.changes.since(start).changes] == ["indexed"]
    assert [each.kind for each in catalog.changes.since(between).changes] == ["changed"]
    (stored,) = catalog.ledger.get_many([entry(1).item.id]).values()
    catalog.writes.upsert([replace(entry(1), item=replace(entry(1).item, stamp=stored.stamp))])  # the same bytes
    assert [each.kind for each in catalog.changes.since(between).changes] == ["changed"]
    catalog.writes.upsert([entry(1, version=1)])  # others
    assert [each.kind for each in catalog.changes.since(between).changes] == ["indexed"]
    catalog.writes.remove([entry(1).item.gone()])
    gone = catalog.changes.since(between).changes
    assert [(each.kind, each.path, each.sha256) for each in gone] == [("gone", "001.jpg", entry(1).item.file.sha256)]
    catalog.writes.upsert([entry(1)])  # it has come back: one point, one state
    assert [each.kind for each in catalog.changes.since(between).changes] == ["indexed"]


def test_writers_whose_numbers_are_the_same_lose_nothing(client: QdrantClient, catalog: Catalog) -> None:
    """The second writer's batch begins with the number that the first page of three ends with."""
    for first, at, numbers in ((0, B, (1, 2, 3)), (1, B + 2, (4, 5)), (2, B + 3 * SETTLES, (6,))):
        writer = Catalog.open(client, "changes") if first else catalog
        writer.writes._stamps = Stamps(lambda: 0, partial(int, at * 1000))
        writer.writes.upsert([entry(number) for number in numbers])
    for limit in (1, 2, 3, 4, 10):
        read = [change.path for change in all_since(catalog, catalog.changes.start(), limit)]
        assert sorted(read) == sorted(state_of(catalog)), limit


FORMS_OF_STAMPS: list[Any] = [
    {"n": B},
    {"n": B, "by": 1},
    {"n": [B, B + 1], "by": 1, "of": [B, B], "new": [B, 1]},
    {"n": B, "by": "1", "of": None, "new": {}},
    {"n": B, "by": "1", "of": [B, B], "new": [B, 1]},
    {"n": B, "by": [1, 2], "of": [B, B], "new": [B, 1]},
]


@pytest.mark.parametrize("form", FORMS_OF_STAMPS, ids=str)
def test_what_another_program_numbered_hides_no_change(client: QdrantClient, catalog: Catalog, form: Any) -> None:
    """Points with a number that are neither items nor tombstones fill a whole page."""
    points = [models.PointStruct(id=number, vector={}, payload={KEY: form}) for number in range(1, 4)]
    client.upsert(catalog.collection, points, wait=True)
    for at, number in ((B + 2, 1), (B + 3 * SETTLES, 2)):
        catalog.writes._stamps = Stamps(lambda: 0, partial(int, at * 1000))
        catalog.writes.upsert([entry(number)])
    for limit in (4, 5, 10):
        read = [change.path for change in all_since(catalog, catalog.changes.start(), limit)]
        assert read == sorted(state_of(catalog)), limit


@pytest.mark.parametrize("form", FORMS_OF_STAMPS, ids=str)
def test_what_another_program_numbered_or_buried_stops_no_reader(
    client: QdrantClient, catalog: Catalog, form: Any
) -> None:
    """Such points are the newest, beside those of a writer."""
    catalog.writes._stamps = Stamps(lambda: 0, partial(int, (B - 9) * 1000))
    catalog.writes.upsert([entry(number) for number in (1, 2, 3)])
    catalog.writes.remove([entry(3).item.gone()])
    ids = [entry(number).item.id for number in (4, 5, 6)]
    more: list[dict[str, Any]] = [{}, {GONE: {}}, {GONE: entry(6).item.gone().to_json()}]
    points = [
        models.PointStruct(id=id_, vector={}, payload={KEY: form, **each}) for id_, each in zip(ids, more, strict=True)
    ]
    client.upsert(catalog.collection, points, wait=True)
    cursor = catalog.changes.now()
    assert catalog.changes.since(cursor).changes == []
    catalog.writes._stamps = Stamps(lambda: 0, partial(int, (B + 9) * 1000))
    catalog.writes.upsert([entry(2, version=1)])
    assert [each.path for each in catalog.changes.since(cursor).changes] == ["002.jpg"]
    gone = catalog.changes.gone([*ids, entry(2).item.id, entry(3).item.id])
    stamp = Stamp.from_json(form)
    assert gone.pop(entry(3).item.id) < B
    assert gone == ({} if stamp is None else dict.fromkeys(ids[1:], B))


def test_tombstones_are_bounded_and_a_cursor_before_them_is_gone(catalog: Catalog) -> None:
    clock = iter(range(10**15, 10**16, 10**12))
    catalog.writes._stamps = Stamps(lambda: 0, lambda: next(clock) * 1000)
    before = catalog.changes.since(catalog.changes.start()).cursor
    catalog.writes.upsert([entry(number) for number in range(10)])
    midway = catalog.changes.since(before).cursor
    for number in range(8):
        catalog.writes.remove([entry(number).item.gone()])
    after = catalog.changes.since(midway).cursor
    assert catalog.changes.prune(most=3) == 5
    assert catalog.changes.prune(most=3) == 0
    for old in (before, midway):
        with pytest.raises(CursorGone, match="begin anew"):
            catalog.changes.since(old)
    assert catalog.changes.since(after).changes == []
    anew = catalog.changes.since(catalog.changes.start())
    assert applied({}, list(anew.changes)) == state_of(catalog)
    assert catalog.changes.since(anew.cursor).changes == []


def test_what_has_just_gone_is_kept(catalog: Catalog) -> None:
    catalog.writes.upsert([entry(number) for number in range(4)])
    catalog.writes.remove([entry(number).item.gone() for number in range(4)])
    assert catalog.changes.prune(most=0) == 0


def test_a_source_that_is_dropped_has_gone(catalog: Catalog) -> None:
    catalog.writes.upsert([entry(number) for number in range(5)])
    cursor = catalog.changes.now()
    assert catalog.drop_source("shop") == 5
    assert [each.kind for each in catalog.changes.since(cursor).changes] == ["gone"] * 5


def test_another_collection_has_another_log(client: QdrantClient, catalog: Catalog) -> None:
    cursor = catalog.changes.start()
    other = Catalog.begin_rebuild(client, "changes", replace(SPACE, size=9))
    other.finish_rebuild()
    with pytest.raises(CursorGone):
        Catalog.open(client, "changes").changes.since(cursor)
    assert Catalog.rollback(client, "changes").changes.since(cursor).changes == []


# -- numbers and cursors --------------------------------------------------------------------------------------------


def test_numbers_grow_whatever_the_clock_does() -> None:
    times = iter([5_000_000, 4_000_000, 4_000_000, 9_000_000])
    stamps = Stamps(lambda: 7_000, lambda: next(times))
    found = []
    for size in (2, 3, 1, 1):
        with stamps.batch(size) as numbers:
            found.append(numbers.first)
    assert found == [7_001, 7_003, 7_006, 9_000]


def test_after_a_write_that_failed_the_writer_is_another(catalog: Catalog) -> None:
    stamps = Stamps(lambda: 0)
    with stamps.batch(1) as first:
        pass
    with pytest.raises(RuntimeError), stamps.batch(1) as broken:
        raise RuntimeError
    with stamps.batch(1) as last:
        pass
    assert first.by == broken.by != last.by
    assert newest(catalog._client, catalog.collection) == 0


@given(
    base=st.integers(0, 2**52),
    began=st.integers(0, 2**52),
    seen=st.dictionaries(st.integers(0, 2**40), st.integers(0, 2**52), max_size=5),
)
def test_a_cursor_is_read_as_it_was_written(base: int, began: int, seen: dict[int, int]) -> None:
    cursor = Cursor("0a1b", base, began, seen)
    assert Cursor.parse(str(cursor)) == cursor


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with suppress(UsageError):
        Cursor.parse(text)


def test_the_log_of_an_older_index_is_not_there() -> None:
    assert Log.of({}) is None

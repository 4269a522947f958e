"""The last stage against a real catalog: only what still stands is written, one item cannot keep the others out."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.events.pending import PendingPath
from ingest.events.stability import completed
from ingest.index.predictions import Predictions
from ingest.index.retrying import Retrier
from ingest.pipeline.commit import Committer, Work, attempt_after
from ingest.pipeline.removal import Deleter, Removal
from ingest.pipeline.verdict import facts
from ingest.reconcile.compare import sha256_of
from ingest.source.files import FileState, Key
from ingest.source.watched_source import WatchedSource
from recq.errors import IndexFailing, Reason, RequestRefused
from recq.index.catalog import Catalog
from recq.index.changes import Gone
from recq.index.edge import EdgeEngine, embedded_client
from recq.index.fields import Fields
from recq.index.points import ItemVector
from recq.index.problems import MOST_OF_AN_ITEM, ProblemKind
from recq.index.schema import MOST_ELEMENTS, FieldType, FieldTypes, Item, ItemError
from recq.index.writes import Writes
from recq.settings import DEFAULT_IGNORE, Settings
from recq.space import EmbeddingSpace
from tests.asking import stored_vector
from tests.ingest.pictures import put

SPACE = EmbeddingSpace(
    model="test", weights="0", layer="top", pooling="mean", size=8, resize="pad",
    preprocessing="none", precision="f32", dim=4,
)  # fmt: skip


class Stage:
    """A committer with everything around it."""

    def __init__(self, root: Path, engine: EdgeEngine) -> None:
        self.root = root
        self.catalog = Catalog.create(embedded_client(engine), "images", SPACE)
        self.watched = WatchedSource(
            "s",
            root,
            table_path=None,
            types=self.catalog.fields.types,
            say=lambda path, message: None,
            ignore=DEFAULT_IGNORE,
        )
        retrier = Retrier(threading.Event(), give_up_after=1, waiting=lambda _: None, recovered=lambda: None)
        self.committer = Committer(
            self.catalog,
            retrier,
            {"s": self.watched},
            self.catalog.ledger,
            predictions=Predictions(self.catalog, Settings(), retrier),
        )
        self.deleter = Deleter(self.catalog, retrier, {"s": self.watched}, self.catalog.ledger)

    def work(self, path: str, *, vector: Sequence[float] = (1, 0, 0, 0)) -> Work:
        key = Key("s", path)
        state = FileState.of((self.root / path).stat())
        entry = PendingPath(key, completed(state, 0.0), fresh=True)
        file = replace(facts(key, state), sha256=sha256_of(self.root, path))
        return Work(entry, Item(file), np.asarray(vector, np.float32), state, carried=False)

    def removal(self, path: str, *, witnessed: bool = False) -> Removal:
        known = self.catalog.lookups.get(facts(Key("s", path), None).id)
        assert known is not None
        return Removal(Key("s", path), known.id, known.file.size, None, witnessed, known.file.sha256)

    def paths(self) -> list[str]:
        return sorted(item.file.path for item in self.catalog.ledger.scan("s"))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    root = tmp_path / "root"
    for number, name in enumerate(("a.jpg", "b.jpg", "2024/c.jpg")):
        put(root / name, number)
    engine = EdgeEngine(tmp_path / "edge")
    yield Stage(root, engine)
    engine.close()


def test_metadata_is_taken_at_the_last_moment(stage: Stage) -> None:
    work = stage.work("2024/c.jpg")
    (stage.root / "2024/c.jpg.json").write_text('{"price": 3}')
    written = stage.committer.write([work])
    assert [each.key for each in written.done] == [work.key]
    item = stage.catalog.lookups.get(work.item.id)
    assert item is not None
    assert item.metadata == {"category": "2024", "price": 3}
    assert item.file.ingested_at is not None
    assert stage.catalog.fields.types()["category"] is FieldType.STRING  # a year, but a word


def test_what_changed_or_went_is_not_written(stage: Stage) -> None:
    works = [stage.work(name) for name in ("a.jpg", "b.jpg", "2024/c.jpg")]
    os.utime(stage.root / "a.jpg", ns=(1, 1))
    (stage.root / "b.jpg").unlink()
    written = stage.committer.write(works)
    assert [each.key.path for each in written.done] == ["2024/c.jpg"]
    assert [each.key.path for each in written.again] == ["a.jpg", "b.jpg"]
    assert stage.paths() == ["2024/c.jpg"]


def test_a_vector_without_signal_fails_its_item_alone(stage: Stage) -> None:
    works = [stage.work("a.jpg"), stage.work("b.jpg", vector=(0, 0, 0, 0)), stage.work("2024/c.jpg")]
    written = stage.committer.write(works)
    assert len(written.done) == 3
    assert [item.file.path for item in stage.catalog.ledger.failed()] == ["b.jpg"]
    assert stage.catalog.items.count() == 2


@pytest.mark.parametrize("before", [None, 2])
def test_an_item_without_signal_counts_its_attempts(stage: Stage, before: int | None) -> None:
    """As every failure does: how long the next attempt waits depends on it."""
    error = None if before is None else ItemError(Reason.IO_ERROR, "", "2026-01-01T00:00:00Z", before)
    known = Item(stage.work("a.jpg").item.file, error=error)
    stage.committer.write([replace(stage.work("a.jpg", vector=(0, 0, 0, 0)), attempt=attempt_after(known))])
    (failed,) = stage.catalog.ledger.failed()
    assert failed.error is not None
    assert (failed.error.reason, failed.error.attempts) == (Reason.NO_SIGNAL, 1 + (before or 0))


def test_a_refused_item_keeps_no_other_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    upsert = Writes.upsert

    def picky(self: Writes, entries: Sequence[ItemVector]) -> Any:
        if any(entry.item.file.path == "b.jpg" for entry in entries):
            raise RequestRefused("400 no")
        return upsert(self, entries)

    monkeypatch.setattr(Writes, "upsert", picky)
    written = stage.committer.write([stage.work(name) for name in ("a.jpg", "b.jpg", "2024/c.jpg")])
    assert [(work.key.path, error.detail) for work, error in written.refused] == [("b.jpg", "400 no")]
    assert stage.paths() == ["2024/c.jpg", "a.jpg"]
    assert stage.watched.refused["b.jpg"].detail == "b.jpg: refused by the index: 400 no"


REFUSED_FIELDS = ("bad", "worse")


def refuses_fields(method: str) -> Any:
    """`Writes.METHOD` of an index that takes no item with one of `REFUSED_FIELDS`."""
    original = getattr(Writes, method)

    def picky(self: Writes, things: Sequence[Any]) -> Any:
        for thing in things:
            item = thing if isinstance(thing, Item) else thing.item
            if any(name in item.metadata for name in REFUSED_FIELDS):
                raise RequestRefused("400 invalid field")
        return original(self, things)

    return picky


def require_without_refused_fields(item: Item | None) -> None:
    assert item is not None
    assert item.error is None
    assert item.metadata == {"a": 1, "b": 2, "c": 3}
    assert [(problem.kind, problem.field) for problem in item.problems] == [
        (ProblemKind.REFUSED, "bad"),
        (ProblemKind.REFUSED, "worse"),
    ]
    assert "400 invalid field" in item.problems[0].detail


SIDECAR = '{"a": 1, "bad": "x", "b": 2, "worse": "y", "c": 3}'


def test_an_item_is_written_without_the_fields_that_the_index_refuses(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Writes, "upsert", refuses_fields("upsert"))
    works = [stage.work(name) for name in ("a.jpg", "b.jpg", "2024/c.jpg")]
    (stage.root / "b.jpg.json").write_text(SIDECAR)
    written = stage.committer.write(works)
    assert (len(written.done), written.refused) == (3, [])
    require_without_refused_fields(stage.catalog.lookups.get(works[1].item.id))
    assert stored_vector(stage.catalog, works[1].item.id) is not None
    assert stage.catalog.problems.count("s") == {ProblemKind.REFUSED: 1}


def test_new_metadata_that_the_index_refuses_keeps_no_other_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    works = [stage.work(name) for name in ("a.jpg", "b.jpg", "2024/c.jpg")]
    stage.committer.write(works)
    (stage.root / "a.jpg.json").write_text('{"new": 1}')
    (stage.root / "b.jpg.json").write_text(SIDECAR)
    (stage.root / "2024/c.jpg.json").write_text('{"new": 2}')
    monkeypatch.setattr(Writes, "replace_metadata", refuses_fields("replace_metadata"))
    known = [item for work in works if (item := stage.catalog.lookups.get(work.item.id)) is not None]
    replaced = stage.committer.replace([(work.key, item) for work, item in zip(works, known, strict=True)])
    assert (len(replaced.done), replaced.refused) == (3, [])
    items = [stage.catalog.lookups.get(work.item.id) for work in works]
    assert [item.metadata.get("new") for item in items if item is not None] == [1, None, 2]
    require_without_refused_fields(items[1])


def test_an_item_that_is_refused_even_without_metadata_is_listed_as_failed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    upsert = Writes.upsert

    def picky(self: Writes, entries: Sequence[ItemVector]) -> Any:
        if any(entry.item.file.path == "b.jpg" and entry.vector is not None for entry in entries):
            raise RequestRefused("400 no such vector")
        return upsert(self, entries)

    monkeypatch.setattr(Writes, "upsert", picky)
    (stage.root / "b.jpg.json").write_text('{"a": 1}')
    works = [stage.work(name) for name in ("a.jpg", "b.jpg")]
    for attempts in (1, 2):
        written = stage.committer.write(works)
        assert (len(written.done), written.refused) == (2, [])
        (failed,) = stage.catalog.ledger.failed()
        assert failed.error is not None
        assert (failed.file.path, failed.metadata) == ("b.jpg", {})
        assert (failed.error.reason, failed.error.detail) == (Reason.REFUSED, "400 no such vector")
        assert failed.error.attempts == attempts
    assert stage.catalog.items.count() == 1


def test_a_column_whose_index_is_refused_keeps_no_other_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    declare = Fields.declare

    def picky(self: Fields, types: FieldTypes) -> None:
        if "bad" in types:
            raise RequestRefused("400 no such key")
        declare(self, types)

    monkeypatch.setattr(Fields, "declare", picky)
    stage.committer.declare({"a": FieldType.INTEGER, "bad": FieldType.INTEGER, "c": FieldType.FLOAT})
    assert stage.catalog.fields.types() == {"a": FieldType.INTEGER, "c": FieldType.FLOAT}


def test_a_deletion_that_the_index_refuses_keeps_no_other_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.committer.write([stage.work(name) for name in ("a.jpg", "b.jpg", "2024/c.jpg")])
    removals = [stage.removal(name, witnessed=True) for name in ("a.jpg", "b.jpg")]
    for name in ("a.jpg", "b.jpg"):
        (stage.root / name).unlink()
    remove = Writes.remove

    def picky(self: Writes, items: Sequence[Gone]) -> None:
        if removals[1].item_id in {item.id for item in items}:
            raise IndexFailing("500 segment is broken")
        remove(self, items)

    monkeypatch.setattr(Writes, "remove", picky)
    deleted, held = stage.deleter.delete(removals)
    assert ([each.key.path for each in deleted], held) == (["a.jpg"], [])
    assert stage.paths() == ["2024/c.jpg", "b.jpg"]
    assert "500 segment is broken" in stage.watched.refused["b.jpg"].detail
    assert [problem.path for problem in stage.catalog.problems.of_source("s")] == ["b.jpg"]
    monkeypatch.setattr(Writes, "remove", remove)
    deleted, _ = stage.deleter.delete(removals[1:])
    assert (len(deleted), stage.watched.refused, stage.catalog.problems.of_source("s")) == (1, {}, ())


def test_a_table_cell_that_cannot_be_stored_costs_that_field_alone(stage: Stage) -> None:
    cell = "|".join(map(str, range(MOST_ELEMENTS + 1)))
    (stage.root / "metadata.csv").write_text(f"file,many,title\nb.jpg,1|2,B\na.jpg,{cell},A\n")
    stage.watched.load_tables()
    description = stage.watched.describe("a.jpg")
    assert description.metadata == {"title": "A"}
    (problem,) = description.problems
    assert (problem.kind, problem.field, problem.line) == (ProblemKind.FIELD, "many", 3)
    assert problem.detail.startswith("metadata.csv:3: field 'many' is a list of 10,001 values")
    assert stage.watched.describe("b.jpg").problems == ()


def test_many_problems_of_one_item_are_few_and_counted(stage: Stage) -> None:
    (stage.root / "a.jpg.json").write_text(json.dumps({f"a{n}=": n for n in range(5000)}))
    problems = stage.watched.describe("a.jpg").problems
    assert len(problems) == MOST_OF_AN_ITEM
    assert problems[-1].detail.startswith("4,981 more, like: a.jpg.json: field 'a19=' has one of the characters")


def test_deletions_are_checked_once_more(stage: Stage) -> None:
    stage.committer.write([stage.work(name) for name in ("a.jpg", "b.jpg")])
    removals = [stage.removal("a.jpg"), stage.removal("b.jpg")]
    (stage.root / "a.jpg").unlink()
    deleted, held = stage.deleter.delete(removals)
    assert [each.key.path for each in deleted] == ["a.jpg"]
    assert held == []
    assert stage.paths() == ["b.jpg"]


def test_a_root_that_has_gone_or_was_replaced_deletes_nothing(stage: Stage, tmp_path: Path) -> None:
    stage.committer.write([stage.work("a.jpg")])
    stage.root.rename(tmp_path / "elsewhere")
    for witnessed in (False, True):
        deleted, held = stage.deleter.delete([stage.removal("a.jpg", witnessed=witnessed)])
        assert (len(deleted), len(held)) == (0, 1)
    stage.root.mkdir()
    put(stage.root / "other.jpg", 9)
    deleted, held = stage.deleter.delete([stage.removal("a.jpg", witnessed=True)])
    assert (len(deleted), len(held)) == (0, 1)
    assert stage.paths() == ["a.jpg"]


def test_an_emptied_root_deletes_only_what_the_kernel_saw_go(tmp_path: Path) -> None:
    engine = EdgeEngine(tmp_path / "edge")
    stage = Stage(put(tmp_path / "root/a.jpg", 1).parent, engine)
    stage.committer.write([stage.work("a.jpg")])
    (stage.root / "a.jpg").unlink()
    deleted, held = stage.deleter.delete([stage.removal("a.jpg")])
    assert (deleted, [(each.source, each.items) for each in held]) == ([], [("s", 1)])
    assert "recq-ingest confirm s" in held[0].detail
    assert len(stage.deleter.delete([stage.removal("a.jpg", witnessed=True)])[0]) == 1
    assert stage.paths() == []
    engine.close()


def test_replaced_metadata_leaves_the_rest(stage: Stage) -> None:
    work = stage.work("a.jpg")
    (stage.root / "a.jpg.json").write_text('{"old": 1, "kept": 2}')
    stage.committer.write([work])
    before = stage.catalog.lookups.get(work.item.id)
    assert before is not None
    (stage.root / "a.jpg.json").write_text('{"kept": 3}')
    described = stage.committer.replace([(work.key, before)])
    after = stage.catalog.lookups.get(work.item.id)
    assert after is not None
    assert after.metadata == {"kept": 2, "old": 1}  # what it would lose is judged together with others
    assert stage.committer.reduce(described.losing)[1] == []
    after = stage.catalog.lookups.get(work.item.id)
    assert after is not None
    assert after.metadata == {"kept": 3}
    assert after.file.ingested_at == before.file.ingested_at
    vector = stored_vector(stage.catalog, work.item.id)
    assert vector is not None
    assert vector.tolist() == [1, 0, 0, 0]


def test_a_renamed_folder_of_one_placeholder_mixes_up_no_metadata(stage: Stage) -> None:
    """Pictures with the same bytes and metadata of their own, as shops have them."""
    names = [f"{number}.jpg" for number in range(12)]
    for number, name in enumerate(names):
        put(stage.root / "old" / name, 100)
        (stage.root / "old" / f"{name}.json").write_text(f'{{"title": "Title {number}"}}')
    stage.committer.write([stage.work(f"old/{name}") for name in names])
    (stage.root / "new").mkdir()
    for name in [*names, "unknown.jpg"]:
        put(stage.root / "new" / name, 100)
    shutil.rmtree(stage.root / "old")
    works = [replace(stage.work(f"new/{name}"), carried=True) for name in [*names, "unknown.jpg"]]
    stage.committer.write(works)
    found = stage.catalog.ledger.get_many([work.item.id for work in works])
    assert {item.file.path: item.metadata for item in found.values()} == {
        **{f"new/{n}": {"category": "new", "title": f"Title {number}"} for number, n in enumerate(names)},
        "new/unknown.jpg": {"category": "new"},
    }


def test_metadata_that_is_lost_at_once_is_held_or_goes_together(stage: Stage) -> None:
    names = [f"{number}.jpg" for number in range(60)]
    for number, name in enumerate(names):
        put(stage.root / name, 100 + number)
        (stage.root / f"{name}.json").write_text('{"price": 1}')
    stage.committer.write([stage.work(name) for name in names])
    ids = {name: facts(Key("s", name), None).id for name in names}
    items = stage.catalog.ledger.get_many(list(ids.values()))
    for name in names[:40]:
        (stage.root / f"{name}.json").write_text('{"title": "new"}')
    stage.watched.losses.begin(60)
    works = [(Key("s", name), items[ids[name]]) for name in names]
    described = stage.committer.replace(works)
    assert len(described.losing) == 40
    written, held = stage.committer.reduce(described.losing)
    assert [(each.source, each.items, each.metadata) for each in held] == [("s", 40, True)]
    assert "recq-ingest confirm s" in held[0].detail
    assert "its price" in held[0].detail
    assert len(written.done) == 40  # with what is new
    now = stage.catalog.ledger.get_many(list(ids.values()))
    assert all(now[ids[name]].metadata == {"price": 1, "title": "new"} for name in names[:40])
    again = stage.work(names[0])
    rewritten = stage.committer.write([replace(again, known=True)])  # embedded again: it keeps what it had
    assert [key.path for key, _ in rewritten.losing] == [names[0]]
    found = stage.catalog.lookups.get(ids[names[0]])
    assert found is not None
    assert found.metadata == {"price": 1, "title": "new"}
    few = stage.committer.reduce(described.losing[:10])  # something happened to some of them: they stay held
    assert (few[0].done, few[1]) == ([], [])
    found = stage.catalog.lookups.get(ids[names[1]])
    assert found is not None
    assert found.metadata == {"price": 1, "title": "new"}
    stage.watched.losses.begin(60)
    stage.watched.losses.decide(30, blind=False)
    assert stage.committer.reduce(described.losing[:30])[1] == []  # not more than half
    assert stage.committer.reduce(described.losing[30:])[1] != []
    stage.watched.losses.begin(60, confirmed=40)
    stage.watched.losses.decide(40, blind=False)
    assert stage.committer.reduce(described.losing)[1] == []
    assert all(
        item.metadata == {"title": "new"}
        for item in stage.catalog.ledger.get_many([ids[n] for n in names[:40]]).values()
    )


def test_what_goes_at_once_is_held_or_goes_together(stage: Stage) -> None:
    names = [f"{number}.jpg" for number in range(60)]
    for number, name in enumerate(names):
        put(stage.root / name, 100 + number)
    stage.committer.write([stage.work(name) for name in names])
    stage.watched.guard.begin(0)  # nothing was there when folder and index were compared
    removals = [stage.removal(name, witnessed=True) for name in names]
    (stage.root / "moved").mkdir()
    (stage.root / names[0]).rename(stage.root / "moved" / names[0])
    stage.committer.write([stage.work(f"moved/{names[0]}")])
    for name in names[1:40]:
        (stage.root / name).unlink()
    deleted, held = stage.deleter.delete(removals)
    assert [each.key.path for each in deleted] == [names[0]]  # its bytes are still there
    assert [(each.source, each.items) for each in held] == [("s", 39)]
    assert "recq-ingest confirm s" in held[0].detail
    few = removals[:29]
    deleted, held = stage.deleter.delete(few)
    assert (len(deleted), held) == (29, [])  # not more than half of what is there now
    deleted, held = stage.deleter.delete(removals)
    assert [each.items for each in held] == [39]
    stage.watched.guard.begin(60, confirmed=39)
    deleted, held = stage.deleter.delete(removals)
    assert (len(deleted), held) == (40, [])
    assert len(stage.paths()) == 21


def test_items_whose_files_hold_no_picture_any_more_are_lost_however_their_names_look(stage: Stage) -> None:
    """Their files stand, and none of them has its bytes."""
    names = [f"photo{number}" for number in range(60)]
    for number, name in enumerate(names):
        put(stage.root / name, 100 + number)
    stage.committer.write([stage.work(name) for name in names])
    stage.watched.guard.begin(60)
    for name in names[:40]:
        (stage.root / name).write_text(f"{name} is no picture")
    removals = [
        replace(stage.removal(name), state=FileState.of((stage.root / name).stat()), hinted=True) for name in names[:40]
    ]
    deleted, held = stage.deleter.delete(removals)
    assert (deleted, [each.items for each in held]) == ([], [40])
    deleted, held = stage.deleter.delete(removals[:20])
    assert (len(deleted), held) == (20, [])


@pytest.mark.parametrize(
    ("header", "row"),
    [("told", "2024-01-31 12:00:00"), ("told", "u\u0308ber"), ("to\u0308ld", "x"), ("told", "7")],
    ids=["moment", "text", "name", "number"],
)
def test_what_keeps_what_it_would_lose_is_written_once(stage: Stage, header: str, row: str) -> None:
    """Metadata are compared in the form that is stored: dates have one of their own, and texts are composed."""
    names = ["a.jpg", "b.jpg", "2024/c.jpg"]

    def tell(*columns: str) -> None:
        cells = [row if each == header else "T" for each in columns]
        rows = "".join(",".join([name, *cells]) + "\n" for name in names)
        (stage.root / "metadata.csv").write_text(",".join(["file", *columns]) + "\n" + rows, "utf-8")
        stage.watched.note_table("metadata.csv")
        stage.watched.load_tables()

    tell(header, "title")
    stage.committer.declare(stage.watched.tables.own.types)
    stage.committer.write([stage.work(name) for name in names])
    items = [(Key("s", item.file.path), item) for item in stage.catalog.ledger.scan("s")]
    before = stage.catalog.ledger.get_many([item.id for _, item in items])
    assert all(len(each.metadata) >= 2 for each in before.values())
    tell(header)
    stage.watched.losses.hold()
    assert stage.committer.replace(items).done == []
    assert stage.committer.reduce(items)[0].done == []
    tell(header, "name")
    assert len(stage.committer.replace(items).done) == 3
    assert stage.committer.replace(items).done == []

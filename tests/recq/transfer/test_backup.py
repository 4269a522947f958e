"""A catalog goes into a backup and comes back on any engine, whatever is written or killed meanwhile."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from filelock import FileLock

from recq.errors import BackupDamaged, IndexBusy, Reason, SpaceMismatch, UsageError
from recq.index.candidates import Candidate
from recq.index.catalog import Catalog
from recq.index.connect import connect_or_make, own_folder
from recq.index.edge import LoopbackServer
from recq.index.points import ItemVector
from recq.index.predicted import Prediction
from recq.index.reviews import Decision
from recq.index.schema import FileFacts, Item, ItemError
from recq.index.sources import Source
from recq.index.taggings import How, Tagging
from recq.models.heads import Classifier, Joined
from recq.settings import Settings
from recq.transfer import backup as backup_module
from recq.transfer import backup_folder, backup_list
from recq.transfer.backup import BackedUp, back_up
from recq.transfer.backup_check import Kind, check_backup
from recq.transfer.backup_folder import BackupFolder
from recq.transfer.restore import restore
from tests.recq.index.conftest import ENGINES, SPACE

ITEMS = 23
NAME = "shop"
TAGGING = Tagging("kind", How.IS, ("sofa",), ("a", "b"), "2026-01-01")


def entry(path: str, **metadata: Any) -> ItemVector:
    """An item whose vector is made of its path."""
    random = np.random.default_rng(crc32(path.encode()))
    facts = FileFacts("photos", path, 10, 20, f"{path:0>64}", "JPEG", 3, 4, "2026-01-01T00:00:00+00:00", ctime_ns=5)
    return ItemVector(Item(facts, metadata), random.normal(size=SPACE.dim).astype(np.float32))


def failed(path: str) -> ItemVector:
    error = ItemError(Reason.CORRUPT, "no picture", "2026-01-01T00:00:00+00:00", 2)
    return ItemVector(Item(FileFacts("photos", path, 10, 20), {}, error), None)


def candidate(name: str = "by-kind", at: str = "2026-01-02") -> Candidate:
    classifier = Classifier(("a", "b"), np.ones((2, SPACE.dim), np.float32), np.zeros(2, np.float32))
    return Candidate(name, "kind", Joined(classifier, 1.0), classifier, SPACE.fingerprint, at)


def fill(catalog: Catalog) -> None:
    """Items of all kinds, and a record of each kind."""
    entries = [entry(f"{n:02}.jpg", price=n, title=f"number {n}") for n in range(ITEMS - 2)]
    predicted = entry("guessed.jpg")
    predicted = replace(predicted, item=replace(predicted.item, predicted={"kind": Prediction("by", ("a",), (0.5,))}))
    catalog.writes.upsert([*entries, predicted, failed("broken.jpg")])
    catalog.sources.write(Source("photos", {"here": "/srv/photos"}, ignored=3, reconciled_at="2026"))
    catalog.reviews.write(Decision(frozenset("ab"), frozenset("a"), "2026-01-01"))
    catalog.taggings.write(TAGGING)
    catalog.candidates.write(candidate())
    catalog.predicting.choose({"kind": "by-kind"})
    catalog.sources.confirm("photos", 5)


@contextmanager
def place(engine: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Settings that reach an empty index of that kind."""
    if engine == "server":
        from qdrant_client import QdrantClient

        url = request.getfixturevalue("qdrant_server").url
        yield Settings(url=url, data_dir=folder, catalog=NAME)
        remote = QdrantClient(url=url, check_compatibility=False)
        for collection in remote.get_collections().collections:
            if collection.name.startswith(NAME):
                remote.delete_collection(collection.name)
        remote.close()
        return
    settings = Settings(data_dir=folder, catalog=NAME, lock_wait=5)
    if engine == "loopback":
        with own_folder(settings) as owned, LoopbackServer(folder, owned.engine):
            yield settings
    else:
        yield settings


@pytest.fixture(params=ENGINES)
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    with place(request.param, tmp_path / "there", request) as settings:
        yield settings


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    """An embedded index that is filled."""
    settings = Settings(data_dir=tmp_path / "here", catalog=NAME)
    with made(settings) as catalog:
        fill(catalog)
    return settings


@contextmanager
def made(settings: Settings) -> Iterator[Catalog]:
    with connect_or_make(settings) as client:
        yield Catalog.create(client, settings.catalog, SPACE)


Content = tuple[dict[str, tuple[dict[str, Any], bytes | None]], dict[str, Any]]


def everything(settings: Settings) -> Content:
    """Payloads and vectors by path, and the records."""
    with connect_or_make(settings) as client:
        catalog = Catalog.open(client, settings.catalog)
        items = {
            each.item.file.path: (each.item.to_payload(), None if each.vector is None else each.vector.tobytes())
            for each in catalog.items.entries()
        }
        return items, catalog.records.all()


def of_backup(folder: Path) -> dict[str, tuple[dict[str, Any], bytes | None]]:
    """What a folder's backup has, read without an index."""
    files = BackupFolder(folder)
    listed = files.read().listed
    return {
        each.item.file.path: (each.item.to_payload(), None if each.vector is None else each.vector.tobytes())
        for part in listed.in_use()
        for each in files.entries(part.name)
        if listed.is_of(each.item.id, part.name)
    }


def test_a_catalog_goes_to_another_engine_and_back(here: Settings, there: Settings, tmp_path: Path) -> None:
    before = everything(here)
    done = back_up(here, tmp_path / "one")
    assert (done.items, done.failed, done.written, done.gone, done.parts) == (ITEMS, 1, ITEMS, 0, 1)
    moved = restore(there, tmp_path / "one")
    assert (moved.restored, moved.same, moved.newer) == (ITEMS, 0, 0)
    assert everything(there) == before
    with made(there) as catalog:
        assert catalog.sources.confirmed() == {}  # what was allowed then is not allowed now
        assert catalog.items.count(["price>=19"]) == 2
        assert catalog.items.count(["title~number"]) == ITEMS - 2
        assert catalog.candidates.get("by-kind").to_json() == candidate().to_json()
        assert catalog.taggings.all() == [TAGGING]
    assert check_backup(there, tmp_path / "one").is_well
    back_up(there, tmp_path / "two")
    back = here.model_copy(update={"data_dir": tmp_path / "back"})
    restore(back, tmp_path / "two")
    assert everything(back) == before
    assert restore(back, tmp_path / "two").same == ITEMS


def test_a_second_backup_writes_what_changed_and_no_more(there: Settings, tmp_path: Path) -> None:
    with made(there) as catalog:
        fill(catalog)
    folder = tmp_path / "backup"
    first = back_up(there, folder)
    assert back_up(there, folder).parts == 0
    with made(there) as catalog:
        known = catalog.ledger.get_many([entry("03.jpg").item.id, entry("04.jpg").item.id, entry("05.jpg").item.id])
        (gone,) = (item for item in known.values() if item.file.path == "03.jpg")
        catalog.writes.remove([gone.gone()])
        catalog.writes.replace_metadata([entry("04.jpg", price=99).item])
        catalog.writes.upsert([entry("new.jpg")])
        catalog.ledger.keep_ctimes({entry("06.jpg").item.id: 77})  # no stamp tells of it
        catalog.writes.upsert([replace(entry("05.jpg", price=5, title="number 5"))])  # written again, as it was
    second = back_up(there, folder)
    assert (second.items, second.written, second.gone, second.parts) == (ITEMS, 3, 1, 1)
    assert second.bytes < first.bytes
    assert of_backup(folder) == everything(there)[0]
    assert back_up(there, folder).parts == 0
    assert check_backup(there, folder).is_well


def test_what_is_written_while_pages_are_read_is_in_the_backup(
    there: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every page a picture moves from an id that is still to come to one that was read, and one changes."""
    monkeypatch.setattr(backup_module, "_PAGE", 3)
    with made(there) as catalog:
        fill(catalog)
        ids = sorted((entry(f"{n:02}.jpg").item.id, f"{n:02}.jpg") for n in range(ITEMS - 2))
    fresh = iter(sorted((entry(f"moved-{n}.jpg").item.id, f"moved-{n}.jpg") for n in range(200)))
    moves = 0

    def meanwhile(what: str, done: int, total: int) -> None:
        nonlocal moves
        if what != "backing up" or done >= total - 3:
            return
        moves += 1
        with connect_or_make(there) as client:
            writer = Catalog.open(client, there.catalog)
            item_id, _ = ids.pop()
            item = writer.ledger.get_many([item_id])[item_id]
            (vector,) = writer.items.vectors([item_id]).values()
            target = replace(item.file, path=next(fresh)[1])
            writer.writes.upsert([ItemVector(replace(item, file=target, stamp=None), vector)])
            writer.writes.remove([item.gone()])
            writer.writes.replace_metadata(
                [replace(writer.ledger.get_many([ids[0][0]])[ids[0][0]], metadata={"n": moves})]
            )

    done = back_up(there, tmp_path / "backup", progress=meanwhile)
    assert moves > 4
    assert done.items == ITEMS
    assert of_backup(tmp_path / "backup") == everything(there)[0]


def test_a_daemon_that_starts_meanwhile_gets_the_folder_and_is_asked_from_then_on(
    here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_module, "_PAGE", 5)
    asked: list[int] = []
    with ExitStack() as stack:

        def starts(what: str, done: int, total: int) -> None:
            if not asked:
                owned = stack.enter_context(own_folder(here.model_copy(update={"lock_wait": 30})))
                stack.enter_context(LoopbackServer(here.data_dir, owned.engine))
            asked.append(done)

        assert back_up(here, tmp_path / "backup", progress=starts).items == ITEMS
    assert len(asked) > 3
    assert of_backup(tmp_path / "backup") == everything(here)[0]


def test_a_running_catalog_keeps_what_is_newer_and_gets_back_what_has_gone(there: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    with made(there) as catalog:
        fill(catalog)
    back_up(there, folder)
    with made(there) as catalog:
        known = {item.file.path: item for item in catalog.ledger.scan("photos")}
        catalog.writes.remove([known["00.jpg"].gone()])
        catalog.writes.delete([known["01.jpg"].id])
        catalog.writes.replace_metadata([entry("02.jpg", price=1000).item])
        catalog.writes.upsert([entry("new.jpg", price=2000)])
        catalog.reviews.write(Decision(frozenset("ab"), frozenset("b"), "2026-02-01"))
    checked = check_backup(there, folder)
    assert (checked.newer, [(each.kind, each.path) for each in checked.differences]) == (
        3,
        [(Kind.NOT_IN_INDEX, "01.jpg")],
    )
    done = restore(there, folder)
    assert (done.restored, done.same, done.newer) == (2, ITEMS - 3, 1)
    with made(there) as catalog:
        assert sorted(item.file.path for item in catalog.items.rows(["price>=1000"])) == ["02.jpg", "new.jpg"]
        assert catalog.items.count() == ITEMS
        assert [each.keep for each in catalog.reviews.all()] == [frozenset("b")]
    assert restore(there, folder, overwrite=True).restored == 1
    with made(there) as catalog:
        assert [item.file.path for item in catalog.items.rows(["price>=1000"])] == ["new.jpg"]
        assert [each.keep for each in catalog.reviews.all()] == [frozenset("a")]


def test_what_differs_without_a_later_write_is_a_difference(here: Settings, tmp_path: Path) -> None:
    back_up(here, tmp_path / "backup")
    with connect_or_make(here) as client:
        catalog = Catalog.open(client, NAME)
        client.set_payload(catalog.collection, {"price": 7}, points=[entry("00.jpg").item.id], wait=True)
    checked = check_backup(here, tmp_path / "backup")
    assert [(each.kind, each.source, each.path) for each in checked.differences] == [(Kind.DIFFERS, "photos", "00.jpg")]
    assert not checked.is_well


def note(catalog: Catalog) -> int:
    """What no stamp tells of, of some items, and of how many."""
    known = {item.file.path: item for item in catalog.ledger.scan("photos")}
    guessed = catalog.ledger.get_many([known[path].id for path in ("guessed.jpg", "01.jpg")])
    fresh = {"kind": Prediction("newer", ("b",), (0.9,))}
    catalog.writes.replace_predictions([replace(item, predicted=fresh) for item in guessed.values()])
    catalog.ledger.keep_ctimes({known[path].id: 77 for path in ("01.jpg", "02.jpg", "03.jpg")})
    catalog.ledger.mark_for_retry([known["broken.jpg"].id])
    return len({"guessed.jpg", "01.jpg", "02.jpg", "03.jpg", "broken.jpg"})


def test_what_is_noted_of_items_since_is_no_difference_and_stays(there: Settings, tmp_path: Path) -> None:
    """A `chmod -R` makes other ctimes, and predictions become newer: what was written with a stamp is as it was."""
    with made(there) as catalog:
        fill(catalog)
    back_up(there, tmp_path / "backup")
    before = everything(there)
    with made(there) as catalog:
        count = note(catalog)
    noted = everything(there)
    assert len([path for path, each in noted[0].items() if each != before[0][path]]) == count
    checked = check_backup(there, tmp_path / "backup")
    assert (checked.newer, checked.differences, checked.is_well) == (count, (), True)
    done = restore(there, tmp_path / "backup")
    assert (done.restored, done.same, done.newer) == (0, ITEMS, 0)
    assert everything(there) == noted
    assert restore(there, tmp_path / "backup", overwrite=True).restored == count
    assert everything(there) == before


def test_what_differs_beside_what_is_noted_is_a_difference(here: Settings, tmp_path: Path) -> None:
    back_up(here, tmp_path / "backup")
    with connect_or_make(here) as client:
        catalog = Catalog.open(client, NAME)
        count = note(catalog)
        for path in ("02.jpg", "09.jpg"):
            client.set_payload(catalog.collection, {"price": 77}, points=[entry(path).item.id], wait=True)
    checked = check_backup(here, tmp_path / "backup")
    told = [(each.kind, each.path) for each in checked.differences]
    assert told == [(Kind.DIFFERS, "02.jpg"), (Kind.DIFFERS, "09.jpg")]
    assert checked.newer == count - 1
    for part in (tmp_path / "backup" / "parts").glob("*.gz"):
        part.write_bytes(b"x" * part.stat().st_size)
    checked = check_backup(here, tmp_path / "backup")
    assert len(checked.differences) == count + 1, "which of them was noted alone, a damaged part does not say"
    assert None not in {each.path for each in checked.differences}


def test_a_source_that_was_forgotten_comes_back(there: Settings, tmp_path: Path) -> None:
    with made(there) as catalog:
        fill(catalog)
    before = everything(there)
    back_up(there, tmp_path / "backup")
    with made(there) as catalog:
        catalog.drop_source("photos")
    restore(there, tmp_path / "backup")
    assert everything(there) == before


def test_names_of_other_programs_come_back(here: Settings, tmp_path: Path) -> None:
    with made(here) as catalog:
        assert catalog.take_name("theirs")
        assert not catalog.take_name(NAME) or catalog.still_current()
    back_up(here, tmp_path / "backup")
    back = here.model_copy(update={"data_dir": tmp_path / "back"})
    restore(back, tmp_path / "backup")
    with made(back) as catalog:
        assert catalog.other_names() == ("theirs",)


def test_a_catalog_in_a_trained_space_comes_back_with_its_head(
    here: Settings, there: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_folder, "_LARGE", 100)
    with connect_or_make(here) as client:
        old = Catalog.open(client, NAME)
        trained = Catalog.begin_switch(client, NAME, "by-kind")
        assert trained.projection is not None
        list(trained.fill_from(old, trained.projection, lambda function, *args, **more: function(*args, **more)))
        trained.finish_rebuild()
    before = everything(here)
    back_up(here, tmp_path / "backup")
    again = back_up(here, tmp_path / "backup")
    assert (again.written, again.parts) == (0, 0)
    assert again.bytes < 5000  # the head is not written again
    restore(there, tmp_path / "backup")
    assert everything(there) == before
    with connect_or_make(there) as client:
        restored = Catalog.open(client, NAME)
        assert restored.trained is not None
        assert restored.base == SPACE


# -- killed and damaged ----------------------------------------------------------------------------------------------


class Killed(BaseException):
    """As if the process had gone at that moment."""


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch, run: Callable[[], BackedUp]) -> BackedUp | None:
    """Run until the given write to the disk, which leaves half of its bytes behind; None where it came so far."""
    left = step

    def count_down(write: Callable[[], None]) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            write()
            raise Killed

    place, append = backup_folder.BackupWriter._place, backup_folder.BackupWriter._append

    def placed(self: backup_folder.BackupWriter, path: Path, data: bytes) -> None:
        def write() -> None:
            path.with_name(f"{path.name}.0123abcd").write_bytes(data[: len(data) // 2])

        count_down(write)
        place(self, path, data)

    def appended(self: backup_folder.BackupWriter, line: dict[str, Any]) -> None:
        half = backup_folder._line(line)[:-20]

        def write() -> None:
            with self._list.open("ab") as file:
                file.write(half)

        count_down(write)
        append(self, line)

    with monkeypatch.context() as patch:
        patch.setattr(backup_folder.BackupWriter, "_place", placed)
        patch.setattr(backup_folder.BackupWriter, "_append", appended)
        try:
            return run()
        except Killed:
            return None


def test_killed_at_any_write_there_is_the_backup_of_before_and_the_next_goes_on(
    here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_list, "MOST_ITEMS", 5)
    folder, now = tmp_path / "backup", everything(here)[0]
    for step in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        if killed_at(step, monkeypatch, lambda: back_up(here, folder)) is not None:
            break
        with pytest.raises(UsageError, match="has no backup"):
            BackupFolder(folder).read()
        resumed = back_up(here, folder)
        kept = 5 * max(0, (step - 1) // 2)  # a first line, then a part and a line each
        assert resumed.written == max(0, ITEMS - kept)
        assert of_backup(folder) == now
        left = [path.name for path in folder.iterdir()]
        assert sorted(left) == ["backup.json", BackupFolder(folder).read().manifest.list_name, "lock", "parts"]
    assert step > 10, "no write was reached"


def test_killed_at_any_write_of_a_later_backup_the_earlier_one_is_whole(
    here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_list, "MOST_ITEMS", 5)
    kept = tmp_path / "kept"
    back_up(here, kept)
    before = of_backup(kept)
    with made(here) as catalog:
        catalog.writes.upsert([entry(f"{n:02}.jpg", price=n + 100) for n in range(12)])  # wears parts
        catalog.writes.remove([entry("20.jpg").item.gone()])
    now = everything(here)[0]
    folder = tmp_path / "backup"
    for step in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(kept, folder)
        if killed_at(step, monkeypatch, lambda: back_up(here, folder)) is not None:
            break
        assert of_backup(folder) == before
        assert not BackupFolder(folder).damaged(BackupFolder(folder).read())
        back_up(here, folder)
        assert of_backup(folder) == now
    assert step > 5, "no write was reached"


def test_a_full_disk_is_told_and_leaves_the_backup_of_before(
    here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backup"
    back_up(here, folder)
    before = of_backup(folder)
    with made(here) as catalog:
        catalog.writes.upsert([entry("new.jpg")])

    def full(path: Path) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(backup_folder, "replaced_privately", full)
        with pytest.raises(UsageError, match="cannot be used: No space left on device"):
            back_up(here, folder)
    assert of_backup(folder) == before
    assert back_up(here, folder).written == 1


def test_a_restore_that_is_killed_is_repeated(
    here: Settings, there: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_list, "MOST_ITEMS", 5)
    back_up(here, tmp_path / "backup")

    def kill(what: str, done: int, total: int) -> None:
        if what == "restoring" and done >= 10:
            raise Killed

    with pytest.raises(Killed):
        restore(there, tmp_path / "backup", progress=kill)
    done = restore(there, tmp_path / "backup")
    assert (done.restored, done.same) == (ITEMS - 10, 10)
    assert everything(there) == everything(here)


def files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock"]


def test_a_flipped_byte_is_found_and_named_wherever_it_is(
    here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_folder, "_LARGE", 100)  # so that there is a record in a file of its own
    kept = tmp_path / "kept"
    back_up(here, kept)
    kinds = {"".join(path.suffixes) for path in files_of(kept)}
    assert kinds == {".json", ".jsonl", ".jsonl.gz"}
    for number, path in enumerate(files_of(kept)):
        size = path.stat().st_size
        for at in (0, size // 2, size - 2):
            folder = tmp_path / f"{number}-{at}"
            shutil.copytree(kept, folder)
            broken = folder / path.relative_to(kept)
            data = bytearray(broken.read_bytes())
            data[at] ^= 1
            broken.write_bytes(data)
            said = said_of(here, folder)
            assert path.name in said, at
            assert "\n" not in said
            shutil.rmtree(folder)


def said_of(settings: Settings, folder: Path) -> str:
    """What a check says of a backup."""
    try:
        return json.dumps(check_backup(settings, folder).to_json())
    except (BackupDamaged, UsageError) as error:
        return str(error)


def test_the_rest_of_a_damaged_backup_is_restored_and_the_next_backup_mends_it(
    here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_list, "MOST_ITEMS", 10)
    folder = tmp_path / "backup"
    back_up(here, folder)
    files = BackupFolder(folder)
    one, other, _ = files.read().listed.in_use()
    (folder / "parts" / f"{one.name}.jsonl.gz").write_bytes(b"x" * one.bytes)
    (folder / "parts" / f"{other.name}.jsonl.gz").unlink()
    done = restore(here.model_copy(update={"data_dir": tmp_path / "back"}), folder)
    assert (done.restored, done.lost, len(done.damaged)) == (3, 20, 2)
    assert one.name in done.damaged[0]
    assert back_up(here, folder).written == 10  # a missing part is seen, other bytes only where they are read
    assert back_up(here, folder, verify=True).written == 10
    assert check_backup(here, folder).is_well
    assert of_backup(folder) == everything(here)[0]


def test_without_its_manifest_a_backup_is_made_of_the_parts_that_there_are(here: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    back_up(here, folder)
    (folder / "backup.json").write_text("{")
    with pytest.raises(BackupDamaged, match="remove it, and the next backup"):
        back_up(here, folder)
    (folder / "backup.json").unlink()
    assert back_up(here, folder).written == 0
    assert of_backup(folder) == everything(here)[0]


# -- refused ---------------------------------------------------------------------------------------------------------


def test_a_folder_of_something_else_is_left_alone(here: Settings, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match="no backup and not empty"):
        back_up(here, tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpg"]
    with pytest.raises(UsageError, match=r"backup\.json is missing"):
        restore(here, tmp_path / "photos")
    with pytest.raises(UsageError, match="Not a directory"):
        back_up(here, tmp_path / "photos" / "a.jpg" / "below")


def test_a_backup_is_of_one_catalog_and_written_by_one_process(here: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    back_up(here, folder)
    other = here.of_catalog("other")
    with made(other) as catalog:
        catalog.writes.upsert([entry("a.jpg")])
    with pytest.raises(UsageError, match="has a backup of catalog 'shop'"):
        back_up(other, folder)
    with pytest.raises(UsageError, match="name the one with --catalog"):
        check_backup(other, folder)
    with FileLock(folder / "lock"), pytest.raises(IndexBusy, match="another process writes a backup"):
        back_up(here, folder)


def test_a_catalog_in_another_space_is_refused(here: Settings, tmp_path: Path) -> None:
    back_up(here, tmp_path / "backup")
    other = here.of_catalog("other")
    with connect_or_make(other) as client:
        Catalog.create(client, "other", replace(SPACE, weights="1"))
    with pytest.raises(SpaceMismatch):
        restore(other, tmp_path / "backup")


def test_a_catalog_that_is_rebuilt_meanwhile_and_afterwards(
    here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backup"
    back_up(here, folder)
    before = of_backup(folder)
    monkeypatch.setattr(backup_module, "_PAGE", 5)
    space = replace(SPACE, weights="1")

    def rebuild(what: str, done: int, total: int) -> None:
        with connect_or_make(here) as client:
            if Catalog.open(client, NAME).space != space:
                following = Catalog.begin_rebuild(client, NAME, space)
                following.writes.upsert([entry("a.jpg")])
                following.finish_rebuild()

    with pytest.raises(IndexBusy, match="was rebuilt meanwhile: run the backup again"):
        back_up(here, folder, progress=rebuild)
    assert of_backup(folder) == before
    assert back_up(here, folder).written == 1
    assert list(of_backup(folder)) == ["a.jpg"]
    assert len(list((folder / "parts").glob("*.gz"))) == 1
    assert BackupFolder(folder).read().manifest.head.space == space

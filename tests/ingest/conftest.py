"""A place to ingest into, on either engine."""

from __future__ import annotations

import pytest

from tests.ingest.running import Place
from tests.qdrant_server import QdrantServer


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.server)])
def engine_place(request: pytest.FixtureRequest, place: Place) -> Place:
    """The same place on either engine."""
    if request.param == "server":
        server: QdrantServer = request.getfixturevalue("own_server")
        place.options = ("--url", server.url)
    return place

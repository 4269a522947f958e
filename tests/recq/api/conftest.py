"""The shop of tests/query, through a daemon's loopback, and the API on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recq.settings import Settings
from tests.query.conftest import CATALOG, shop_root, stocked
from tests.recq.api.serving import Api, served, settings_of

__all__ = ["shop_root"]


@pytest.fixture(scope="module")
def settings(
    request: pytest.FixtureRequest, shop_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Those of a service, which caches in a folder of its own."""
    folder = tmp_path_factory.mktemp("data")
    with stocked("loopback", folder, shop_root, request) as options:
        yield settings_of(options, CATALOG, cache_dir=folder / "cache", workers=1)


@pytest.fixture(scope="module")
def open_api(settings: Settings) -> Iterator[Api]:
    """The API without tokens."""
    with served(settings) as api:
        yield api

"""Fixtures for all tests, and the order they run in."""

from __future__ import annotations

import pytest

from tests.qdrant_server import own_server, qdrant_server

__all__ = ["own_server", "qdrant_server"]

LONG = ("tests/whole/", "tests/packaging/", "tests/reliability/")
"""These begin: of several processes none is left alone with a long file at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders of long tests first; everything else in the order it is found in."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))

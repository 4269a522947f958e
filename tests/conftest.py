"""Fixtures for all tests, and the order they run in."""

from __future__ import annotations

import pytest

from tests.qdrant_server import own_server, qdrant_server

__all__ = ["own_server", "qdrant_server"]

LONG = (
    "tests/packaging/test_readme.py",
    "tests/recq/models/test_keras.py",
    "tests/test_benchmarks.py",
    "tests/ingest/service/test_process.py",
    "tests/ingest/service/test_requests.py",
    "tests/whole/test_upgrade.py",
    "tests/ingest/service/test_ignore_files_live.py",
    "tests/recq/models/test_int8.py",
    "tests/recq/learn/test_finetune.py",
    "tests/recq/face/test_notebook.py",
    "tests/whole/",
    "tests/packaging/",
    "tests/reliability/",
    "tests/ingest/service/",
    "tests/recq/models/",
    "tests/plugins/",
    "tests/contract/",
)
"""These begin, in this order: of several processes none is left alone with a long file at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; everything else in the order it is found in."""
    items.sort(key=lambda item: next((at for at, long in enumerate(LONG) if item.nodeid.startswith(long)), len(LONG)))

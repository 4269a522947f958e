"""Fixtures for all tests, and the order they run in."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests import secrecy
from tests.qdrant_server import own_server, qdrant_server
from tests.secrecy import require_kept, require_kept_below

__all__ = ["own_server", "qdrant_server"]

LONG = (
    "tests/packaging/test_readme.py",
    "tests/recq/models/test_keras.py",
    "tests/test_benchmarks.py",
    "tests/recq/api/test_schema.py",
    "tests/ingest/service/test_process.py",
    "tests/ingest/service/test_requests.py",
    "tests/whole/test_upgrade.py",
    "tests/ingest/service/test_ignore_files_live.py",
    "tests/recq/models/test_int8.py",
    "tests/recq/learn/test_finetune.py",
    "tests/recq/face/test_notebook.py",
    "tests/reliability/test_machine.py",
    "tests/reliability/test_kills.py",
    "tests/reliability/test_many_fields.py",
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


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The keys of other files' tests are not looked for any more: they would be hundreds."""
    if item.nodeid.partition("::")[0] != secrecy.KNOWN_OF:
        secrecy.KNOWN_OF = item.nodeid.partition("::")[0]
        secrecy.KNOWN.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that has written a key has failed."""
    report = yield
    try:
        require_kept(*(content for name, content in report.sections if name.startswith("Captured")))
    except AssertionError as error:
        if report.passed:
            report.outcome, report.longrepr = "failed", str(error)
    return report


@pytest.fixture(autouse=True)
def keys_are_kept(request: pytest.FixtureRequest) -> Iterator[None]:
    """No key of the tests is in a file below the test's folder at its end."""
    folder: Path | None = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        require_kept_below(folder)

"""What the reliability tests share: short or full form, and where their figures go.

`make test` runs the short form of each test; `make torture` the same code with larger numbers (`--full`), and leaves
one JSON line per measured thing in a file (`--figures`), from which docs/reliability.md is written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import pytest

from tests.ingest import running

PATIENT = 900.0
"""Seconds that the short form of a test may take whose processes may find the machine busy; it takes some 20."""

FULL_TIMEOUT = 4 * 3600.0
"""Seconds that one test may take in its full form, whatever its own mark says for the short one."""


class Figures(Protocol):
    """Notes figures: `figures("kills", engine="server", runs=100)`."""

    def __call__(self, name: str, /, **values: object) -> None: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("reliability")
    group.addoption("--full", action="store_true", help="the full form of the reliability tests: hours, not minutes")
    group.addoption("--figures", type=Path, metavar="FILE", help="append the reliability tests' figures as JSON lines")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("full", default=False):
        running.FROM_NOTHING = True
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.timeout(FULL_TIMEOUT), append=False)


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether the full form is asked for. Without an own folder on the command line the option is not even known."""
    return bool(request.config.getoption("full", default=False))


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Figures:
    """Appends one JSON line to the file that `--figures` names, else does nothing."""
    file: Path | None = request.config.getoption("figures", default=None)

    def note(name: str, /, **values: object) -> None:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"name": name, **values}) + "\n")

    return note

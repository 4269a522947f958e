"""A disk that does not answer is named while a target on it is looked for or read."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from recq.errors import TargetNotFound
from recq.search import target
from recq.settings import Settings
from recq.waiting import LOGGER


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when something is said of a wait."""
    event, warning = threading.Event(), LOGGER.warning

    def warn(*args: object) -> None:
        warning(*args)
        event.set()

    monkeypatch.setattr(LOGGER, "warning", warn)
    return event


def test_a_target_on_a_disk_that_hangs(
    said: threading.Event, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recq.paths.existing", lambda text: said.wait(30) and text)
    assert not target.look("/mnt/away/sofa.jpg").is_file
    (record,) = caplog.records
    assert record.getMessage().startswith("waiting for the disk of '/mnt/away/sofa.jpg' to answer")


def test_a_picture_that_is_read_from_it(
    said: threading.Event, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: str, limits: object) -> object:
        assert said.wait(30)
        raise FileNotFoundError(path)

    monkeypatch.setattr("recq.images.reading.read_content", read)
    with pytest.raises(TargetNotFound):
        target.read_picture(target.FileTarget(Path("/mnt/away/sofa.jpg")), Settings.load())
    (record,) = caplog.records
    assert record.getMessage().startswith("waiting for the disk of '/mnt/away/sofa.jpg' to answer")

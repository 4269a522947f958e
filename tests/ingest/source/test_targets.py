"""What a run may be asked for: folders, and names for them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ingest.source.targets import Target, parse_targets
from recq.errors import UsageError


def test_a_name_of_its_own(tmp_path: Path) -> None:
    assert parse_targets([], [f"Summer 2024={tmp_path}"]) == [Target(tmp_path.resolve(), "Summer 2024")]
    assert parse_targets([], [f"größe-é={tmp_path}/a=b"]) == [Target(tmp_path.resolve() / "a=b", "größe-é")]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("x/y", "a slash"),
        ("/", "a slash"),
        ("x\\y", "a slash"),
        ("x\ny", "a control character"),
        ("x\x1b[2J", "a control character"),
        (" x", "a space at an end"),
        ("x ", "a space at an end"),
        ("   ", "a space at an end"),
    ],
)
def test_names_that_would_be_taken_for_something_else(name: str, what: str) -> None:
    with pytest.raises(UsageError, match=f"has {what}") as caught:
        parse_targets([], [f"{name}=m"])
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).isprintable()


def test_a_folder_that_does_not_answer_is_named_within_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr("ingest.source.targets._ANSWERS_WITHIN", 1.5)
    monkeypatch.setattr(Path, "expanduser", lambda self: never.wait(60) and self)
    with pytest.raises(UsageError, match="has not answered for"):
        parse_targets([tmp_path], [])
    never.set()
    (record,) = caplog.records
    assert record.getMessage() == f"waiting for the folder {tmp_path} to answer: up to 1.5 s"

"""recq.toml < RECQ_* < command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recq.errors import UsageError
from recq.settings import Settings


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("RECQ_")]:
        monkeypatch.delenv(name)


def test_the_command_line_wins_over_the_environment_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recq.toml").write_text('catalog = "file"\nsettle = 1.5\nrescan = 60\n')
    monkeypatch.setenv("RECQ_CATALOG", "environment")
    monkeypatch.setenv("RECQ_SETTLE", "2.5")
    settings = Settings.load(catalog="line", url=None)
    assert (settings.catalog, settings.settle, settings.rescan) == ("line", 2.5, 60.0)


def test_a_wrong_value_is_one_line_that_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECQ_SETTLE", "soon")
    with pytest.raises(UsageError, match="'settle'"):
        Settings.load()


def test_an_unknown_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recq.toml").write_text("setle = 1\n")
    with pytest.raises(UsageError, match="setle"):
        Settings.load()


def test_a_broken_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "recq.toml").write_text("settle = = 1\n")
    with pytest.raises(UsageError, match=r"recq\.toml"):
        Settings.load()


def test_the_key_is_never_printed() -> None:
    assert "s3cret" not in repr(Settings.load(api_key="s3cret"))


def test_a_data_folder_on_the_command_line_means_the_embedded_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECQ_URL", "http://127.0.0.1:6333")
    assert Settings.load(data_dir=tmp_path).url is None
    assert Settings.load(data_dir=tmp_path, url="http://other:6333").url == "http://other:6333"
    assert Settings.load().url == "http://127.0.0.1:6333"

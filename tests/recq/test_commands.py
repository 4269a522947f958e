"""Printed commands: what they repeat of the command line, and that a shell reads back what was meant."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Annotated

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from recq.cli_errors import run
from recq.cli_options import CatalogOption, DataDirOption, UrlOption
from recq.commands import (
    Place,
    answering,
    command,
    command_line,
    current,
    keep,
    operand,
    overriding,
    repeating,
    shell_word,
)
from recq.errors import TargetNotFound
from recq.settings import Settings

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def lost(
    name: Annotated[str, typer.Argument()],
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
) -> None:
    Settings.load(catalog=catalog, url=url, data_dir=data_dir)
    raise TargetNotFound(f"try {command('recq', 'show', name)}")


@app.command()
def other() -> None:
    """A second one, or Typer leaves out the name of the first."""


def told(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert run(app, "recq", ["lost", *args]) == 3
    return capsys.readouterr().err.removeprefix("recq: try ").rstrip("\n")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without recq.toml; the variables of this session are not those of the tests."""
    for name in ("RECQ_CATALOG", "RECQ_URL", "RECQ_DATA_DIR", "RECQ_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_options_of_the_command_line_are_repeated(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert told(capsys, "a.jpg") == "'recq show a.jpg'"
    assert told(capsys, "a.jpg", "--catalog", "shop") == "'recq show a.jpg --catalog shop'"
    assert told(capsys, "a.jpg", "--data-dir", "index") == f"'recq show a.jpg --data-dir {tmp_path}/index'"
    assert told(capsys, "a.jpg", "--url", "http://h:6333/") == "'recq show a.jpg --url http://h:6333'"


def test_what_environment_and_file_give_is_not_repeated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECQ_CATALOG", "shop")
    (tmp_path / "recq.toml").write_text('data_dir = "index"\n')
    assert told(capsys, "a.jpg") == "'recq show a.jpg'"
    assert told(capsys, "a.jpg", "--catalog", "shop", "--data-dir", "./index") == "'recq show a.jpg'"
    assert told(capsys, "a.jpg", "--catalog", "images") == "'recq show a.jpg --catalog images'"


def test_a_folder_is_repeated_where_the_shell_names_a_server(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECQ_URL", "http://h:6333")
    monkeypatch.setenv("RECQ_DATA_DIR", str(tmp_path))
    assert told(capsys, "a.jpg", "--data-dir", str(tmp_path)) == f"'recq show a.jpg --data-dir {tmp_path}'"
    both = told(capsys, "a.jpg", "--data-dir", "x", "--url", "http://h:6333")
    assert both == f"'recq show a.jpg --url http://h:6333 --data-dir {tmp_path}/x'"


def test_a_password_in_a_url_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    word = "secret"
    assert word not in told(capsys, "a.jpg", "--url", f"http://me:{word}@h:6333?key={word}")


def test_a_shell_whose_own_settings_are_broken_gets_everything(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECQ_CATALOG", "my shop")
    assert told(capsys, "a.jpg", "--catalog", "shop").startswith("'recq show a.jpg --catalog shop")


PLACES = st.builds(
    Place,
    catalog=st.sampled_from(["images", "shop"]),
    url=st.sampled_from([None, "http://h:1", "http://h:2"]),
    data_dir=st.sampled_from([Path("/a"), Path("/b")]),
)


@given(asked=PLACES, shell=PLACES)
def test_pasted_it_means_the_same_index(asked: Place, shell: Place) -> None:
    """As `Settings.load` reads it: a folder without a URL means the embedded index there."""
    place = overriding(asked, shell)
    url = place.url if place.url is not None or place.data_dir is not None else shell.url
    assert (place.catalog or shell.catalog) == asked.catalog
    assert url == asked.url
    assert (place.data_dir or shell.data_dir) == asked.data_dir
    for dropped in ("catalog", "url", "data_dir"):  # and nothing is said in vain
        if asked == shell:
            assert getattr(place, dropped) is None


def test_a_catalog_that_a_command_is_about_stands_for_the_one_that_was_asked_for() -> None:
    with answering(Place(catalog="shop", usual="images")):
        assert command_line("recq-ingest", "run", "FOLDER", catalog="other") == "recq-ingest run FOLDER --catalog other"
        assert command_line("recq-ingest", "run", "FOLDER", catalog="images") == "recq-ingest run FOLDER"
        assert command_line("recq", "compare", "--catalog", "A") == "recq compare --catalog A"
    assert current() == Place()


def test_a_name_that_looks_like_options_stands_behind_all_of_them() -> None:
    with repeating():
        keep(Place("shop"))
        assert command_line("recq", "similar", *operand("-dash.jpg")) == "recq similar --catalog shop -- -dash.jpg"
        assert command_line("recq", "similar", *operand("a-b.jpg")) == "recq similar a-b.jpg --catalog shop"
        assert command_line("recq", "compare", *operand("-a"), "--catalog", "A") == "recq compare --catalog A -- -a"


def test_a_place_goes_over_the_wire_and_back() -> None:
    place = Place("shop", "http://h:1", Path("/a b"), "images")
    assert Place.from_json(place.to_json()) == place
    assert Place.from_json(None) == Place.from_json({"catalog": 7, "data_dir": []}) == Place()


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_shell_reads_the_word_that_was_meant(word: str) -> None:
    printed = shell_word(word)
    assert printed.isprintable()
    assert _read(printed) == word.encode()


@pytest.mark.parametrize(
    "word", ["", "a b", "it's", 'a"b', "$HOME", "!x", "a\nb", "\x1b[31m", "\udcff.jpg", "a\\b", "*"]
)
def test_words_that_shells_have_their_own_idea_of(word: str) -> None:
    assert _read(shell_word(word)) == word.encode("utf-8", "surrogateescape")


def _read(printed: str) -> bytes:
    """What bash makes of it."""
    script = f"printf '%s.' {printed}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    return done.stdout[:-1]

"""What Tab offers: commands, options, fields and their values; quick to fall silent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from query.cli import completion
from query.cli.completion import bash_lines, bash_words, offered_filters
from recq.index.grammar import filter_for, parse
from tests.query.conftest import CATALOG, Reply, Shop

KNOWN = {
    "category": ["bed", "sofa", "twin"],
    "brand": ["Smith\\, Jones"],
    "price": ["0..50", "50..100"],
    "price2": [],
    "a|b": ["x"],
}


@pytest.mark.parametrize(
    ("incomplete", "offered"),
    [
        ("cat", ["category=bed", "category=sofa", "category=twin"]),
        ("pri", ["price=", "price2="]),
        ("price2", ["price2="]),
        ("category=s", ["category=sofa"]),
        ("category!=s", ["category!=sofa"]),
        ("category=bed|s", ["category=bed|sofa"]),
        ("category=bed,tw", ["category=bed,twin"]),
        ("brand=", ["brand=Smith\\, Jones"]),
        ("brand=Smith\\, J", ["brand=Smith\\, Jones"]),
        ("brand=Smith\\", ["brand=Smith\\, Jones"]),
        ("brand=S\\mith", ["brand=Smith\\, Jones"]),
        ("brand=x|Smi", ["brand=x|Smith\\, Jones"]),
        ("a", ["a\\|b=x"]),
        ("a\\|b=", ["a\\|b=x"]),
        ("has:a\\|", ["has:a\\|b"]),
        ("price=5", ["price=50..100"]),
        ("has:pri", ["has:price", "has:price2"]),
        ("no:c", ["no:category"]),
        ("colour=", []),
        ("zzz", []),
        ("price<", []),
    ],
)
def test_filters_go_on_as_they_begin(incomplete: str, offered: list[str]) -> None:
    assert offered_filters(KNOWN, incomplete) == offered


@pytest.mark.parametrize(
    ("words", "at", "joined", "place", "kept"),
    [
        (["recq", "similar", "--filter", "cat"], 3, ["recq", "similar", "--filter", "cat"], 3, ""),
        (
            ["recq", "similar", "--filter", "category", "=", "so"],
            5,
            ["recq", "similar", "--filter", "category=so"],
            3,
            "category=",
        ),
        (
            ["recq", "similar", "--filter", "category", "="],
            4,
            ["recq", "similar", "--filter", "category="],
            3,
            "category=",
        ),
        (["recq", "search", "--sort", "price", ":", "d"], 5, ["recq", "search", "--sort", "price:d"], 3, "price:"),
        (["recq", "search", "--filter", "=", "cat"], 4, ["recq", "search", "--filter=cat"], 2, ""),
        (
            ["recq", "search", "--filter", "a", "=", "b", "--so", "x"],
            6,
            ["recq", "search", "--filter", "a=b", "--so"],
            4,
            "",
        ),
        (["recq", "search", "--filter", "'category=so"], 3, ["recq", "search", "--filter", "'category=so"], 3, ""),
        (["recq", "search", "--filter", r"f\=x"], 3, ["recq", "search", "--filter", r"f\=x"], 3, ""),
        (["recq", "search", "--filter", ""], 3, ["recq", "search", "--filter", ""], 3, ""),
    ],
)
def test_words_that_bash_cuts(words: list[str], at: int, joined: list[str], place: int, kept: str) -> None:
    environ = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(at)}
    assert bash_words(environ) == kept
    assert environ == {"COMP_WORDS": "\n".join(joined), "COMP_CWORD": str(place)}


def test_bash_gets_what_it_puts_behind_what_it_keeps() -> None:
    assert bash_lines("category=sofa\ncategory=Sofa & Bed\n", "category=", "c") == "sofa\nSofa\\ \\&\\ Bed\n"
    assert bash_lines("category=Sofa & Bed", "", "'") == "category=Sofa & Bed\n"
    assert bash_lines("größe=groß", "größe=", "g") == "groß\n"


AWKWARD = [
    "<unknown>",
    "=SUM(A1)",
    "~tilde",
    " Nike ",
    "folder ",
    "a|b",
    "a\\b",
    "it's",
    '3"',
    "$HOME",
    "`x`",
    "!",
    "*",
    "é",
]


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_what_bash_is_offered_is_the_filter_after_its_own_reading(quote: str) -> None:
    for value in AWKWARD:
        filter_ = filter_for("f", value)
        word = quote + bash_lines(filter_, "", quote).removesuffix("\n") + quote
        done = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, text=True, check=True)
        assert done.stdout == filter_
        assert parse(done.stdout).values == (value,)


def offered(reply: Reply) -> list[str]:
    assert (reply.code, reply.err) == (0, "")
    return [line.partition("\t")[0] for line in reply.lines if line]


def test_fields_and_values_of_the_catalog(any_shop: Shop, tab: Callable[[str, list[str]], Reply]) -> None:
    options = [*any_shop.options, "--catalog", CATALOG]
    assert offered(tab("similar --filter category=s", options)) == ["category=sofa"]
    assert offered(tab("similar --filter cat", options)) == ["category=bed", "category=sofa", "category=twin"]
    assert offered(tab("recommend --any-of category=bed,,in_s", options)) == ["category=bed,,in_stock=true"]
    assert offered(tab("search --sort pri", options)) == ["price", "price:desc"]
    assert offered(tab("search --fields price,ti", options)) == ["price,title"]
    assert offered(tab("facets file.f", options)) == ["file.folders", "file.format"]
    assert offered(tab("search --filter file.folders=", options)) == [
        "file.folders=beds",
        "file.folders=sofas",
    ]
    assert offered(tab("similar --group-by zzz", options)) == []
    assert "--filter" in offered(tab("similar --fil", []))


def test_it_is_asked_once_and_nothing_is_said_where_nobody_answers(
    shop: Shop, tab: Callable[[str, list[str]], Reply], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = [*shop.options, "--catalog", CATALOG]
    assert offered(tab("facets ca", options)) == ["category"]
    with monkeypatch.context() as patch:
        patch.setattr(completion, "_read", lambda *_: pytest.fail("asked again"))
        assert offered(tab("facets ca", options)) == ["category"]
        patch.setattr(completion, "FRESH", 0.0)
        patch.setattr(completion, "_read", lambda *_: (completion.There({"colour": []}), True))
        assert offered(tab("facets c", options)) == ["colour"]
    assert offered(tab("facets c", ["--data-dir", str(tmp_path / "none")])) == []
    assert not (tmp_path / "none").exists()
    started = time.monotonic()
    assert offered(tab("facets c", ["--url", "http://127.0.0.1:9"])) == []
    assert time.monotonic() - started < 20
    assert offered(tab("facets c", [*shop.options, "--catalog", "other"])) == []


def test_what_is_kept_is_for_one_catalog_of_one_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever names it: an option, a variable, recq.toml, or the folder that one stands in."""
    monkeypatch.setenv("RECQ_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "with").mkdir()
    (tmp_path / "with" / "recq.toml").write_text("catalog = 'toml'\n")
    given: dict[str, object] = {"catalog": None, "url": None, "data_dir": None}
    places = {completion._place(given), completion._place({**given, "catalog": "shop"})}
    places.add(completion._place({**given, "data_dir": tmp_path}))
    with monkeypatch.context() as patch:
        patch.setenv("recq_url", "http://127.0.0.1:9")
        places.add(completion._place(given))
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / "with")
        places.add(completion._place(given))
    assert len(places) == 5
    assert {place.parent for place in places} == {tmp_path / "cache" / "completion"}
    assert completion._place(given) in places, "the same question finds it again"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_in_bash_itself(shop: Shop, tmp_path: Path) -> None:
    program = tmp_path / "recq"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m query.cli \"$@\"\n")
    program.chmod(0o755)
    script = (
        'eval "$(recq --show-completion bash)"\n'
        "COMP_WORDS=(recq search --filter category = so); COMP_CWORD=5\n"
        '_recq_completion recq\nprintf "<%s>" "${COMPREPLY[@]}"'
    )
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "RECQ_DATA_DIR": shop.options[1],
        "RECQ_CATALOG": CATALOG,
        "RECQ_CACHE_DIR": str(tmp_path / "cache"),
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert (done.stdout, done.stderr) == ("<sofa>", "")

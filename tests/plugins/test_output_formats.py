"""An output format that is installed: printed, listed, completed; one that misbehaves is one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests import forked
from tests.ingest.pictures import put
from tests.ingest.running import Place, environment
from tests.plugins.installed import install, install_documented

GROUP = "recq.output_formats"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    tmp_path = tmp_path_factory.mktemp("formats")
    made = Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1"})
    for number in range(3):
        put(made.root / f"sofa_{number}.jpg", number)
    assert made.once().returncode == 0
    site = tmp_path / "site"
    install_documented(site)
    base = "from recq.search.output_format import OutputFormat\n"
    raising = f"{base}class Form(OutputFormat):\n    def answer(self, answer, page): raise KeyError('price')\n"
    install(site, "raising", raising, {GROUP: {"raising": "raising:Form"}})
    panic = f"{base}class Panic(BaseException): pass\n"
    panic += "class Form(OutputFormat):\n    def answer(self, answer, page): raise Panic('at the disco')\n"
    install(site, "panic", panic, {GROUP: {"panic": "panic:Form"}})
    wrong = f"{base}class Form(OutputFormat):\n    def answer(self, answer, page): return 5\n"
    install(site, "number", wrong, {GROUP: {"number": "number:Form"}})
    install(site, "broken", "import nothing_of_that_name", {GROUP: {"broken": "broken:Form"}})
    install(site, "other", "class Form: pass", {GROUP: {"other": "other:Form"}})
    thief = f"{base}class Form(OutputFormat):\n    def answer(self, answer, page): return 'stolen'\n"
    install(site, "thief", thief, {GROUP: {"json": "thief:Form"}})
    together = (
        f"{base}class Form(OutputFormat):\n    together = True\n"
        "    def answer(self, answer, page): return 'one\\n'\n"
        "    def answers(self, answers, page): return f'{len(answers)} together\\n'\n"
        "    def failure(self, failure): return 'none for ' + failure.text + '\\n'\n"
    )
    install(site, "together", together, {GROUP: {"together": "together:Form"}})
    return made


def ask(place: Place, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = environment(PYTHONPATH=os.fspath(place.root.parent / "site"), COLUMNS="200", **more)
    return forked.run("query.cli", arguments, env, 120)


def search(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    return ask(place, "search", *arguments, "--data-dir", str(place.data))


def test_the_documented_one_prints(place: Place) -> None:
    """In a process that starts from nothing, as anybody's does."""
    env = environment(PYTHONPATH=os.fspath(place.root.parent / "site"))
    command = ["search", "--format", "markdown", "-k", "2", "--data-dir", str(place.data)]
    done = subprocess.run(
        [sys.executable, "-m", "query.cli", *command], env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"- [sofa_{n}.jpg]({place.root}/sofa_{n}.jpg)" for n in range(2)]


def test_several_targets_in_it(place: Place) -> None:
    names = ["sofa_0.jpg", "sofa_1.jpg", "nothing.jpg"]
    options = ["-k", "1", "--data-dir", str(place.data)]
    done = ask(place, "similar", *names, "--format", "markdown", *options)
    assert (done.returncode, len(done.stdout.splitlines())) == (3, 2)
    assert "nothing.jpg" in done.stderr
    done = ask(place, "similar", *names, "--format", "together", *options)
    assert (done.returncode, done.stdout) == (3, "none for nothing.jpg\n2 together\n")


def test_help_completion_and_the_error_list_it(place: Place) -> None:
    assert "|markdown|" in "".join(ask(place, "similar", "--help").stdout.split("│")).replace(" ", "").replace("\n", "")
    done = search(place, "--format", "markdwon")
    assert done.returncode == 2
    assert "table, json, jsonl, csv, paths, " in done.stderr
    assert "did you mean markdown?" in done.stderr
    asked = {"_RECQ_COMPLETE": "complete_bash", "COMP_WORDS": "recq search --format mark", "COMP_CWORD": "3"}
    env = environment(PYTHONPATH=os.fspath(place.root.parent / "site"), **asked)
    done = forked.run("-c", ["from query.cli.main import app; app(prog_name='recq')"], env, 120)
    assert done.stdout.split() == ["markdown"], done.stderr


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("raising", "cannot print this: KeyError: 'price'"),
        ("panic", "cannot print this: Panic: at the disco"),
        ("number", "prints int, not text"),
        ("broken", "cannot be loaded: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("other", "is no recq.search.output_format.OutputFormat, but Form"),
    ],
)
def test_one_that_misbehaves_is_one_line(place: Place, name: str, told: str) -> None:
    done = search(place, "--format", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"recq: plug-in '{name}' of recq.output_formats (package {name} 0.1) {told}\n"


def test_a_name_of_recqs_own_stays_recqs(place: Place) -> None:
    assert len(json.loads(search(place, "--format", "json").stdout)["results"]) == 3


def test_plug_ins_are_looked_for_only_where_they_are_needed(place: Place) -> None:
    """Neither `recq --help` nor an answer in a format of recq's own searches the installed packages."""
    program = (
        "import importlib.metadata, sys\n"
        "from query.cli.main import main\n"
        "def found(**parameters): raise SystemExit(f'searched: {parameters}')\n"
        "importlib.metadata.entry_points = found\n"
        "sys.exit(main())\n"
    )
    own = ["search", "--format", "csv", "--data-dir", str(place.data)]
    for arguments, searched in ((["--help"], False), (own, False), (["similar", "--help"], True)):
        done = forked.run("-c", [program, *arguments], environment(), 120)
        assert (done.returncode != 0) is searched, done.stderr

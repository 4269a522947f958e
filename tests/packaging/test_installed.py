"""recq as a user has it: wheel and source distribution in an empty environment, run from an empty folder.

Packages are the pinned ones, which uv has kept from the making of .venv; what is needed is decided by the metadata of
what was built, so that a dependency that was never declared is missed here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fresh_environment import UV, fresh, install

import recq
from tests.packaging.building import ROOT, dist

__all__ = ["dist"]
VERSIONS = ("3.11", "3.12", "3.13")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
FORMS = {"wheel": "*.whl", "sdist": "*.tar.gz"}
OTHERS = [
    pytest.param(form, version, marks=pytest.mark.long)
    for version in VERSIONS
    for form in FORMS
    if (form, version) != ("wheel", HERE)
]


def interpreter(version: str) -> str:
    """A Python of this version; the test is skipped where there is none."""
    if version == HERE:
        return sys.executable
    found = shutil.which(f"python{version}")
    if found is None:
        pytest.skip(f"there is no python{version} here")
    # Where pyenv has it and another one is chosen, its stand-in answers only when it is told which to run.
    asked = subprocess.run(
        [found, "-c", "import sys; print(sys.executable)"],
        env={**os.environ, "PYENV_VERSION": version},
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        pytest.skip(f"python{version} does not run here: {asked.stderr.strip().splitlines()[0]}")
    return asked.stdout.strip()


def bare(folder: Path) -> dict[str, str]:
    """An environment that knows nothing of this checkout."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL")}
    return kept | {
        "HOME": str(folder),
        "RECQ_DATA_DIR": str(folder / "data"),
        "RECQ_CACHE_DIR": str(folder / "cache"),
    }


def answer(program: Path, *arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [program, *arguments], cwd=folder, env=bare(folder), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def asked(bin_: Path, folder: Path) -> None:
    """Index three photographs with the networks that are shipped, and ask for one of them."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    for name in ("tent.jpg", "running-shoe_runx.jpg", "laptop.jpg"):
        shutil.copy(ROOT / "samples" / name, photos)
    assert answer(bin_ / "recq", "--version", folder=folder) == f"recq {recq.__version__}\n"
    assert answer(bin_ / "recq-ingest", "--version", folder=folder) == f"recq-ingest {recq.__version__}\n"
    answer(bin_ / "recq-ingest", "run", "photos", "--once", folder=folder)
    found = json.loads(answer(bin_ / "recq", "similar", "tent.jpg", "--format", "json", folder=folder))
    assert {Path(each["path"]).name for each in found["results"]} == {"laptop.jpg", "running-shoe_runx.jpg"}


@pytest.mark.parametrize(("form", "version"), [("wheel", HERE), *OTHERS])
def test_it_runs_from_an_empty_environment(form: str, version: str, dist: Path, tmp_path: Path) -> None:
    python = fresh(tmp_path / "env", interpreter(version))
    (built,) = dist.glob(FORMS[form])
    install(python, built, "--constraint", ROOT / "requirements" / "base.txt")
    asked(python.parent, tmp_path / "user")
    script = """
import importlib.util as found, recq, sys
assert recq.__file__.startswith(sys.prefix), recq.__file__
print([name for name in ("tensorflow", "keras", "torch") if found.find_spec(name)])
"""
    assert answer(python, "-c", script, folder=tmp_path).strip() == "[]"
    said = subprocess.run([UV, "pip", "check", "--python", python], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


@pytest.mark.long
def test_pipx_installs_both_programs(dist: Path, tmp_path: Path) -> None:
    python = fresh(tmp_path / "tools")
    install(python, "--require-hashes", "-r", ROOT / "requirements" / "release.txt")
    (wheel,) = dist.glob("*.whl")
    places = {"PIPX_HOME": str(tmp_path / "pipx"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    options = ["--python", sys.executable]
    done = subprocess.run(
        [python.parent / "pipx", "install", *options, wheel],
        env={**os.environ, **places, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "bin").iterdir()} == {"recq", "recq-ingest"}
    asked(tmp_path / "bin", tmp_path / "user")


@pytest.mark.parametrize("program", ["recq", "recq-ingest"])
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_both_programs_complete_in_a_shell(program: str, shell: str) -> None:
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    done = subprocess.run(
        [Path(sys.executable).with_name(program)],
        env={**os.environ, variable: f"source_{shell}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert program in done.stdout
    assert f"complete_{shell}" in done.stdout
    words = {"COMP_WORDS": f"{program}\n", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": f"{program} "}
    offered = subprocess.run(
        [Path(sys.executable).with_name(program)],
        env={**os.environ, variable: f"complete_{shell}", **words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("run" if program == "recq-ingest" else "similar") in offered.stdout

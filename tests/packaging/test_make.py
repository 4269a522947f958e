"""The Makefile and `.ci/run`, as far as that is cheap: what would run, not the running of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TARGETS = [
    "demo",
    "test",
    "lint",
    "types",
    "torture",
    "soak",
    "bench",
    "requirements",
    "dist",
    "release",
    "stack-check",
]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with just enough of the project for make to plan in."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "FOLDER"))}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=clean | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def plan(folder: Path, *arguments: str) -> str:
    run = make(folder, "-n", *arguments)
    assert run.returncode == 0, run.stderr
    return run.stdout


def settled(folder: Path) -> None:
    """As after a successful `make test`: a Python that works, and the stamps newer than what they stand for."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    stamps = folder / ".venv" / ".recq"
    stamps.mkdir()
    (stamps / "checkout").write_text(f"{folder.resolve()}\n")
    for name in ("build", "base", "test"):
        (stamps / name).touch()


def test_help_is_the_default_and_names_every_target(checkout: Path) -> None:
    answer = make(checkout)
    assert answer.returncode == 0
    assert not (checkout / ".venv").exists()
    assert all(target in answer.stdout for target in TARGETS)


def test_a_fresh_clone_bootstraps_before_anything_else(checkout: Path) -> None:
    planned = plan(checkout, "test")
    steps = [
        "-m venv .venv",
        "-r requirements/build.txt",
        "-r requirements/base.txt",
        "-e .",
        "-r requirements/test.txt",
    ]
    steps += ["ruff format --check", "ruff check", "mypy", "pytest"]
    positions = [planned.index(step) for step in steps]
    assert positions == sorted(positions)
    assert "sync" not in planned
    assert "uninstall" not in planned


def test_installs_check_hashes(checkout: Path) -> None:
    planned = plan(checkout, "types")
    assert planned.count("--require-hashes -r requirements/") == 3
    assert planned.count("--no-deps --no-build-isolation -e .") == 1


def test_the_demo_needs_no_tensorflow(checkout: Path) -> None:
    assert "requirements/test.txt" not in plan(checkout, "demo")


def test_repeats_install_nothing(checkout: Path) -> None:
    settled(checkout)
    assert "pip" not in plan(checkout, "test")
    assert plan(checkout, "demo").splitlines() == [".venv/bin/python tools/demo.py"]


def test_changed_requirements_install_again(checkout: Path) -> None:
    settled(checkout)
    later = (checkout / ".venv" / ".recq" / "test").stat().st_mtime + 10
    os.utime(checkout / "requirements" / "test.txt", (later, later))
    planned = plan(checkout, "test")
    assert "-r requirements/test.txt" in planned
    assert "-r requirements/base.txt" not in planned


def test_a_virtual_environment_without_its_python_starts_afresh(checkout: Path) -> None:
    settled(checkout)
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(checkout / "gone")
    assert "-m venv .venv" in plan(checkout, "demo")


def test_a_moved_checkout_starts_afresh(checkout: Path) -> None:
    """Scripts and the editable install carry the folder's name."""
    settled(checkout)
    (checkout / ".venv" / ".recq" / "checkout").write_text("/somewhere/else\n")
    assert "-m venv .venv" in plan(checkout, "demo")


def test_the_demo_takes_a_folder_from_the_command_line_only(checkout: Path) -> None:
    """A FOLDER that happens to stand in the environment is nobody's wish."""
    settled(checkout)
    assert plan(checkout, "demo", "FOLDER=a b").splitlines() == ['.venv/bin/python tools/demo.py "$FOLDER"']
    run = make(checkout, "-n", "demo", FOLDER="/")
    assert run.stdout.splitlines() == [".venv/bin/python tools/demo.py"]


def test_torture_is_the_full_form_and_a_part_can_be_chosen(checkout: Path) -> None:
    settled(checkout)
    planned = plan(checkout, "torture", "TORTURE=-k kill")
    assert " tests/reliability --full --figures build/torture.jsonl -k kill" in planned
    assert "-m long" not in planned
    assert "-m long" in plan(checkout, "torture")


def test_torture_goes_on_behind_a_failure_and_fails_at_its_end(checkout: Path) -> None:
    """With a `python` that notes what it is asked and fails at the first."""
    settled(checkout)
    asked = checkout / "asked"
    (checkout / "stand-in").mkdir()
    python = checkout / "stand-in" / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *pytest*) echo "$*" >> {asked}; test "$(wc -l < {asked})" -gt 1;; esac\n'
    )
    python.chmod(0o755)
    assert make(checkout, "torture", "BIN=stand-in").returncode
    assert len(asked.read_text().splitlines()) == 2


def test_the_soak_run_leaves_figures_and_may_be_shorter(checkout: Path) -> None:
    settled(checkout)
    planned = plan(checkout, "soak", "SOAK=--images 9000 --fast")
    assert "tests.reliability.soak --figures build/soak.jsonl --images 9000 --fast" in planned


def test_a_release_is_refused_before_anything_is_built(checkout: Path) -> None:
    settled(checkout)
    planned = plan(checkout, "release")
    steps = ["make_release.py --check", "rm -rf dist", "uv build", "tools/make_release.py\n"]
    positions = [planned.index(step) for step in steps]
    assert positions == sorted(positions)


def test_the_stack_is_checked_in_full(checkout: Path) -> None:
    settled(checkout)
    planned = plan(checkout, "stack-check")
    assert "tests/packaging/test_stack.py" in planned
    assert "not long" not in planned


def test_ci_runs_the_tests_and_says_their_verdict_last(tmp_path: Path) -> None:
    """With a `make` that answers as pytest does, and fails."""
    script = tmp_path / "checkout" / ".ci" / "run"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", script)
    stand_in = tmp_path / "make"
    verdict = "===== 1 failed, 41 passed, 2 skipped in 61.20s (0:01:01) ====="
    stand_in.write_text(f"#!/bin/sh\necho \"make $* CI=$CI\"\necho '{verdict}'\necho 'make: *** Error 1' >&2\nexit 2\n")
    stand_in.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    run = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    lines = run.stdout.splitlines()
    assert lines[0] == "make test CI=true"
    assert lines[-1] == verdict

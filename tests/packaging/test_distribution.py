"""What is given to others: the wheel and the source distribution, their licences, the version in one place."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import yaml

import recq
from tests.packaging.building import ROOT, dist

__all__ = ["dist"]


def test_the_wheel_has_what_it_needs_and_nothing_else(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    assert wheel.name == f"recq-{recq.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
        info = f"recq-{recq.__version__}.dist-info"
        metadata = message_from_bytes(opened.read(f"{info}/METADATA"))
        entries = opened.read(f"{info}/entry_points.txt").decode()
    assert {name.split("/")[0] for name in names} == {"recq", "ingest", "query", info}
    tracked = subprocess.run(
        ["git", "ls-files", "recq", "ingest", "query"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert {name for name in names if not name.startswith(info)} == {name for name in tracked if name}
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"} <= names
    assert (metadata["License-Expression"], metadata["Author"]) == ("Apache-2.0", "recq contributors")
    assert "recq = query.cli.main:main" in entries
    assert "recq-ingest = ingest.cli.main:main" in entries
    assert wheel.stat().st_size < 48 * 2**20


def test_the_source_distribution_is_enough_to_build_the_wheel(dist: Path, tmp_path: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as opened:
        names = {name.split("/", 1)[1] for name in opened.getnames() if "/" in name}
    assert {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "CHANGELOG.md", "recq/__init__.py"} <= names
    assert not any(name.startswith(("tests/", "samples/", "benchmarks/")) for name in names)


def test_the_version_stands_in_one_place() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'dynamic = ["version"]' in project
    assert f'version = "{recq.__version__}"' not in project


def test_the_workflow_runs_what_the_build_server_runs() -> None:
    """It was never run by anybody: at least it is a workflow, and its Linux jobs call the same script."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    linux, elsewhere = workflow["jobs"]["linux"], workflow["jobs"]["elsewhere"]
    assert linux["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert {"run": ".ci/run"} in linux["steps"]
    assert elsewhere["continue-on-error"] is True
    command = elsewhere["steps"][-1]["run"].split()
    assert all((ROOT / name).exists() for name in command if name.startswith("tests/"))


def test_hooks_run_what_is_installed() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    for hook in hooks:
        assert (ROOT / hook["entry"].split()[0]).is_file()

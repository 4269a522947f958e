"""Wheel and source distribution, built as `make dist` builds them, once for the tests of a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both."""
    out = tmp_path_factory.mktemp("dist")
    options = ["--quiet", "--offline", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(out)]
    command = [str(Path(sys.executable).with_name("uv")), "build", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out

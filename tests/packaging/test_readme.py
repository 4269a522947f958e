"""Every command in the README is run, in its order, as a reader would: in a shell, on the sample photographs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.qdrant_server import QdrantServer

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
SERVER = "http://127.0.0.1:6333"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


MAKE = [block for block in blocks("sh") if block.startswith("make ")]
TOUR = [block for block in blocks("sh") if not block.startswith("make ") and SERVER not in block]
ON_A_SERVER = [block for block in blocks("sh") if SERVER in block]


def run(script: str, folder: Path, **environment: str) -> str:
    """The script's standard output; it stops at the first command that fails."""
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-m", "-c", script],
        cwd=folder,
        env={
            **os.environ,
            "RECQ_DATA_DIR": str(folder / "data"),
            "RECQ_CACHE_DIR": str(folder / "cache"),
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=580,  # two dozen programs, on a machine with much else to do
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which the commands find what they find in a clone; what they write stays out of the real one."""
    (tmp_path / "samples").symlink_to(ROOT / "samples", target_is_directory=True)
    (tmp_path / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    return tmp_path


def test_the_blocks_are_found() -> None:
    assert [len(group) for group in (MAKE, TOUR, ON_A_SERVER, blocks("console"))] == [2, 4, 1, 1]


@pytest.mark.parametrize("block", [MAKE[0], *(pytest.param(block, marks=pytest.mark.long) for block in MAKE[1:])])
def test_make(block: str, tmp_path: Path) -> None:
    environment = {"RECQ_CACHE_DIR": str(tmp_path / "cache")}
    (ROOT / "demo-grid.png").unlink(missing_ok=True)
    out = run(block, ROOT, **environment)
    assert "score" in out
    assert "FOLDER" in block or "running-shoe_ultraboost.jpg" in out
    assert (ROOT / "demo-grid.png").exists()


@pytest.mark.timeout(600)
def test_the_tour(checkout: Path) -> None:
    out = run("\n".join(TOUR), checkout)
    for seen in ("running-shoe_ultraboost.jpg", '"rank": 1', "Footwear", "tent.jpg"):
        assert seen in out
    for picture in ("shoes.png", "why.png"):
        assert (checkout / picture).read_bytes().startswith(b"\x89PNG")
    assert (checkout / "shoes.html").read_text().startswith("<!DOCTYPE html>")
    assert (checkout / "catalog.jsonl").stat().st_size > 100_000


@pytest.mark.server
def test_on_a_server(checkout: Path, own_server: QdrantServer) -> None:
    out = run("source .venv/bin/activate\n" + ON_A_SERVER[0].replace(SERVER, own_server.url), checkout)
    assert "running-shoe_ultraboost.jpg" in out


def test_only_docker_is_not_run_here() -> None:
    """docker-compose.yml is run without an engine, in test_stack.py."""
    assert all(block.strip().startswith("$ docker compose up") for block in blocks("console"))

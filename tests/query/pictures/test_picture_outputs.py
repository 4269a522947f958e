"""--grid of every command that has one, and --open with viewers that are there, fail or are missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image

from tests.query.conftest import Shop
from tests.query.pictures.test_grid_html import Tree

RECQ = [sys.executable, "-m", "query.cli"]


@pytest.mark.parametrize(
    ("arguments", "title", "asked", "found"),
    [
        (["recommend", "--like", "two.png", "--dislike", "three.png", "-k4"], "Like two.png, unlike three.png", 2, 4),
        (["search", "--filter", "category=bed"], "Items", 0, 2),
        (["search", "--filter", "category=nothing"], "Items", 0, 0),
        (["duplicates", "--exact"], "Duplicates", 0, 0),
        (["duplicates", "--min-score", "0.99"], "Duplicates", 0, 2),
    ],
)  # fmt: skip
def test_every_command_with_pictures_writes_a_page(
    shop: Shop, tmp_path: Path, arguments: list[str], title: str, asked: int, found: int
) -> None:
    file = tmp_path / "grid.html"
    reply = shop.ask(*arguments, "--grid", str(file))
    assert reply.code == 0
    assert reply.err.splitlines()[-1] == f"recq: picture grid written to {file}"
    root = Tree(file.read_text()).root
    assert root.one("h1").text == title
    assert [sum(len(part.all("figure")) for part in root.all("div", kind)) for kind in ("asked", "found")] == [
        asked,
        found,
    ]


def viewer(folder: Path, script: str) -> dict[str, str]:
    program = folder / "viewer"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {**os.environ, "BROWSER": str(program), "TMPDIR": str(folder)}


def run(shop: Shop, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*RECQ, *arguments, *shop.options, "--catalog", "shop"]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)


def test_the_viewer_is_handed_the_file(shop: Shop, tmp_path: Path) -> None:
    environment = viewer(tmp_path, f'echo "$1" >> {tmp_path}/seen')
    done = run(shop, environment, "similar", "two.png", "--open", "--format", "paths", "-k", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{shop.root}/sofas/one.png\n"
    (url,) = (tmp_path / "seen").read_text().splitlines()
    temporary = Path(unquote(url.removeprefix("file://")))
    assert done.stderr == f"recq: picture grid written to {temporary}\n"
    assert temporary.is_relative_to(tmp_path)
    with Image.open(temporary) as image:
        assert image.format == "PNG"


def test_a_viewer_that_fails_is_an_error_that_names_the_file(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "my grid.html"
    done = run(shop, viewer(tmp_path, "exit 1"), "search", "--grid", str(file), "--open")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"recq: --open: nothing could open {file}: open it yourself, or name a program in BROWSER"
    )
    assert file.exists()


def test_without_any_viewer_nothing_is_begun(shop: Shop, tmp_path: Path) -> None:
    hidden = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "XDG_CURRENT_DESKTOP")
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | {"PATH": str(tmp_path)}
    done = run(shop, environment, "similar", "no such target", "--open")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("recq: --open: no viewer was found")
    assert done.stderr.count("\n") == 1

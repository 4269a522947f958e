"""docs/tutorials.md: every command can be given, some are run, and the pictures are there."""

from __future__ import annotations

import csv
import http.server
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer

from ingest.cli.main import app as ingest_app
from query.cli.main import app as query_app
from recq.models.applications import APPLICATIONS
from recq.models.weights import bundled_manifest
from tests.packaging.test_readme import run

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "tutorials.md").read_text("utf-8")
BOXES = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [line.strip() for language, box in BOXES if language in ("", "sh") for line in box.splitlines()]
FETCH = re.search(r"^   ```python\n(.*?)^   ```", TEXT, re.MULTILINE | re.DOTALL)
HERE = [box for language, box in BOXES if language == "sh"]
RUN = [*HERE[0].splitlines(), *(line for line in HERE[3].splitlines() if "pixels:32" in line)]
"""Three starts of a program, some two seconds each; what the other boxes ask for is tested elsewhere."""

APPS: dict[str, Any] = {
    "recq": typer.main.get_command(query_app),
    "recq-ingest": typer.main.get_command(ingest_app),
}
SHOWN = (
    "shoe_hi-top-basketball",
    "running-shoe_runx",
    "chair_modern-cafe",
    "chair_balloon",
    "slr-camera_compact",
    "tent",
)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_can_be_given(line: str) -> None:
    program, command, *arguments = shlex.split(line)
    context = APPS[program].commands[command].make_context(command, arguments)
    model = context.params.get("model")
    if isinstance(model, str) and model.startswith("keras:"):
        assert model.removeprefix("keras:") in APPLICATIONS
    elif model is not None:
        assert model in bundled_manifest() or model.startswith(("file:", "pixels:"))


def test_what_the_page_does_here_can_be_done(tmp_path: Path) -> None:
    """On a few of the samples: those that are asked for must be among them."""
    (tmp_path / "samples").mkdir()
    (tmp_path / "docs").mkdir()
    for name in SHOWN:
        shutil.copy(ROOT / "samples" / f"{name}.jpg", tmp_path / "samples")
    assert len(RUN) == 3
    run("\n".join(RUN), tmp_path, PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    made = sorted(path.name for path in (tmp_path / "docs").glob("*.png"))
    assert made == sorted({Path(line.split("--grid ")[1]).name for line in RUN if "--grid" in line})


def test_the_pictures_are_there_and_small() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", TEXT)
    made = [line.split("--grid docs/")[1] for line in COMMANDS if "--grid docs/" in line]
    assert shown == made
    for name in shown:
        assert (ROOT / "docs" / name).stat().st_size < 150_000


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_posters_are_fetched_from_their_addresses(tmp_path: Path) -> None:
    """Whole pictures alone, once; what fails is told, left out of the table, and tried again by the next run."""
    assert FETCH is not None
    (tmp_path / "fetch.py").write_text(textwrap.dedent(FETCH[1]))
    web = tmp_path / "web"
    web.mkdir()
    for name in SHOWN[:2]:
        shutil.copy(ROOT / "samples" / f"{name}.jpg", web)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(web))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_address[1]}"
        rows = [(f"{place}/{name}.jpg", f'{name}, "a poster"', "Action|Drama") for name in SHOWN[:3]]
        with (tmp_path / "posters.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("address", "title", "genres"), *rows, ("no address", "x", "")])
        command = [sys.executable, "fetch.py", "posters.csv", "posters"]
        first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (first.returncode, len(first.stderr.splitlines())) == (1, 2)
        for name in SHOWN[:2]:
            (web / f"{name}.jpg").unlink()  # what is there is not asked for again
        shutil.copy(ROOT / "samples" / f"{SHOWN[2]}.jpg", web)
        second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        server.shutdown()
    assert second.stderr.splitlines() == ["no address: unknown url type: 'no address'"]
    with (tmp_path / "posters" / "metadata.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["title"] for row in table] == [title for _, title, _ in rows]
    for row, name in zip(table, SHOWN, strict=False):
        assert (tmp_path / "posters" / row["file"]).read_bytes() == (ROOT / "samples" / f"{name}.jpg").read_bytes()
    assert len(list((tmp_path / "posters").iterdir())) == 4

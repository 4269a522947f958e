"""`make demo` itself: the real programs, the real network, the bundled photographs, in a temporary folder."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.eventually import eventually

ROOT = Path(__file__).resolve().parent.parent.parent
DEMO = ROOT / "tools" / "demo.py"


def start(folder: Path, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """The demo with `folder` as its current folder and as the place for everything temporary."""
    environment = os.environ | {"TMPDIR": str(folder), "COLUMNS": "160", "RECQ_URL": "http://127.0.0.1:9"}
    return subprocess.Popen(
        [sys.executable, DEMO, *arguments],
        cwd=folder,
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def running_in(folder: Path) -> list[str]:
    """Command lines of processes that name the folder: what the demo left running."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # ended meanwhile
            continue
        if str(folder) in line:
            lines.append(line)
    return lines


@pytest.mark.long  # but for what it leaves, tests/packaging/test_readme.py runs the same
def test_the_demo_shows_similar_shoes_and_leaves_only_its_grids(tmp_path: Path) -> None:
    demo = start(tmp_path)
    output, errors = demo.communicate(timeout=240)
    assert demo.returncode == 0, errors
    assert "54 pictures can be searched" in output
    bare, filtered = output.split("$ recq similar")[1:]
    assert "running-shoe_freerun.jpg" in bare
    assert "--filter 'category=Footwear' --filter 'price<=100'" in filtered
    assert "running-shoe_pureboost.jpg" in filtered
    assert "running-shoe_freerun.jpg" not in filtered.split("Picture grid")[0], "it costs 160"
    assert {file.name for file in tmp_path.iterdir()} == {"demo-grid.png", "demo-grid-filtered.png"}
    for name in ("demo-grid.png", "demo-grid-filtered.png"):
        assert str(tmp_path / name) in output
        with Image.open(tmp_path / name) as grid:
            assert min(grid.size) > 200
    assert running_in(tmp_path) == []


@pytest.mark.long
def test_the_demo_reads_a_folder_of_ones_own_and_writes_nothing_there(tmp_path: Path) -> None:
    pictures = tmp_path / "my pictures" / "shoes"
    pictures.mkdir(parents=True)
    for name in ("running-shoe_runx.jpg", "running-shoe_freerun.jpg", "tent.jpg"):
        shutil.copy(ROOT / "samples" / name, pictures)
    (pictures / "notes.txt").write_text("not a picture")
    before = sorted((file, file.stat().st_mtime_ns) for file in pictures.parent.rglob("*"))
    work = tmp_path / "work"
    work.mkdir()
    demo = start(work, str(pictures.parent))
    output, errors = demo.communicate(timeout=240)
    assert demo.returncode == 0, errors
    assert "3 pictures can be searched" in output
    assert "--filter" not in output
    assert sorted((file, file.stat().st_mtime_ns) for file in pictures.parent.rglob("*")) == before
    assert {file.name for file in work.iterdir()} == {"demo-grid.png"}


@pytest.mark.long
def test_on_a_terminal_the_demo_ends_with_a_page_until_enter(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    try:
        demo = start(tmp_path, stdin=slave)
        assert demo.stdout is not None
        line = next(each for each in demo.stdout if "in a browser" in each)
        found = re.search(r"http://\S+", line)
        assert found is not None
        shown = httpx.get(found[0]).text
        assert "RunX Running Shoe" in shown
        os.write(master, b"\n")
        output, errors = demo.communicate(timeout=60)
        assert demo.returncode == 0, errors
        assert "The daemon has stopped" in output
        assert running_in(tmp_path) == []
    finally:
        os.close(master)
        os.close(slave)


def test_an_interrupted_demo_stops_its_daemon(tmp_path: Path) -> None:
    demo = start(tmp_path)
    assert demo.stdout is not None
    line = next(each for each in demo.stdout if "cp samples/" in each)  # the daemon has been started by now
    assert line
    eventually(lambda: running_in(tmp_path))  # right after the exec the kernel shows an empty command line
    demo.send_signal(signal.SIGTERM)
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert errors.strip().splitlines()[-1] == "demo: interrupted; the daemon has been stopped"
    assert running_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("folder", "message"), [("missing", "is not a folder"), (".", "holds no pictures that recq reads")]
)
def test_a_folder_without_pictures_is_said_in_one_line(tmp_path: Path, folder: str, message: str) -> None:
    demo = start(tmp_path, folder)
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 1
    (line,) = errors.strip().splitlines()
    assert line.startswith("demo: ")
    assert message in line

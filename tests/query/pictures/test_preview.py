"""`--preview` on terminals that can show pictures, and what is said on those that cannot."""

from __future__ import annotations

import base64
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from textual_image import renderable

from query.pictures.preview import Screen, _show, require_terminal
from recq.display.grid_sheet import Sheet, sheet_of
from recq.errors import UsageError
from tests.query.conftest import Shop, picture
from tests.query.pictures.test_grid import FRAME, LIMITS, RED, answer, result

CELL = (10, 20)


@pytest.fixture
def sheet(tmp_path: Path) -> Sheet:
    picture(tmp_path / "a.png", RED, (300, 300))
    return sheet_of(answer(tmp_path / "a.png", *(result(n + 1, tmp_path / "a.png") for n in range(7))))


def on_kitty(command: list[str], columns: int, lines: int) -> tuple[int, bytes]:
    """Run on a terminal of that size which answers as kitty does: no sixels, its own protocol."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, columns * CELL[0], lines * CELL[1]))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment = {**kept, "TERM": "xterm-kitty", "NO_COLOR": "1"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    answers = {rb"\x1b\[c": b"\x1b[?62;c", rb"\x1b_Gi=(\d+),.*a=q.*\x1b\\": b"\x1b_Gi=1;OK\x1b\\"}
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # how Linux says that the other end has closed
            break
        if not part:
            break
        written += part
        for question in [each for each in answers if re.search(each, written)]:
            os.write(ours, answers.pop(question))
    os.close(ours)
    return process.wait(60), written


def test_kitty_is_sent_the_grid_line_by_line(shop: Shop) -> None:
    command = [
        sys.executable,
        "-m",
        "query.cli",
        "similar",
        "two.png",
        "-k",
        "7",
        "--keep-duplicates",
        "--preview",
    ]
    code, written = on_kitty([*command, *shop.options, "--catalog", "shop"], columns=100, lines=30)
    assert code == 0, written
    strips: dict[bytes, bytes] = {}
    for number, content in re.findall(rb"\x1b_Gi=(\d+),m=[01],f=100,q=2;([^\x1b]*)\x1b\\", written):
        strips[number] = strips.get(number, b"") + content
    placed = re.findall(rb"a=p,i=(\d+),c=(\d+),r=(\d+),U=1", written)
    assert [number for number, _, _ in placed] == list(strips)
    images = [Image.open(io.BytesIO(base64.b64decode(content))) for content in strips.values()]
    assert len(images) == 2  # seven neighbours, five in a line
    for image, (_, across, down) in zip(images, placed, strict=True):
        assert image.size == (int(across) * CELL[0], int(down) * CELL[1])
        assert int(across) <= 100
        assert int(down) < 30
    framed = [colour for _, colour in images[0].convert("RGB").getcolors(1 << 24) or [] if near(colour, FRAME)]
    assert framed
    assert not [colour for _, colour in images[1].convert("RGB").getcolors(1 << 24) or [] if near(colour, FRAME)]


def near(colour: object, wanted: tuple[int, int, int]) -> bool:
    assert isinstance(colour, tuple)
    return all(abs(one - other) < 12 for one, other in zip(colour, wanted, strict=True))


def test_sixels_are_written_for_terminals_that_have_them(
    sheet: Sheet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    _show(sheet, LIMITS, renderable.SixelImage)
    sizes = re.findall(r"\x1bP[^q]*q\"1;1;(\d+);(\d+)", capsys.readouterr().out)
    assert len(sizes) == 2
    assert all(int(width) <= 1000 and int(height) % 20 == 0 for width, height in sizes)


@pytest.mark.parametrize(
    ("screen", "scale", "cells"),
    [
        (Screen(200, 50, 10, 20), 1.0, (160, 16)),  # as it is
        (Screen(80, 50, 10, 20), 0.5, (80, 8)),  # as wide as the terminal
        (Screen(200, 9, 10, 20), 0.5, (80, 8)),  # no line of tiles higher than the terminal
        (Screen(80, 50, 5.5, 11), 0.275, (80, 8)),
    ],
)
def test_a_grid_is_scaled_to_the_terminal(screen: Screen, scale: float, cells: tuple[int, int]) -> None:
    found = screen.scale(1600, 320)
    assert found == pytest.approx(scale)
    assert screen.cells(1600, 320, found) == cells


def tty(monkeypatch: pytest.MonkeyPatch, *, out: bool = True, into: bool = True) -> None:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: out))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: into))


@pytest.mark.parametrize(("out", "into", "said"), [(False, True, "output"), (True, False, "input")])
def test_a_pipe_is_no_terminal(monkeypatch: pytest.MonkeyPatch, out: bool, into: bool, said: str) -> None:
    tty(monkeypatch, out=out, into=into)
    with pytest.raises(UsageError, match=f"--preview: standard {said} is no terminal, use --open, or --grid grid.html"):
        require_terminal()


def test_a_terminal_without_pictures_is_told_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    tty(monkeypatch)
    monkeypatch.setattr(renderable, "Image", renderable.HalfcellImage)
    with pytest.raises(
        UsageError, match=r"does not report that it can show pictures, use --open, or --grid grid\.html"
    ):
        require_terminal()


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tty(monkeypatch)
    monkeypatch.setitem(sys.modules, "textual_image", None)
    with pytest.raises(UsageError, match=r"pip install 'recq\[preview\]'"):
        require_terminal()


def test_it_is_said_before_any_work(shop: Shop) -> None:
    reply = shop.ask("similar", "no such target", "--preview")
    assert reply.code == 2
    assert reply.err.startswith("recq: --preview: standard output is no terminal")

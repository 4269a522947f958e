"""`recq` as a process of its own: what it loads, how long it takes to start, many at once, terminals and signals."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.query.conftest import CATALOG, ENGINES, picture, stocked

RECQ = [sys.executable, "-m", "query.cli"]


@pytest.fixture(scope="module", params=ENGINES)
def options(
    request: pytest.FixtureRequest, shop_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    with stocked(request.param, tmp_path_factory.mktemp("data"), shop_root, request) as reached:
        yield [*reached, "--catalog", CATALOG]


@pytest.fixture(scope="module")
def embedded(
    request: pytest.FixtureRequest, shop_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    with stocked("embedded", tmp_path_factory.mktemp("data"), shop_root, request) as reached:
        yield [*reached, "--catalog", CATALOG]


def loaded(*arguments: str) -> set[str]:
    """The top-level modules that a command had loaded at its end."""
    program = (
        "import sys\nfrom query.cli.main import app\nfrom recq.cli_errors import run\n"
        "code = run(app, 'recq', sys.argv[1:])\nsys.stdout.flush()\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_an_indexed_target_loads_no_model(options: list[str]) -> None:
    modules = loaded("similar", "two.png", *options)
    assert "qdrant_client" in modules
    assert not {"openvino", "tensorflow", "keras", "simplejpeg"} & modules  # Rich and Pillow come with the client


@pytest.mark.parametrize("arguments", [["--help"], ["similar", "--help"], ["--version"]])
def test_help_loads_neither_index_nor_models(arguments: list[str]) -> None:
    assert not {"qdrant_client", "qdrant_edge", "openvino", "tensorflow", "PIL", "numpy"} & loaded(*arguments)


@pytest.mark.parametrize("outside", [False, pytest.param(True, marks=pytest.mark.long)], ids=["indexed", "outside"])
def test_eight_at_once_without_a_daemon_all_succeed(embedded: list[str], tmp_path: Path, outside: bool) -> None:
    """They take turns at the folder's lock; none holds it while a model runs."""
    picture(tmp_path / "mine.png", (200, 30, 30))
    target = str(tmp_path / "mine.png") if outside else "sofas/one.png"
    command = [*RECQ, "similar", target, "-k", "3", "--filter", "price?", "--format", "paths", *embedded]
    patient = {**os.environ, "RECQ_LOCK_WAIT": "120"}  # a machine with much else to do takes seconds for each
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=patient)
        for _ in range(8)
    ]
    answers = [(process.communicate(), process.returncode) for process in running]
    assert [code for _, code in answers] == [0] * 8, answers
    assert len({out for (out, _), _ in answers}) == 1
    assert all(out.count("\n") == 3 for (out, _), _ in answers)


def test_a_terminal_gets_colours_and_nothing_wider(embedded: list[str]) -> None:
    command = [*RECQ, "search", *embedded]
    shown = in_terminal(command, columns=60)
    assert "\x1b[" in shown
    assert max(len(line) for line in unstyled(shown)) <= 60
    assert "evil\\x1b[31m" in in_terminal(command, columns=120)  # the name's own escape sequence stays text
    assert "\x1b[" not in in_terminal(command, columns=60, NO_COLOR="1", TERM="dumb")


def in_terminal(command: list[str], columns: int, **environment: str) -> str:
    """What a command writes to a terminal of that width."""
    ours, theirs = pty.openpty()
    size = {"COLUMNS": str(columns), "LINES": "40", "TERM": "xterm-256color"}
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**kept, **size, **environment})
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # how Linux says that the other end has closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait(60) == 0, written
    return written.decode()


def unstyled(text: str) -> list[str]:
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


def test_standard_input_and_output_are_bytes_in_any_locale(embedded: list[str]) -> None:
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    command = [*RECQ, "search", "--filter", "category=sofa", "--format", "json", *embedded]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    done.stdout.decode("utf-8")


def test_interrupting_is_quiet(embedded: list[str]) -> None:
    """Ctrl-C while `recq similar -` waits for bytes that never come."""
    process = subprocess.Popen(
        [*RECQ, "similar", "-", *embedded],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell that runs the tests in the background has its children ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(lambda: blocked_on_stdin(process.pid))
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)  # standard input stays open until then
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")


def blocked_on_stdin(pid: int) -> bool:
    """Whether the process sits in `read(0, ...)`."""
    try:
        call = Path(f"/proc/{pid}/syscall").read_text().split()
    except OSError:
        return False
    return call[:2] == ["0", "0x0"]


def wait_until(holds: Callable[[], bool], within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        os.sched_yield()

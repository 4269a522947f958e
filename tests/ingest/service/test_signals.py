"""Signals before the daemon is at work, and a daemon that cannot end by itself."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.eventually import eventually
from tests.ingest.running import COMMAND, environment

HANGING = """
import threading
from recq import signals
signals.END_WITHIN = 0.1
with signals.Signals({code}) as caught:
    caught.working(lambda: None)
    print("ready", flush=True)
    while True:
        threading.Event().wait(60)
"""

# A minute of C code that neither lets another thread run nor looks for signals, as a call of the engine does not.
HOLDING = """
from recq import signals
signals.END_WITHIN = 0.3
with signals.Signals(0) as caught:
    caught.working(lambda: None)
    print(signals._watchdogs[0].pid, flush=True)
    sum(range(10**10))
"""


def catches(pid: int, signum: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
    return bool(caught >> (signum - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc tells which signals are caught")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("command", "code"), [(["run"], 0), (["rebuild", "--model", "mobilenet_v2"], 130)])
def test_a_signal_as_soon_as_it_is_caught(
    tmp_path: Path, command: list[str], code: int, signum: signal.Signals
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    arguments = [*command, *([str(root)] if command == ["run"] else []), "--data-dir", str(tmp_path / "data")]
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        eventually(lambda: catches(process.pid, signal.SIGTERM), every=0.001)
        process.send_signal(signum)
        said, _ = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code, said
    assert b"Traceback" not in said


@pytest.mark.parametrize("code", [0, 130])
def test_what_hangs_is_ended_with_the_code_of_the_command(code: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", HANGING.format(code=code)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == code
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_what_holds_the_interpreter(signum: signal.Signals) -> None:
    """No handler and no thread of it runs any more: only the kernel's SIGKILL is left."""
    process = subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        watchdog = psutil.Process(int(process.stdout.readline()))
        eventually(lambda: ignores(watchdog.pid, signum))
        process.send_signal(signum)
        assert process.wait(10) == -signal.SIGKILL
        gone(watchdog)
    finally:
        process.kill()
        process.communicate()


def test_the_watchdog_goes_with_a_killed_daemon_and_ignores_signals_to_the_group() -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        watchdog = psutil.Process(int(process.stdout.readline()))
        eventually(lambda: ignores(watchdog.pid, signal.SIGTERM))
        watchdog.send_signal(signal.SIGTERM)
        watchdog.send_signal(signal.SIGINT)
        assert watchdog.is_running()
        process.kill()
        process.wait(10)
        gone(watchdog)
    finally:
        process.kill()
        process.communicate()


def ignores(pid: int, signum: signal.Signals) -> bool:
    """Whether a process ignores a signal."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    ignored = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    return bool(ignored >> (signum - 1) & 1)


def gone(process: psutil.Process) -> None:
    """Wait until a process has ended."""
    eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)

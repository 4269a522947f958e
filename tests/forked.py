"""Programs as processes of their own, without the seconds that importing their libraries takes each time.

One server for each pytest process imports everything once and forks whenever a program is wanted: a process with its
own arguments, environment and output, which lives, is killed and dies like any other. `python -m tests.forked FD` is
the server. What a start from nothing does (`exec`, imports) is other tests' subject, and the full forms'.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import NoReturn

from tests.secrecy import note_keys, require_kept

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("ingest.cli", "query.cli")
PRELOADED = (
    "ingest.cli.requests", "query.cli.search", "query.text.render",
    "ingest.service.dry_run", "ingest.service.requests", "ingest.service.session", "ingest.service.status",
    "recq.face.catalog", "recq.face.results", "recq.search.search", "recq.search.target", "recq.models.embedder",
    "recq.index.edge.client", "recq.models.openvino_runtime", "psutil", "rich.progress", "structlog", "tomllib",
    "uvicorn.lifespan.off", "uvicorn.loops.asyncio", "uvicorn.protocols.websockets.auto",
)  # fmt: skip


class Process:
    """A running program, with what the tests use of `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], status: int) -> None:
        self.args = list(arguments)
        self.returncode: int | None = None
        self._status = os.fdopen(status, "rb", buffering=0)  # the process id first, the exit code at its end
        self.pid = self._line(None)

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, waited for. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self.returncode = self._line(timeout)
            self._status.close()
        return self.returncode

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _line(self, timeout: float | None) -> int:
        ready, _, _ = select.select([self._status], [], [], timeout)
        if not ready:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return int(self._status.readline())


Running = Process | subprocess.Popen[bytes]


def start(program: str, arguments: Sequence[str], env: Mapping[str, str], output: int, errors: int) -> Running:
    """`python -m PROGRAM ARGUMENTS`, or with "-c" `python -c SCRIPT ARGUMENTS`, writing to those descriptors."""
    note_keys(env)
    if sys.platform != "linux":  # no sockets that keep messages apart
        command = [sys.executable, *([] if program == "-c" else ["-m"]), program, *arguments]
        return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
    ours, theirs = os.pipe()
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        task = json.dumps([program, list(arguments), dict(env)]).encode()
        socket.send_fds(_server(), [task], [nothing.fileno(), output, errors, theirs])
    os.close(theirs)
    return Process([program, *arguments], ours)


def run(
    program: str, arguments: Sequence[str], env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """The same to its end, with what it wrote. Raises subprocess.TimeoutExpired."""
    with TemporaryFile() as output, TemporaryFile() as errors:
        process = start(program, arguments, env, output.fileno(), errors.fileno())
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        for each in (output, errors):
            each.seek(0)
        said, complained = output.read().decode(), errors.read().decode()
        require_kept(said, complained)
        return subprocess.CompletedProcess([program, *arguments], code, said, complained)


@functools.cache
def _server() -> socket.socket:
    """The connection to this process' server, which ends when it is closed: with this process at the latest."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.forked", str(theirs.fileno())]
    env = {name: value for name, value in os.environ.items() if not name.startswith("RECQ_")}
    # numpy's linear algebra starts threads when it is imported, and a fork has one only.
    subprocess.Popen(command, cwd=ROOT, env=env | {"OPENBLAS_NUM_THREADS": "1"}, pass_fds=[theirs.fileno()])
    theirs.close()
    return ours


# ---- the server ------------------------------------------------------------------------------------------------------


def main() -> None:
    """Fork for each message; in the fork, run the program to its end."""
    from recq.models.openvino_package import openvino

    openvino()
    for name in (*PROGRAMS, *PRELOADED):
        importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is pytest's
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a child ended: each says so itself
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    assert threads == 1, f"{threads} threads: a fork of them could wait for ever"
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        wanted = _serve(sock)
    if wanted is None:
        return
    try:
        _run(*wanted)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        _end(end.code or 0)
    _end(0)


def _run(program: str, arguments: Sequence[str]) -> None:
    """The program to its end, as the interpreter itself runs it."""
    if program == "-c":
        script, *arguments = arguments
        sys.argv = [program, *arguments]
        exec(compile(script, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = [program, *arguments]
        importlib.import_module(f"{program}.main").main()


def _end(code: int) -> NoReturn:
    """What the interpreter does at the end of a program, but for clearing some hundred modules: that takes 70 ms."""
    threading._shutdown()  # type: ignore[attr-defined]  # joins those that are no daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _serve(sock: socket.socket) -> tuple[str, list[str]] | None:
    """In a fork: which program it is to be. In the server: None, when nobody wants any more."""
    while True:
        task, descriptors, _, _ = socket.recv_fds(sock, 1 << 20, 4)
        if not task:
            return None
        if os.fork() == 0:
            program, arguments, env = json.loads(task)
            if _became(descriptors, env):
                return program, arguments
        for each in descriptors:
            os.close(each)


def _became(descriptors: Sequence[int], env: Mapping[str, str]) -> bool:
    """True in the program's process; the one between it and the server waits for it, and ends here."""
    *standard, status = descriptors
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    program = os.fork()
    if program:
        for each in (0, 1, 2, *standard):
            os.close(each)  # whoever reads what the program writes waits for its end alone
        os.write(status, b"%d\n" % program)
        _, how = os.waitpid(program, 0)
        os.write(status, b"%d\n" % os.waitstatus_to_exitcode(how))
        os._exit(0)
    os.close(status)
    for number, each in enumerate(standard):
        os.dup2(each, number)
        os.close(each)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [each for each in env.get("PYTHONPATH", "").split(os.pathsep) if each and each not in sys.path]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return True


if __name__ == "__main__":
    main()

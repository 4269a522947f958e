"""What `make demo` does: recq from a dropped photograph to `recq similar`, with every command shown as it runs.

Without a folder it drops the bundled samples into a temporary folder that the daemon already watches; with one, that
folder is indexed where it is and only read. The index lies in a temporary folder in both cases; the daemon is stopped
and everything temporary removed however the demo ends.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
SHOE = "running-shoe_runx.jpg"
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}  # for a count before recq's own
GRID = Path("demo-grid.png")
FILTERED_GRID = Path("demo-grid-filtered.png")
READY_WITHIN = 90.0  # seconds for the daemon's first answer, on a slow machine that compiles the model
IDLE_FOR = 12.0  # seconds without a change, longer than two looks of a daemon that polls: it found no more pictures
STOP_WITHIN = 15.0  # seconds; the daemon promises 5
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL = 0.3  # seconds between two looks at the status

console = Console(highlight=False)


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True)
class Progressed:
    """Where the daemon stands with one folder, as `recq-ingest status` shows it."""

    items: int
    indexed: int
    failed: int
    idle: bool

    @property
    def done(self) -> int:
        """Items that are settled, one way or the other."""
        return self.indexed + self.failed


@dataclass(frozen=True)
class Recq:
    """The two programs of this environment, bound to one data folder."""

    data: Path

    def command(self, program: str, *arguments: str) -> list[str]:
        """The program of this environment with its arguments and the data folder."""
        return [str(Path(sys.executable).with_name(program)), *arguments, "--data-dir", str(self.data)]

    def start(self, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        """The daemon as a child of its own session, so that Ctrl-C reaches only the demo, which then stops it."""
        command = self.command("recq-ingest", *arguments)
        show(command)
        with log.open("wb") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def run(self, *arguments: str) -> None:
        """`recq ...`, its answer on the terminal. Raises DemoFailed with its exit code."""
        command = self.command("recq", *arguments)
        show(command)
        code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
        if code:
            raise DemoFailed(f"recq ended with exit code {code}, see above")

    def ask(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command whose answer the demo reads."""
        command = self.command(program, *arguments)
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def progress(self) -> Progressed | None:
        """Where the daemon stands with its one source; None while it does not answer, or has not come to it yet.

        Asked as `recq-ingest status` asks, whose start each time would take the daemon a second of a processor.
        """
        from recq.operate.status import ask_daemon
        from recq.settings import Settings

        status = ask_daemon(Settings.load(data_dir=self.data))
        if status is None or not status.sources:
            return None
        (source,) = status.sources
        idle = status.state == "idle" and not source.pending
        return Progressed(source.items, source.indexed, source.failed, idle)


def show(command: list[str]) -> None:
    """The command as one could paste it; filters always in quotes, so that the next one gets them too."""
    words = [f"'{word}'" if re.fullmatch(r"\w+[=<>!~?]+[\w.]*", word) else shlex.quote(word) for word in command[1:]]
    say(" ".join([Path(command[0]).name, *words]))


def say(text: str) -> None:
    """A line that stands for something the demo does."""
    console.print()
    console.print(Text(f"$ {text}", style="bold"), soft_wrap=True)


def pictures_in(folder: Path) -> int:
    """How many files look like pictures by their names: the progress bar's first guess."""
    if not folder.is_dir():
        raise DemoFailed(f"{folder} is not a folder: say make demo FOLDER=/path/to/pictures")
    return sum(Path(name).suffix.lower() in EXTENSIONS for _, _, names in os.walk(folder) for name in names)


@contextlib.contextmanager
def daemon(recq: Recq, folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon on a folder for as long as the block lasts; stopped with SIGTERM and waited for."""
    process = recq.start("run", str(folder), log=log)
    try:
        yield process
    finally:
        for signum in STOPPING:  # a second Ctrl-C must not leave the daemon behind
            signal.signal(signum, signal.SIG_IGN)
        process.terminate()
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def page(recq: Recq) -> Iterator[str]:
    """The address of the page, for as long as the block lasts. Raises DemoFailed where it does not come up."""
    command = recq.command("recq", "serve", "--port", "0")
    show(command)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        found = re.search(r"for people at (\S+)", said)
        if found is None:
            raise DemoFailed(f"recq serve: {said}{process.stderr.read()}")
        yield found[1]
    finally:
        process.terminate()
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_indexed(recq: Recq, process: subprocess.Popen[bytes], expected: int, log: Path) -> Progressed:
    """Show a bar until the daemon is idle with `expected` items settled, or found less and stays idle at that.

    Raises DemoFailed when the daemon ends or never answers.
    """
    columns = (TextColumn("indexed"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    changed = time.monotonic()
    last: Progressed | None = None
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("indexed", total=expected)
        while True:
            if process.poll() is not None:
                raise DemoFailed(f"the daemon ended with exit code {process.returncode}:\n{tail(log)}")
            now = recq.progress()
            if now is None and last is None and time.monotonic() - changed > READY_WITHIN:
                raise DemoFailed(f"no answer from the daemon within {READY_WITHIN:.0f} s:\n{tail(log)}")
            if now is not None:
                if now != last:
                    last, changed = now, time.monotonic()
                bar.update(task, completed=now.done, total=max(expected, now.items))
                if now.idle and (now.done >= expected or time.monotonic() - changed > IDLE_FOR):
                    bar.update(task, total=now.done)
                    return now
            time.sleep(POLL)


def tail(log: Path, lines: int = 15) -> str:
    """The end of the daemon's log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def drop_samples(folder: Path) -> None:
    """Copy the samples as a person would, the sheet first so that each photograph finds its row."""
    say(f"cp {SAMPLES.name}/* {shlex.quote(str(folder))}")
    for file in sorted(SAMPLES.iterdir(), key=lambda each: (each.suffix != ".csv", each.name)):
        shutil.copyfile(file, folder / file.name)


def any_indexed(recq: Recq) -> str:
    """The path of an indexed picture."""
    answer = recq.ask("recq", "search", "-k", "1", "--format", "paths")
    paths = answer.stdout.splitlines()
    if not paths:
        raise DemoFailed(f"nothing was indexed that could be compared {answer.stderr.strip()}".rstrip())
    return paths[0]


def demo(folder: Path | None, scratch: Path) -> None:
    """The whole of it, in a scratch folder that the caller removes."""
    (scratch / "recq.toml").touch()
    for name in [each for each in os.environ if each.startswith("RECQ_") and each != "RECQ_CACHE_DIR"]:
        del os.environ[name]  # not the settings, nor the server, of whoever runs the demo
    os.environ["RECQ_CONFIG"] = str(scratch / "recq.toml")
    recq = Recq(scratch / "data")
    log = scratch / "daemon.log"
    watched = folder or scratch / "drop"
    if folder is None:
        watched.mkdir()
        expected = sum(file.suffix == ".jpg" for file in SAMPLES.iterdir())
    else:
        expected = pictures_in(folder)
        if not expected:
            raise DemoFailed(f"{folder} holds no pictures that recq reads ({', '.join(sorted(EXTENSIONS))})")
    with daemon(recq, watched, log) as process:
        if folder is None:
            drop_samples(watched)
        found = wait_until_indexed(recq, process, expected, log)
        console.print(
            f"{found.indexed} pictures can be searched" + (f", {found.failed} failed" if found.failed else "")
        )
        target = SHOE if folder is None else any_indexed(recq)
        recq.run("similar", target, "--grid", str(GRID))
        if folder is None:
            wanted = ("--filter", "category=Footwear", "--filter", "price<=100")
            recq.run("similar", target, *wanted, "--grid", str(FILTERED_GRID))
        if sys.stdin.isatty():
            with page(recq) as address:
                console.print(f"The same in a browser: {address}   (Enter ends the demo)", soft_wrap=True)
                sys.stdin.readline()
    console.print()
    for grid in (GRID, FILTERED_GRID)[: 2 if folder is None else 1]:
        console.print(f"Picture grid: {grid.resolve()}", soft_wrap=True)
    console.print("The daemon has stopped and the temporary index is gone.")
    if folder is None:
        console.print("The same with your own pictures: make demo FOLDER=~/Pictures")


def stop_on_signal(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's signature
    """Unwind the stack, so that the daemon is stopped and the scratch folder removed."""
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo; one line on standard error when it fails."""
    parser = argparse.ArgumentParser(description="See recq work, on the bundled samples or on a folder of your own.")
    parser.add_argument("folder", nargs="?", help="index this folder in place instead; it is only read")
    given = parser.parse_args().folder
    for signum in STOPPING:
        signal.signal(signum, stop_on_signal)
    try:
        with tempfile.TemporaryDirectory(prefix="recq-demo-") as scratch:
            demo(Path(given).expanduser().absolute() if given else None, Path(scratch).resolve())
    except DemoFailed as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; the daemon has been stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

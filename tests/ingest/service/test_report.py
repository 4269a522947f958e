"""What a person sees of a run: a bar that counts what is done and that nothing tears, and one line at its end."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import Buffer

from ingest.report import LogFormat, Reporter
from ingest.service.outcome import Outcome, Standing, summary
from ingest.tally import Counts
from tests import forked
from tests.ingest.pictures import put
from tests.ingest.running import COMMAND, MODEL, Place, environment
from tests.terminal import on_terminal, seen


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1"})


def once_on_terminal(place: Place, *more: str) -> str:
    command = [*COMMAND, "run", str(place.root), "--once", *more, *place.reached]
    code, written = on_terminal(command, environment(**place.settings))
    assert code == 0, written
    return written


def progress(written: str) -> Iterator[tuple[int, int]]:
    """How far the bar was, each time that it was drawn."""
    plain = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", written)
    for done, total in re.findall(r"━ *([\d,]+)/([\d,]+)", plain):
        yield int(done.replace(",", "")), int(total.replace(",", ""))


def test_the_bar_counts_metadata_and_deletions_and_never_goes_back(place: Place) -> None:
    for number in range(8):
        put(place.root / f"chair_{number}.jpg", number)
    first = list(progress(once_on_terminal(place, "--model", MODEL)))
    assert first[-1] == (8, 8)
    (place.root / "chair_0.jpg").unlink()
    (place.root / "chair_1.jpg").unlink()
    (place.root / "metadata.csv").write_text("file,price\nchair_2.jpg,5\nchair_3.jpg,6\n")
    put(place.root / "new.jpg", 20)
    written = once_on_terminal(place)
    drawn = list(progress(written))
    assert drawn[-1] == (5, 5)
    for shown in (first, drawn):
        assert [done for done, _ in shown] == sorted(done for done, _ in shown)
        assert all(done <= total for done, total in shown)
    (line,) = [line for line in seen(written) if line.startswith("7 items")]
    assert re.fullmatch(
        r"7 items: 1 indexed, 2 updated, 2 deleted, 0 failed, 0 problems in \d+\.\d s; next: recq similar \S+\.jpg.*",
        line,
    )


def test_the_command_to_go_on_with_names_one_item(place: Place, tmp_path: Path) -> None:
    """Not one of several that are called alike, and nothing that is read as an option."""
    press = tmp_path / "press"
    for folder in (place.root, press):
        put(folder / "chair.jpg", len(str(folder)))
    put(place.root / "-k.jpg", 3)
    for arguments in ([str(place.root), str(press), "--model", MODEL], [str(place.root)], [str(press)]):
        done = place.command("run", *arguments, "--once")
        prog, *asked = shlex.split(done.stdout.partition("; next: ")[2])
        assert prog == "recq", done.stdout
        assert asked[1] in ("shop/chair.jpg", "press/chair.jpg", "shop/-k.jpg")
        answer = forked.run("query.cli", asked, environment(), 60.0)
        assert answer.returncode == 0, answer.stderr


def test_a_single_pass_that_is_interrupted_says_so(place: Place) -> None:
    """Its exit code is 0, and there is no summary."""
    for number in range(300):
        put(place.root / f"{number}.jpg", number)
    with place.daemon("--once") as single:
        single.said("indexed", within=120)
        assert single.stop(signal.SIGINT) == 0
        assert single.log.read_text().splitlines()[-1] == "recq-ingest: interrupted: run it again to go on"


_LOGS = """
import logging, sys, time
from ingest.report import Reporter
reporter = Reporter()
for step in range(5):
    reporter.progress("indexing", step, 5, 0, known=step > 1)
    logging.getLogger("some.library").warning("a library's warning, number %d", step)
    sys.stderr.write(f"something written aside, number {step}\\n")
    reporter.event("failed", source="s", path="x" * 100, detail=f"step {step}")
    reporter.stage("making indexes", step, 10)
reporter.close()
print("the end")
"""


def test_log_lines_and_writes_aside_do_not_tear_the_bar() -> None:
    code, written = on_terminal([sys.executable, "-c", _LOGS], dict(os.environ))
    assert code == 0, written
    lines = seen(written)
    text = "\n".join(lines)
    assert "━" not in text  # the bar has gone, whole
    for step in range(5):
        assert sum(f"number {step}" in line and "some.library" in line for line in lines) == 1
        assert f"something written aside, number {step}" in lines
    assert [line for line in lines if line][-1] == "the end"


def test_what_is_logged_is_an_event_where_events_are_json(place: Place) -> None:
    """Each line can be read, whoever wrote it."""
    program = _LOGS.replace("Reporter()", "Reporter(LogFormat.JSON)").replace(
        "import Reporter", "import LogFormat, Reporter"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines() if "aside" not in line]
    logged = [line for line in lines if line["event"] == "log"]
    assert [line["detail"] for line in logged] == [f"a library's warning, number {step}" for step in range(5)]
    assert {line["logger"] for line in logged} == {"some.library"}


@pytest.mark.parametrize(
    ("counts", "standing", "line"),
    [
        (
            Counts(indexed=5, reused=1, metadata=2, deleted=1),
            Standing(items=1_206, example="sofa 1.jpg"),
            "1,206 items: 6 indexed, 2 updated, 1 deleted, 0 failed, 0 problems in 12.3 s; "
            'next: recq similar "sofa 1.jpg"',
        ),
        (
            Counts(failed=1),
            Standing(items=1, failed=3, problems=1, example="a.jpg"),
            "1 item: 0 indexed, 0 updated, 0 deleted, 3 failed, 1 problem in 12.3 s; next: recq-ingest failed",
        ),
        (
            Counts(),
            Standing(items=4, held=25, problems=2),
            "4 items: 0 indexed, 0 updated, 0 deleted, 0 failed, 25 held, 2 problems in 12.3 s; "
            "next: recq-ingest problems",
        ),
        (Counts(), Standing(), "0 items: 0 indexed, 0 updated, 0 deleted, 0 failed, 0 problems in 12.3 s"),
    ],
)
def test_one_line_says_how_a_run_ended(counts: Counts, standing: Standing, line: str) -> None:
    assert summary(Outcome(False, counts, standing, 12.34)) == line


class SmallFile(io.RawIOBase):
    """A file on a disk with so many bytes left."""

    def __init__(self, left: int) -> None:
        self.left, self.most, self.written = left, left, b""

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        taken = bytes(data)[: min(self.left, self.most)]
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.left -= len(taken)
        self.written += taken
        return len(taken)


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("left", [0, 1, 10, 400, 401])
def test_a_line_that_a_full_disk_cuts_spoils_only_itself(
    monkeypatch: pytest.MonkeyPatch, left: int, buffered: bool
) -> None:
    file = SmallFile(left)
    binary = io.BufferedWriter(file, 64) if buffered else file
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(binary, line_buffering=True))  # type: ignore[type-var]
    reporter = Reporter(LogFormat.JSON)
    try:
        for number in range(10):
            reporter.event("indexed", number=number, path="x" * 100)
        file.left = file.most = 10_000
        reporter.event("recovered", number=10)
        file.most = 30  # room for that much comes just then: a part of a line is taken, and nothing raised
        reporter.event("indexed", number=10, path="y" * 20)
        reporter.event("indexed", number=11)
    finally:
        reporter.close()
    recovered, *last = map(json.loads, file.written.splitlines()[-3:])
    assert (recovered["event"], [each["number"] for each in last]) == ("recovered", [10, 11])

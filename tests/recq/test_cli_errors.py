"""The shell around both command lines: exit codes, one line of complaint, silence where silence is due."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import pytest
import typer

from recq.cli_errors import EXIT_CODES, run
from recq.errors import AmbiguousTarget, FilterError, IndexBusy, RecqError, SpaceMismatch, TargetNotFound

app = typer.Typer(pretty_exceptions_enable=False, no_args_is_help=True)
RAISED: dict[str, BaseException] = {
    "filter": FilterError("unknown field 'x'"),
    "missing": TargetNotFound("nothing is named 'x'"),
    "busy": IndexBusy("in use by process 7"),
    "space": SpaceMismatch("two spaces"),
    "plain": RecqError("odd"),
    "bug": KeyError("x"),
    "hostile": TargetNotFound("no \x1b[31mred"),
    "several": AmbiguousTarget("two are named so:\na/x.jpg\nb/x.jpg"),
    "interrupt": KeyboardInterrupt(),
    "exit3": typer.Exit(3),
}


@app.command()
def fail(how: str, debug: Annotated[bool, typer.Option("--debug")] = False) -> None:
    raise RAISED[how]


@app.command()
def code(number: Annotated[int, typer.Option("-n", min=0)]) -> int:
    return number


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("filter", 2, "prog: unknown field 'x'\n"),
        ("missing", 3, "prog: nothing is named 'x'\n"),
        ("busy", 4, "prog: in use by process 7\n"),
        ("space", 5, "prog: two spaces\n"),
        ("plain", 1, "prog: odd\n"),
        ("bug", 1, "prog: unexpected: KeyError: 'x' (run again with --debug for the traceback)\n"),
        ("hostile", 3, "prog: no \\x1b[31mred\n"),
        ("several", 3, "prog: two are named so:\n  a/x.jpg\n  b/x.jpg\n"),
        ("interrupt", 130, ""),
        ("exit3", 3, ""),
    ],
)
def test_each_error_has_its_code_and_its_line(
    how: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(app, "prog", ["fail", how]) == code
    assert capsys.readouterr() == ("", said)
    assert code in EXIT_CODES


def test_usage_errors_name_the_option_and_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, "prog", ["code", "-n", "-1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("prog: -n '-1': 0 or more is needed (see")
    assert err.endswith("(see 'prog code --help')\n")


def test_a_returned_number_is_the_exit_code() -> None:
    assert run(app, "prog", ["code", "-n", "3"]) == 3
    assert run(app, "prog", ["code", "-n", "0"]) == 0


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, "prog", []) == 2
    assert "fail" in capsys.readouterr().out


def test_the_traceback_is_shown_on_request_only(capsys: pytest.CaptureFixture[str]) -> None:
    run(app, "prog", ["fail", "bug"])
    assert "Traceback" not in capsys.readouterr().err
    assert run(app, "prog", ["fail", "bug", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_has_gone_is_no_error_to_talk_about() -> None:
    """`head -1` closes the pipe while lines are still being written; here the reader goes before the first."""
    program = (
        "import sys, typer\nfrom recq.cli_errors import run\napp = typer.Typer()\n"
        "@app.command()\ndef lines() -> None:\n    sys.stdin.read()\n"
        "    for n in range(100_000):\n        print(n)\nsys.exit(run(app, 'prog', []))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.close()
    said = process.stderr.read()
    assert (process.wait(60), said) == (141, b"")


SHELL = """
import sys
from recq.cli_errors import run
import typer
app = typer.Typer(pretty_exceptions_enable=False)

@app.command()
def fail() -> None:
    from recq.errors import TargetNotFound
    raise TargetNotFound("x" * 100)

@app.command()
def well() -> None:
    pass

sys.exit(run(app, "prog", sys.argv[1:]))
"""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "2> >(exec sleep 0)"])
@pytest.mark.parametrize(("command", "code"), [("well", 0), ("fail", 3)])
def test_the_exit_code_tells_where_nobody_reads(closed: str, command: str, code: int) -> None:
    """A service manager or a script may start a program with its streams closed, or end before it."""
    shell = f'sleep 0.1; "$0" -c "$1" {command} {closed}'
    done = subprocess.run(["bash", "-c", shell, sys.executable, SHELL], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr

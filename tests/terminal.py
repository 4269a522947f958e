"""A program on a terminal of its own, and what a person sees there in the end."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Mapping, Sequence

WIDTH = 80

_CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|([\r\n])")


def on_terminal(command: Sequence[str], env: Mapping[str, str], *, within: float = 120.0) -> tuple[int, str]:
    """The exit code of a program whose standard streams are a terminal, and everything that it wrote there."""
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        command,
        env={**env, "TERM": "xterm", "COLUMNS": str(WIDTH), "LINES": "24"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    written = b""
    try:
        while piece := os.read(main, 65536):
            written += piece
    except OSError:  # the other end is closed
        pass
    os.close(main)
    return process.wait(within), written.decode()


def seen(written: str) -> list[str]:
    """The lines on the screen in the end; of control sequences those are obeyed that Rich uses for a bar."""
    lines, row, column, at = [""], 0, 0, 0
    while at < len(written):
        control = _CONTROL.match(written, at)
        if control is None:
            lines[row] = lines[row][:column].ljust(column) + written[at] + lines[row][column + 1 :]
            at, column = at + 1, column + 1
            continue
        at = control.end()
        number, kind, plain = control.groups()
        if plain == "\r":
            column = 0
        elif plain == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif kind == "K":
            lines[row] = "" if number == "2" else lines[row][:column]
        elif kind == "A":
            row = max(0, row - int(number or 1))
    return [line.rstrip() for line in lines]

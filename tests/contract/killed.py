"""A process that is killed while it writes, and what it had said to be written by then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def killed_after(script: str, *arguments: str, lines: int) -> int:
    """Run `script`, kill it (-9) when it has printed so many lines, and give the last number that it printed."""
    command = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            printed = "".join(process.stdout.readline() for _ in range(lines))
        finally:
            process.kill()
        printed += process.stdout.read()  # acknowledged before the signal arrived
    numbers = [int(line) for line in printed.split("\n")[:-1]]
    assert numbers, "the process ended before it wrote anything"
    return numbers[-1]

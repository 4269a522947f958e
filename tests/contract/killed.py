"""A process that is killed while it writes, and what it had said to be written by then."""

from __future__ import annotations

import os

from tests import forked


def killed_after(script: str, *arguments: str, lines: int) -> int:
    """Run `script`, kill it (-9) when it has printed so many lines, and give the last number that it printed."""
    ours, theirs = os.pipe()
    process = forked.start("-c", [script, *arguments], os.environ, output=theirs, errors=2)
    os.close(theirs)
    with os.fdopen(ours) as output:
        try:
            printed = "".join(output.readline() for _ in range(lines))
        finally:
            process.kill()
        printed += output.read()  # acknowledged before the signal arrived
    process.wait()
    numbers = [int(line) for line in printed.split("\n")[:-1]]
    assert numbers, "the process ended before it wrote anything"
    return numbers[-1]

"""Memory of pictures goes back to the system, whatever small blocks lie between them."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import platform, sys
from pathlib import Path
from ingest.service.allocator import give_memory_back

def anonymous():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines()
                if line.startswith("RssAnon"))

if sys.argv[1] == "tuned":
    give_memory_back()
del [bytearray(8 << 20)][0]  # a large block that is freed raises the threshold
before = anonymous()
large, small = [], []
for _ in range(200):
    large.append(bytearray(b"x" * 200_000))
    small.append(bytearray(b"x" * 2_000))
del large
print(anonymous() - before)
"""


def left_over(how: str) -> int:
    """KB of anonymous memory that stay of 40 MB in large blocks, freed from between small ones."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="measured in /proc")
def test_large_blocks_go_back() -> None:
    if left_over("plain") < 10_000:
        pytest.skip("this C library gives memory back by itself")
    assert left_over("tuned") < 4_000

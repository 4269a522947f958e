"""The daemon's threads take turns often; other programs of recq are as Python is."""

from __future__ import annotations

import subprocess
import sys

ASKED = """
import sys
from ingest.cli import main
main.run_shell = lambda *_, **__: print(sys.getswitchinterval())
sys.argv = ["recq-ingest", *sys.argv[1:]]
main.main()
"""


def test_the_daemon_takes_short_turns() -> None:
    done = subprocess.run([sys.executable, "-c", ASKED, "run", "--help"], capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[-1]) == 0.0005

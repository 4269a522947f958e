"""The daemon's threads take turns often, and it seldom looks for garbage; nothing else of recq is so."""

from __future__ import annotations

import gc
import subprocess
import sys

from ingest.service.interpreter import collect_seldom

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


def test_what_there_is_is_not_looked_through_again() -> None:
    before = gc.get_threshold()
    try:
        collect_seldom()
        assert gc.get_freeze_count() > 1000
        assert gc.get_threshold()[0] > before[0]
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)

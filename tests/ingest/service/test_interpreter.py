"""The daemon's threads take turns often, and it seldom looks for garbage; nothing else of recq is so."""

from __future__ import annotations

import gc
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


SETTLED = """
import gc, sys
from ingest.service.interpreter import collect_seldom, set_up_daemon
seen = []
for each in (collect_seldom, set_up_daemon, collect_seldom, collect_seldom):
    each()
    seen.append((gc.get_freeze_count() > 1000, gc.get_threshold()[0]))
    if each is collect_seldom and seen[-1][0]:
        gc.unfreeze()
print(seen, gc.isenabled())
"""


def test_what_a_daemon_has_when_it_begins_is_not_looked_through_again() -> None:
    """Once, and in no other program: garbage that is there would be kept."""
    done = subprocess.run([sys.executable, "-c", SETTLED], capture_output=True, text=True, check=True)
    usual, seldom = gc.get_threshold()[0], 5000
    expected = [(False, usual), (False, usual), (True, seldom), (False, seldom)]
    assert done.stdout.split() == f"{expected} True".split()

"""A command line leaves imports out of garbage collection, and garbage is collected from its first use of an index.
numpy's threads do not spin in it.

That a program which imports recq keeps its collector as it is, tests/query/cli/test_start_up.py tells.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packs import ROOT

FIRST_USE = """
import gc, sys
from contextlib import suppress
from pathlib import Path
usual = gc.get_threshold()
from recq.start_up import begun
begun()
assert gc.isenabled() and gc.get_threshold()[0] > 100_000
from recq.errors import RecqError
from recq.index import connect
from recq.settings import Settings
before = gc.get_freeze_count()
url = {"url": "http://127.0.0.1:9", "connect_timeout": 0.05}
settings = Settings.load(**(url if sys.argv[2] == "server" else {"data_dir": Path(sys.argv[3])}))
used = getattr(connect, sys.argv[1])(settings) if sys.argv[1] != "server_client" else None
with suppress(RecqError):
    if used is None:
        connect.server_client(settings)
    else:
        with used:
            pass
assert gc.isenabled()
print(gc.get_threshold() == usual, gc.get_freeze_count() > before + 10_000)
"""


@pytest.mark.parametrize(
    ("way", "index"),
    [
        ("connect", "server"),
        ("connect_or_make", "server"),
        ("server_client", "server"),
        ("connect_or_make", "folder"),
        ("own_folder", "folder"),
        ("locked", "folder"),
        ("locked", "server"),
    ],
)
def test_every_way_to_an_index_ends_the_start(way: str, index: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FIRST_USE, way, index, str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_a_daemon_on_a_server_looks_for_garbage(tmp_path: Path) -> None:
    """Through the command, up to where the daemon would begin with its catalog."""
    asked = """
import gc, sys
from recq.index import connect
def found(*_, **__):
    print(gc.isenabled(), gc.get_threshold()[0] < 10_000)
    raise SystemExit
connect._connect = found
from ingest.cli.main import main
main()
"""
    command = [sys.executable, "-c", asked, "run", str(ROOT / "samples"), "--once", "--url", "http://127.0.0.1:9"]
    done = subprocess.run([*command, "--data-dir", str(tmp_path / "data")], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["True", "True"], done.stderr


SPINNING = """
import time
from recq.start_up import begun
begun()
import numpy as np
rows = np.ones((500, 1280), np.float32)
rows @ rows.T
began = time.process_time()
time.sleep(0.3)
print(time.process_time() - began)
"""


def spun(**environ: str) -> float:
    """The seconds of processor that a command line takes while it sleeps after a product of matrices."""
    named = {name: value for name, value in os.environ.items() if name != "OPENBLAS_THREAD_TIMEOUT"} | environ
    done = subprocess.run([sys.executable, "-c", SPINNING], capture_output=True, text=True, cwd=ROOT, env=named)
    return float(done.stdout)


def test_no_thread_spins_after_a_product_of_matrices() -> None:
    assert spun() < 0.02


@pytest.mark.skipif(
    (os.cpu_count() or 1) < 2 or platform.system() != "Linux", reason="there is one thread, or another library"
)
def test_how_long_threads_spin_can_be_said() -> None:
    assert spun(OPENBLAS_THREAD_TIMEOUT="26") > spun() + 0.005


def test_programs_that_a_command_runs_have_the_environment_that_it_was_given() -> None:
    code = "import os; before = {**os.environ}; from recq.start_up import begun; begun(); print(before == os.environ)"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout == "True\n"

"""Root without its right to read and write everything, so that permissions mean something in tests that run as root."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.ingest import running


def like_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `recq-ingest` obey permissions in this test. Skips where root cannot give its rights up."""
    if os.geteuid() != 0:
        return
    right = "-dac_override,-dac_read_search"
    without = ["setpriv", f"--bounding-set={right}", f"--inh-caps={right}"]
    try:
        refused = subprocess.run([*without, "true"], capture_output=True, check=False).returncode
    except FileNotFoundError:
        refused = 1
    if refused:
        pytest.skip("root may read every folder, and cannot give that up here")
    monkeypatch.setattr(running, "COMMAND", [*without, *running.COMMAND])

"""Lets the daemon's threads take turns often.

Between two files a decoding process waits until its thread has had its turn. Python lets a thread that computes go on
for 5 ms while others wait; with a network that takes 3 ms a picture, the cores had nothing to do for a quarter of the
time (`docs/architecture.md`).
"""

from __future__ import annotations

import sys

_SECONDS = 0.0005


def take_short_turns() -> None:
    """Set the process up."""
    sys.setswitchinterval(_SECONDS)

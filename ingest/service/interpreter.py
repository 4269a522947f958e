"""Sets Python up for a daemon: its threads take turns often, and garbage is looked for seldom.

Between two files a decoding process waits until its thread has had its turn. Python lets a thread that computes go on
for 5 ms while others wait; with a network that takes 3 ms a picture, the cores had nothing to do for a quarter of the
time (`docs/architecture.md`).

Looking for garbage that refers to itself took 0.2 ms a picture, and nine tenths of that went over the 150,000 objects
that were imported, which live to the end. Few of the daemon's own are such garbage.
"""

from __future__ import annotations

import gc
import sys

_SECONDS = 0.0005

_OBJECTS = 5_000
"""New objects after which garbage is looked for; Python's own is 700. A picture leaves nine of them in circles, of
tenacity, and no pixels, no request and no answer: a few hundred kilobytes until then."""


class _Daemon:
    """Whether this process is a daemon whose modules and network are still to be left out."""

    starting = False


def set_up_daemon() -> None:
    """Have the threads of this process, a daemon and nothing else, take short turns."""
    sys.setswitchinterval(_SECONDS)
    _Daemon.starting = True


def collect_what_ended() -> None:
    """A daemon of this process has ended and another one goes on: what it had is looked for everywhere, once."""
    if gc.get_freeze_count():
        gc.unfreeze()
        gc.collect()
        gc.freeze()


def collect_seldom() -> None:
    """What there is by now, imported modules and the network, is not looked through again.

    Nothing where `set_up_daemon` was not called, and the second time: what is garbage now would be kept for good.
    """
    if _Daemon.starting:
        _Daemon.starting = False
        gc.collect()  # what is garbage would be kept, of a server's answers for example; imports are left out already
        gc.freeze()
        gc.set_threshold(_OBJECTS, 10, 10)
